/* The policies of a volume's keys (keymgr/policy.h), carried out by the mount that has it, together with the key service's where a lease tells of one:
 * in a thread of its own, now and then, as soon as so much was written as a policy allows, and when the service's is another one. */
#ifndef COFFER_FS_KEEPER_H
#define COFFER_FS_KEEPER_H

#include "fs/lease.h"
#include "fs/reencrypt.h"

struct keeper;

struct keeper_parts {
	struct engine *engine;
	struct live_keys *keys;
	struct reencrypt *reencrypt;
	struct lease *lease; /* NULL: there is none */
	unsigned every;      /* seconds between two looks, if not as many as it looks by itself */
};

int keeper_start(const struct keeper_parts *p, struct keeper **out) MUST_CHECK;
/* Notes how much was written; the engine still runs. */
void keeper_stop(struct keeper **k);

#endif

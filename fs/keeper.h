/* The policies of a volume's keys (keymgr/policy.h), carried out by the mount that has it: in a thread of its own, now and then, and as soon as so
 * much was written as a policy allows. */
#ifndef COFFER_FS_KEEPER_H
#define COFFER_FS_KEEPER_H

#include "fs/reencrypt.h"

struct keeper;

struct keeper_parts {
	struct engine *engine;
	struct live_keys *keys;
	struct reencrypt *reencrypt;
};

int keeper_start(const struct keeper_parts *p, struct keeper **out) MUST_CHECK;
/* Notes how much was written; the engine still runs. */
void keeper_stop(struct keeper **k);

#endif

/* The lease of a mount whose root came from the key service or a KMIP server: every few seconds who gave it (lease_source.h) is asked whether the mount may go on.
 *
 *   HELD --no answer--> UNREACHABLE --grace period over--> EXPIRED (locked)
 *     ^ \--access taken away--> DENIED (locked)               |
 *     \--------------------- an answer that says yes ---------/
 *
 *  1. Only an answer that takes access away (service_took_away; a key that is not Active, kmip_state) is DENIED; everything else that is no yes is UNREACHABLE.
 *  2. The grace period counts from the last yes, by CLOCK_BOOTTIME: a machine that sleeps does not gain by it.
 *  3. What the lease has locked it unlocks at the next yes, in the same way; what somebody else has locked it leaves alone.
 *  4. A mount is bound by it until its end, whoever brings a root meanwhile.
 *  5. Where the service's key has a newer version, the root is wrapped again by it at the next yes.
 *  6. The service's policy for the volume is that of the last yes that told a right one; it is kept nowhere else, and others carry it out
 *     (keeper.h).
 *
 * In a thread of its own.  Thread-safe. */
#ifndef COFFER_FS_LEASE_H
#define COFFER_FS_LEASE_H

#include "fs/reencrypt.h"
#include "keymgr/host_memory.h"
#include "keymgr/managed_policy.h"

struct lease;

enum { LEASE_KEY_MAX = 128, LEASE_SECONDS = 20, GRACE_SECONDS = 8 * 3600, GRACE_SECONDS_MAX = 30 * 86400 };

struct lease_parts {
	const struct opened *opened; /* with opened->service or opened->kmip; outlives it, as the others do */
	struct live_keys *keys;
	struct reencrypt *reencrypt;
	struct trust trust; /* as the mount was opened */
	bool looks_only;    /* an unlocking is written nowhere on the volume */
	unsigned every;     /* seconds; 0: as the service says */
	unsigned grace;     /* seconds */
};

/* *out is NULL where the root came from neither. */
int lease_start(const struct lease_parts *p, struct lease **out, struct fault *why) MUST_CHECK;
void lease_stop(struct lease **l);

enum lease_state { LEASE_HELD, LEASE_UNREACHABLE, LEASE_EXPIRED, LEASE_DENIED };
/* As the control socket says it. */
const char *lease_state_name(enum lease_state s);

struct lease_status {
	enum lease_state state;
	const char *by; /* the type of the protector */
	char key[LEASE_KEY_MAX + 1];
	uint32_t version; /* of that key; 0: it has none */
	uint64_t renewals;
	uint64_t age;        /* seconds since the last yes, or since the mount */
	uint64_t grace_left; /* seconds */
	struct managed_policy policy;
	char reason[sizeof((struct fault *)0)->text]; /* why it is not held; empty while it is */
};
void lease_status(struct lease *l, struct lease_status *out);
/* (6) Without a lease there is none. */
void lease_managed_policy(struct lease *l, struct managed_policy *out);
/* Refuses where the lease has locked, or would: -EACCES. */
int lease_allows_unlock(struct lease *l, struct fault *why) MUST_CHECK;

#endif

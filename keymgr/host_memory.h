/* What a host remembers of the volumes it has opened, so that an older keyring put back, or another root put in, is noticed
 * (docs/format-host-memory.md).
 *
 * One file for each volume id in $COFFER_STATE_DIR, /var/lib/coffer (root) or $XDG_STATE_HOME/coffer.  An open memory is locked
 * against other processes; keyring.lock is taken before it, never behind it. */
#ifndef COFFER_KEYMGR_HOST_MEMORY_H
#define COFFER_KEYMGR_HOST_MEMORY_H

#include "keymgr/audit_chain.h"
#include "keymgr/keyring.h"

struct host_memory; /* opaque */

/* *out: what is remembered of the volume, perhaps nothing yet.  NULL, with success, where this host remembers nothing at all: no home
 * directory, a state directory that cannot be written (said through log_warning), or $COFFER_STATE_DIR is empty. */
int host_memory_open(const uint8_t volume_id[VOLUME_ID_SIZE], struct host_memory **out, struct fault *why) MUST_CHECK;
void host_memory_close(struct host_memory **m); /* writes nothing */
int host_memory_save(struct host_memory *m, struct fault *why) MUST_CHECK;

/* What somebody has vouched for. */
struct trust {
	bool older;       /* an older keyring, an unknown copy */
	const char *root; /* this root: 32 hexadecimal digits, blanks between them or not; NULL: none is named */
};
/* Whether an unlocked keyring may be what it says.  *accepted: it would not have been without `trust`.
 * Refusals: -ESTALE (older than what was seen), -ESRCH (an instance that is not known, of a volume that is), -EKEYREJECTED (another
 * root); all EXIT_REFUSED. */
int host_memory_check(const struct host_memory *m, const struct keyring *k, const struct trust *trust, bool *accepted,
		      struct fault *why) MUST_CHECK;
/* The root alone.  Without a memory (NULL) a root that is named has to be it all the same. */
int host_memory_check_root(const struct host_memory *m, const struct keyring *k, const struct trust *trust,
			   bool *accepted, struct fault *why) MUST_CHECK;
/* A root of the volume is remembered. */
bool host_memory_knows_volume(const struct host_memory *m);
/* What was seen of the keyring's instance.  False, and zeros: it is not known. */
struct host_seen {
	uint64_t sequence;
	uint32_t generation, floor[SCOPES_MAX];
	struct audit_link audit;
};
bool host_memory_seen(const struct host_memory *m, const struct keyring *k, struct host_seen *out);
/* The keyring, and where its audit log stands (NULL: not known), are what is remembered from now on. */
int host_memory_note(struct host_memory *m, const struct keyring *k, const struct audit_link *audit) MUST_CHECK;
/* Where the audit log of this instance stood; n is 0 if that is not known. */
void host_memory_audit(const struct host_memory *m, const struct keyring *k, struct audit_link *out);

/* Events that could not be written into the audit log yet: failed unlocks, those of a read-only store. */
int host_memory_failed_unlock(struct host_memory *m) MUST_CHECK;
int host_memory_wait(struct host_memory *m, json_object *event) MUST_CHECK; /* does not take the event over */
/* Takes all of them out, and appends them to `events`. */
int host_memory_take_waiting(struct host_memory *m, json_object *events) MUST_CHECK;

#endif

/* Policies of a volume's keys: what happens by itself when time has passed or much was written (docs/format-keyring.md section 7). */
#ifndef COFFER_KEYMGR_POLICY_H
#define COFFER_KEYMGR_POLICY_H

#include "keymgr/generations.h"
#include "keymgr/managed_policy.h"

#define POLICY_GCM_BYTES                                                                                               \
	(UINT64_C(8) << 40) /* rotate_after of volumes with AES-GCM: far below its birthday bound for random nonces */

/* 0: no such policy. */
struct policy {
	uint64_t rotate_every; /* seconds after which a scope gets a new active generation */
	uint64_t rotate_after; /* bytes after which the scope of files does */
	uint64_t
		retire_after; /* seconds after its deactivation in which a generation below the floor is to be destroyed */
	uint64_t warn_backup_age; /* seconds after which the last verified backup is too old */
};

void keyring_policy(const struct keyring *k, struct policy *out);
/* Between keyring_change_begin and _commit. */
int keyring_set_policy(struct keyring *k, const struct policy *p, struct fault *why) MUST_CHECK;

/* Bytes that were sealed under the active generation of files, as far as mounts have noted them. */
uint64_t keyring_sealed(const struct keyring *k);
/* So many more; between keyring_change_begin and _commit. */
int keyring_note_sealed(struct keyring *k, uint64_t bytes, struct fault *why) MUST_CHECK;

struct policy_facts {
	uint64_t bytes; /* sealed under the active generation of files so far; UINT64_MAX: not known */
	const struct generation_users *users; /* what still needs a generation */
	const struct managed_policy *managed; /* the key service's, which counts as well; NULL: there is none */
};
struct policy_done {
	uint32_t rotated, retired, destroyed; /* how many generations */
	uint32_t kept; /* were due to be destroyed, and something still needs them or that cannot be told */
	bool started;  /* a re-encryption was, of what is under generations that are not to stay */
};
static inline bool policy_did_something(const struct policy_done *d)
{
	return d->rotated || d->retired || d->destroyed || d->started;
}
/* The stricter of both policies: bytes that may be sealed under the active generation of files as it is now; 0: as many as one likes. */
uint64_t keyring_bytes_allowed(const struct keyring *k, const struct managed_policy *managed);
/* Carries the policies out, and destroys what has waited long enough.  Between keyring_change_begin and _commit. */
int keyring_run_policy(struct keyring *k, const struct policy_facts *facts, struct policy_done *out,
		       struct fault *why) MUST_CHECK;
/* There is a policy for it, and no verified backup that is young enough. */
bool keyring_backup_too_old(const struct keyring *k);

#endif

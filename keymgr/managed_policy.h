/* The policy that a key service has for the volumes under one of its keys (docs/key-service.md, "Policies for volumes"): a mount is told it with its
 * lease, keeps it in memory only, and carries it out together with the volume's own (policy.h).
 *
 *  1. The stricter of both counts: it makes nothing laxer that the volume's own policy says.
 *  2. What lies outside the bounds below is refused by the service, and again by the mount.
 *  3. By it alone no scope gets a new generation within MANAGED_EVERY_MIN of its last one, however often it changes; nor any in a keyring that holds
 *     MANAGED_GENERATIONS_MAX, so that there is room for those of the volume's users.
 *  4. Its `keep` destroys nothing by itself: what is beyond it is re-encrypted, and what lies below the floor then waits to be destroyed as if
 *     somebody had asked for that (generations.h); fields are left alone, since nobody can count their tokens. */
#ifndef COFFER_KEYMGR_MANAGED_POLICY_H
#define COFFER_KEYMGR_MANAGED_POLICY_H

#include "keymgr/document.h"
#include "keymgr/keyring.h"

enum {
	MANAGED_EVERY_MIN = 24 * 60 * 60, /* seconds */
	MANAGED_EVERY_MAX = 3650 * MANAGED_EVERY_MIN,
	MANAGED_KEEP_MAX = 1000,
	MANAGED_GENERATIONS_MAX = 1024,
};
#define MANAGED_AFTER_MIN (UINT64_C(1) << 30) /* bytes */
#define MANAGED_AFTER_MAX (UINT64_C(1) << 50)

/* 0: no such policy. */
struct managed_policy {
	uint64_t rotate_every; /* seconds after which a scope gets a new active generation */
	uint64_t rotate_after; /* bytes after which the scope of files does */
	uint64_t keep;         /* so many generations of a scope of files stay, the active one among them */
};

static inline bool managed_policy_empty(const struct managed_policy *p)
{
	return !p->rotate_every && !p->rotate_after && !p->keep;
}

/* The members rotate_every, rotate_after and keep, with `prefix` before each name.  Put: those that are not 0; one that is 0 is taken away.  Load: what
 * is left out is 0; what is there lies within the bounds.  Change: what is left out stays as it is in *p, 0 takes it back; *some: one was there.
 * -EBADMSG, with *problem. */
int managed_policy_put(json_object *o, const char *prefix, const struct managed_policy *p) MUST_CHECK;
int managed_policy_load(json_object *o, const char *prefix, struct managed_policy *out,
			struct problem *problem) MUST_CHECK;
int managed_policy_change(json_object *o, const char *prefix, struct managed_policy *p, bool *some,
			  struct problem *problem) MUST_CHECK;

/* What of a volume such a policy is about. */
struct managed_state {
	time_t rotated;  /* since when the oldest of the active generations is that */
	uint64_t sealed; /* bytes under the active one of files, as far as noted */
	uint32_t
		kept; /* generations that have their keys and do not wait to lose them: of the scope of files with the most */
	uint32_t floor; /* the oldest generation of files that is accepted */
};
void keyring_managed_state(const struct keyring *k, struct managed_state *out);
/* Something is due. */
bool managed_policy_behind(const struct managed_policy *p, const struct managed_state *s, time_t now);

#endif

/* A new root: what cuts off somebody who once knew the old one (docs/format-keyring.md section 6). */
#ifndef COFFER_KEYMGR_ROTATE_ROOT_H
#define COFFER_KEYMGR_ROTATE_ROOT_H

#include "keymgr/keyring.h"

struct root_rotation {
	uint32_t kept, dropped;
	struct protector_info dropped_protectors[PROTECTORS_MAX];
};

/* Gives an unlocked keyring a new root, a new audit key and a new active generation in every scope, between keyring_change_begin and
 * _commit.  A root can be wrapped only for who shows a secret: of the protectors those stay that one of `secrets` opens, the others are
 * dropped and named in *out.  A secret that opens none: -EKEYREJECTED, EXIT_WRONG_SECRET, and nothing is changed. */
int keyring_rotate_root(struct store *s, int dot, struct keyring *k, const struct unlock_secret *secrets,
			uint32_t count, struct root_rotation *out, struct fault *why) MUST_CHECK;

#endif

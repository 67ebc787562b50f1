/* A new root: what cuts off somebody who once knew the old one (docs/format-keyring.md section 6). */
#ifndef COFFER_KEYMGR_ROTATE_ROOT_H
#define COFFER_KEYMGR_ROTATE_ROOT_H

#include "keymgr/keyring.h"

struct root_rotation {
	uint32_t kept, dropped;
	struct protector_info dropped_protectors[PROTECTORS_MAX];
};

/* Gives an unlocked keyring a new root, new keys of id records, journal and audit log, and a new active generation in every scope, between
 * keyring_change_begin and _commit.  The journal is empty and nobody uses it.  Afterwards it has to be brought under its new key
 * (journal_take_new_key), and then keyring_journal_is_new() ends it; until then no other root can be made.  A root can be wrapped only for who shows a secret: of the protectors those stay that one of `secrets` opens, the others are
 * dropped and named in *out.  A secret that opens none: -EKEYREJECTED, EXIT_WRONG_SECRET, and nothing is changed. */
int keyring_rotate_root(struct store *s, int dot, struct keyring *k, const struct unlock_secret *secrets,
			uint32_t count, struct root_rotation *out, struct fault *why) MUST_CHECK;

/* The journal may be under the key from before still. */
bool keyring_journal_is_old(const struct keyring *k);
/* It is not: that key is dropped, between keyring_change_begin and _commit. */
int keyring_journal_is_new(struct keyring *k, struct fault *why) MUST_CHECK;

#endif

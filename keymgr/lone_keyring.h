/* A keyring that stands alone: one file, without a volume, for the field tool (docs/format-keyring.md section 1). */
#ifndef COFFER_KEYMGR_LONE_KEYRING_H
#define COFFER_KEYMGR_LONE_KEYRING_H

#include "keymgr/keyring.h"

/* Whether FILE is a regular file that looks like a keyring, or whose second copy does: nothing else must be taken for one, since a keyring
 * can be erased. */
bool lone_keyring_is(const char *file);

/* A store in which the keyring FILE and what belongs to it (FILE.bak, FILE.lock, FILE.audit) have the names that they have in a volume's
 * .coffer; *dot is the directory that holds them.  The caller closes *dot and destroys the store. */
int lone_keyring_open(const char *file, struct store **out, int *dot, struct fault *why) MUST_CHECK;

/* Makes the new file FILE.  *out: the unlocked keyring.  Of `how` only cipher and secrets count. */
int lone_keyring_make(const char *file, const struct new_volume *how, struct keyring **out,
		      struct fault *why) MUST_CHECK;

#endif

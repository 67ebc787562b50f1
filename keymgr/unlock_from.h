/* A keyring unlocked by what is given, or by what needs nobody: servers that open for who has a certificate of its own. */
#ifndef COFFER_KEYMGR_UNLOCK_FROM_H
#define COFFER_KEYMGR_UNLOCK_FROM_H

#include "keymgr/keyring.h"
#include "keymgr/unlock.h"

/* Gets a secret and unlocks with it.  Where none is given and a server protects the keyring, that opens; where it fails, another secret is asked for, if
 * there is a terminal.  A person has so many tries.  with: NULL, or keeps the secret. */
int keyring_unlock_from(struct keyring *k, const struct unlock_source *from, const char *prompt, unsigned tries,
			struct unlock_secret *with, struct fault *why) MUST_CHECK;
/* The first half of it: where nothing is given, a server is what opens, or a token. */
int keyring_obtain(const struct keyring *k, const struct unlock_source *from, const char *prompt,
		   struct unlock_secret *out, struct fault *why) MUST_CHECK;

#endif

/* The pin: a root that came by a public key has to be one that somebody vouches for.
 *
 * Anyone can encrypt to a certificate.  So a keyring that a private key opens may be a stranger's, with a root of his own, and what is
 * written under that is his to read; a secret that two sides share proves more.  Such a keyring is opened only with a root that this
 * host remembers, or comes from one (keyring_roots.c), or that is named. */
#ifndef COFFER_KEYMGR_PIN_H
#define COFFER_KEYMGR_PIN_H

#include "keymgr/host_memory.h"

/* Takes the place of trust->root where a person confirms a fingerprint. */
struct pin {
	char root[2 * FINGERPRINT_SIZE + 8];
};

/* Nothing to do where the keyring was not opened by a public key, where *trust names a root, or where the host knows it.  Else the
 * fingerprint is shown on the terminal, and when it is confirmed, *trust names it (in *room).  Without a terminal, or not confirmed:
 * -EKEYREJECTED, EXIT_REFUSED, with the fingerprint.  Takes the host's memory and gives it back, so neither that nor keyring.lock may
 * be held: a person may take long. */
int pin_settle(const struct keyring *k, struct trust *trust, struct pin *room, struct fault *why) MUST_CHECK;

/* The same, and then the verdict on the root alone, for who looks at a keyring that the host does not go by. */
int pin_check(const struct keyring *k, const struct trust *trust, struct fault *why) MUST_CHECK;

#endif

/* Handing a volume's root from one process to another, over a socket between them: the one has asked for a secret, the other serves a mount.
 *
 * The bytes pass through the kernel's memory for sockets, which is never swapped out, and lie nowhere else but in secrets. */
#ifndef COFFER_KEYMGR_HAND_OVER_H
#define COFFER_KEYMGR_HAND_OVER_H

#include "keymgr/keyring.h"

/* Sends the root of an unlocked keyring as one packet. */
int keyring_send_root(const struct keyring *k, int fd) MUST_CHECK;
/* Receives one, waiting so long at most, and unlocks a keyring with it that was just read.  -EKEYREJECTED: it is not of this keyring. */
int keyring_receive_root(struct keyring *k, int fd, unsigned seconds, struct fault *why) MUST_CHECK;

#endif

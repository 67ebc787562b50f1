/* Changes of the keyring, each written at once. */
#ifndef COFFER_CLI_KEY_H
#define COFFER_CLI_KEY_H

#include "util/cli/cli.h"

/* Both need an unlocked volume. */
int key_add(struct cli_volume *v, const struct unlock_secret *secret, uint32_t *id, struct fault *why) MUST_CHECK;
int key_remove(struct cli_volume *v, uint32_t id, struct fault *why) MUST_CHECK;

#endif

/* A recovery key must not be lost before it was kept: either shown on the terminal and confirmed, or written to a file and synced. */
#ifndef COFFER_CLI_TERMINAL_H
#define COFFER_CLI_TERMINAL_H

#include "keymgr/terminal.h"
#include "keymgr/unlock.h"

/* Shows the key and makes the user type one group of it.  EXIT_REFUSED after some wrong answers or at the end of input. */
int recovery_key_show(const struct unlock_secret *key, struct fault *why) MUST_CHECK;
/* Writes it to `file`, which must not exist: mode 0600, synced with its directory. */
int recovery_key_write(const struct unlock_secret *key, const char *file, struct fault *why) MUST_CHECK;
/* Makes one and does either (file NULL: shows it). */
int recovery_key_make(const char *file, struct unlock_secret *out, struct fault *why) MUST_CHECK;

#endif

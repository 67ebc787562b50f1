/* Talking to the person at the terminal, if there is one: always by /dev/tty, so that redirected output stays clean. */
#ifndef COFFER_CLI_TERMINAL_H
#define COFFER_CLI_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "keymgr/unlock.h"

bool terminal_present(void);
/* A handle of the terminal; -ENOTTY without one. */
int terminal_open(void) MUST_CHECK;
/* Prints the prompt and reads one line of at most n - 1 characters (blanks at both ends are dropped); -ENODATA at the end of input. */
int terminal_ask(int tty, const char *prompt, char *line, size_t n) MUST_CHECK;

/* A recovery key must not be lost before it was kept: either shown and confirmed, or written to a file and synced. */

/* Shows the key and makes the user type one group of it.  EXIT_REFUSED after some wrong answers or at the end of input. */
int recovery_key_show(const struct unlock_secret *key, struct fault *why) MUST_CHECK;
/* Writes it to `file`, which must not exist: mode 0600, synced with its directory. */
int recovery_key_write(const struct unlock_secret *key, const char *file, struct fault *why) MUST_CHECK;
/* Makes one and does either (file NULL: shows it). */
int recovery_key_make(const char *file, struct unlock_secret *out, struct fault *why) MUST_CHECK;

#endif

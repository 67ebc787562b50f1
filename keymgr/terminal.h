/* Talking to the person at the terminal, if there is one: always by /dev/tty, so that redirected output stays clean. */
#ifndef COFFER_KEYMGR_TERMINAL_H
#define COFFER_KEYMGR_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/base/cleanup.h"

bool terminal_present(void);
/* A handle of the terminal; -ENOTTY without one. */
int terminal_open(void) MUST_CHECK;
/* Prints the prompt and reads one line of at most n - 1 characters (blanks at both ends are dropped); -ENODATA at the end of input. */
int terminal_ask(int tty, const char *prompt, char *line, size_t n) MUST_CHECK;

#endif

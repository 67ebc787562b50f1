/* What coffer-pkcs11 and coffer-tpm2 have in common: programs with the verbs "seal" and "open".
 *
 * 1. They are not dumpable, and what they read and write is in locked memory; so is all the rest where the process may lock all it has.
 * 2. Nothing is written before all has succeeded. */
#ifndef COFFER_KEYMGR_HELPER_SEALER_H
#define COFFER_KEYMGR_HELPER_SEALER_H

#include "keymgr/helper/frames.h"

/* One line on standard error. */
void say_line(const char *format, ...) PRINTF_LIKE(1, 2);
/* Says it and is `status`; a macro, so that compilers see which. */
#define say(status, ...) (say_line(__VA_ARGS__), (status))

enum { SEALER_FRAMES_MAX = 8 };

struct sealer_verb {
	unsigned frames; /* that it takes */
	/* Fills `out`, which has room for `out_max` bytes, with frames and shrinks it to them.  0, or what the program exits with. */
	int (*run)(const struct span *in, struct secret *out);
};

struct sealer {
	struct sealer_verb seal, open;
	size_t in_max, out_max;
	int failed; /* the status of what has no other */
};

/* The whole of main(). */
int sealer_main(const struct sealer *s, int argc, char **argv) MUST_CHECK;

#endif

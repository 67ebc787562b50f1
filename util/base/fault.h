/* Errors that a person reads: one line that says what, where, and what to do next, with an exit status.
 *
 * Inside the program errors are negative errno values.  Where a function can fail in a way that the user has to
 * act on it also takes a `struct fault *` (never NULL) and fills it once, at the place that knows best.  The command line prints
 * "coffer: " and the text, and exits with the status. */
#ifndef COFFER_BASE_FAULT_H
#define COFFER_BASE_FAULT_H

#include "util/base/cleanup.h"

/* Exit statuses, listed in coffer(1); scripts may rely on them. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1,       /* anything that has no status of its own */
	EXIT_USAGE = 2,        /* unknown verb, option or value */
	EXIT_WRONG_SECRET = 3, /* no protector opened: wrong passphrase, key file, recovery key */
	EXIT_NOT_VOLUME = 4,   /* DIR is not a volume */
	EXIT_DAMAGED = 5,      /* keyring or settings damaged or tampered with; check found damage */
	EXIT_IN_USE = 6,       /* volume already mounted, or locked by another command */
	EXIT_UNSUPPORTED = 7,  /* unknown format version or feature flag; a cipher that this host refuses */
	EXIT_NO_FUSE = 8,      /* no /dev/fuse, or no privilege to mount */
	EXIT_MOUNT_POINT = 9,  /* mount point missing, in use, not a directory, or inside the volume */
	EXIT_NOT_EMPTY = 10,   /* init on a directory that holds something, or inside another volume */
	EXIT_NO_SECRET = 11,   /* no secret given and no terminal to ask on */
	EXIT_STORE = 12,       /* the store below refused: read-only, full, I/O error */
	EXIT_REFUSED = 13,     /* refused for safety: last protector, missing confirmation, unmet precondition */
	EXIT_UNREACHABLE = 14, /* the key service, or a token */
};

struct fault {
	enum exit_status status; /* EXIT_OK while nothing was reported */
	char text[480];          /* one line, without a newline */
};

/* Fills *f unless it is filled already (the innermost report wins), and returns -error (error > 0). */
int fault_set(struct fault *f, enum exit_status status, int error, const char *format, ...) PRINTF_LIKE(4, 5);

/* The same with ": " and strerror(-result) appended; result is a negative errno and is returned. */
int fault_errno(struct fault *f, enum exit_status status, int result, const char *format, ...) PRINTF_LIKE(4, 5);

#endif

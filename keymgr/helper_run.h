/* Starting one of the small programs that use what this process does not map (keymgr/helper/). */
#ifndef COFFER_KEYMGR_HELPER_RUN_H
#define COFFER_KEYMGR_HELPER_RUN_H

#include <sys/types.h>

#include "util/base/fault.h"
#include "util/base/secret.h"

struct helper_frame {
	const void *bytes;
	size_t size;
};

struct helper_answer {
	int status;         /* what it exited with; 128 and the signal if it was killed */
	struct secret *out; /* its standard output */
	char said[256];     /* the first line of its standard error */
};
void helper_answer_free(struct helper_answer *a);
#define _cleanup_helper_answer_ _cleanup_(helper_answer_free)

/* Runs `program` from coffer's directory of such programs ($COFFER_LIBEXEC_DIR before it), with `verb` as its only argument and an
 * environment that is empty, and gives it the frames, each behind its length in 4 bytes, little-endian.  Nothing is in a file, in
 * the arguments or in the environment.  At most `max` bytes of output.  -ENOENT and EXIT_UNSUPPORTED if it is not installed. */
int helper_run(const char *program, const char *verb, const struct helper_frame *frames, size_t count, size_t max,
	       struct helper_answer *out, struct fault *why) MUST_CHECK;

/* A helper that answers again and again. */
struct helper {
	pid_t pid; /* 0: there is none */
	int fd;    /* its standard input and output: a stream, non-blocking */
	int err;   /* a file in memory: its standard error, so that it keeps none of this process's open */
};
#define HELPER_NONE ((struct helper){.fd = -1, .err = -1})
/* Starts it in the same way. */
int helper_start(const char *program, const char *verb, struct helper *out, struct fault *why) MUST_CHECK;
/* The first line that it has said on standard error; empty if it said nothing. */
void helper_said(const struct helper *h, char *out, size_t room);
/* Ends it, whatever it is doing. */
void helper_end(struct helper *h);

#endif

/* Starting one of the small programs that use what this process does not map (keymgr/helper/). */
#ifndef COFFER_KEYMGR_HELPER_RUN_H
#define COFFER_KEYMGR_HELPER_RUN_H

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

#endif

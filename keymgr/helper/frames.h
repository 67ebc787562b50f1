/* What goes into a helper and comes out of it: frames, each a length of 4 bytes, little-endian, and so many bytes.
 *
 * Functions return NULL, or in words what is wrong.  What is read and written is in locked memory. */
#ifndef COFFER_KEYMGR_HELPER_FRAMES_H
#define COFFER_KEYMGR_HELPER_FRAMES_H

#include "util/base/secret.h"

struct span {
	const uint8_t *at;
	size_t size;
};

/* Locked memory of so many bytes, and all the rest where the process may lock all it has: libraries keep copies where they like. */
const char *frames_prepare(size_t arena) MUST_CHECK;
/* Standard input to its end, at most `max` bytes. */
const char *frames_read(size_t max, struct secret **out) MUST_CHECK;
/* Exactly `count` frames, in place: of so many bytes, or of all that was read. */
const char *frames_take(const uint8_t *bytes, size_t n, struct span *frames, unsigned count) MUST_CHECK;
const char *frames_split(const struct secret *s, struct span *frames, unsigned count) MUST_CHECK;
/* All of it to standard output. */
const char *frames_write(const struct secret *s) MUST_CHECK;

#endif

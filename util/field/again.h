/* Encrypting a text that was decrypted and changed: what is unchanged keeps its token. */
#ifndef COFFER_FIELD_AGAIN_H
#define COFFER_FIELD_AGAIN_H

#include "util/field/operation.h"

/* What a file held before: every value by its path. */
struct memory;
void memory_free(struct memory **m);
/* Reads an encrypted text: the clear text goes to *clear, the values into *out. */
int memory_read(struct operation *o, const struct engine *base, const char *text, size_t n, struct memory **out,
		struct buffer *clear, struct fault *why) MUST_CHECK;
/* Encrypts `text`: a value that one of the memories (the first that has its path) holds as a token with the same source gets that token;
 * another one is sealed if it was a token anywhere, or if a rule wants it. */
int memory_encrypt(struct operation *o, const struct engine *base, struct memory *const *memories, size_t count,
		   const char *text, size_t n, struct buffer *out, struct fault *why) MUST_CHECK;

#endif

/* Text forms of bytes: base64url (RFC 4648 section 5, no padding, canonical) and hexadecimal. */
#ifndef COFFER_BASE_ENCODE_H
#define COFFER_BASE_ENCODE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/base/cleanup.h"

/* Characters for n bytes, without a terminator. */
static inline size_t base64url_size(size_t n)
{
	return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

/* Bytes in n characters (n % 4 == 1 is impossible and gives what the rest would). */
static inline size_t base64url_decoded_size(size_t n)
{
	return n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
}

/* Writes base64url_size(n) characters and a terminating zero; returns the number of characters. */
size_t base64url_encode(const void *in, size_t n, char *out);

/* Decodes n characters.  Returns the number of bytes, or -EINVAL for anything but canonical base64url, or -ENOSPC if more than
 * `room` bytes would come out. */
ssize_t base64url_decode(const char *in, size_t n, void *out, size_t room) MUST_CHECK;

/* Lower-case hexadecimal; out has 2 n + 1 characters. */
void hex_encode(const void *in, size_t n, char *out);
/* Exactly 2 n characters of either case; -EINVAL otherwise. */
int hex_decode(const char *in, size_t chars, void *out, size_t n) MUST_CHECK;

#endif

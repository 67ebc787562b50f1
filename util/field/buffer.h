/* Bytes that grow.  They may be clear text, so they are wiped before they are freed or moved. */
#ifndef COFFER_FIELD_BUFFER_H
#define COFFER_FIELD_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/base/cleanup.h"

struct buffer {
	char *bytes; /* NULL while nothing was put in */
	size_t size, room;
};
#define _cleanup_buffer_ _cleanup_(buffer_free)

void buffer_free(struct buffer *b);
/* Room for n more bytes; -ENOMEM. */
int buffer_reserve(struct buffer *b, size_t n) MUST_CHECK;
int buffer_add(struct buffer *b, const void *bytes, size_t n) MUST_CHECK;
int buffer_text(struct buffer *b, const char *text) MUST_CHECK;
int buffer_byte(struct buffer *b, char c) MUST_CHECK;
/* Adds what the descriptor gives, up to its end. */
int buffer_read(struct buffer *b, int fd) MUST_CHECK;
/* Takes n bytes off the front. */
void buffer_drop(struct buffer *b, size_t n);
/* Empty again; keeps the memory, wiped. */
void buffer_reset(struct buffer *b);
/* Equal bytes. */
bool buffer_is(const struct buffer *b, const void *bytes, size_t n);

#endif

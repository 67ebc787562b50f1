#include "util/field/buffer.h"

#include <errno.h>
#include <string.h>

#include "util/base/secret.h"

void buffer_free(struct buffer *b)
{
	if (b->bytes)
		wipe(b->bytes, b->size);
	free(b->bytes);
	*b = (struct buffer){0};
}

int buffer_reserve(struct buffer *b, size_t n)
{
	size_t room = b->room ? b->room : 64;
	char *bytes;

	if (b->room - b->size >= n)
		return 0;
	if (n > SIZE_MAX / 4 - b->size)
		return -ENOMEM;
	while (room < b->size + n)
		room *= 2;
	/* Not realloc(): it would leave the old copy behind. */
	bytes = malloc(room);
	if (!bytes)
		return -ENOMEM;
	if (b->bytes) {
		memcpy(bytes, b->bytes, b->size);
		wipe(b->bytes, b->size);
		free(b->bytes);
	}
	b->bytes = bytes;
	b->room = room;
	return 0;
}

int buffer_add(struct buffer *b, const void *bytes, size_t n)
{
	int ret = b->room - b->size < n ? buffer_reserve(b, n) : 0;

	if (ret < 0 || !n)
		return ret;
	memcpy(b->bytes + b->size, bytes, n);
	b->size += n;
	return 0;
}

int buffer_text(struct buffer *b, const char *text)
{
	return buffer_add(b, text, strlen(text));
}

int buffer_byte(struct buffer *b, char c)
{
	return buffer_add(b, &c, 1);
}

int buffer_read(struct buffer *b, int fd)
{
	enum { BLOCK = 64 << 10 };
	ssize_t n = 1;

	while (n > 0) {
		int ret = buffer_reserve(b, BLOCK);

		if (ret < 0)
			return ret;
		do
			n = read(fd, b->bytes + b->size, BLOCK);
		while (n < 0 && errno == EINTR);
		b->size += n > 0 ? (size_t)n : 0;
	}
	return n < 0 ? -errno : 0;
}

void buffer_drop(struct buffer *b, size_t n)
{
	if (!n)
		return;
	memmove(b->bytes, b->bytes + n, b->size - n);
	wipe(b->bytes + b->size - n, n);
	b->size -= n;
}

void buffer_reset(struct buffer *b)
{
	if (b->bytes)
		wipe(b->bytes, b->size);
	b->size = 0;
}

bool buffer_is(const struct buffer *b, const void *bytes, size_t n)
{
	return b->size == n && (n == 0 || memcmp(b->bytes, bytes, n) == 0);
}

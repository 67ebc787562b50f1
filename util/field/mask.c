#include "util/field/mask.h"

#include "util/field/scan.h"

/* -1: no text. */
static ssize_t characters(const char *text, size_t n)
{
	ssize_t count = 0;

	for (size_t i = 0; i < n; count++) {
		size_t m = utf8_length(text + i, n - i);

		if (!m)
			return -1;
		i += m;
	}
	return count;
}

int mask_text(const char *text, size_t n, size_t keep, struct buffer *out)
{
	ssize_t count = characters(text, n);
	size_t total = count < 0 ? n : (size_t)count, hidden = count < 0 || total < 2 * keep ? total : total - keep,
	       at = 0;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < hidden; i++) {
		ret = buffer_byte(out, '*');
		at += count < 0 ? 1 : utf8_length(text + at, n - at);
	}
	return ret < 0 ? ret : buffer_add(out, text + at, n - at);
}

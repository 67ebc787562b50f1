#include "util/field/lines.h"

#include <string.h>

size_t line_end(const struct scan *s, size_t at, size_t *next)
{
	size_t end = at;

	while (end < s->size && s->text[end] != '\n' && s->text[end] != '\r')
		end++;
	*next = end < s->size ? end + 1 : end;
	if (end + 1 < s->size && s->text[end] == '\r' && s->text[end + 1] == '\n')
		*next = end + 2;
	return end;
}

size_t skip_spaces(const struct scan *s, size_t at, size_t end)
{
	while (at < end && (s->text[at] == ' ' || s->text[at] == '\t'))
		at++;
	return at;
}

size_t trim_spaces(const struct scan *s, size_t start, size_t end)
{
	while (end > start && (s->text[end - 1] == ' ' || s->text[end - 1] == '\t'))
		end--;
	return end;
}

int refuse_binary(struct scan *s)
{
	const char *zero = memchr(s->text, '\0', s->size);

	return zero ? scan_error(s, (size_t)(zero - s->text), "a zero byte: this is no text") : 0;
}

int scan_lines(struct scan *s, int (*line)(struct scan *s, size_t *at), size_t *used)
{
	size_t at = scan_bom(s);
	int ret = refuse_binary(s);

	if (ret == 0)
		ret = scan_open(s);
	while (ret == 0 && at < s->size)
		ret = line(s, &at);
	*used = s->size;
	return ret;
}

enum leaf_type always_string(const struct leaf *l, const char *source, size_t n)
{
	(void)l;
	(void)source;
	(void)n;
	return LEAF_STRING;
}

/* Values of INI: what quotes and escapes mean in each dialect, and how a value is written. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util/field/ini.h"

static int git_value(const char *source, size_t n, struct buffer *out)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < n; i++) {
		char c = source[i];

		if (c == '"')
			continue;
		if (c != '\\' || i + 1 == n) {
			ret = buffer_byte(out, c);
			continue;
		}
		c = source[++i];
		if (c == '\r' && i + 1 < n && source[i + 1] == '\n')
			c = source[++i];
		if (c != '\n')
			ret = buffer_byte(out, c == 'n' ? '\n' : c == 't' ? '\t' : c == 'b' ? '\b' : c);
	}
	return ret;
}

int ini_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	char quote = n >= 2 ? source[0] : '\0';

	if (l->quoting == DIALECT_GIT)
		return git_value(source, n, out);
	if (l->quoting != DIALECT_SYSTEMD && (quote == '"' || quote == '\'') && source[n - 1] == quote)
		return buffer_add(out, source + 1, n - 2);
	return buffer_add(out, source, n);
}

static int git_source(const char *value, size_t n, struct buffer *out)
{
	int ret = buffer_byte(out, '"');

	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (value[i] == '\n')
			ret = buffer_text(out, "\\n");
		else if (value[i] == '"' || value[i] == '\\')
			ret = buffer_byte(out, '\\');
		if (ret == 0 && value[i] != '\n')
			ret = buffer_byte(out, value[i]);
	}
	return ret < 0 ? ret : buffer_byte(out, '"');
}

/* A value that would lose its ends or be cut. */
static bool wants_quotes(const char *value, size_t n)
{
	if (!n)
		return false;
	if (isblank((unsigned char)value[0]) || isblank((unsigned char)value[n - 1]) || strchr("\"';#", value[0]))
		return true;
	return memmem(value, n, " ;", 2) || memmem(value, n, "\t;", 2) || memmem(value, n, " #", 2);
}

int ini_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	int ret;

	if (memchr(value, '\0', n) || memchr(value, '\r', n))
		return -EILSEQ;
	if (type != LEAF_STRING)
		return bare_type(value, n) == type ? buffer_add(out, value, n) : -EINVAL;
	if (l->quoting == DIALECT_GIT && (wants_quotes(value, n) || memchr(value, '\n', n) || memchr(value, '\\', n) ||
					  memchr(value, '"', n) || memchr(value, ';', n) || memchr(value, '#', n)))
		return git_source(value, n, out);
	if (memchr(value, '\n', n) || (l->quoting == DIALECT_SYSTEMD && wants_quotes(value, n)))
		return -EILSEQ;
	if (!wants_quotes(value, n))
		return buffer_add(out, value, n);
	ret = buffer_byte(out, '"');
	if (ret == 0)
		ret = buffer_add(out, value, n);
	return ret < 0 ? ret : buffer_byte(out, '"');
}

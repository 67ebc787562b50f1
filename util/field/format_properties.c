/* Java properties: NAME, then =, : or blanks, then VALUE; a backslash at the end of a line continues it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/field/lines.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static size_t skip(const struct scan *s, size_t at, size_t end)
{
	while (at < end && blank(s->text[at]))
		at++;
	return at;
}

/* The end of the logical line: an odd number of backslashes continues it. */
static size_t logical_end(const struct scan *s, size_t at, size_t *next)
{
	for (;;) {
		size_t end = line_end(s, at, next), slashes = 0;

		while (end - slashes > at && s->text[end - slashes - 1] == '\\')
			slashes++;
		if (slashes % 2 == 0 || *next >= s->size)
			return end;
		at = *next;
	}
}

static int hex_value(const char *p, size_t n, uint32_t *out)
{
	char digits[5] = {0};
	char *end;

	if (n < 4)
		return -EINVAL;
	memcpy(digits, p, 4);
	if (strspn(digits, "0123456789abcdefABCDEF") != 4)
		return -EINVAL;
	*out = (uint32_t)strtoul(digits, &end, 16);
	return 0;
}

static int unescape_unit(const char *source, size_t n, size_t *i, struct buffer *out)
{
	uint32_t code, low;

	if (hex_value(source + *i + 1, n - *i - 1, &code) < 0)
		return buffer_byte(out, 'u');
	*i += 4;
	if (code >= 0xd800 && code < 0xdc00 && n - *i > 6 && source[*i + 1] == '\\' && source[*i + 2] == 'u' &&
	    hex_value(source + *i + 3, n - *i - 3, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		*i += 6;
	}
	return utf8_add(out, code);
}

static int unescape(const char *source, size_t n, struct buffer *out)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (source[i] != '\\' || i + 1 == n) {
			ret = buffer_byte(out, source[i]);
			continue;
		}
		char c = source[++i];
		if (c == '\r' && i + 1 < n && source[i + 1] == '\n')
			c = source[++i];
		if (c == '\n') {
			while (i + 1 < n && blank(source[i + 1]))
				i++;
		} else if (c == 'u') {
			ret = unescape_unit(source, n, &i, out);
		} else {
			ret = buffer_byte(out, c == 'n'   ? '\n'
					       : c == 't' ? '\t'
					       : c == 'r' ? '\r'
					       : c == 'f' ? '\f'
							  : c);
		}
	}
	return ret;
}

static int scan_line(struct scan *s, size_t *at)
{
	_cleanup_buffer_ struct buffer name = {0};
	size_t next, end = line_end(s, *at, &next), start = skip(s, *at, end), i;
	int ret;

	if (start == end || s->text[start] == '#' || s->text[start] == '!') {
		*at = next;
		return 0;
	}
	end = logical_end(s, *at, &next);
	for (i = start; i < end && !blank(s->text[i]) && s->text[i] != '=' && s->text[i] != ':'; i++)
		if (s->text[i] == '\\' && i + 1 < end)
			i++;
	ret = unescape(s->text + start, i - start, &name);
	if (ret == 0)
		ret = scan_key(s, STEP_KEY, name.bytes ? name.bytes : "", name.size, NULL);
	if (ret < 0)
		return ret;
	start = skip(s, i, end);
	*at = next;
	if (start < end && (s->text[start] == '=' || s->text[start] == ':'))
		start = skip(s, start + 1, end);
	else if (start == i)
		return 0; /* a name alone: there is no place for a token */
	return scan_leaf(s, scan_node(s), start, end, LEAF_STRING, 0);
}

static int properties_scan(struct scan *s, size_t *used)
{
	return scan_lines(s, scan_line, used);
}

static int properties_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	(void)l;
	return unescape(source, n, out);
}

static int properties_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	static const char from[] = "\n\t\r\f\\", to[] = "ntrf\\";
	int ret = 0;

	(void)l;
	if (type != LEAF_STRING)
		return bare_type(value, n) == type ? buffer_add(out, value, n) : -EINVAL;
	for (size_t i = 0; ret == 0 && i < n; i++) {
		const char *found = value[i] ? strchr(from, value[i]) : NULL;
		char escaped[8];

		if (found)
			snprintf(escaped, sizeof(escaped), "\\%c", to[found - from]);
		else if (value[i] == ' ' && i == 0)
			snprintf(escaped, sizeof(escaped), "\\ ");
		else if (!value[i])
			snprintf(escaped, sizeof(escaped), "\\u0000");
		else
			snprintf(escaped, sizeof(escaped), "%c", value[i]);
		ret = buffer_text(out, escaped);
	}
	return ret;
}

const struct format format_properties = {
	.name = "properties",
	.scan = properties_scan,
	.value = properties_value,
	.type = always_string,
	.source = properties_source,
	.token = token_bare,
};

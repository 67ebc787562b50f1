/* .env: [export] NAME=VALUE, VALUE bare, in '', "" or ``; a quoted one may have several lines. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util/field/lines.h"

static bool name_byte(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && !strchr("=#'\"`", c);
}

/* The end of the name at `at`; a name in '' is taken with its quotes. */
static size_t name_end(const struct scan *s, size_t at, size_t end)
{
	if (at < end && s->text[at] == '\'') {
		const char *quote = memchr(s->text + at + 1, '\'', end - at - 1);
		return quote ? (size_t)(quote - s->text) + 1 : at;
	}
	while (at < end && name_byte(s->text[at]))
		at++;
	return at;
}

/* Behind the quote that closes the one at `at`; SIZE_MAX without it. */
static size_t quote_end(const struct scan *s, size_t at)
{
	char quote = s->text[at++];

	for (; at < s->size; at++) {
		if (s->text[at] == '\\' && quote != '`' && at + 1 < s->size)
			at++;
		else if (s->text[at] == quote)
			return at + 1;
	}
	return SIZE_MAX;
}

/* A bare value ends before a comment, which has a blank before it. */
static size_t bare_end(const struct scan *s, size_t at, size_t end)
{
	size_t i = at;

	while (i < end && !(s->text[i] == '#' && isblank((unsigned char)s->text[i - 1])))
		i++;
	return trim_spaces(s, at, i);
}

static int add_leaf(struct scan *s, size_t name, size_t name_to, size_t start, size_t end)
{
	int ret;

	if (s->text[name] == '\'') {
		name++;
		name_to--;
	}
	ret = scan_key(s, STEP_KEY, s->text + name, name_to - name, NULL);
	return ret < 0 ? ret : scan_leaf(s, scan_node(s), start, end, LEAF_STRING, 0);
}

/* Behind the "=".  *next: the line after the value. */
static int scan_value(struct scan *s, size_t name, size_t name_to, size_t at, size_t end, size_t *next)
{
	size_t start = skip_spaces(s, at, end), stop, rest;

	if (start < end && strchr("'\"`", s->text[start])) {
		stop = quote_end(s, start);
		if (stop == SIZE_MAX)
			return scan_error(s, start, "the quote is not closed");
		end = line_end(s, stop, next);
		rest = skip_spaces(s, stop, end);
		if (rest < end && s->text[rest] != '#')
			return scan_error(s, rest, "text follows the closing quote");
		return add_leaf(s, name, name_to, start, stop);
	}
	stop = bare_end(s, start, end);
	if (start == stop)
		start = stop = at; /* nothing, or a comment: directly behind the sign */
	return add_leaf(s, name, name_to, start, stop);
}

static int scan_line(struct scan *s, size_t *at)
{
	size_t next, end = line_end(s, *at, &next), name = skip_spaces(s, *at, end), stop, sign;
	int ret = 0;

	if (name < end && s->text[name] != '#') {
		if (end - name > 7 && memcmp(s->text + name, "export", 6) == 0 &&
		    isblank((unsigned char)s->text[name + 6]))
			name = skip_spaces(s, name + 6, end);
		stop = name_end(s, name, end);
		if (stop == name)
			return scan_error(s, name, "a name should stand here");
		sign = skip_spaces(s, stop, end);
		if (sign < end && s->text[sign] == '=')
			ret = scan_value(s, name, stop, sign + 1, end, &next);
		else if (sign < end && s->text[sign] != '#')
			return scan_error(s, sign, "'=' should stand here");
	}
	*at = next;
	return ret;
}

static int env_scan(struct scan *s, size_t *used)
{
	return scan_lines(s, scan_line, used);
}

/* ------------------------------------------------------------------ values */

static int env_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	static const char from[] = "nrtabfv0", to[] = "\n\r\t\a\b\f\v\0";
	char quote = n >= 2 ? source[0] : '\0';
	int ret = 0;

	(void)l;
	if (!quote || !strchr("'\"`", quote) || source[n - 1] != quote)
		return buffer_add(out, source, n);
	for (size_t i = 1; ret == 0 && i + 1 < n; i++) {
		char c = source[i];

		if (c == '\\' && quote == '\'' && (source[i + 1] == '\'' || source[i + 1] == '\\') && i + 2 < n) {
			c = source[++i];
		} else if (c == '\\' && quote == '"' && i + 2 < n) {
			const char *found;

			c = source[++i];
			found = c ? strchr(from, c) : NULL;
			if (found && c != '0')
				c = to[found - from];
			else if (!strchr("\"\\$`'", c))
				ret = buffer_byte(out, '\\');
		}
		if (ret == 0)
			ret = buffer_byte(out, c);
	}
	return ret;
}

static bool safe(const char *value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)value[i]) && !strchr("_./:@%+,=-", value[i]))
			return false;
	return true;
}

static int env_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	int ret;

	(void)l;
	if (memchr(value, '\0', n))
		return -EILSEQ;
	if (type != LEAF_STRING)
		return bare_type(value, n) == type ? buffer_add(out, value, n) : -EINVAL;
	if (safe(value, n))
		return buffer_add(out, value, n);
	if (!memchr(value, '\'', n) && !memchr(value, '\\', n) && !memchr(value, '\n', n)) {
		ret = buffer_byte(out, '\'');
		if (ret == 0)
			ret = buffer_add(out, value, n);
		return ret < 0 ? ret : buffer_byte(out, '\'');
	}
	ret = buffer_byte(out, '"');
	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (value[i] == '\n') {
			ret = buffer_text(out, "\\n");
			continue;
		}
		if (strchr("\"\\$`", value[i]))
			ret = buffer_byte(out, '\\');
		if (ret == 0)
			ret = buffer_byte(out, value[i]);
	}
	return ret < 0 ? ret : buffer_byte(out, '"');
}

const struct format format_env = {
	.name = "env",
	.scan = env_scan,
	.value = env_value,
	.type = always_string,
	.source = env_source,
	.token = token_bare,
};

#include "util/field/toml.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------ strings */

struct text {
	struct scan *s;
	size_t at, start;
	struct buffer *out;
};

static int add(const struct text *t, const char *bytes, size_t n)
{
	return t->out ? buffer_add(t->out, bytes, n) : 0;
}

static bool has(const struct text *t, size_t n)
{
	return t->s->size - t->at >= n;
}

static int hex_escape(struct text *t, size_t digits)
{
	uint32_t code = 0;

	if (!has(t, digits))
		return scan_error(t->s, t->start, "the string is not closed");
	for (size_t i = 0; i < digits; i++) {
		unsigned char c = (unsigned char)t->s->text[t->at++];

		if (!isxdigit(c))
			return scan_error(t->s, t->at - 1, "%zu hexadecimal digits should stand here", digits);
		code = code << 4 | (uint32_t)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
	}
	if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return scan_error(t->s, t->at - digits, "no such character");
	return t->out ? utf8_add(t->out, code) : 0;
}

/* A backslash at the end of a line takes the blanks and newlines behind it away. */
static int skip_line_end(struct text *t)
{
	size_t at = t->at;

	while (at < t->s->size && (t->s->text[at] == ' ' || t->s->text[at] == '\t'))
		at++;
	if (at >= t->s->size ||
	    (t->s->text[at] != '\n' && !(t->s->text[at] == '\r' && at + 1 < t->s->size && t->s->text[at + 1] == '\n')))
		return scan_error(t->s, t->at - 1, "an unknown escape stands in a string");
	while (at < t->s->size && strchr(" \t\n\r", t->s->text[at]) && t->s->text[at]) {
		if (t->s->text[at] == '\r' && (at + 1 >= t->s->size || t->s->text[at + 1] != '\n'))
			return scan_error(t->s, at, "a carriage return stands alone");
		at++;
	}
	t->at = at;
	return 0;
}

static int escape(struct text *t, bool lines)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	const char *found;
	char c;

	if (!has(t, 2))
		return scan_error(t->s, t->start, "the string is not closed");
	c = t->s->text[t->at + 1];
	found = c ? strchr(from, c) : NULL;
	if (found) {
		t->at += 2;
		return add(t, to + (found - from), 1);
	}
	if (c == 'u' || c == 'U') {
		t->at += 2;
		return hex_escape(t, c == 'u' ? 4 : 8);
	}
	if (!lines || !c || !strchr(" \t\r\n", c))
		return scan_error(t->s, t->at, "an unknown escape stands in a string");
	t->at++;
	return skip_line_end(t);
}

/* One byte that stands for itself. */
static int plain(struct text *t, bool lines)
{
	unsigned char c = (unsigned char)t->s->text[t->at];

	if (c == '\r' && lines && has(t, 2) && t->s->text[t->at + 1] == '\n') {
		t->at += 2;
		return add(t, "\r\n", 2);
	}
	if ((c < ' ' && c != '\t' && !(c == '\n' && lines)) || c == 0x7f)
		return scan_error(t->s, t->at,
				  c == '\n' ? "the string is not closed on its line"
					    : "a control character stands in a string");
	t->at++;
	return add(t, (const char *)&c, 1);
}

/* Behind three quotes; up to two more may stand before the closing ones. */
static int many_lines(struct text *t, char quote)
{
	int ret = 0;

	if (has(t, 1) && t->s->text[t->at] == '\n')
		t->at++;
	else if (has(t, 2) && t->s->text[t->at] == '\r' && t->s->text[t->at + 1] == '\n')
		t->at += 2;
	while (ret == 0) {
		size_t quotes = 0;

		if (!has(t, 1))
			return scan_error(t->s, t->start, "the string is not closed");
		while (quotes < 5 && has(t, quotes + 1) && t->s->text[t->at + quotes] == quote)
			quotes++;
		if (quotes >= 3) {
			for (size_t i = 3; ret == 0 && i < quotes; i++)
				ret = add(t, &quote, 1);
			t->at += quotes;
			return ret;
		}
		if (t->s->text[t->at] == '\\' && quote == '"')
			ret = escape(t, true);
		else
			ret = plain(t, true);
	}
	return ret;
}

int toml_string(struct scan *s, size_t at, bool lines, size_t *end, struct buffer *out)
{
	struct text t = {s, at, at, out};
	char quote = s->text[at];
	int ret = 0;

	if (has(&t, 3) && s->text[at + 1] == quote && s->text[at + 2] == quote) {
		if (!lines)
			return scan_error(s, at, "a string of many lines cannot stand here");
		t.at += 3;
		ret = many_lines(&t, quote);
		*end = t.at;
		return ret;
	}
	t.at++;
	while (ret == 0) {
		if (!has(&t, 1))
			return scan_error(s, at, "the string is not closed");
		if (s->text[t.at] == quote) {
			*end = t.at + 1;
			return 0;
		}
		ret = s->text[t.at] == '\\' && quote == '"' ? escape(&t, false) : plain(&t, false);
	}
	return ret;
}

/* ------------------------------------------------------------------ numbers */

/* Digits of a base with single underscores between them; returns how many bytes, 0 if it is wrong. */
static size_t digits(const char *p, size_t n, const char *set)
{
	size_t i = 0;

	while (i < n && ((p[i] && strchr(set, p[i])) || p[i] == '_')) {
		if (p[i] == '_' && (i == 0 || i + 1 == n || !p[i + 1] || !strchr(set, p[i + 1])))
			return 0;
		i++;
	}
	return i;
}

#define DECIMAL "0123456789"

static bool is_float_tail(const char *p, size_t n)
{
	size_t m;

	if (n && *p == '.') {
		m = digits(p + 1, n - 1, DECIMAL);
		if (!m)
			return false;
		p += m + 1;
		n -= m + 1;
	}
	if (n && (*p == 'e' || *p == 'E')) {
		size_t sign = n > 1 && (p[1] == '+' || p[1] == '-');

		m = digits(p + 1 + sign, n - 1 - sign, DECIMAL);
		return m && m == n - 1 - sign;
	}
	return n == 0;
}

static bool is_number(const char *p, size_t n)
{
	bool sign = n && (*p == '+' || *p == '-');
	size_t m;

	p += sign;
	n -= sign;
	if (n == 3 && (memcmp(p, "inf", 3) == 0 || memcmp(p, "nan", 3) == 0))
		return true;
	if (n > 2 && p[0] == '0' && p[1] && strchr("xob", p[1])) {
		const char *set = p[1] == 'x' ? "0123456789abcdefABCDEF" : p[1] == 'o' ? "01234567" : "01";
		return !sign && digits(p + 2, n - 2, set) == n - 2;
	}
	m = digits(p, n, DECIMAL);
	if (!m || (p[0] == '0' && m > 1))
		return false;
	return is_float_tail(p + m, n - m);
}

/* ------------------------------------------------------------------ dates, RFC 3339 */

static int two(const char *p)
{
	return isdigit((unsigned char)p[0]) && isdigit((unsigned char)p[1]) ? (p[0] - '0') * 10 + p[1] - '0' : -1;
}

static bool is_date(const char *p)
{
	static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int century = two(p), rest = two(p + 2), month = two(p + 5), day = two(p + 8), year = century * 100 + rest;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (century < 0 || rest < 0 || p[4] != '-' || p[7] != '-' || month < 1 || month > 12 || day < 1)
		return false;
	return day <= lengths[month - 1] && (month != 2 || day < 29 || leap);
}

/* hh:mm:ss with a fraction; returns the bytes, 0 if it is wrong. */
static size_t time_size(const char *p, size_t n)
{
	size_t i = 8;

	if (n < 8 || p[2] != ':' || p[5] != ':' || two(p) < 0 || two(p) > 23 || two(p + 3) < 0 || two(p + 3) > 59 ||
	    two(p + 6) < 0 || two(p + 6) > 60)
		return 0;
	if (i < n && p[i] == '.') {
		size_t start = ++i;

		while (i < n && isdigit((unsigned char)p[i]))
			i++;
		if (i == start)
			return 0;
	}
	return i;
}

static bool is_offset(const char *p, size_t n)
{
	if (n == 1)
		return *p == 'Z' || *p == 'z';
	return n == 6 && (*p == '+' || *p == '-') && two(p + 1) >= 0 && two(p + 1) <= 23 && p[3] == ':' &&
	       two(p + 4) >= 0 && two(p + 4) <= 59;
}

static bool is_time_stamp(const char *p, size_t n)
{
	size_t m;

	if (n >= 8 && p[2] == ':')
		return time_size(p, n) == n;
	if (n < 10 || !is_date(p))
		return false;
	if (n == 10)
		return true;
	if (!strchr("Tt ", p[10]))
		return false;
	m = time_size(p + 11, n - 11);
	return m && (m == n - 11 || is_offset(p + 11 + m, n - 11 - m));
}

int toml_word(const char *text, size_t n, enum leaf_type *type)
{
	if ((n == 4 && memcmp(text, "true", 4) == 0) || (n == 5 && memcmp(text, "false", 5) == 0))
		*type = LEAF_BOOL;
	else if (is_number(text, n))
		*type = LEAF_NUMBER;
	else if (is_time_stamp(text, n))
		*type = LEAF_DATE;
	else
		return -EINVAL;
	return 0;
}

static bool word_byte(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("+-_.:", c));
}

size_t toml_word_end(const struct scan *s, size_t at)
{
	size_t end = at;

	while (end < s->size && word_byte(s->text[end]))
		end++;
	/* 2026-11-28 10:00:00 */
	if (end - at == 10 && end + 2 < s->size && s->text[end] == ' ' && isdigit((unsigned char)s->text[end + 1]) &&
	    s->text[at + 4] == '-')
		for (end++; end < s->size && word_byte(s->text[end]);)
			end++;
	return end;
}

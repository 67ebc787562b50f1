/* JSON (RFC 8259) and JSON Lines: each value that is no object and no array is a leaf, its quotes included. */
#include <errno.h>
#include <string.h>

#include "util/field/format.h"

struct json {
	struct scan *s;
	size_t at, end;
	bool lenient;
	struct buffer key;
};

static bool here(const struct json *j, char c)
{
	return j->at < j->end && j->s->text[j->at] == c;
}

static int unexpected(struct json *j, const char *wanted)
{
	if (j->at >= j->end)
		return scan_error(j->s, j->at, "the text ends where %s should be", wanted);
	unsigned char c = (unsigned char)j->s->text[j->at];
	if (c > ' ' && c < 0x7f)
		return scan_error(j->s, j->at, "'%c' stands where %s should be", c, wanted);
	return scan_error(j->s, j->at, "byte %02x stands where %s should be", c, wanted);
}

/* Behind "/". */
static int skip_comment(struct json *j)
{
	const char *text = j->s->text;
	size_t start = j->at - 1;

	if (here(j, '/')) {
		while (j->at < j->end && text[j->at] != '\n')
			j->at++;
		return 0;
	}
	if (!here(j, '*'))
		return scan_error(j->s, start, "'/' begins no comment");
	for (j->at++; j->at + 1 < j->end; j->at++)
		if (text[j->at] == '*' && text[j->at + 1] == '/') {
			j->at += 2;
			return 0;
		}
	return scan_error(j->s, start, "the comment is not closed");
}

static int skip_blanks(struct json *j)
{
	while (j->at < j->end) {
		char c = j->s->text[j->at];

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			j->at++;
		} else if (c == '/' && j->lenient) {
			j->at++;
			int ret = skip_comment(j);
			if (ret < 0)
				return ret;
		} else {
			break;
		}
	}
	return 0;
}

static int hex4(const char *p, size_t n, uint32_t *out)
{
	uint32_t v = 0;

	if (n < 4)
		return -EINVAL;
	for (size_t i = 0; i < 4; i++) {
		char c = p[i];

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v |= (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v |= (uint32_t)(c - 'A' + 10);
		else
			return -EINVAL;
	}
	*out = v;
	return 0;
}

/* The escape at p (behind the backslash); returns the bytes used, or -EINVAL. */
static int unescape(const char *p, size_t n, uint32_t *code)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found = n && *p ? strchr(from, *p) : NULL;
	uint32_t low;

	if (found) {
		*code = (unsigned char)to[found - from];
		return 1;
	}
	if (!n || *p != 'u' || hex4(p + 1, n - 1, code) < 0)
		return -EINVAL;
	if (*code >= 0xd800 && *code < 0xdc00 && n >= 11 && p[5] == '\\' && p[6] == 'u' &&
	    hex4(p + 7, n - 7, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
		*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
		return 11;
	}
	return 5;
}

/* From the quote on; the value is appended to out if that is not NULL. */
static int scan_string(struct json *j, struct buffer *out)
{
	const char *text = j->s->text;
	size_t start = j->at++;
	uint32_t code;
	int ret = 0;

	while (ret == 0 && j->at < j->end) {
		unsigned char c = (unsigned char)text[j->at];

		if (c == '"') {
			j->at++;
			return 0;
		}
		if (c < ' ')
			return scan_error(j->s, j->at, "a control character (%02x) stands in a string", c);
		if (c == '\\') {
			int n = unescape(text + j->at + 1, j->end - j->at - 1, &code);
			if (n < 0)
				return scan_error(j->s, j->at, "an unknown escape stands in a string");
			j->at += 1 + (size_t)n;
			if (out)
				ret = utf8_add(out, code);
		} else {
			j->at++;
			if (out)
				ret = buffer_byte(out, (char)c);
		}
	}
	return ret < 0 ? ret : scan_error(j->s, start, "the string is not closed");
}

static int scan_word(struct json *j)
{
	const char *text = j->s->text;
	size_t start = j->at;
	enum leaf_type type;

	while (j->at < j->end && text[j->at] &&
	       strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.", text[j->at]))
		j->at++;
	if (j->at == start)
		return unexpected(j, "a value");
	type = bare_type(text + start, j->at - start);
	if (type == LEAF_STRING)
		return scan_error(j->s, start, "\"%.*s\" is no number, true, false or null",
				  j->at - start < 40 ? (int)(j->at - start) : 40, text + start);
	return scan_leaf(j->s, scan_node(j->s), start, j->at, type, 0);
}

/* A value that is no container, or the beginning of one: then *opened is its bracket. */
static int scan_value(struct json *j, char *opened)
{
	size_t start = j->at;
	int ret;

	*opened = '\0';
	if (here(j, '{') || here(j, '[')) {
		*opened = j->s->text[j->at++];
		ret = scan_open(j->s);
		return ret == -E2BIG ? scan_error(j->s, start, "more than %d levels", SCAN_DEPTH_MAX) : ret;
	}
	if (!here(j, '"'))
		return scan_word(j);
	ret = scan_string(j, NULL);
	return ret < 0 ? ret : scan_leaf(j->s, scan_node(j->s), start, j->at, LEAF_STRING, 0);
}

/* The key and the colon of a member. */
static int scan_member(struct json *j)
{
	int ret;

	if (!here(j, '"'))
		return unexpected(j, "a key in quotes");
	buffer_reset(&j->key);
	ret = scan_string(j, &j->key);
	if (ret == 0)
		ret = skip_blanks(j);
	if (ret < 0)
		return ret;
	if (!here(j, ':'))
		return unexpected(j, "':'");
	j->at++;
	ret = scan_key(j->s, STEP_KEY, j->key.bytes, j->key.size, NULL);
	return ret < 0 ? ret : skip_blanks(j);
}

/* Behind a value: closes what ends here, up to the comma before the next member.  `kinds` holds the open brackets. */
static int after_value(struct json *j, char *kinds, size_t base)
{
	int ret = 0;

	while (ret == 0 && j->s->depth > base) {
		char close = kinds[j->s->depth] == '{' ? '}' : ']';

		ret = skip_blanks(j);
		if (ret < 0)
			return ret;
		if (here(j, ',')) {
			j->at++;
			ret = skip_blanks(j);
			if (ret < 0 || !(j->lenient && here(j, close)))
				return ret;
		}
		if (!here(j, close))
			return unexpected(j, close == '}' ? "',' or '}'" : "',' or ']'");
		j->at++;
		scan_close(j->s);
	}
	return ret;
}

/* One value with all below it, without recursion. */
static int scan_tree(struct json *j)
{
	char kinds[SCAN_DEPTH_MAX + 1];
	size_t base = j->s->depth;
	char opened = '\0';
	int ret = skip_blanks(j);

	do {
		if (ret == 0 && j->s->depth > base)
			ret = kinds[j->s->depth] == '{' ? scan_member(j) : scan_index(j->s);
		if (ret == 0)
			ret = scan_value(j, &opened);
		if (ret < 0)
			return ret;
		if (opened) {
			kinds[j->s->depth] = opened;
			ret = skip_blanks(j);
			if (ret < 0 || !here(j, opened == '{' ? '}' : ']'))
				continue;
		}
		ret = after_value(j, kinds, base);
	} while (ret == 0 && j->s->depth > base);
	return ret;
}

static int json_scan(struct scan *s, size_t *used)
{
	struct json j = {s, scan_bom(s), s->size, s->options->lenient, {0}};
	int ret = scan_check_utf8(s);

	if (ret == 0)
		ret = scan_tree(&j);
	if (ret == 0)
		ret = skip_blanks(&j);
	if (ret == 0 && j.at < j.end)
		ret = unexpected(&j, "the end");
	buffer_free(&j.key);
	*used = s->size;
	return ret;
}

/* One line, without its end. */
static int scan_line(struct scan *s, size_t from, size_t to)
{
	struct json j = {s, from, to, s->options->lenient, {0}};
	int ret = skip_blanks(&j);

	if (ret == 0 && j.at == j.end)
		return 0; /* an empty line is no record */
	if (ret == 0)
		ret = scan_tree(&j);
	if (ret == 0)
		ret = skip_blanks(&j);
	if (ret == 0 && j.at < j.end)
		ret = unexpected(&j, "the end of the line");
	buffer_free(&j.key);
	return ret;
}

static int jsonl_scan(struct scan *s, size_t *used)
{
	size_t at = scan_bom(s), end = s->size;
	int ret;

	if (s->first)
		s->documents = true;
	if (!s->final) {
		const char *last = memrchr(s->text, '\n', s->size);
		end = last ? (size_t)(last - s->text) + 1 : 0;
	}
	s->size = end;
	ret = scan_check_utf8(s);
	while (ret == 0 && at < end) {
		const char *newline = memchr(s->text + at, '\n', end - at);
		size_t to = newline ? (size_t)(newline - s->text) : end;

		ret = scan_line(s, at, to);
		at = newline ? to + 1 : end;
		s->document++;
	}
	*used = end;
	return ret;
}

/* ------------------------------------------------------------------ values */

static int json_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	uint32_t code;
	int ret = 0;

	(void)l;
	if (n < 2 || source[0] != '"')
		return buffer_add(out, source, n);
	for (size_t i = 1; ret == 0 && i + 1 < n;) {
		if (source[i] != '\\') {
			ret = buffer_byte(out, source[i++]);
			continue;
		}
		int used = unescape(source + i + 1, n - i - 2, &code);
		if (used < 0)
			return used;
		ret = utf8_add(out, code);
		i += 1 + (size_t)used;
	}
	return ret;
}

static enum leaf_type json_type(const struct leaf *l, const char *source, size_t n)
{
	(void)l;
	return bare_type(source, n);
}

int json_quote(const char *value, size_t n, struct buffer *out)
{
	static const char hex[] = "0123456789abcdef", from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	int ret = buffer_byte(out, '"');

	for (size_t i = 0; ret == 0 && i < n; i++) {
		unsigned char c = (unsigned char)value[i];
		const char *found = c ? strchr(from, c) : NULL;
		char escape[7] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15], '\0'};

		if (found) {
			escape[1] = to[found - from];
			ret = buffer_add(out, escape, 2);
		} else if (c < ' ' || c == 0x7f) {
			ret = buffer_add(out, escape, 6);
		} else {
			ret = buffer_byte(out, (char)c);
		}
	}
	return ret < 0 ? ret : buffer_byte(out, '"');
}

static int json_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	(void)l;
	if (type != LEAF_STRING)
		return bare_type(value, n) == type ? buffer_add(out, value, n) : -EINVAL;
	for (size_t i = 0; i < n;) {
		size_t m = utf8_length(value + i, n - i);

		if (!m)
			return -EILSEQ;
		i += m;
	}
	return json_quote(value, n, out);
}

const struct format format_json = {
	.name = "json",
	.scan = json_scan,
	.value = json_value,
	.type = json_type,
	.source = json_source,
	.token = token_quoted,
};

const struct format format_jsonl = {
	.name = "jsonl",
	.streams = true,
	.scan = jsonl_scan,
	.value = json_value,
	.type = json_type,
	.source = json_source,
	.token = token_quoted,
};

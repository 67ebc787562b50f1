/* Values of XML: what references and CDATA sections mean, and how a value is written. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/field/xml.h"

static const struct {
	const char *name, *text;
} entities[] = {{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}, {"&quot;", "\""}, {"&apos;", "'"}};

/* "&#65;" or "&#x41;" at p; returns its length, 0 if it is none. */
static size_t character(const char *p, size_t n, uint32_t *code)
{
	bool hex = n > 3 && p[1] == '#' && p[2] == 'x';
	size_t i = hex ? 3 : 2, start = i;

	*code = 0;
	if (n < 4 || p[1] != '#')
		return 0;
	for (; i < n && *code <= 0x10ffff; i++) {
		char c = p[i];
		uint32_t v;

		if (c == ';')
			return i > start ? i + 1 : 0;
		if (!isxdigit((unsigned char)c))
			return 0;
		v = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10);
		if (!hex && v > 9)
			return 0;
		*code = *code * (hex ? 16 : 10) + v;
	}
	return 0;
}

static int add_reference(const char *p, size_t n, size_t *used, struct buffer *out)
{
	uint32_t code;

	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
		size_t m = strlen(entities[i].name);

		if (n >= m && memcmp(p, entities[i].name, m) == 0) {
			*used = m;
			return buffer_text(out, entities[i].text);
		}
	}
	*used = character(p, n, &code);
	if (*used)
		return utf8_add(out, code);
	*used = 1; /* an entity of the document's own stays as it is written */
	return buffer_byte(out, '&');
}

int xml_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	struct scan s = {.text = source, .size = n, .final = true};
	size_t i = 0, used;
	int ret = 0;

	(void)l;
	while (ret == 0 && i < n) {
		if (source[i] == '&') {
			ret = add_reference(source + i, n - i, &used, out);
			i += used;
		} else if (source[i] == '<' && (used = xml_other_end(&s, i)) != 0 && used != SIZE_MAX) {
			if (xml_begins(&s, i, "<![CDATA["))
				ret = buffer_add(out, source + i + 9, used - i - 12);
			i = used;
		} else {
			ret = buffer_byte(out, source[i++]);
		}
	}
	return ret;
}

enum leaf_type xml_type(const struct leaf *l, const char *source, size_t n)
{
	(void)l;
	(void)source;
	(void)n;
	return LEAF_STRING;
}

int xml_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	char escaped[16];
	int ret = 0;

	if (type != LEAF_STRING)
		return bare_type(value, n) == type ? buffer_add(out, value, n) : -EINVAL;
	for (size_t i = 0; ret == 0 && i < n;) {
		size_t m = utf8_length(value + i, n - i);
		unsigned char c = (unsigned char)value[i];

		if (!m || (c < ' ' && c != '\t' && c != '\n' && c != '\r'))
			return -EILSEQ; /* XML has no way to write it */
		if (c == '&' || c == '<' || c == '>')
			ret = buffer_text(out, c == '&' ? "&amp;" : c == '<' ? "&lt;" : "&gt;");
		else if (c == '\r' || (l->quoting && (c == '\n' || c == '\t' || c == l->quoting))) {
			snprintf(escaped, sizeof(escaped), "&#%u;", c);
			ret = buffer_text(out, escaped);
		} else {
			ret = buffer_add(out, value + i, m);
		}
		i += m;
	}
	return ret;
}

/* XML 1.0, tag by tag in bounded memory.
 *
 *   (1) expat reads the same bytes beside and says whether they are well-formed; external entities are never loaded, and it refuses entities
 *       that grow without measure.
 *   (2) The content of an element without child elements is one leaf, comments and CDATA sections included; between child elements each
 *       text that says something besides blanks, comments and instructions is one, called text().  Attributes are leaves without their quotes, but for xmlns and xml:space.
 *   (3) leaf.quoting: the quote around an attribute, 0 for content. */
#include <ctype.h>
#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>

#include "util/field/xml.h"

struct xml {
	XML_Parser expat;
	bool childless; /* the open element had no child element so far */
	bool seen;      /* the root element */
};

static void xml_end(struct scan *s)
{
	struct xml *x = s->state;

	if (x && x->expat)
		XML_ParserFree(x->expat);
	free(x);
	s->state = NULL;
}

/* ------------------------------------------------------------------ where things end */

/* Behind `end` from `at` on; SIZE_MAX if it is not there (yet). */
static size_t behind(const struct scan *s, size_t at, const char *end)
{
	size_t n = strlen(end);
	const char *found = s->size - at >= n ? memmem(s->text + at, s->size - at, end, n) : NULL;

	return found ? (size_t)(found - s->text) + n : SIZE_MAX;
}

bool xml_begins(const struct scan *s, size_t at, const char *with)
{
	size_t n = strlen(with);

	return s->size - at >= n && memcmp(s->text + at, with, n) == 0;
}

/* Behind the '>' of a tag, over quotes. */
static size_t tag_end(const struct scan *s, size_t at)
{
	char quote = '\0';

	for (; at < s->size; at++) {
		char c = s->text[at];

		if (quote && c == quote)
			quote = '\0';
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else if (!quote && c == '>')
			return at + 1;
	}
	return SIZE_MAX;
}

static size_t doctype_end(const struct scan *s, size_t at)
{
	bool inside = false;

	while (at < s->size) {
		if (xml_begins(s, at, "<!--")) {
			at = behind(s, at + 4, "-->");
		} else if (xml_begins(s, at, "<?")) {
			at = behind(s, at + 2, "?>");
		} else if (s->text[at] == '"' || s->text[at] == '\'') {
			char quote[2] = {s->text[at], '\0'};
			at = behind(s, at + 1, quote);
		} else if (s->text[at] == '[') {
			inside = true;
			at++;
		} else if (s->text[at] == ']') {
			inside = false;
			at++;
		} else if (s->text[at] == '>' && !inside) {
			return at + 1;
		} else {
			at++;
		}
	}
	return SIZE_MAX;
}

size_t xml_other_end(const struct scan *s, size_t at)
{
	if (xml_begins(s, at, "<!--"))
		return behind(s, at + 4, "-->");
	if (xml_begins(s, at, "<![CDATA["))
		return behind(s, at + 9, "]]>");
	if (xml_begins(s, at, "<?"))
		return behind(s, at + 2, "?>");
	if (xml_begins(s, at, "<!DOCTYPE"))
		return doctype_end(s, at + 9);
	return s->size - at < 9 && xml_begins(s, at, "<!") && !s->final ? SIZE_MAX : 0;
}

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Blanks, comments and instructions. */
static bool says_nothing(const struct scan *s, size_t at, size_t end)
{
	while (at < end) {
		if (space(s->text[at]))
			at++;
		else if (xml_begins(s, at, "<!--") || xml_begins(s, at, "<?"))
			at = xml_other_end(s, at);
		else
			return false;
	}
	return true;
}

static size_t name_end(const struct scan *s, size_t at, size_t end)
{
	while (at < end && !space(s->text[at]) && !strchr("/>=", s->text[at]))
		at++;
	return at;
}

/* ------------------------------------------------------------------ tags */

static bool about_names(const char *name, size_t n)
{
	return (n >= 5 && memcmp(name, "xmlns", 5) == 0 && (n == 5 || name[5] == ':')) ||
	       (n == 9 && memcmp(name, "xml:space", 9) == 0);
}

/* What does not look like an attribute is left to expat to name. */
static int attributes(struct scan *s, size_t at, size_t end)
{
	int ret = 0;

	while (ret == 0 && at < end) {
		while (at < end && space(s->text[at]))
			at++;
		size_t name = at, name_to = name_end(s, at, end);
		for (at = name_to; at < end && space(s->text[at]);)
			at++;
		if (name_to == name || at >= end || s->text[at] != '=')
			return 0;
		for (at++; at < end && space(s->text[at]);)
			at++;
		if (at >= end || (s->text[at] != '"' && s->text[at] != '\''))
			return 0;
		const char *close = memchr(s->text + at + 1, s->text[at], end - at - 1);
		if (!close)
			return 0;
		size_t start = at + 1, stop = (size_t)(close - s->text);
		if (!about_names(s->text + name, name_to - name)) {
			ret = scan_key(s, STEP_ATTRIBUTE, s->text + name, name_to - name, NULL);
			if (ret == 0)
				ret = scan_leaf(s, scan_node(s), start, stop, LEAF_STRING, (uint8_t)s->text[at]);
		}
		at = stop + 1;
	}
	return ret;
}

static int start_tag(struct scan *s, struct xml *x, size_t at, size_t end)
{
	size_t name = at + 1, name_to = name_end(s, name, end - 1);
	bool empty = s->text[end - 2] == '/';
	int ret = scan_key(s, STEP_KEY, s->text + name, name_to - name, NULL);

	if (ret == 0)
		ret = scan_open(s);
	if (ret == -E2BIG)
		return scan_error(s, at, "more than %d levels", SCAN_DEPTH_MAX);
	if (ret == 0)
		ret = attributes(s, name_to, end - (empty ? 2 : 1));
	x->childless = !empty;
	x->seen = true;
	if (empty)
		scan_close(s);
	return ret;
}

/* The text before a child element or before the end of an element that had some. */
static int mixed_text(struct scan *s, size_t start, size_t end)
{
	int ret;

	if (s->depth < 2 || says_nothing(s, start, end))
		return 0;
	ret = scan_key(s, STEP_KEY, "text()", 6, NULL);
	return ret < 0 ? ret : scan_leaf(s, scan_node(s), start, end, LEAF_STRING, 0);
}

static int end_tag(struct scan *s, struct xml *x, size_t content, size_t at)
{
	int ret = 0;

	if (s->depth < 2)
		return scan_error(s, at, "an end tag without its start tag");
	if (x->childless)
		ret = scan_leaf(s, scan_container(s), content, at, LEAF_STRING, 0);
	else
		ret = mixed_text(s, content, at);
	x->childless = false;
	scan_close(s);
	return ret;
}

/* ------------------------------------------------------------------ pieces */

static int xml_begin(struct scan *s)
{
	struct xml *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	s->state = x;
	x->expat = XML_ParserCreate(NULL);
	return x->expat ? scan_open(s) : -ENOMEM;
}

/* Invariant (1). */
static int feed_expat(struct scan *s, size_t n)
{
	struct xml *x = s->state;
	enum XML_Status status = XML_Parse(x->expat, s->text, (int)n, s->final);
	uint64_t line, column;

	if (status == XML_STATUS_OK)
		return 0;
	line = XML_GetCurrentLineNumber(x->expat);
	column = XML_GetCurrentColumnNumber(x->expat) + 1;
	s->line = line;
	s->column = column;
	return scan_error(s, 0, "%s", XML_ErrorString(XML_GetErrorCode(x->expat)));
}

/* Only texts in which '<' is one byte. */
static int check_encoding(struct scan *s)
{
	const unsigned char *p = (const unsigned char *)s->text;

	if (s->size >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff) || !p[0] || !p[1]))
		return scan_error(s, 0, "UTF-16 or UTF-32: convert the file to UTF-8 first");
	return 0;
}

/* Markup after markup.  *content: where the text before the next tag begins; nothing behind it is used up yet. */
static int scan_tags(struct scan *s, struct xml *x, size_t *content)
{
	size_t at = *content, end;
	int ret = 0;

	while (ret == 0) {
		const char *open = memchr(s->text + at, '<', s->size - at);

		if (!open)
			return 0;
		at = (size_t)(open - s->text);
		end = xml_other_end(s, at);
		if (end == SIZE_MAX)
			return 0;
		if (end) {
			at = end;
			if (s->depth < 2)
				*content = at; /* outside the root there is no text */
			continue;
		}
		end = tag_end(s, at);
		if (end == SIZE_MAX)
			return 0;
		if (s->text[at + 1] == '/') {
			ret = end_tag(s, x, *content, at);
		} else {
			ret = mixed_text(s, *content, at);
			if (ret == 0)
				ret = start_tag(s, x, at, end);
		}
		at = *content = end;
	}
	return ret;
}

static int xml_scan(struct scan *s, size_t *used)
{
	size_t content = scan_bom(s);
	struct fault own = {0}, *why = s->why;
	int ret = s->state ? 0 : xml_begin(s), judged;

	*used = 0;
	if (ret == 0 && s->first)
		ret = check_encoding(s);
	if (ret < 0)
		return ret;
	s->why = &own;
	ret = scan_tags(s, s->state, &content);
	s->why = why;
	if (ret == -ENOMEM)
		return ret;
	*used = s->final || ret < 0 ? s->size : content;
	if (*used == scan_bom(s) && !s->final)
		*used = 0;
	judged = feed_expat(s, *used); /* its words are better */
	if (judged == 0 && ret < 0)
		*s->why = own;
	return judged < 0 ? judged : ret;
}

const struct format format_xml = {
	.name = "xml",
	.streams = true,
	.style = PATH_SLASHES,
	.scan = xml_scan,
	.value = xml_value,
	.type = xml_type,
	.source = xml_source,
	.token = token_bare,
	.end = xml_end,
};

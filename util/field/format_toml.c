/* TOML 1.0: tables, arrays and what stands in them.
 *
 * Every name that was seen is kept in a tree of its own, so that what TOML forbids is refused:
 *   (1) no key twice;
 *   (2) a table is opened by [header] once, and never after its own keys opened it;
 *   (3) nothing is added to a value, an inline table or an array that stands as a value;
 *   (4) keys with dots add only to tables that keys with dots of the same section made. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util/field/lines.h"
#include "util/field/toml.h"
#include "util/field/toml_tree.h"

enum { NESTED_MAX = 500 };

/* ------------------------------------------------------------------ words */

static bool here(const struct toml *t, char c)
{
	return t->at < t->s->size && t->s->text[t->at] == c;
}

static void skip_blanks(struct toml *t)
{
	t->at = skip_spaces(t->s, t->at, t->s->size);
}

static int skip_comment(struct toml *t)
{
	if (!here(t, '#'))
		return 0;
	for (; t->at < t->s->size; t->at++) {
		unsigned char c = (unsigned char)t->s->text[t->at];

		if (c == '\n' || (c == '\r' && t->at + 1 < t->s->size && t->s->text[t->at + 1] == '\n'))
			return 0;
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return scan_error(t->s, t->at, "a control character stands in a comment");
	}
	return 0;
}

/* One line end; false if there is none. */
static bool skip_newline(struct toml *t)
{
	if (here(t, '\r') && t->at + 1 < t->s->size && t->s->text[t->at + 1] == '\n')
		t->at++;
	if (!here(t, '\n'))
		return false;
	t->at++;
	return true;
}

/* Blanks, comments and line ends: inside arrays. */
static int skip_lines(struct toml *t)
{
	int ret;

	do {
		skip_blanks(t);
		ret = skip_comment(t);
	} while (ret == 0 && skip_newline(t));
	return ret;
}

static int end_of_line(struct toml *t)
{
	int ret;

	skip_blanks(t);
	ret = skip_comment(t);
	if (ret < 0 || t->at == t->s->size || skip_newline(t))
		return ret;
	return scan_error(t->s, t->at, "the line should end here");
}

/* One part of a key, into t->key. */
static int key_part(struct toml *t)
{
	size_t start = t->at;

	buffer_reset(&t->key);
	if (here(t, '"') || here(t, '\''))
		return toml_string(t->s, t->at, false, &t->at, &t->key);
	while (t->at < t->s->size && (isalnum((unsigned char)t->s->text[t->at]) || here(t, '-') || here(t, '_')))
		t->at++;
	if (t->at == start)
		return scan_error(t->s, start, "a key should stand here");
	return buffer_add(&t->key, t->s->text + start, t->at - start);
}

/* Over a dot with blanks around it; false: the key ends. */
static bool dot_follows(struct toml *t)
{
	skip_blanks(t);
	if (!here(t, '.'))
		return false;
	t->at++;
	skip_blanks(t);
	return true;
}

/* ------------------------------------------------------------------ headers */

static int taken(struct toml *t, size_t at)
{
	return scan_error(t->s, at, "%.*s is defined already, as something else",
			  (int)(t->key.size < 100 ? t->key.size : 100), t->key.bytes ? t->key.bytes : "");
}

/* A part of a header that is not the last one. */
static int enter(struct toml *t, uint32_t *table, size_t at)
{
	uint32_t id = toml_find(t, *table, t->key.bytes, t->key.size);
	int ret = 0;

	if (!id)
		ret = toml_add_named(t, *table, &t->key, ENTRY_IMPLIED, &id);
	else if (t->entries[id].kind == ENTRY_VALUE)
		return taken(t, at);
	if (ret == 0)
		*table = t->entries[id].kind == ENTRY_TABLES ? t->entries[id].element : id;
	return ret;
}

static int open_table(struct toml *t, uint32_t parent, size_t at)
{
	uint32_t id = toml_find(t, parent, t->key.bytes, t->key.size);
	int ret = 0;

	if (!id)
		ret = toml_add_named(t, parent, &t->key, ENTRY_HEADER, &id);
	else if (t->entries[id].kind != ENTRY_IMPLIED)
		return taken(t, at);
	if (ret < 0)
		return ret;
	t->entries[id].kind = ENTRY_HEADER;
	t->table = id;
	return 0;
}

static int open_element(struct toml *t, uint32_t parent, size_t at)
{
	uint32_t id = toml_find(t, parent, t->key.bytes, t->key.size);
	int ret = 0;

	if (!id)
		ret = toml_add_named(t, parent, &t->key, ENTRY_TABLES, &id);
	else if (t->entries[id].kind != ENTRY_TABLES)
		return taken(t, at);
	if (ret == 0)
		ret = toml_add_element(t, id);
	if (ret == 0)
		t->table = t->entries[id].element;
	return ret;
}

static int scan_header(struct toml *t)
{
	size_t start = t->at++, part;
	bool element = here(t, '[');
	uint32_t table = 0;
	int ret;

	t->at += element;
	t->section++;
	for (;;) {
		skip_blanks(t);
		part = t->at;
		ret = key_part(t);
		if (ret < 0 || !dot_follows(t))
			break;
		ret = enter(t, &table, part);
		if (ret < 0)
			return ret;
	}
	if (ret < 0)
		return ret;
	if (!here(t, ']') || (element && (t->at + 1 >= t->s->size || t->s->text[t->at + 1] != ']')))
		return scan_error(t->s, t->at, "the header that begins in column %zu has no '%s'", start,
				  element ? "]]" : "]");
	t->at += 1 + element;
	return element ? open_element(t, table, part) : open_table(t, table, part);
}

/* ------------------------------------------------------------------ values */

static int scan_value(struct toml *t, uint32_t node);

static int scan_array(struct toml *t, uint32_t node)
{
	size_t start = t->at++;
	uint64_t index = 0;
	uint32_t element = NODE_TOP;
	int ret = skip_lines(t);

	while (ret == 0 && !here(t, ']')) {
		if (t->at >= t->s->size)
			return scan_error(t->s, start, "the array is not closed");
		ret = scan_add_node(t->s, node, STEP_INDEX, index++, "", 0, &element);
		if (ret == 0)
			ret = scan_value(t, element);
		if (ret == 0)
			ret = skip_lines(t);
		if (ret < 0)
			return ret;
		if (here(t, ',')) {
			t->at++;
			ret = skip_lines(t);
		} else if (!here(t, ']')) {
			return scan_error(t->s, t->at, "',' or ']' should stand here");
		}
	}
	t->at++;
	return ret;
}

static int scan_member(struct toml *t, uint32_t table);

static int scan_inline(struct toml *t, uint32_t node)
{
	size_t start = t->at++;
	uint32_t table = 0, before = t->section;
	int ret = toml_add(t, 0, NULL, 0, ENTRY_VALUE, node, &table);

	/* A number of its own, so that its dotted keys are its own. */
	t->section = UINT32_MAX - table;
	skip_blanks(t);
	while (ret == 0 && !here(t, '}')) {
		if (t->at >= t->s->size)
			return scan_error(t->s, start, "the inline table is not closed");
		ret = scan_member(t, table);
		skip_blanks(t);
		if (ret < 0)
			return ret;
		if (here(t, ',')) {
			t->at++;
			skip_blanks(t);
			if (here(t, '}'))
				return scan_error(t->s, t->at, "a key should stand here");
		} else if (!here(t, '}')) {
			return scan_error(t->s, t->at, "',' or '}' should stand here, on this line");
		}
	}
	t->at++;
	t->section = before;
	return ret;
}

static int scan_scalar(struct toml *t, uint32_t node)
{
	size_t start = t->at, end;
	enum leaf_type type = LEAF_STRING;
	int ret = 0;

	if (here(t, '"') || here(t, '\'')) {
		ret = toml_string(t->s, start, true, &end, NULL);
		if (ret < 0)
			return ret;
	} else {
		end = toml_word_end(t->s, start);
		if (end == start)
			return scan_error(t->s, start, "a value should stand here");
		if (toml_word(t->s->text + start, end - start, &type) < 0)
			return scan_error(t->s, start, "\"%.*s\" is no value; strings want quotes",
					  end - start < 60 ? (int)(end - start) : 60, t->s->text + start);
	}
	t->at = end;
	return scan_leaf(t->s, node, start, end, type, 0);
}

static int scan_value(struct toml *t, uint32_t node)
{
	int ret;

	if (!here(t, '[') && !here(t, '{'))
		return scan_scalar(t, node);
	if (++t->nested > NESTED_MAX)
		return scan_error(t->s, t->at, "more than %d levels", NESTED_MAX);
	ret = here(t, '[') ? scan_array(t, node) : scan_inline(t, node);
	t->nested--;
	return ret;
}

/* A part of a key with dots that is not the last one. */
static int enter_dotted(struct toml *t, uint32_t *table, size_t at)
{
	uint32_t id = toml_find(t, *table, t->key.bytes, t->key.size);
	int ret = 0;

	if (!id)
		ret = toml_add_named(t, *table, &t->key, ENTRY_DOTTED, &id);
	else if (t->entries[id].kind == ENTRY_IMPLIED)
		t->entries[id].kind = ENTRY_DOTTED;
	else if (t->entries[id].kind != ENTRY_DOTTED || t->entries[id].section != t->section)
		return taken(t, at);
	if (ret == 0) {
		t->entries[id].section = t->section;
		*table = id;
	}
	return ret;
}

/* key = value */
static int scan_member(struct toml *t, uint32_t table)
{
	size_t part;
	uint32_t id = 0;
	int ret;

	for (;;) {
		part = t->at;
		ret = key_part(t);
		if (ret < 0 || !dot_follows(t))
			break;
		ret = enter_dotted(t, &table, part);
		if (ret < 0)
			return ret;
	}
	if (ret < 0)
		return ret;
	if (!here(t, '='))
		return scan_error(t->s, t->at, "'=' should stand here");
	if (toml_find(t, table, t->key.bytes, t->key.size))
		return taken(t, part);
	ret = toml_add_named(t, table, &t->key, ENTRY_VALUE, &id);
	if (ret < 0)
		return ret;
	t->at++;
	skip_blanks(t);
	return scan_value(t, t->entries[id].node);
}

static int scan_document(struct toml *t)
{
	int ret = 0;

	while (ret == 0) {
		ret = skip_lines(t);
		if (ret < 0 || t->at >= t->s->size)
			return ret;
		ret = here(t, '[') ? scan_header(t) : scan_member(t, t->table);
		if (ret == 0)
			ret = end_of_line(t);
	}
	return ret;
}

static int toml_scan(struct scan *s, size_t *used)
{
	struct toml t = {.s = s, .at = scan_bom(s)};
	int ret = scan_check_utf8(s);

	if (ret == 0)
		ret = toml_grow(&t);
	if (ret == 0) {
		t.entries[0] = (struct toml_entry){.kind = ENTRY_HEADER, .node = NODE_TOP};
		t.count = 1;
		ret = scan_document(&t);
	}
	toml_free(&t);
	*used = s->size;
	return ret;
}

/* ------------------------------------------------------------------ values of leaves */

static int toml_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	struct fault ignored = {0};
	struct scan s = {.text = source, .size = n, .file = "", .why = &ignored, .line = 1, .column = 1};
	size_t end;

	(void)l;
	if (!n || (source[0] != '"' && source[0] != '\''))
		return buffer_add(out, source, n);
	return toml_string(&s, 0, true, &end, out);
}

static enum leaf_type toml_type(const struct leaf *l, const char *source, size_t n)
{
	enum leaf_type type = LEAF_STRING;

	(void)l;
	return toml_word(source, n, &type) < 0 ? LEAF_STRING : type;
}

static int toml_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	enum leaf_type is;

	(void)l;
	if (type != LEAF_STRING)
		return toml_word(value, n, &is) == 0 && is == type ? buffer_add(out, value, n) : -EINVAL;
	for (size_t i = 0; i < n;) {
		size_t m = utf8_length(value + i, n - i);

		if (!m)
			return -EILSEQ;
		i += m;
	}
	return json_quote(value, n, out); /* its escapes are TOML's too */
}

const struct format format_toml = {
	.name = "toml",
	.scan = toml_scan,
	.value = toml_value,
	.type = toml_type,
	.source = toml_source,
	.token = token_quoted,
};

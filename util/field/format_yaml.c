/* YAML 1.2: documents and block collections, by recursive descent over lines and columns.
 *
 *   (1) `n` is the indentation of the collection around; what belongs to it is indented deeper.
 *   (2) Every function that reads a block node leaves `at` at the content of the next line, or sets `ended`.
 *   (3) Keys make no leaves. */
#include <errno.h>
#include <string.h>

#include "util/field/yaml.h"

enum {
	ON_NEW_LINE = 1, /* `at` is the first content of a line */
	MAY_COMPACT = 2, /* a collection may begin on the line of the sign before it: "- - a", "- a: b" */
	MAY_LEVEL = 4,   /* a sequence may stand at the indentation n: the value of a key */
};

static int block_node(struct yaml *y, int n, unsigned how, size_t hole);

static int error_here(struct yaml *y, const char *text)
{
	return scan_error(y->s, y->at, "%s", text);
}

static int too_deep(struct yaml *y)
{
	return scan_error(y->s, y->at, "more than %d levels", YAML_DEPTH_MAX);
}

/* After a flow node or block scalar: nothing but a comment stands on its line. */
static int end_line(struct yaml *y)
{
	size_t start = y->at;

	yaml_skip_blanks(y);
	if (!yaml_at_end_of_line(y) && yaml_peek(y, 0) != '#')
		return error_here(y, yaml_peek(y, 0) == ':' ? "a key cannot stand here" : "the line should end here");
	y->at = start;
	return yaml_next_line(y);
}

/* ------------------------------------------------------------------ collections */

static int sequence(struct yaml *y, int m)
{
	int ret;

	if (++y->depth > YAML_DEPTH_MAX)
		return too_deep(y);
	ret = scan_open(y->s);
	while (ret == 0) {
		size_t hole = ++y->at;

		ret = scan_index(y->s);
		if (ret == 0)
			ret = block_node(y, m, MAY_COMPACT, hole);
		if (ret < 0 || y->ended || y->indent < m)
			break;
		if (y->indent > m)
			return error_here(y, "a line is indented deeper than the list it belongs to");
		if (!yaml_sign(y, '-'))
			break;
		if (y->tabbed)
			return error_here(y, "a tab indents");
	}
	scan_close(y->s);
	y->depth--;
	return ret;
}

/* "? key", then perhaps ": value". */
static int explicit_entry(struct yaml *y, int m)
{
	size_t leaves = y->s->count, key = ++y->at, end;
	struct yaml_node node = {.shape = YAML_COLLECTION};
	int ret = block_node(y, m, MAY_COMPACT | MAY_LEVEL, key);

	if (ret < 0)
		return ret;
	if (y->s->count == leaves + 1 && y->s->leaves[leaves].node == scan_node(y->s)) {
		const struct leaf *l = &y->s->leaves[leaves];

		node = (struct yaml_node){.shape = YAML_QUOTED, .start = l->start, .end = l->end};
	} else { /* a collection: as it is written */
		end = y->ended || y->line > y->size ? y->at : y->line;
		while (key < end && (yaml_blank(y->text[key]) || yaml_break(y->text[key])))
			key++;
		while (end > key && (yaml_blank(y->text[end - 1]) || yaml_break(y->text[end - 1])))
			end--;
		node.start = key;
		node.end = end;
	}
	y->s->count = leaves;
	ret = yaml_key(y, &node);
	if (ret < 0 || y->ended || y->indent != m || !yaml_sign(y, ':'))
		return ret;
	if (y->tabbed)
		return error_here(y, "a tab indents");
	y->at++;
	return block_node(y, m, MAY_COMPACT | MAY_LEVEL, y->at);
}

/* At the ":" of a key that was read. */
static int implicit_value(struct yaml *y, int m, const struct yaml_node *key, size_t leaves)
{
	int ret;

	if (key->shape != YAML_NOTHING && (key->line != y->line || y->at - key->start > YAML_KEY_MAX))
		return scan_error(y->s, key->start, "a key has to stand on one line, of at most %d characters",
				  YAML_KEY_MAX);
	y->s->count = leaves;
	ret = yaml_key(y, key);
	y->at++;
	return ret < 0 ? ret : block_node(y, m, MAY_LEVEL, y->at);
}

/* A key at the beginning of a line, up to its ":". */
static int read_key(struct yaml *y, int m, struct yaml_node *node)
{
	int ret;

	*node = (struct yaml_node){.start = y->at, .end = y->at, .line = y->line};
	ret = yaml_properties(y, false, node);
	if (ret < 0)
		return ret;
	if (!yaml_sign(y, ':')) {
		if (!strchr("[{\"'*", yaml_peek(y, 0)) && !yaml_plain_begins(y, false))
			return error_here(y, "a key should stand here");
		ret = yaml_flow_content(y, m, false, node);
		yaml_skip_blanks(y);
	}
	if (ret == 0 && !yaml_sign(y, ':'))
		return error_here(y, "':' should stand here, behind a key");
	return ret;
}

static int entry(struct yaml *y, int m)
{
	size_t leaves = y->s->count;
	struct yaml_node node;
	int ret;

	if (yaml_sign(y, '?'))
		return explicit_entry(y, m);
	ret = read_key(y, m, &node);
	return ret < 0 ? ret : implicit_value(y, m, &node, leaves);
}

/* `first`: the key of the first entry, already read up to its ":"; NULL: it begins here. */
static int mapping(struct yaml *y, int m, const struct yaml_node *first, size_t leaves)
{
	int ret;

	if (++y->depth > YAML_DEPTH_MAX)
		return too_deep(y);
	ret = scan_open(y->s);
	if (ret == 0)
		ret = first ? implicit_value(y, m, first, leaves) : entry(y, m);
	while (ret == 0 && !y->ended && y->indent >= m) {
		if (y->indent > m)
			return error_here(y, "a line is indented deeper than the keys it belongs to");
		if (y->tabbed)
			return error_here(y, "a tab indents");
		if (yaml_sign(y, '-'))
			return error_here(y, "an element of a list stands among keys");
		ret = entry(y, m);
	}
	scan_close(y->s);
	y->depth--;
	return ret;
}

/* ------------------------------------------------------------------ nodes */

/* What was seen before the content. */
struct before {
	bool anchor, tag; /* on lines before */
	bool tab;         /* between the sign, or the indentation, and this line's content */
	unsigned how;
	size_t hole;
};

static int merge(struct yaml *y, const struct before *b, const struct yaml_node *node)
{
	if (b->anchor && node->anchor)
		return error_here(y, "a second anchor");
	if (b->tag && node->tag)
		return error_here(y, "a second tag");
	return 0;
}

/* A collection that begins here: may it? */
static int may_begin(struct yaml *y, const struct before *b, const struct yaml_node *node, const char *what)
{
	if (node && (node->anchor || node->tag) && *what == 'l')
		return error_here(y, "an anchor or tag stands on the line of a list");
	if (!(b->how & (ON_NEW_LINE | MAY_COMPACT)))
		return scan_error(y->s, y->at, "a %s cannot begin on this line", what);
	if (b->tab)
		return error_here(y, "a tab indents");
	return 0;
}

static int flow_or_mapping(struct yaml *y, int n, const struct before *b, struct yaml_node *node, size_t column)
{
	size_t leaves = y->s->count, stop, key_line = y->line;
	bool empty_key = yaml_sign(y, ':');
	int ret = 0;

	if (!empty_key) {
		if (!strchr("[{\"'*", yaml_peek(y, 0)) && !yaml_plain_begins(y, false))
			return error_here(y, "a value cannot begin with this character");
		struct yaml_node whole = *node;

		/* What stands before the key on this line belongs to the key. */
		whole.anchor |= b->anchor && yaml_peek(y, 0) != '*';
		bool alias_with_property = yaml_peek(y, 0) == '*' && (b->anchor || b->tag);
		ret = yaml_flow_content(y, n, false, node);
		if (ret < 0)
			return ret;
		stop = y->at;
		yaml_skip_blanks(y);
		if (!yaml_sign(y, ':')) {
			y->at = stop;
			if (alias_with_property)
				return error_here(y, "an alias can have no anchor or tag");
			ret = merge(y, b, node);
			return ret < 0 ? ret : end_line(y);
		}
	} else {
		node->line = key_line;
	}
	size_t colon = y->at;
	y->at = node->start;
	ret = may_begin(y, b, NULL, "mapping");
	y->at = colon;
	return ret < 0 ? ret : mapping(y, (int)column, node, leaves);
}

static int content(struct yaml *y, int n, struct before *b)
{
	size_t column = yaml_column(y), leaves = y->s->count, end;
	struct yaml_node node = {.start = y->at, .end = y->at, .line = y->line, .hole = b->hole};
	int ret;

	if (yaml_sign(y, '-') || yaml_sign(y, '?')) {
		bool list = y->text[y->at] == '-';

		ret = may_begin(y, b, NULL, list ? "list" : "mapping");
		if (ret == 0)
			ret = list ? sequence(y, (int)column) : mapping(y, (int)column, NULL, leaves);
		return ret;
	}
	ret = yaml_properties(y, false, &node);
	if (ret < 0)
		return ret;
	if (yaml_at_end_of_line(y) || (yaml_peek(y, 0) == '#' && yaml_blank(y->text[y->at - 1]))) {
		ret = merge(y, b, &node);
		b->anchor |= node.anchor;
		b->tag |= node.tag;
		b->hole = node.hole;
		return ret < 0 ? ret : -EAGAIN; /* the content stands on a line below */
	}
	if (node.anchor || node.tag) {
		if (yaml_sign(y, '-') || yaml_sign(y, '?'))
			return may_begin(y, b, &node, "list");
	}
	if (yaml_peek(y, 0) == '|' || yaml_peek(y, 0) == '>') {
		size_t start = y->at;

		ret = merge(y, b, &node);
		if (ret == 0)
			ret = yaml_block_scalar(y, n, &end);
		if (ret == 0)
			ret = scan_leaf(y->s, scan_node(y->s), start, end, LEAF_STRING,
					(uint8_t)(n + 1 > 255 ? 255 : n + 1));
		return ret < 0 ? ret : yaml_next_line(y);
	}
	return flow_or_mapping(y, n, b, &node, column);
}

/* A node behind a sign, or at the beginning of a document. */
static int block_node(struct yaml *y, int n, unsigned how, size_t hole)
{
	struct before b = {.how = how, .hole = hole};
	int ret;

	for (;;) {
		if (!(b.how & ON_NEW_LINE))
			b.tab = yaml_skip_blanks(y);
		if (!(b.how & ON_NEW_LINE) && (yaml_at_end_of_line(y) || yaml_peek(y, 0) == '#')) {
			ret = yaml_next_line(y);
			if (ret < 0)
				return ret;
			bool level = (how & MAY_LEVEL) && y->indent == n && yaml_sign(y, '-');
			if (y->ended || (y->indent <= n && !level))
				return n < 0 && !b.anchor && !b.tag ? 0 : yaml_hole(y, b.hole);
			b.how = ON_NEW_LINE;
			b.tab = y->tabbed;
			/* A list at the indentation of its key is one step out. */
		}
		ret = content(y, n, &b);
		if (ret != -EAGAIN)
			return ret;
		b.how &= ~(unsigned)(ON_NEW_LINE | MAY_COMPACT);
	}
}

/* ------------------------------------------------------------------ documents */

static int directive(struct yaml *y, bool *version)
{
	size_t start = y->at, end = start, word;

	while (end < y->size && !yaml_break(y->text[end]))
		end++;
	if (end - start > 5 && memcmp(y->text + start, "%YAML", 5) == 0 && yaml_blank(y->text[start + 5])) {
		if (*version)
			return scan_error(y->s, start, "a second %%YAML");
		*version = true;
		y->at += 5;
		yaml_skip_blanks(y);
		while (y->at < end && (yaml_peek(y, 0) == '.' || (yaml_peek(y, 0) >= '0' && yaml_peek(y, 0) <= '9')))
			y->at++;
		if (!yaml_gap(y, 0))
			return error_here(y, "no version");
		word = y->at;
		yaml_skip_blanks(y);
		if (y->at < end && (yaml_peek(y, 0) != '#' || y->at == word))
			return error_here(y, "the line should end here");
	} else if (end - start > 4 && memcmp(y->text + start, "%TAG", 4) == 0 && yaml_blank(y->text[start + 4])) {
		y->at += 4;
		yaml_skip_blanks(y);
		word = y->at;
		while (!yaml_gap(y, 0))
			y->at++;
		if (y->handle_count == YAML_HANDLES_MAX || yaml_at_end_of_line(y))
			return scan_error(y->s, start, "%%TAG wants a handle and a prefix");
		y->handles[y->handle_count].start = word;
		y->handles[y->handle_count++].length = y->at - word;
	}
	y->at = end;
	return yaml_next_line(y);
}

/* Directives, and the "---" behind them. */
static int document_start(struct yaml *y, bool *explicit)
{
	bool any = false, version = false;
	int ret = 0;

	y->handle_count = 0;
	while (ret == 0 && !y->ended && y->indent == 0 && yaml_peek(y, 0) == '%') {
		any = true;
		ret = directive(y, &version);
	}
	if (ret < 0)
		return ret;
	*explicit = y->at < y->size && y->at == y->line && yaml_marker(y, y->at) && y->text[y->at] == '-';
	if (any && !*explicit)
		return error_here(y, "'---' should follow the directives");
	if (*explicit)
		y->at += 3;
	return 0;
}

/* Over "..." lines.  *closed: there was one. */
static int document_end(struct yaml *y, bool *closed)
{
	int ret = 0;

	*closed = false;
	while (ret == 0 && y->at < y->size && y->at == y->line && yaml_marker(y, y->at) && y->text[y->at] == '.') {
		*closed = true;
		y->at += 3;
		y->ended = false;
		ret = end_line(y);
	}
	return ret;
}

static int one_document(struct yaml *y, bool closed)
{
	bool explicit = false;
	int ret = 0;

	if (closed)
		ret = document_start(y, &explicit);
	else if (y->at < y->size && yaml_marker(y, y->at) && y->text[y->at] == '-') {
		explicit = true;
		y->handle_count = 0;
		y->at += 3;
	}
	if (ret < 0)
		return ret;
	y->ended = false;
	ret = block_node(y, -1, explicit ? 0 : ON_NEW_LINE, y->at);
	if (ret < 0)
		return ret;
	if (!y->ended)
		return error_here(y, "the document should end here");
	return 0;
}

/* Only printable characters and line ends [1]. */
static int check_characters(struct scan *s)
{
	int ret = scan_check_utf8(s);

	for (size_t i = 0; ret == 0 && i < s->size; i++) {
		unsigned char c = (unsigned char)s->text[i];

		if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
			return scan_error(s, i, "a control character (%02x)", c);
	}
	return ret;
}

static int yaml_scan(struct scan *s, size_t *used)
{
	struct yaml y = {.s = s, .text = s->text, .size = s->size, .at = scan_bom(s), .line = scan_bom(s)};
	bool closed = true;
	int ret = check_characters(s);

	*used = s->size;
	s->documents = true;
	s->document = 0;
	if (ret == 0 && !yaml_marker(&y, y.at))
		ret = yaml_next_line(&y);
	else
		y.ended = true;
	while (ret == 0) {
		bool more;

		ret = document_end(&y, &more);
		closed = closed || more;
		if (ret < 0 || y.at >= y.size)
			break;
		ret = one_document(&y, closed);
		closed = false;
		if (ret == 0 && y.at < y.size) {
			ret = document_end(&y, &closed);
			if (ret == 0 && y.at < y.size)
				s->document++;
		}
	}
	return ret;
}

/* ------------------------------------------------------------------ values */

static int yaml_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	return yaml_scalar_value(source, n, l->quoting - 1, out);
}

static bool one_of(const char *source, size_t n, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == n && memcmp(*words, source, n) == 0)
			return true;
	return false;
}

static bool all_of(const char *source, size_t n, const char *set)
{
	for (size_t i = 0; i < n; i++)
		if (!source[i] || !strchr(set, source[i]))
			return false;
	return n > 0;
}

/* The core schema, section 10.3.2. */
static bool is_number(const char *p, size_t n)
{
	static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
	size_t sign = n && (*p == '-' || *p == '+');

	if (n > 2 && p[0] == '0' && (p[1] == 'o' || p[1] == 'x'))
		return all_of(p + 2, n - 2, p[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF");
	p += sign;
	n -= sign;
	if (one_of(p, n, words) || all_of(p, n, "0123456789"))
		return true;
	size_t digits = 0, i = 0;
	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++, digits++;
	if (i < n && p[i] == '.')
		for (i++; i < n && p[i] >= '0' && p[i] <= '9'; i++)
			digits++;
	if (!digits)
		return false;
	if (i < n && (p[i] == 'e' || p[i] == 'E')) {
		i++;
		if (i < n && (p[i] == '+' || p[i] == '-'))
			i++;
		return all_of(p + i, n - i, "0123456789");
	}
	return i == n;
}

static enum leaf_type yaml_type(const struct leaf *l, const char *source, size_t n)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL}, *const bools[] = {"true",  "True",
												      "TRUE",  "false",
												      "False", "FALSE",
												      NULL};

	(void)l;
	if (one_of(source, n, nulls))
		return LEAF_NULL;
	if (one_of(source, n, bools))
		return LEAF_BOOL;
	return is_number(source, n) ? LEAF_NUMBER : LEAF_STRING;
}

/* A word that every YAML reader takes for the same string. */
static bool plain_word(const char *value, size_t n)
{
	static const char *const words[] = {"y",  "Y",  "yes", "Yes", "YES", "n",   "N",    "no",   "No",   "NO",
					    "on", "On", "ON",  "off", "Off", "OFF", "null", "Null", "NULL", NULL};
	const struct leaf none = {0};

	if (!all_of(value, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-") ||
	    value[0] == '-' || value[0] == '.' || (value[0] >= '0' && value[0] <= '9'))
		return false;
	return !one_of(value, n, words) && yaml_type(&none, value, n) == LEAF_STRING;
}

static int yaml_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	if (type != LEAF_STRING)
		return yaml_type(l, value, n) == type && n ? buffer_add(out, value, n) : -EINVAL;
	for (size_t i = 0; i < n;) {
		size_t m = utf8_length(value + i, n - i);

		if (!m)
			return -EILSEQ;
		i += m;
	}
	return plain_word(value, n) ? buffer_add(out, value, n) : json_quote(value, n, out);
}

const struct format format_yaml = {
	.name = "yaml",
	.blank_before = true,
	.scan = yaml_scan,
	.value = yaml_value,
	.type = yaml_type,
	.source = yaml_source,
	.token = token_bare,
};

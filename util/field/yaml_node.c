/* Block collections and nodes of YAML, by recursive descent over lines and columns.
 *
 *   (1) `n` is the indentation of the collection around; what belongs to it is indented deeper.
 *   (2) Every function that reads a block node leaves `at` at the content of the next line, or sets `ended`.
 *   (3) Keys make no leaves. */
#include <errno.h>
#include <string.h>

#include "util/field/yaml.h"

int yaml_error(struct yaml *y, const char *text)
{
	return scan_error(y->s, y->at, "%s", text);
}

static int too_deep(struct yaml *y)
{
	return scan_error(y->s, y->at, "more than %d levels", YAML_DEPTH_MAX);
}

int yaml_end_line(struct yaml *y)
{
	size_t start = y->at;

	yaml_skip_blanks(y);
	if (!yaml_at_end_of_line(y) && yaml_peek(y, 0) != '#')
		return yaml_error(y, yaml_peek(y, 0) == ':' ? "a key cannot stand here" : "the line should end here");
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
			ret = yaml_block_node(y, m, YAML_MAY_COMPACT, hole);
		if (ret < 0 || y->ended || y->indent < m)
			break;
		if (y->indent > m)
			return yaml_error(y, "a line is indented deeper than the list it belongs to");
		if (!yaml_sign(y, '-'))
			break;
		if (y->tabbed)
			return yaml_error(y, "a tab indents");
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
	int ret = yaml_block_node(y, m, YAML_MAY_COMPACT | YAML_MAY_LEVEL, key);

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
		return yaml_error(y, "a tab indents");
	y->at++;
	return yaml_block_node(y, m, YAML_MAY_COMPACT | YAML_MAY_LEVEL, y->at);
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
	return ret < 0 ? ret : yaml_block_node(y, m, YAML_MAY_LEVEL, y->at);
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
			return yaml_error(y, "a key should stand here");
		ret = yaml_flow_content(y, m, false, node);
		yaml_skip_blanks(y);
	}
	if (ret == 0 && !yaml_sign(y, ':'))
		return yaml_error(y, "':' should stand here, behind a key");
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
			return yaml_error(y, "a line is indented deeper than the keys it belongs to");
		if (y->tabbed)
			return yaml_error(y, "a tab indents");
		if (yaml_sign(y, '-'))
			return yaml_error(y, "an element of a list stands among keys");
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
		return yaml_error(y, "a second anchor");
	if (b->tag && node->tag)
		return yaml_error(y, "a second tag");
	return 0;
}

/* A collection that begins here: may it? */
static int may_begin(struct yaml *y, const struct before *b, const struct yaml_node *node, const char *what)
{
	if (node && (node->anchor || node->tag) && *what == 'l')
		return yaml_error(y, "an anchor or tag stands on the line of a list");
	if (!(b->how & (YAML_ON_NEW_LINE | YAML_MAY_COMPACT)))
		return scan_error(y->s, y->at, "a %s cannot begin on this line", what);
	if (b->tab)
		return yaml_error(y, "a tab indents");
	return 0;
}

static int flow_or_mapping(struct yaml *y, int n, const struct before *b, struct yaml_node *node, size_t column)
{
	size_t leaves = y->s->count, stop, key_line = y->line;
	bool empty_key = yaml_sign(y, ':');
	int ret = 0;

	if (!empty_key) {
		if (!strchr("[{\"'*", yaml_peek(y, 0)) && !yaml_plain_begins(y, false))
			return yaml_error(y, "a value cannot begin with this character");
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
				return yaml_error(y, "an alias can have no anchor or tag");
			ret = merge(y, b, node);
			return ret < 0 ? ret : yaml_end_line(y);
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
int yaml_block_node(struct yaml *y, int n, unsigned how, size_t hole)
{
	struct before b = {.how = how, .hole = hole};
	int ret;

	for (;;) {
		if (!(b.how & YAML_ON_NEW_LINE))
			b.tab = yaml_skip_blanks(y);
		if (!(b.how & YAML_ON_NEW_LINE) && (yaml_at_end_of_line(y) || yaml_peek(y, 0) == '#')) {
			ret = yaml_next_line(y);
			if (ret < 0)
				return ret;
			bool level = (how & YAML_MAY_LEVEL) && y->indent == n && yaml_sign(y, '-');
			if (y->ended || (y->indent <= n && !level))
				return n < 0 && !b.anchor && !b.tag ? 0 : yaml_hole(y, b.hole);
			b.how = YAML_ON_NEW_LINE;
			b.tab = y->tabbed;
			/* A list at the indentation of its key is one step out. */
		}
		ret = content(y, n, &b);
		if (ret != -EAGAIN)
			return ret;
		b.how &= ~(unsigned)(YAML_ON_NEW_LINE | YAML_MAY_COMPACT);
	}
}

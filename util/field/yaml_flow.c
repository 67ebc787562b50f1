/* Flow nodes of YAML: properties, aliases, scalars, [sequences] and {mappings}. */
#include <errno.h>
#include <string.h>

#include "util/field/yaml.h"

/* Where a token for nothing would go: a leaf without bytes. */
int yaml_hole(struct yaml *y, size_t at)
{
	return scan_leaf(y->s, scan_node(y->s), at, at, LEAF_NULL, 0);
}

static int leaf(struct yaml *y, size_t start, size_t end, int n)
{
	/* quoting: the indentation around, for block scalars */
	return scan_leaf(y->s, scan_node(y->s), start, end, LEAF_STRING, (uint8_t)(n + 1 > 255 ? 255 : n + 1));
}

/* ------------------------------------------------------------------ properties */

/* Characters of an anchor or alias [102]. */
static size_t anchor_end(const struct yaml *y, size_t at)
{
	while (at < y->size && !yaml_blank(y->text[at]) && !yaml_break(y->text[at]) && !yaml_flow_sign(y->text[at]))
		at++;
	return at;
}

int yaml_alias(struct yaml *y, bool flow)
{
	size_t end = anchor_end(y, y->at + 1);

	(void)flow;
	if (end == y->at + 1)
		return scan_error(y->s, y->at, "an alias without a name");
	y->at = end;
	return 0;
}

static bool handle_known(const struct yaml *y, size_t start, size_t length)
{
	if (length <= 2 && (length == 1 || y->text[start + 1] == '!'))
		return true; /* ! and !! */
	for (size_t i = 0; i < y->handle_count; i++)
		if (y->handles[i].length == length &&
		    memcmp(y->text + y->handles[i].start, y->text + start, length) == 0)
			return true;
	return false;
}

static int tag(struct yaml *y)
{
	size_t start = y->at, at = start + 1;

	if (yaml_peek(y, 1) == '<') {
		while (at < y->size && y->text[at] != '>' && !yaml_blank(y->text[at]) && !yaml_break(y->text[at]))
			at++;
		if (at >= y->size || y->text[at] != '>' || at - start < 3)
			return scan_error(y->s, start, "a tag that is not closed");
		y->at = at + 1;
		return 0;
	}
	size_t handle = start;
	for (; at < y->size && !yaml_blank(y->text[at]) && !yaml_break(y->text[at]) && !yaml_flow_sign(y->text[at]);
	     at++)
		if (y->text[at] == '!')
			handle = at;
	if (handle > start && handle + 1 == at)
		return scan_error(y->s, start, "a tag with nothing behind its handle");
	if (handle > start && !handle_known(y, start, handle - start + 1))
		return scan_error(y->s, start, "a tag with a handle that no %%TAG declares");
	y->at = at;
	return 0;
}

int yaml_properties(struct yaml *y, bool flow, struct yaml_node *node)
{
	for (;;) {
		char c = yaml_peek(y, 0);
		bool *seen = c == '&' ? &node->anchor : &node->tag;
		int ret = 0;

		if (y->at >= y->size || (c != '&' && c != '!'))
			return 0;
		if (*seen)
			return scan_error(y->s, y->at, c == '&' ? "a second anchor" : "a second tag");
		*seen = true;
		if (c == '!') {
			ret = tag(y);
		} else {
			size_t end = anchor_end(y, y->at + 1);
			if (end == y->at + 1)
				return scan_error(y->s, y->at, "an anchor without a name");
			y->at = end;
		}
		if (ret < 0)
			return ret;
		if (!yaml_gap(y, 0) && !(flow && yaml_flow_sign(yaml_peek(y, 0))))
			return scan_error(y->s, y->at, "a blank should follow an anchor or tag");
		node->hole = y->at;
		yaml_skip_blanks(y);
	}
}

/* ------------------------------------------------------------------ inside collections */

/* Blanks, comments and line ends; lines are indented deeper than n, but a closing bracket may stand at n. */
static int skip_space(struct yaml *y, int n)
{
	for (;;) {
		yaml_skip_blanks(y);
		if (yaml_peek(y, 0) == '#' && y->at < y->size) {
			if (y->at > y->line && !yaml_blank(y->text[y->at - 1]))
				return scan_error(y->s, y->at, "a comment wants a blank before it");
			while (!yaml_at_end_of_line(y))
				y->at++;
		}
		if (y->at >= y->size || !yaml_break(y->text[y->at]))
			return 0;
		yaml_skip_break(y);
		if (yaml_marker(y, y->at))
			return scan_error(y->s, y->at, "a document ends inside brackets");
		size_t spaces = 0;
		while (yaml_peek(y, 0) == ' ' && y->at < y->size) {
			y->at++;
			spaces++;
		}
		yaml_skip_blanks(y);
		char c = yaml_peek(y, 0);
		bool closes = (c == ']' || c == '}') && (int)spaces >= n;
		if (!yaml_at_end_of_line(y) && c != '#' && (int)spaces <= n && !closes)
			return scan_error(y->s, y->at, "a line inside brackets is not indented deep enough");
	}
}

/* A ":" that ends a key.  `json`: the key ends in a quote or bracket, then nothing need follow. */
static bool colon(const struct yaml *y, bool json)
{
	return y->at < y->size && y->text[y->at] == ':' && (json || yaml_gap(y, 1) || yaml_flow_sign(yaml_peek(y, 1)));
}

/* A node inside brackets, with properties; nothing is fine. */
static int flow_node(struct yaml *y, int n, struct yaml_node *node)
{
	int ret;

	*node = (struct yaml_node){.line = y->line, .start = y->at, .end = y->at, .hole = y->at};
	ret = yaml_properties(y, true, node);
	if (ret == 0 && (node->anchor || node->tag))
		ret = skip_space(y, n);
	if (ret < 0)
		return ret;
	char c = yaml_peek(y, 0);
	if (y->at < y->size && (strchr("[{\"'*", c) || yaml_plain_begins(y, true)))
		return yaml_flow_content(y, n, true, node);
	return 0; /* nothing */
}

/* The value behind a key's ":". */
static int flow_value(struct yaml *y, int n)
{
	struct yaml_node node = {0};
	size_t hole = ++y->at;
	int ret = skip_space(y, n);

	if (ret == 0)
		ret = flow_node(y, n, &node);
	if (ret == 0 && node.shape == YAML_NOTHING)
		ret = yaml_hole(y, node.anchor || node.tag ? node.hole : hole);
	return ret < 0 ? ret : skip_space(y, n);
}

/* The name of the key that was just read, in place of the leaves that it made. */
int yaml_key(struct yaml *y, const struct yaml_node *node)
{
	_cleanup_buffer_ struct buffer name = {0};
	const char *source = y->text + node->start;
	size_t n = node->end - node->start;
	int ret;

	if (node->shape == YAML_PLAIN || node->shape == YAML_QUOTED)
		ret = yaml_scalar_value(source, n, -1, &name);
	else
		ret = buffer_add(&name, source, n);
	return ret < 0 ? ret : scan_key(y->s, STEP_KEY, name.bytes ? name.bytes : "", name.size, NULL);
}

static bool is_json(const struct yaml_node *node)
{
	return node->shape == YAML_QUOTED || node->shape == YAML_COLLECTION;
}

/* "? key" inside brackets: true if it begins here. */
static int explicit_sign(struct yaml *y, int n, bool *is)
{
	*is = y->at < y->size && y->text[y->at] == '?' && (yaml_gap(y, 1) || yaml_flow_sign(yaml_peek(y, 1)));
	if (!*is)
		return 0;
	y->at++;
	return skip_space(y, n);
}

/* [a: b]: a mapping of one pair; its key stands on one line. */
static int single_pair(struct yaml *y, int n, const struct yaml_node *key, size_t leaves, bool explicit)
{
	int ret;

	if (!explicit && (key->line != y->line || y->at - key->start > YAML_KEY_MAX))
		return scan_error(y->s, key->start, "a key has to stand on one line, of at most %d characters",
				  YAML_KEY_MAX);
	y->s->count = leaves;
	ret = scan_open(y->s);
	if (ret == 0)
		ret = yaml_key(y, key);
	if (ret == 0)
		ret = colon(y, true) ? flow_value(y, n) : 0;
	scan_close(y->s);
	return ret;
}

static int sequence_entry(struct yaml *y, int n)
{
	size_t leaves = y->s->count, stop;
	struct yaml_node node = {0};
	bool explicit;
	int ret = explicit_sign(y, n, &explicit);

	if (ret == 0)
		ret = scan_index(y->s);
	if (ret == 0)
		ret = flow_node(y, n, &node);
	if (ret < 0)
		return ret;
	stop = y->at;
	ret = skip_space(y, n);
	if (ret < 0)
		return ret;
	if (explicit || colon(y, is_json(&node)))
		return single_pair(y, n, &node, leaves, explicit);
	if (node.shape == YAML_NOTHING && !node.anchor && !node.tag)
		return scan_error(y->s, stop, "a value should stand here");
	return node.shape == YAML_NOTHING ? yaml_hole(y, node.hole) : 0;
}

static int mapping_entry(struct yaml *y, int n)
{
	size_t leaves = y->s->count, stop;
	struct yaml_node node = {0};
	bool explicit;
	int ret = explicit_sign(y, n, &explicit);

	if (ret == 0)
		ret = flow_node(y, n, &node);
	if (ret < 0)
		return ret;
	stop = y->at;
	ret = skip_space(y, n);
	y->s->count = leaves;
	if (ret == 0)
		ret = yaml_key(y, &node);
	if (ret < 0)
		return ret;
	if (colon(y, is_json(&node)))
		return flow_value(y, n);
	if (node.shape == YAML_NOTHING && !explicit && !node.anchor && !node.tag)
		return scan_error(y->s, stop, "a key should stand here");
	return 0; /* a key alone: there is no place for a token */
}

static int collection(struct yaml *y, int n)
{
	size_t start = y->at;
	char close = y->text[y->at++] == '[' ? ']' : '}';
	int ret;

	if (++y->depth > YAML_DEPTH_MAX)
		return scan_error(y->s, start, "more than %d levels", YAML_DEPTH_MAX);
	ret = scan_open(y->s);
	if (ret == 0)
		ret = skip_space(y, n);
	while (ret == 0 && yaml_peek(y, 0) != close) {
		if (y->at >= y->size)
			return scan_error(y->s, start, "the bracket is not closed");
		ret = close == ']' ? sequence_entry(y, n) : mapping_entry(y, n);
		if (ret < 0)
			return ret;
		if (yaml_peek(y, 0) == ',') {
			y->at++;
			ret = skip_space(y, n);
		} else if (yaml_peek(y, 0) != close || y->at >= y->size) {
			return scan_error(y->s, y->at, "',' or '%c' should stand here", close);
		}
	}
	if (ret < 0)
		return ret;
	y->at++;
	y->depth--;
	scan_close(y->s);
	return 0;
}

int yaml_flow_content(struct yaml *y, int n, bool flow, struct yaml_node *node)
{
	char c = yaml_peek(y, 0);
	int ret;

	node->start = y->at;
	node->line = y->line;
	node->end = 0;
	if (c == '*') {
		node->shape = YAML_ALIAS;
		if (node->anchor || node->tag)
			return scan_error(y->s, y->at, "an alias can have no anchor or tag");
		ret = yaml_alias(y, flow);
	} else if (c == '[' || c == '{') {
		node->shape = YAML_COLLECTION;
		ret = collection(y, n);
	} else if (c == '"' || c == '\'') {
		node->shape = YAML_QUOTED;
		ret = yaml_quoted(y, n);
	} else {
		node->shape = YAML_PLAIN;
		ret = yaml_plain(y, n, flow, &node->end);
	}
	if (ret < 0)
		return ret;
	if (!node->end)
		node->end = y->at;
	return node->shape == YAML_PLAIN || node->shape == YAML_QUOTED ? leaf(y, node->start, node->end, n) : 0;
}

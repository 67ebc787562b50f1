/* The inside of the YAML scanner (YAML 1.2.2; numbers of productions in brackets). */
#ifndef COFFER_FIELD_YAML_H
#define COFFER_FIELD_YAML_H

#include "util/field/format.h"

enum {
	YAML_DEPTH_MAX = 400,
	YAML_KEY_MAX = 1024, /* characters of an implicit key */
	YAML_HANDLES_MAX = 64,
};

enum yaml_shape {
	YAML_NOTHING,
	YAML_PLAIN,
	YAML_QUOTED,
	YAML_COLLECTION, /* a flow one */
	YAML_ALIAS,
};

struct yaml {
	struct scan *s;
	const char *text;
	size_t at, size;
	size_t line; /* where the line of `at` begins */
	/* The line that yaml_next_line found. */
	int indent;
	bool tabbed; /* a tab stands between the indentation and the content */
	bool ended;  /* the document or the file ends */
	unsigned depth;
	/* %TAG handles of the document: "!e!" */
	struct {
		size_t start, length;
	} handles[YAML_HANDLES_MAX];
	size_t handle_count;
};

/* What a flow node was. */
struct yaml_node {
	enum yaml_shape shape;
	size_t start, end; /* of the content, without properties */
	size_t line;       /* in which it began */
	bool anchor, tag;
	size_t hole; /* where a token would go if there is no content */
};

/* --- words */
static inline bool yaml_blank(char c)
{
	return c == ' ' || c == '\t';
}
static inline bool yaml_break(char c)
{
	return c == '\n' || c == '\r';
}
static inline bool yaml_flow_sign(char c)
{
	return c == ',' || c == '[' || c == ']' || c == '{' || c == '}';
}
bool yaml_at_end_of_line(const struct yaml *y);
/* Blank, line end or the end, `ahead` bytes from here. */
bool yaml_gap(const struct yaml *y, size_t ahead);
static inline char yaml_peek(const struct yaml *y, size_t ahead)
{
	return y->at + ahead < y->size ? y->text[y->at + ahead] : '\0';
}
/* An indicator that wants a gap behind it. */
static inline bool yaml_sign(const struct yaml *y, char c)
{
	return y->at < y->size && y->text[y->at] == c && yaml_gap(y, 1);
}
static inline size_t yaml_column(const struct yaml *y)
{
	return y->at - y->line;
}
bool yaml_marker(const struct yaml *y, size_t at); /* --- or ... at a line's beginning */
bool yaml_skip_blanks(struct yaml *y);             /* true: there was a tab */
void yaml_skip_break(struct yaml *y);
/* From the end of the content of a line (a comment may follow) to the next content. */
int yaml_next_line(struct yaml *y) MUST_CHECK;

/* --- nodes (yaml_node.c) */
enum {
	YAML_ON_NEW_LINE = 1, /* `at` is the first content of a line */
	YAML_MAY_COMPACT = 2, /* a collection may begin on the line of the sign before it: "- - a", "- a: b" */
	YAML_MAY_LEVEL = 4,   /* a sequence may stand at the indentation n: the value of a key */
};
int yaml_error(struct yaml *y, const char *text); /* at this place */
/* After a flow node or block scalar: nothing but a comment stands on its line. */
int yaml_end_line(struct yaml *y) MUST_CHECK;
/* Everything that the node holds; an empty one goes to `hole`. */
int yaml_block_node(struct yaml *y, int n, unsigned how, size_t hole) MUST_CHECK;

/* --- scalars (yaml_scalar.c); `n`: continued lines are indented deeper */
int yaml_quoted(struct yaml *y, int n) MUST_CHECK;
int yaml_plain(struct yaml *y, int n, bool flow, size_t *end) MUST_CHECK;
bool yaml_plain_begins(const struct yaml *y, bool flow);
/* Block scalars are in yaml_block.c. */
int yaml_block_scalar(struct yaml *y, int n, size_t *end) MUST_CHECK;
/* The meaning of a source; `n` as it stands there. */
int yaml_scalar_value(const char *source, size_t size, int n, struct buffer *out) MUST_CHECK;
int yaml_block_value(const char *p, size_t n, int parent, struct buffer *out) MUST_CHECK;

/* --- values (yaml_value.c), as in struct format */
int yaml_value(const struct leaf *l, const char *source, size_t n, struct buffer *out) MUST_CHECK;
enum leaf_type yaml_type(const struct leaf *l, const char *source, size_t n);
int yaml_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out) MUST_CHECK;

/* --- flow (yaml_flow.c) */
/* Anchor and tag from here, each at most once. */
int yaml_properties(struct yaml *y, bool flow, struct yaml_node *node) MUST_CHECK;
int yaml_alias(struct yaml *y, bool flow) MUST_CHECK;
/* Content without properties: an alias, a scalar or a collection; leaves are made under the open member. */
int yaml_flow_content(struct yaml *y, int n, bool flow, struct yaml_node *node) MUST_CHECK;
/* What a key is called in a path. */
int yaml_key(struct yaml *y, const struct yaml_node *node) MUST_CHECK;
int yaml_hole(struct yaml *y, size_t at) MUST_CHECK; /* an empty value */

#endif

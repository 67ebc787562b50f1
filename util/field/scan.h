/* What a format's scanner finds in a text: the values, where their bytes are, and their paths.
 *
 *   (1) A scanner changes nothing and copies no value: a leaf is a span of the text.
 *   (2) Memory is linear in the text: paths share their beginnings (nodes).
 *   (3) A scanner that does not understand a text says so with line and column; it never guesses. */
#ifndef COFFER_FIELD_SCAN_H
#define COFFER_FIELD_SCAN_H

#include "util/base/fault.h"
#include "util/field/path.h"

enum {
	SCAN_DEPTH_MAX = 1000,
	NODE_TOP = 0,
};

enum leaf_type { LEAF_STRING, LEAF_NUMBER, LEAF_BOOL, LEAF_NULL, LEAF_DATE };

/* One value. */
struct leaf {
	size_t start, end; /* its source in the text */
	uint32_t node;
	enum leaf_type type;
	uint8_t quoting;   /* the format's own */
	uint64_t document; /* row, line or document */
};

struct node {
	uint32_t parent;
	enum step_kind kind;
	uint64_t number;
	size_t name, length; /* in scan.names */
};

struct scan_options {
	bool lenient;        /* JSON: comments and trailing commas */
	bool no_header;      /* CSV: the first row is data */
	char separator;      /* CSV: 0: by the header */
	const char *dialect; /* INI: NULL, "git", "systemd", "php" */
};

struct format;
struct level; /* an open container */

struct scan {
	/* given */
	const struct format *format;
	const struct scan_options *options;
	const char *file; /* for messages */
	struct fault *why;
	const char *text;
	size_t size;
	bool first, final;     /* the text begins, ends the file */
	bool started;          /* something was used up */
	uint64_t line, column; /* of text[0], from 1 */

	/* found */
	struct leaf *leaves;
	size_t count, room;
	struct node *nodes;
	size_t node_count, node_room;
	struct buffer names;

	/* on the way */
	struct level *levels;
	size_t depth, level_room;
	uint64_t document;
	bool documents; /* paths begin with the document's number */
	void *state;    /* the format's own */
};
#define _cleanup_scan_ _cleanup_(scan_free)

void scan_free(struct scan *s);
/* The next piece of the file: forgets the leaves, keeps what is open.  */
int scan_begin(struct scan *s, const char *text, size_t size, bool final) MUST_CHECK;
/* Moves line and column over the first `used` bytes of the text. */
void scan_advance(struct scan *s, size_t used);

/* "FILE:LINE:COLUMN: what" and -EINVAL. */
int scan_error(struct scan *s, size_t at, const char *format, ...) PRINTF_LIKE(3, 4);
void scan_position(const struct scan *s, size_t at, uint64_t *line, uint64_t *column);

/* --- containers: open, then for each member a key or an index, its leaf or container, and pop; close. */
int scan_open(struct scan *s) MUST_CHECK; /* -EINVAL reported by the caller: too deep (-E2BIG) */
void scan_close(struct scan *s);
/* A member of the open container, counted among those of the same name; *before (may be NULL) says how many there were. */
int scan_key(struct scan *s, enum step_kind kind, const char *name, size_t length, uint64_t *before) MUST_CHECK;
/* Counts only. */
int scan_count(struct scan *s, enum step_kind kind, const char *name, size_t length, uint64_t *before) MUST_CHECK;
int scan_index(struct scan *s) MUST_CHECK; /* the next element */
/* The node of the member that is open, and making one without containers (formats with a tree of their own). */
uint32_t scan_node(const struct scan *s);
uint32_t scan_container(const struct scan *s); /* the node of the container that is open */
int scan_add_node(struct scan *s, uint32_t parent, enum step_kind kind, uint64_t number, const char *name,
		  size_t length, uint32_t *out) MUST_CHECK;
int scan_leaf(struct scan *s, uint32_t node, size_t start, size_t end, enum leaf_type type, uint8_t quoting) MUST_CHECK;

/* The path of a leaf. */
int scan_path(const struct scan *s, const struct leaf *l, struct buffer *out) MUST_CHECK;

/* --- text */
/* Length of the UTF-8 sequence at p (n bytes left), 0 if it is none (RFC 3629). */
size_t utf8_length(const char *p, size_t n);
uint32_t utf8_decode(const char *p, size_t length);
int utf8_add(struct buffer *b, uint32_t code) MUST_CHECK;
/* The whole text; reports where it is not. */
int scan_check_utf8(struct scan *s) MUST_CHECK;
/* Length of a byte order mark at the beginning of the file: 0 or 3. */
size_t scan_bom(const struct scan *s);

#endif

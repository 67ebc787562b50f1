/* Everything that a started volume shows, by walking its tree. */
#ifndef COFFER_TESTS_CRASH_OBSERVE_H
#define COFFER_TESTS_CRASH_OBSERVE_H

#include "fs/engine.h"
#include "pages.h"

struct seen_xattr {
	char *name;
	uint8_t *value;
	size_t size;
};

/* An entry: an object under one of its names. */
struct seen {
	uint64_t parent, ino; /* of the store: the same in every state that is built */
	char *name;           /* empty for the root */
	size_t up;            /* where its directory stands in the list */
	mode_t mode;
	uint64_t size;
	struct pages data;
	char *target;
	struct seen_xattr *xattrs;
	size_t xattr_count, xattr_room;
	int error;        /* what refused, negative */
	const char *what; /* the operation that was refused */
	bool retried;     /* the first try was refused */
};

struct snapshot {
	struct seen *list; /* parents first; [0] is the root */
	size_t count, room;
	uint64_t undecryptable; /* names */
};

void observe(struct engine *e, struct snapshot *out);
void snapshot_free(struct snapshot *s);
/* NULL: they show the same.  Else what differs, in a static buffer. */
const char *snapshot_differs(const struct snapshot *a, const struct snapshot *b);
void snapshot_path(const struct snapshot *s, size_t at, char *out, size_t size);

#endif

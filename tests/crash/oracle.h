/* What a volume has to show after a crash: the history of everything that was done to it, and what was promised when.
 *
 * Every operation has a begin and an end: how many calls of the store were recorded before and after it.  At a cut behind k calls it
 * is answered if its end is at most k, and begun if its begin is below k.  A promise holds from the end of the operation that gives it
 * (fsync, fsyncdir, a checkpoint, unmounting) and speaks of what was answered before that operation began.
 *
 * What is required (the numbers are those of the durability contract):
 *   (1) A file has its content as it was promised, or as it was later.  So have its mode and attributes, by fsync but not fdatasync.
 *   (2) Nothing ever answers with an error.  (F4 allows one request to fail: a second try has to work.)
 *   (3) A file's content is one that it had since what was promised; or, of one write, a first part that ends where a page of the file
 *       ends; of one punched hole any of its pages.  If nothing was promised of the file, or only that it is empty, a first part
 *       of any of these will do.
 *   (4) After a kill that is what was answered last, or what the operation under way makes of it.
 *   (8) Where one file has replaced another by rename, the new one is whole as it was when renamed, or later.
 *   names  A name is promised, there or not there, by fsyncdir of its directory or unmounting.  The store that orders metadata (ORDERED)
 *       also promises the names of a file, and of the directories above it, at its fsync: engine (7).  A directory that is not there itself
 *       promises nothing of its names.  An entry is only seen if it was there at some time since.  An object whose name was
 *       promised, and that was only moved since, is to be found under one of its names.
 *   ids  In the STRICT model a directory of which nothing was ever promised, nor of anything in it, may be unreadable for want of its id,
 *       and a long name that was not promised may not decrypt for want of its sidecar: SIDE records are not synced before the name
 *       appears.  That is counted, not complained of. */
#ifndef COFFER_TESTS_CRASH_ORACLE_H
#define COFFER_TESTS_CRASH_ORACLE_H

#include "observe.h"
#include "survive.h"

enum how { HOW_WHOLE, HOW_WRITE, HOW_PAGES };

struct version {
	size_t begin, end;
	uint64_t size;
	struct pages data;
	enum how how;    /* it came from the one before */
	uint64_t off, n; /* of a write */
};

/* One attribute at one time. */
struct fact {
	size_t begin, end;
	char *key; /* "mode", or an attribute's name */
	uint8_t *value;
	size_t size;
	bool absent;
};

struct promise {
	size_t from, at; /* of what was answered when it was asked for; holds from here on */
};

struct object {
	uint64_t ino, node, lookups; /* node 0: has to be looked up */
	uint64_t ino_before;         /* of a link that was sealed again; 0: none */
	mode_t type;
	char *target;
	struct version *versions;
	size_t version_count, version_room;
	struct fact *facts;
	size_t fact_count, fact_room;
	struct promise *content, *attributes, *names; /* names: of the entries of a directory */
	size_t content_count, content_room, attributes_count, attributes_room, names_count, names_room;
	size_t readable_at; /* a directory's id is promised from here on */
};

struct binding {
	unsigned dir, object;
	char *name;
	size_t made_begin, made_end, gone_begin, gone_end; /* SIZE_MAX: not gone */
	unsigned made_by, gone_by;                         /* numbers of operations */
	bool moved;                                        /* gone by being renamed */
	bool replaces;                                     /* another file by rename */
	size_t version;                                    /* of the object when renamed */
	struct promise *promises;                          /* ORDERED only */
	size_t promise_count, promise_room;
};

enum { ORACLE_ROOT = 0 };

struct oracle {
	struct object *objects;
	size_t object_count, object_room;
	struct binding *bindings;
	size_t binding_count, binding_room;
	unsigned operation;
};

/* What is asked of a state. */
struct view {
	size_t done, begun; /* operations that end at most there are answered; that begin below are begun */
	enum crash_model model;
	bool exact; /* (4) */
};

void oracle_init(struct oracle *o, uint64_t root_ino);
void oracle_free(struct oracle *o);

/* --- writing history (by acts.c; each between the begin and end of one operation) */
unsigned oracle_object(struct oracle *o, uint64_t ino, mode_t type, const char *target, size_t begin, size_t end);
struct version *oracle_version(struct oracle *o, unsigned object, enum how how, size_t begin,
			       size_t end); /* a copy of the last */
void oracle_fact(struct oracle *o, unsigned object, const char *key, const void *value, size_t size, bool absent,
		 size_t begin, size_t end);
void oracle_bind(struct oracle *o, unsigned dir, const char *name, unsigned object, bool replaces, size_t begin,
		 size_t end);
struct binding *oracle_bound(struct oracle *o, unsigned dir, const char *name); /* now; NULL: nothing */
struct binding *oracle_name_of(struct oracle *o, unsigned object);              /* one of its names now */
void oracle_unbind(struct oracle *o, struct binding *b, bool moved, size_t begin, size_t end);
void oracle_promise_content(struct oracle *o, unsigned object, size_t from, size_t at);
void oracle_promise_attributes(struct oracle *o, unsigned object, size_t from, size_t at);
void oracle_promise_names(struct oracle *o, unsigned dir, size_t from, size_t at);
/* The names of an object and of all above it, as ORDERED promises them; the ids above it, in every model. */
void oracle_promise_way(struct oracle *o, unsigned object, size_t from, size_t at);

/* --- judging */
struct verdict {
	char text[1024]; /* the first complaint; empty: none */
	unsigned violations;
	unsigned unreadable; /* directories and names of which nothing was promised */
	unsigned retried;
};
void oracle_judge(const struct oracle *o, const struct view *v, const struct snapshot *s, struct verdict *out);

#endif

/* Moving what lies on the volume to the active generation: one pass over all of it (docs/keys.md, "Re-encryption").
 *
 * Each scope has a target of its own (zone.h).
 *
 *  1. What is of the target generation already is left alone: a pass that was cut short is begun again from the start, and only looks at what
 *     it did.
 *  2. Directories come before what is in them: their id records and the names in them, then attributes, links, contents.
 *  3. Each step is a change like those of programs: through the journal, under the same locks, inside the gate of a freeze.  It shows in no
 *     attribute that `ls -l` shows.
 *  4. Nothing is older than the target when a pass that began after every operation with older keys had ended found nothing, could look at
 *     everything, and then a tick brought everything in place.
 *
 * The names of one directory move in steps of their own (rekey_names.c); meanwhile its record names both generations. */
#ifndef COFFER_FS_REKEY_H
#define COFFER_FS_REKEY_H

#include "fs/names.h"

struct rekey {
	struct engine *e;
	bool measure_only;            /* nothing is opened: only `seen` and `passed` are found out */
	bool count_only;              /* nothing is changed: what needs `generation` is counted */
	uint32_t targets[SCOPES_MAX]; /* by scope, unless only counted; 0: what is there is left alone */
	uint32_t generation;          /* if only counted, the one in question; else the target of the object at hand */
	bool touch; /* times of change of files move by a nanosecond, for tools that compare only those */
	/* Between steps, after so many bytes were sealed; outside all locks.  Not 0: the pass ends with that.  NULL: nothing. */
	int (*rest)(void *data, uint64_t bytes);
	/* Something that cannot be moved, and why; a path for people.  NULL: nobody wants to know. */
	void (*stuck)(void *data, struct node *n, const char *path, int error);
	/* While only measured: each object, outside all locks.  Not 0: the pass ends with that. */
	int (*seen_one)(void *data, struct node *n, const struct store_stat *st);
	void *data;

	/* what came of it */
	uint64_t objects; /* that needed it: files, links, directories, special files */
	uint64_t seen;    /* objects looked at */
	uint64_t bytes;   /* of content, sealed again */
	uint64_t passed;  /* bytes of files that were looked at */
	uint64_t failed;  /* objects that could not be moved */
	bool missed;      /* so much was renamed meanwhile that some of it may have moved past the pass */

	/* its own */
	struct rekey_link *links; /* links with several names (rekey_link.c) */
	size_t link_count, link_room;
};

/* Targets: what is active now, in all scopes of files or in one of them.  -ENOKEY: it is locked, or one of them is. */
#define REKEY_ALL UINT32_MAX
int rekey_aim(struct rekey *k, uint32_t scope) MUST_CHECK;

/* One pass.  Not from inside an operation.  0, though some may be stuck; what `rest` returned; -ENOMEM. */
int rekey_pass(struct rekey *k) MUST_CHECK;

/* --- the parts: 1: it was older (or is counted), 0: not */

/* Of generation numbers that are met: is it what this pass is about? */
static inline bool rekey_wants(const struct rekey *k, uint32_t generation)
{
	return k->count_only ? generation == k->generation : generation != k->generation;
}

/* Around each step, if it is one of several: waits while the mount is frozen.  Not 0: what `rest` returned. */
int rekey_begin(struct rekey *k) MUST_CHECK;
void rekey_end(struct rekey *k);

/* A step in a directory that is in use: nobody else is in it, and its time of change stays. */
int rekey_hold(struct rekey *k, struct node *dir, struct timespec *mtime) MUST_CHECK;
void rekey_let_go(struct rekey *k, struct node *dir, const struct timespec *mtime);

/* The id record and the names in a directory; many steps. */
int rekey_names(struct rekey *k, struct node *dir) MUST_CHECK;
/* A step of a file's content, from *page on; *page is where the next goes on, UINT64_MAX at the end.  *bytes: sealed by it. */
int rekey_content(struct rekey *k, struct node *n, uint64_t *page, uint64_t *bytes) MUST_CHECK;
/* A symbolic link, by one of its names; the directory is held. */
int rekey_link(struct rekey *k, struct node *dir, const char *backing, const struct store_stat *st) MUST_CHECK;
void rekey_links_free(struct rekey *k);
/* The attributes of any object. */
int rekey_attributes(struct rekey *k, struct node *n) MUST_CHECK;

#endif

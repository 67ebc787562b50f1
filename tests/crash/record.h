/* What was asked of a crash store: every call that changed or synced something, in order, by inode. */
#ifndef COFFER_TESTS_CRASH_RECORD_H
#define COFFER_TESTS_CRASH_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum call_kind {
	CALL_MAKE,   /* inode `ino` as name in dir; no dir: without a name */
	CALL_LINK,   /* one more name for ino */
	CALL_UNLINK, /* the name of ino goes; a directory too */
	CALL_RENAME, /* name in dir, which is ino, becomes name2 in dir2, which was `there` */
	CALL_WRITE,
	CALL_TRUNCATE,
	CALL_PUNCH,
	CALL_ALLOCATE, /* size: the file is at least so long then; 0: space only */
	CALL_CHMOD,
	CALL_CHOWN,
	CALL_UTIMENS,
	CALL_SETXATTR, /* text is the name */
	CALL_REMOVEXATTR,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_SYNCFS,
};

struct call {
	enum call_kind kind;
	unsigned flags; /* of rename */
	uint32_t ino, dir, dir2, there;
	char *name, *name2, *text; /* text: a link's target, an attribute's name */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	uint64_t off, size;         /* size: also of data */
	uint64_t space, space_size; /* of ALLOCATE: the space that is there then */
	uint8_t *data;
	bool *fresh;           /* of a write: for each page that it touches, that it was a hole */
	struct timespec ts[2]; /* of utimens, nothing left to be filled in */
	uint64_t now;          /* the store's clock, ns */
	bool failed;           /* a sync */
	size_t done;           /* of a sync: calls that were recorded when it returned; SIZE_MAX: it has not */
};

struct record {
	struct call *calls;
	size_t count, room;
};

void call_copy(struct call *to, const struct call *from);
void call_free(struct call *c);
void record_add(struct record *r, const struct call *c); /* copies */
/* The first n calls of another record; syncs that had not returned by then never do. */
void record_copy(struct record *to, const struct record *from, size_t n);
void record_free(struct record *r);

static inline bool call_is_sync(const struct call *c)
{
	return c->kind == CALL_FSYNC || c->kind == CALL_FDATASYNC || c->kind == CALL_SYNCFS;
}
static inline bool call_is_name(const struct call *c)
{
	return c->kind <= CALL_RENAME;
}
/* Pages of a file that a write touches. */
static inline size_t call_pages(const struct call *c)
{
	return c->size ? (size_t)((c->off + c->size - 1) / 4096 - c->off / 4096 + 1) : 0;
}
/* One line for people. */
void call_print(FILE *out, const struct call *c);

#endif

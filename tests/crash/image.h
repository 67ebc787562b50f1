/* A filesystem in memory: inodes by number, copied for the price of a pointer each.
 *
 * The calls of a record are applied to it, whole (image_apply) or in parts (the functions below it).  It knows nothing of handles,
 * permissions and syncing: crash_store.c does.  Inode numbers are never used again. */
#ifndef COFFER_TESTS_CRASH_IMAGE_H
#define COFFER_TESTS_CRASH_IMAGE_H

#include "pages.h"
#include "record.h"

enum { IMAGE_ROOT = 1 };

struct image_entry {
	char *name;
	uint32_t ino;
	int64_t cookie; /* counts up in each directory */
};

struct image_xattr {
	char *name;
	uint8_t *value;
	size_t size;
};

struct inode {
	unsigned refs; /* images that have it */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	unsigned nlink;
	uint64_t size, btime_ns;
	struct timespec atime, mtime, ctime;
	struct pages data;
	char *target; /* symbolic links */
	struct image_entry *entries;
	size_t entry_count, entry_room;
	int64_t next_cookie;
	uint32_t parent; /* directories */
	struct image_xattr *xattrs;
	size_t xattr_count, xattr_room;
};

struct image {
	struct inode **inodes; /* NULL: free; [0] is not used */
	size_t count, room;
	uint64_t now; /* ns */
};

void image_init(struct image *m, uint64_t now);
void image_copy(struct image *to, const struct image *from);
void image_free(struct image *m);

const struct inode *image_inode(const struct image *m, uint32_t ino);         /* NULL: there is none */
struct inode *image_change(struct image *m, uint32_t ino);                    /* the same, to be changed */
uint32_t image_lookup(const struct image *m, uint32_t dir, const char *name); /* 0: no such name */
const struct image_xattr *image_xattr(const struct inode *i, const char *name);

/* Applies a call that was possible when it was recorded, and is on this image. */
void image_apply(struct image *m, const struct call *c);
/* True if the names are as the call needs them: what it takes is there, what it makes is not, a directory that goes is empty. */
bool image_possible(const struct image *m, const struct call *c);
/* The inode of CALL_MAKE alone, without the name; the call's names alone, where the inodes are there. */
void image_make_inode(struct image *m, const struct call *c);
void image_apply_names(struct image *m, const struct call *c);
/* Mode, owner, times, attributes. */
void image_apply_attributes(struct image *m, const struct call *c);

/* Forgets inodes without a name, and counts names. */
void image_settle(struct image *m);
void image_forget(struct image *m, uint32_t ino);

#endif

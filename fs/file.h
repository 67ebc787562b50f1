/* The content of one open regular file: its head, its cached map pages, and what is done to them.
 *
 * The functions take a node whose descriptor is in use (node_use) and do their own locking. */
#ifndef COFFER_FS_FILE_H
#define COFFER_FS_FILE_H

#include "fs/page.h"

/* A map page in memory. */
struct map {
	struct map *chain, *next_dirty;
	uint64_t first;
	unsigned height;
	bool dirty; /* differs from what its parent's entry names; never evicted */
	bool busy;  /* sealed for a checkpoint, which has not brought it in place yet; never evicted */
	struct entry entries[MAP_ENTRIES];
};

struct map_cache {
	pthread_mutex_t lock;
	struct map **buckets;
	uint32_t size, count, hand;
	struct map *dirty[HEIGHT_MAX + 1]; /* by height */
};

/* A page whose content is in the journal only. */
struct logged_page {
	uint64_t page, at; /* of its payload */
	uint32_t bytes;
};

/* By page number; an open-addressed table (logged.c).  Size 0: empty. */
struct logged {
	struct logged_page *slots;
	size_t size, count;
};

/* Pages that became holes, whole subtrees at once, and the physical bytes that held them. */
struct extents {
	struct {
		struct page_range pages;
		uint64_t begin, end;
	} * list;
	size_t count, room;
};

/* What the journal knows of a file.  Under the file's lock. */
struct file_log {
	uint8_t base[AEAD_TAG]; /* the version that the next record continues: the tag of a head */
	bool records;           /* there are some that no checkpoint has sealed */
	bool pinned;            /* the node's descriptor is pinned for them, until all is in place */
	uint64_t end;           /* number behind the last one */
	uint64_t hinted;        /* the tick in which one carried the path */
	struct logged pages;
	struct extents freed; /* holes whose space the next checkpoint gives back */
	struct page_range
		cut; /* pages that a version in place or a live record may refer to although the tree does not (W1) */
	struct page_range cut_before; /* the same, of what a checkpoint under way covers */
	uint64_t highest;             /* size that pages in place may need (C5) */
	uint64_t unsynced;            /* bytes written since the last sync (W3) */
	int64_t expected;             /* what it adds to the next checkpoint's records */
	struct job *job;              /* checkpoint under way (C1) */
	struct page_range in_place;   /* pages written in place since the last sync */
};

struct file {
	pthread_rwlock_t lock;
	atomic_uint zone; /* of the node, as of the last time that somebody locked it */
	bool loaded;
	bool has_head; /* false: physical size 0, and no file id yet */
	bool newborn;  /* its head was written first in this mount, and nothing of it has been synced (B1 to B5) */
	int refused;   /* negative errno: recovery could not use the records that continue it */
	/* All that the kernel was given of it since it was told to forget is of this version (shared.h). */
	atomic_bool as_read;
	uint64_t size_below; /* of the head in place; head.size runs ahead of it within an operation */
	struct head head;
	union {
		uint8_t content[INLINE_MAX];        /* inline */
		struct entry entries[HEAD_ENTRIES]; /* paged */
	} body;
	struct map_cache maps;
	struct file_log log;
};

void file_free(struct engine *e, struct file *f); /* NULL is fine */

ssize_t file_read(struct engine *e, struct node *n, void *buf, size_t size, uint64_t off);
ssize_t file_write(struct engine *e, struct node *n, const void *buf, size_t size, uint64_t off);
ssize_t file_append(struct engine *e, struct node *n, const void *buf, size_t size);
int file_truncate(struct engine *e, struct node *n, uint64_t size) MUST_CHECK;
/* The same, but never makes a file shorter. */
int file_grow(struct engine *e, struct node *n, uint64_t size) MUST_CHECK;
/* Makes [off, off + size) read as zeros and gives its space back.  Does not change the size. */
int file_punch(struct engine *e, struct node *n, uint64_t off, uint64_t size) MUST_CHECK;
/* Reserves the space below for [off, off + size) without changing size or content. */
int file_reserve(struct engine *e, struct node *n, uint64_t off, uint64_t size) MUST_CHECK;
int file_seek(struct engine *e, struct node *n, uint64_t off, bool hole, uint64_t *out) MUST_CHECK;
int file_size(struct engine *e, struct node *n, uint64_t *size) MUST_CHECK;
/* Notes the birth directory of a file that has no name to tell it by. */
int file_born_in(struct engine *e, struct node *n, const uint8_t directory[DIRECTORY_ID_SIZE]) MUST_CHECK;
/* The file id, for what is bound to it; writes a head if there is none. */
int file_id(struct engine *e, struct node *n, bool make, uint8_t id[16]) MUST_CHECK;

/* fsync, but for names: content, and with `metadata` the rest. */
int file_sync(struct engine *e, struct node *n, bool metadata) MUST_CHECK;
/* True if a rename over another file may go without a sync of this one, if the store orders the two (engine rule 22). */
bool file_is_ordered(struct node *n);
/* Notes a time of change that somebody asked for.  1: as a record, since the file has some; 0: the store is to be told. */
int file_set_mtime(struct engine *e, struct node *n, const struct timespec *mtime) MUST_CHECK;

#endif

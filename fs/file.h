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
	bool dirty; /* differs from the page below; never evicted */
	struct entry entries[MAP_ENTRIES];
};

struct map_cache {
	pthread_mutex_t lock;
	struct map **buckets;
	uint32_t size, count, hand;
	struct map *dirty[HEIGHT_MAX + 1]; /* by height */
};

struct file {
	pthread_rwlock_t lock;
	bool loaded;
	bool has_head;       /* false: physical size 0, and no file id yet */
	uint64_t size_below; /* of the head in place; head.size runs ahead of it within an operation */
	struct head head;
	union {
		uint8_t content[INLINE_MAX];        /* inline */
		struct entry entries[HEAD_ENTRIES]; /* paged */
	} body;
	struct map_cache maps;
};

void file_free(struct engine *e, struct file *f); /* NULL is fine */

ssize_t file_read(struct engine *e, struct node *n, void *buf, size_t size, uint64_t off);
ssize_t file_write(struct engine *e, struct node *n, const void *buf, size_t size, uint64_t off);
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

#endif

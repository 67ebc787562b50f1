/* The hash tree of a paged file: entries by page number, through the cache of map pages.
 *
 * All functions want file->lock held: read for tree_get and tree_next, write for the others; `fd` is the file's descriptor. */
#ifndef COFFER_FS_TREE_H
#define COFFER_FS_TREE_H

#include "fs/file.h"

/* Physical bytes that hold nothing any more. */
struct extents {
	struct {
		uint64_t begin, end;
	} * list;
	size_t count, room;
};

/* The entries of `count` pages from `page` on. */
int tree_get(struct engine *e, struct file *f, int fd, uint64_t page, size_t count, struct entry *out) MUST_CHECK;

/* Sets them in memory, making maps where there are none; every map on the way becomes dirty. */
int tree_set(struct engine *e, struct file *f, int fd, uint64_t page, size_t count, const struct entry *in) MUST_CHECK;

/* Makes pages [first, end) holes, whole subtrees at once, and notes what becomes free below (freed may be NULL). */
int tree_clear(struct engine *e, struct file *f, int fd, uint64_t first, uint64_t end,
	       struct extents *freed) MUST_CHECK;

/* The first page in [page, end) that is a hole, or that is none; `end` if there is no such page. */
int tree_next(struct engine *e, struct file *f, int fd, uint64_t page, uint64_t end, bool hole,
	      uint64_t *out) MUST_CHECK;

/* Allocates below what the maps over these pages need that are not there yet, so that writing them later cannot run out of
 * space.  Stores that cannot reserve: nothing happens. */
int tree_reserve(struct engine *e, struct file *f, int fd, uint64_t page, size_t count) MUST_CHECK;

/* Seals the dirty maps, children first, and writes them in place; the head's entries then name them.  The head itself is the
 * caller's.  After an error the tree is still sound: a map that could not be written is forgotten, with what was new in it. */
int tree_write_maps(struct engine *e, struct file *f, int fd, struct nonce *nonce) MUST_CHECK;

/* Forgets all maps, the dirty ones too. */
void tree_drop(struct engine *e, struct file *f);

#endif

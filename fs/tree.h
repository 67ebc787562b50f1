/* The hash tree of a paged file: entries by page number, through the cache of map pages.
 *
 * All functions want file->lock held: read for tree_get, tree_next and tree_find_map, write for the others; `fd` is the file's descriptor. */
#ifndef COFFER_FS_TREE_H
#define COFFER_FS_TREE_H

#include "fs/file.h"

/* The entries of `count` pages from `page` on. */
int tree_get(struct engine *e, struct file *f, int fd, uint64_t page, size_t count, struct entry *out) MUST_CHECK;

/* Makes ready for tree_set: loads the maps on the way, or makes them, and marks them dirty.  Afterwards tree_set of these pages cannot fail
 * until the maps are written or sealed. */
int tree_prepare(struct engine *e, struct file *f, int fd, uint64_t page, size_t count) MUST_CHECK;

/* Sets them in memory, making maps where there are none; every map on the way becomes dirty. */
int tree_set(struct engine *e, struct file *f, int fd, uint64_t page, size_t count, const struct entry *in) MUST_CHECK;

/* Makes ready for tree_clear, which then cannot fail. */
int tree_prepare_clear(struct engine *e, struct file *f, int fd, uint64_t first, uint64_t end) MUST_CHECK;

/* Makes pages [first, end) holes, whole subtrees at once, and notes what becomes free below (freed may be NULL; without
 * memory some of it is not noted). */
int tree_clear(struct engine *e, struct file *f, int fd, uint64_t first, uint64_t end,
	       struct extents *freed) MUST_CHECK;

/* The first page in [page, end) that is a hole, or that is none; `end` if there is no such page. */
int tree_next(struct engine *e, struct file *f, int fd, uint64_t page, uint64_t end, bool hole,
	      uint64_t *out) MUST_CHECK;

/* The first page below a map whose entry `wanted` says yes to; false in *found if there is none.  Maps that differ from what their entry names are
 * passed over, but not what is below them. */
int tree_find_map(struct engine *e, struct file *f, int fd, bool (*wanted)(void *data, const struct entry *map),
		  void *data, uint64_t *page, bool *found) MUST_CHECK;

/* Allocates below what the maps over these pages need that are not there yet, so that writing them later cannot run out of
 * space.  Stores that cannot reserve: nothing happens. */
int tree_reserve(struct engine *e, struct file *f, int fd, uint64_t page, size_t count) MUST_CHECK;

/* Seals the dirty maps, children first, and hands each to `put`; the head's entries then name them.  The head itself is the caller's.  After
 * an error the tree is still sound: a map that could not be put is forgotten, with what was new in it.  `keep`: the maps stay in memory
 * until tree_settle, as what was put is not in place yet; and after an error all are dirty as before. */
struct map_sink {
	int (*put)(void *data, struct layout_slot at, const uint8_t sealed[PAGE_BYTES]);
	void *data;
	bool keep;
};
int tree_seal_maps(struct engine *e, struct file *f, struct nonce *nonce, const struct map_sink *to) MUST_CHECK;
/* What was sealed before is in place; or will not be, and has to be sealed again. */
void tree_settle(struct engine *e, struct file *f, bool in_place);
/* Enters a map that is not in place, sealed as its parent's entry says (recovery; parents first).  It is dirty, as it has yet to come in
 * place. */
int tree_enter_map(struct engine *e, struct file *f, unsigned height, uint64_t first,
		   const uint8_t sealed[PAGE_BYTES]) MUST_CHECK;

#endif

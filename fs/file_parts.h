/* What the parts of a file's code share: file.c (life, head, commit), file_pages.c, file_read.c, file_write.c, file_size.c,
 * file_holes.c, change*.c, checkpoint.c, recover.c.  Nobody else includes this.
 *
 * Unless said otherwise the file is locked for writing and loaded, the node's descriptor is in use, and results are 0 or a negative
 * errno, damage already reported and turned into -EIO. */
#ifndef COFFER_FS_FILE_PARTS_H
#define COFFER_FS_FILE_PARTS_H

#include "fs/extents.h"
#include "fs/file.h"
#include "fs/map_cache.h"
#include "fs/tree.h"
#include "fs/worker.h"

enum {
	CHUNK_PAGES = IO_MAX / PAGE_BYTES, /* pages that one step reads or writes */
	HEAD_COST = 5120,                  /* of a file's head in the records of a checkpoint, with its path */
};

/* --- file.c */

/* The loaded file of an open node, locked. */
int file_lock_for_write(struct engine *e, struct node *n, struct file **out) MUST_CHECK;
int file_lock_for_read(struct engine *e, struct node *n, struct file **out) MUST_CHECK;
void file_unlock(struct file *f);
/* Whoever locks it another way and seals something says where it is (zone_of, asked before). */
void file_note_zone(struct file *f, uint32_t zone);

/* After a change in place that failed: gives the file below the size that its head in place says, forgets everything, and believes the
 * store.  A file with records is left alone: memory follows those. */
void file_fall_back(struct engine *e, struct node *n, struct file *f);

/* Draws an id and notes the birth directory, if the file has no head yet. */
int file_make_head(struct engine *e, struct node *n, struct file *f) MUST_CHECK;

/* Writes a head of this size over this body in place, and `more` bytes that lie behind it in `room` (PAGE_BYTES and those; NULL if there are
 * none).  Size and body in memory are the caller's. */
int file_write_head(struct engine *e, struct node *n, struct file *f, uint64_t size, const void *body,
		    struct nonce *nonce, uint8_t *room, size_t more) MUST_CHECK;

/* Another size; space in the journal is reserved, or may be taken from recovery's.  (file_size.c) */
int file_set_size(struct engine *e, struct node *n, struct file *f, uint64_t size) MUST_CHECK;

/* For recovery: the state of a node, locked but not loaded; and what stands in place, whatever its size. */
int file_lock_unloaded(struct node *n, struct file **out) MUST_CHECK;
int file_load_as_it_is(struct engine *e, struct node *n, struct file *f) MUST_CHECK;
/* The version in place; -ENODATA if there is no prefix of ours. */
int file_version(struct engine *e, struct node *n, uint8_t out[AEAD_TAG]) MUST_CHECK;

/* Of what was freed, keeps what the tree says is a hole: some may have been written again.  (file_holes.c) */
int file_keep_holes(struct engine *e, struct node *n, struct file *f, struct extents *freed) MUST_CHECK;
/* Gives back the space of holes. */
int file_punch_extents(struct engine *e, struct node *n, const struct extents *holes) MUST_CHECK;

/* Brings the store to what memory says of a paged file: dirty maps, then the head. */
int file_commit(struct engine *e, struct node *n, struct file *f) MUST_CHECK;

/* True if neither the tree nor the store can hold [off, off + size); asked first, so that a refusal changes nothing. */
bool file_is_too_big(const struct engine *e, uint64_t off, uint64_t size);

/* Syncs what stands in place of a file, which a failure before may ask to be written again.  Not locked.  (file_sync.c) */
int file_sync_in_place(struct engine *e, struct node *n) MUST_CHECK;

/* --- file_pages.c */

/* Reads and opens `count` (at most CHUNK_PAGES) pages into dst, one after the other; the last may be short.  A read lock is enough for
 * this one and the next. */
int file_read_pages(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count,
		    uint8_t *dst) MUST_CHECK;
/* The content of one page, zeros where it is a hole, short, or behind the end. */
int file_read_whole_page(struct engine *e, struct node *n, struct file *f, uint64_t page,
			 uint8_t out[PAGE_BYTES]) MUST_CHECK;

/* 1 if the page is a hole, 0 if not. */
int file_page_is_hole(struct engine *e, struct node *n, struct file *f, uint64_t page) MUST_CHECK;

#endif

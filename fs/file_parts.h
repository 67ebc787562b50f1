/* What the parts of a file's code share: file.c (life, head, commit), file_pages.c, file_read.c, file_write.c, file_size.c,
 * file_holes.c.  Nobody else includes this.
 *
 * Unless said otherwise the file is locked for writing and loaded, the node's descriptor is in use, and results are 0 or a negative
 * errno, damage already reported and turned into -EIO. */
#ifndef COFFER_FS_FILE_PARTS_H
#define COFFER_FS_FILE_PARTS_H

#include "fs/file.h"
#include "fs/tree.h"
#include "fs/worker.h"

enum { CHUNK_PAGES = IO_MAX / PAGE_BYTES }; /* pages that one step reads or writes */

/* --- file.c */

/* The loaded file of an open node, locked. */
int file_lock_for_write(struct engine *e, struct node *n, struct file **out) MUST_CHECK;
int file_lock_for_read(struct engine *e, struct node *n, struct file **out) MUST_CHECK;
void file_unlock(struct file *f);

/* After a change that failed: gives the file below the size that its head in place says, forgets everything, and believes the store. */
void file_fall_back(struct engine *e, struct node *n, struct file *f);

/* Draws an id and notes the birth directory, if the file has no head yet. */
int file_make_head(struct engine *e, struct node *n, struct file *f) MUST_CHECK;

/* Brings the store to what memory says of a paged file: dirty maps, then the head. */
int file_commit(struct engine *e, struct node *n, struct file *f) MUST_CHECK;

/* Gives an inline file this content, in place and in memory. */
int file_put_inline(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size) MUST_CHECK;

/* True if neither the tree nor the store can hold [off, off + size); asked first, so that a refusal changes nothing. */
bool file_is_too_big(const struct engine *e, uint64_t off, uint64_t size);

/* --- file_pages.c */

/* Reads and opens `count` (at most CHUNK_PAGES) pages into dst, one after the other; the last may be short.  A read lock is enough for
 * this one and the next. */
int file_read_pages(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count,
		    uint8_t *dst) MUST_CHECK;
/* The content of one page, zeros where it is a hole, short, or behind the end. */
int file_read_whole_page(struct engine *e, struct node *n, struct file *f, uint64_t page,
			 uint8_t out[PAGE_BYTES]) MUST_CHECK;

/* tree_reserve, tree_set and tree_clear with damage reported. */
int file_reserve_maps(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count) MUST_CHECK;
int file_set_entries(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count,
		     const struct entry *entries) MUST_CHECK;
int file_clear_pages(struct engine *e, struct node *n, struct file *f, uint64_t first, uint64_t end,
		     struct extents *freed) MUST_CHECK;

/* 1 if the page is a hole, 0 if not. */
int file_page_is_hole(struct engine *e, struct node *n, struct file *f, uint64_t page) MUST_CHECK;

/* Seals one page of `bytes` bytes in place and enters it. */
int file_write_page(struct engine *e, struct node *n, struct file *f, uint64_t page, const uint8_t *content,
		    size_t bytes) MUST_CHECK;
/* Gives the last page another length, keeping or zero-filling its content.  A hole stays one. */
int file_resize_last_page(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t bytes) MUST_CHECK;

/* Turns an inline file into a paged one in memory; its content is then page 0 in place, as long as it is in a file of new_size.  The
 * head in place stays as it was. */
int file_become_paged(struct engine *e, struct node *n, struct file *f, uint64_t new_size) MUST_CHECK;
/* Before a paged file grows past its last page: that page gets the length that it has in a file of new_size. */
int file_fill_last_page(struct engine *e, struct node *n, struct file *f, uint64_t new_size) MUST_CHECK;

#endif

/* One change of one file, from sealed pages to the store: what write, truncate, punch and the like have in common.
 *
 * A change is built (pages are sealed, nothing is touched), then committed whole or in a first part.  How depends on the file (docs/durability.md):
 * a newborn's goes in place, with a record of the pages before; any other's into the journal, and in place what nothing refers to;
 * without a journal everything goes in place at once.
 *
 * The file is locked for writing and loaded, the node's descriptor in use. */
#ifndef COFFER_FS_CHANGE_H
#define COFFER_FS_CHANGE_H

#include "fs/file_parts.h"
#include "fs/record.h"

enum { CHANGE_ROOM = CHUNK_PAGES + 2 };

struct change {
	struct engine *e;
	struct node *n;
	struct file *f;
	struct nonce nonce;
	uint64_t size;                /* of the file afterwards */
	const struct timespec *mtime; /* NULL: it is a change of content, now */
	struct page_range clear;      /* becomes a hole first */
	uint32_t count;
	uint32_t old;    /* so many of the pieces only make room for the others: they are not committed alone */
	uint8_t *sealed; /* of the pieces, one behind the other; a page is free before it */
	size_t bytes;
	struct piece pieces[CHANGE_ROOM];
};

/* What a write of so many bytes needs of the journal at most.  Reserved before the file is locked. */
size_t change_cost(size_t bytes);
int change_reserve(struct engine *e, size_t cost) MUST_CHECK;
void change_release(struct engine *e, size_t cost);

int change_begin(struct change *c, struct engine *e, struct node *n, struct file *f, uint64_t size) MUST_CHECK;
/* Seals a page, as long as it is in a file of the change's size.  Pages in ascending order. */
int change_page(struct change *c, uint64_t page, const uint8_t *content) MUST_CHECK;
/* Before the file grows past its last page: that page, longer; or the content of an inline file that becomes paged.  Unless the change writes
 * it itself (`first` is the first page that it does). */
int change_old_end(struct change *c, uint64_t first) MUST_CHECK;

/* Brings it about.  *done: how many pieces; all, or after an error fewer, with a size that goes so far. */
int change_commit(struct change *c, uint32_t *done) MUST_CHECK;
/* The file becomes or stays inline, with this content. */
int change_commit_inline(struct engine *e, struct node *n, struct file *f, const uint8_t *content,
			 uint64_t size) MUST_CHECK;
/* The content of an inline file that is not newborn, sealed again by a record; its time of change stays this one. */
int change_reseal_inline(struct engine *e, struct node *n, struct file *f, const struct timespec *mtime) MUST_CHECK;
/* No page changes: another time of change, as a record. */
int change_commit_time(struct engine *e, struct node *n, struct file *f, const struct timespec *mtime) MUST_CHECK;

/* What a record says with its first `pieces` pieces, done to memory: at recovery. */
int change_replay(struct engine *e, struct node *n, struct file *f, const struct change_record *r, uint32_t pieces,
		  uint64_t size, const uint8_t *payload, uint64_t payload_at) MUST_CHECK;

#endif

/* What the parts of a change share: change.c (building, and which way), change_in_place.c, change_logged.c, change_replay.c.  Nobody
 * else includes this. */
#ifndef COFFER_FS_CHANGE_PARTS_H
#define COFFER_FS_CHANGE_PARTS_H

#include "fs/change.h"
#include "fs/journal.h"
#include "fs/rules.h"

enum { NEWBORN_PAGES = 60 }; /* no newborn has more: it needs no map */

/* --- change.c */

void change_join_range(struct page_range *r, uint64_t first, uint64_t end);
void change_set_size(struct file *f, uint64_t size);
/* Makes the cleared pages holes; a version in place may still refer to them, so their space is given back by a checkpoint. */
void change_clear_in_memory(struct engine *e, struct node *n, struct file *f, const struct page_range *clear);
/* How far the file goes when only the first `done` pieces are there. */
uint64_t change_size_with(const struct change *c, uint32_t done);

/* --- change_in_place.c */

/* Writes pieces [from, to), which may lie apart, in place; returns how many. */
uint32_t change_write_pieces(struct change *c, uint32_t from, uint32_t to, int *error);
/* Gives the file below the size that belongs to this one. */
int change_cut_below(struct change *c, uint64_t size) MUST_CHECK;
/* True if the file has nothing yet and gets all of its pages, none of which needs a map: then those and the head go in one write. */
bool change_is_first(const struct change *c);
int change_write_first(struct change *c) MUST_CHECK;
int change_commit_in_place(struct change *c, bool newborn, uint32_t *done) MUST_CHECK;

/* --- change_logged.c */

void change_note_mtime(struct timespec *out);
/* One CHANGE of the file in the ring; says where the file is, if the ring does not know yet. */
int change_append(struct change *c, struct change_record *r, const struct journal_part *payload, unsigned parts,
		  struct journal_mark *begin, uint64_t *payload_at) MUST_CHECK;
int change_commit_logged(struct change *c, uint32_t *done) MUST_CHECK;
/* mtime: as in struct change. */
int change_put_inline_logged(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size,
			     const struct timespec *mtime) MUST_CHECK;

#endif

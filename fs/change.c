#include "fs/change.h"

#include <errno.h>
#include <string.h>

#include "fs/change_parts.h"
#include "fs/checkpoint.h"
#include "fs/damage.h"
#include "fs/descriptor.h"
#include "fs/dirty.h"
#include "fs/logged.h"
#include "fs/node.h"
#include "util/base/log.h"

/* Invariants (docs/durability.md):
 *  (B1, B2) a newborn's changes go in place: an inline one's head at once; of pages first the record, then those, then the head.
 *  (B5) who leaves that state does not come back; (B5h) and has a head in place before a record names it. */

static_assert((int)CHANGE_ROOM <= (int)CHANGE_PIECES_MAX, "a change fits one record");

size_t change_cost(size_t bytes)
{
	size_t pages = bytes / PAGE_BYTES + 4;

	return journal_cost(change_record_size((uint32_t)pages, RECORD_PATH_MAX), pages * PAGE_BYTES);
}

int change_reserve(struct engine *e, size_t cost)
{
	int r;

	if (!e->journal)
		return 0;
	r = journal_failure(e->journal);
	if (r < 0)
		return -EROFS;
	/* Files with records keep their descriptors: before those run out, what they hold is brought in place. */
	if (descriptor_crowded(e) && checkpoint_run(e) < 0)
		log_warning("too many files with changes, and not all can be brought in place");
	return journal_reserve(e->journal, cost);
}

void change_release(struct engine *e, size_t cost)
{
	if (e->journal)
		journal_release(e->journal, cost);
}

/* ------------------------------------------------------------------ building */

int change_begin(struct change *c, struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	uint8_t *room = worker_buffer();

	c->e = e;
	c->n = n;
	c->f = f;
	c->size = size;
	c->mtime = NULL;
	c->clear = (struct page_range){0, 0};
	c->count = c->old = 0;
	c->bytes = 0;
	if (!room)
		return -ENOMEM;
	c->sealed = room + PAGE_BYTES;

	int r = file_make_head(e, n, f);

	return r < 0 ? r : nonce_start(&c->nonce);
}

int change_page(struct change *c, uint64_t page, const uint8_t *content)
{
	struct page_place where = {c->f->zone, c->f->head.file_id, PAGE_DATA, 0, page};
	struct piece *p = &c->pieces[c->count];
	int r;

	assert(c->count < CHANGE_ROOM);
	p->page = page;
	p->bytes = layout_page_bytes(c->size, page);
	p->in_payload = false;
	p->in_place = true;
	p->to_reserve = false;
	r = page_seal(c->e, &where, &c->nonce, content, p->bytes, c->sealed + c->bytes, &p->entry);
	if (r < 0)
		return r;
	c->bytes += p->bytes;
	c->count++;
	return 0;
}

int change_old_end(struct change *c, uint64_t first)
{
	struct file *f = c->f;
	uint64_t size = f->head.size, last = layout_pages(size) - 1;
	uint8_t content[PAGE_BYTES];
	int r;

	if (size == 0 || last >= first ||
	    (layout_is_paged(size) && layout_page_bytes(c->size, last) <= layout_page_bytes(size, last)))
		return 0;
	r = file_page_is_hole(c->e, c->n, f, last);
	if (r != 0)
		return r < 0 ? r : 0;
	r = file_read_whole_page(c->e, c->n, f, last, content);
	if (r == 0)
		r = change_page(c, last, content);
	if (r == 0)
		c->old = c->count;
	return r;
}

/* ------------------------------------------------------------------ memory */

void change_join_range(struct page_range *r, uint64_t first, uint64_t end)
{
	if (first >= end)
		return;
	if (r->first == r->end)
		*r = (struct page_range){first, end};
	r->first = r->first < first ? r->first : first;
	r->end = r->end > end ? r->end : end;
}

/* Makes the cleared pages holes; a version in place may still refer to them, so their space is given back by a checkpoint. */
void change_clear_in_memory(struct engine *e, struct node *n, struct file *f, const struct page_range *clear)
{
	uint64_t pages = layout_pages(f->head.size), end = clear->end < pages ? clear->end : pages;

	if (clear->first >= clear->end)
		return;
	change_join_range(&f->log.cut, clear->first, end);
	logged_remove_range(&f->log.pages, clear->first, clear->end);
	/* What is cut off the end gives its space back with the size. */
	if (layout_is_paged(f->head.size) &&
	    tree_clear(e, f, n->fd, clear->first, clear->end, clear->end < layout_max_pages ? &f->log.freed : NULL) < 0)
		assert(!"a prepared tree_clear cannot fail");
}

void change_set_size(struct file *f, uint64_t size)
{
	f->head.size = size;
	if (f->log.highest < size)
		f->log.highest = size;
}

/* How far the file goes when only the first `done` pieces are there. */
uint64_t change_size_with(const struct change *c, uint32_t done)
{
	const struct piece *p = &c->pieces[done - 1];
	uint64_t end = (p->page << PAGE_SHIFT) + p->bytes;

	if (done == c->count)
		return c->size;
	return end > c->f->head.size ? end : c->f->head.size;
}

/* ------------------------------------------------------------------ which way */

/* (B5h) No record names a file that has no head in place. */
static int put_empty_newborn(struct engine *e, struct node *n, struct file *f)
{
	static const uint8_t none[INLINE_MAX];
	struct nonce nonce;
	int r = nonce_start(&nonce);

	if (r == 0)
		r = file_write_head(e, n, f, 0, none, &nonce, NULL, 0);
	if (r == 0)
		dirty_in_place(e, n);
	return r;
}

/* True if the change of a file goes in place, as it is newborn (B1, B2).  Else the file is newborn no more (B5). */
static int stays_newborn(struct engine *e, struct node *n, struct file *f, uint64_t size, bool *newborn)
{
	int r = 0;

	*newborn = (f->newborn || !f->has_head) && !f->log.pinned && layout_pages(size) <= NEWBORN_PAGES &&
		   layout_pages(f->head.size) <= NEWBORN_PAGES;
	if (*newborn) {
		f->newborn = true;
		return 0;
	}
	if (!f->has_head && RULE(B5h)) {
		f->newborn = true;
		r = put_empty_newborn(e, n, f);
	}
	f->newborn = false;
	return r;
}

/* Loads what the commit will change in memory, and reserves the space that new maps need (W4). */
static int prepare(struct change *c)
{
	struct file *f = c->f;
	int r = 0;

	for (uint32_t i = 0, n; i < c->count && r == 0; i += n) {
		uint64_t page = c->pieces[i].page;

		for (n = 1; i + n < c->count && c->pieces[i + n].page == page + n; n++)
			;
		r = RULE(W4) ? tree_reserve(c->e, f, c->n->fd, page, n) : 0;
		if (r == 0)
			r = tree_prepare(c->e, f, c->n->fd, page, n);
	}
	if (r == 0 && c->clear.first < c->clear.end && layout_is_paged(f->head.size))
		r = tree_prepare_clear(c->e, f, c->n->fd, c->clear.first, c->clear.end);
	return damage_report(c->e, c->n, r, "map over or behind page", c->count ? c->pieces[0].page : c->clear.first);
}

static int commit_paged(struct change *c, uint32_t *done)
{
	bool newborn = false;
	int r = 0;

	if (c->e->journal)
		r = stays_newborn(c->e, c->n, c->f, c->size, &newborn);
	if (r < 0)
		return r;
	if (change_is_first(c)) {
		r = change_write_first(c);
		*done = r < 0 ? 0 : c->count;
		dirty_in_place(c->e, c->n);
		return r;
	}
	r = prepare(c);
	if (r < 0)
		return r;
	if (c->e->journal && !newborn)
		return change_commit_logged(c, done);
	r = change_commit_in_place(c, newborn, done);
	/* The head says it all now, or, after an error, the one before does. */
	if (newborn)
		dirty_drop_records(c->e, c->n, NULL);
	dirty_in_place(c->e, c->n);
	return r;
}

int change_commit(struct change *c, uint32_t *done)
{
	struct file *f = c->f;
	bool was_inline = !layout_is_paged(f->head.size);
	uint8_t saved[INLINE_MAX];
	int r;

	*done = 0;
	/* The content of an inline file, if there is any, is among the pieces. */
	if (was_inline) {
		memcpy(saved, f->body.content, sizeof saved);
		memset(&f->body, 0, sizeof f->body);
	}
	r = commit_paged(c, done);
	if (r < 0 && was_inline && !layout_is_paged(f->head.size)) {
		maps_drop(c->e, f);
		memcpy(f->body.content, saved, sizeof saved);
	}
	return r;
}

/* ------------------------------------------------------------------ inline */

static int put_inline_in_place(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size)
{
	uint64_t below = f->size_below;
	struct nonce nonce;
	int r = nonce_start(&nonce);

	if (r == 0)
		r = file_write_head(e, n, f, size, content, &nonce, NULL, 0);
	dirty_in_place(e, n);
	if (r == 0 && size < below)
		r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));
	return r;
}

int change_commit_inline(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size)
{
	bool newborn = true;
	int r = file_make_head(e, n, f);

	if (r == 0 && e->journal)
		r = stays_newborn(e, n, f, size, &newborn);
	if (r == 0)
		r = newborn ? put_inline_in_place(e, n, f, content, size)
			    : change_put_inline_logged(e, n, f, content, size, NULL);
	if (r < 0)
		return r;
	maps_drop(e, f);
	logged_remove_range(&f->log.pages, 0, layout_max_pages);
	memset(&f->body, 0, sizeof f->body);
	memcpy(f->body.content, content, size);
	change_set_size(f, size);
	return 0;
}

int change_reseal_inline(struct engine *e, struct node *n, struct file *f, const struct timespec *mtime)
{
	return change_put_inline_logged(e, n, f, f->body.content, f->head.size, mtime);
}

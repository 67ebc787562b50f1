/* In place: newborn files, and all without a journal. */
#include <errno.h>
#include <string.h>

#include "fs/change_parts.h"

/* Invariant: the head in place says what stands in place once it has been written; until then the one before does. */

/* ------------------------------------------------------------------ pieces */

/* Writes pieces [from, to), which may lie apart, in place; returns how many.  A run that fails is tried again page by page: on a full store its
 * first page may well fit, and may have been written over already. */
uint32_t change_write_pieces(struct change *c, uint32_t from, uint32_t to, int *error)
{
	uint32_t longest = to - from, at = from;
	size_t offset = 0;

	for (uint32_t i = 0; i < from; i++)
		offset += c->pieces[i].bytes;
	*error = 0;
	while (at < to) {
		uint64_t page = c->pieces[at].page, run = layout_run(page);
		size_t bytes = 0;
		uint32_t n = 0;

		while (at + n < to && n < run && n < longest && c->pieces[at + n].page == page + n)
			bytes += c->pieces[at + n++].bytes;

		ssize_t put = store_pwrite(c->e->store, c->n->fd, c->sealed + offset, bytes,
					   layout_physical_page(page) << PAGE_SHIFT);

		if (put >= 0) {
			at += n;
			offset += bytes;
		} else if (n > 1) {
			longest = 1;
		} else {
			*error = (int)put;
			break;
		}
	}
	return at - from;
}

/* The pages that are holes now come first: what a full store refuses has then cost nothing that was there. */
static uint32_t write_all(struct change *c, int *error)
{
	uint32_t done = change_write_pieces(c, c->old, c->count, error);

	if (done + c->old < c->count && done == 0)
		return 0;

	int r;

	if (change_write_pieces(c, 0, c->old, &r) < c->old) {
		*error = r;
		return 0;
	}
	return c->old + done;
}

static int enter_pieces(struct change *c, uint32_t done)
{
	int r = 0;

	for (uint32_t i = 0, n; i < done && r == 0; i += n) {
		struct entry entries[CHANGE_ROOM];

		for (n = 0; i + n < done && c->pieces[i + n].page == c->pieces[i].page + n; n++)
			entries[n] = c->pieces[i + n].entry;
		r = tree_set(c->e, c->f, c->n->fd, c->pieces[i].page, n, entries);
	}
	return r;
}

int change_cut_below(struct change *c, uint64_t size)
{
	return c->e->store->ops->truncate(c->e->store, c->n->fd, layout_physical_size(size, true));
}

/* ------------------------------------------------------------------ the first content of a file */

bool change_is_first(const struct change *c)
{
	return !c->f->has_head && c->count && c->pieces[0].page == 0 && c->count == layout_pages(c->size) &&
	       c->count <= NEWBORN_PAGES;
}

/* The first content of a file, if it needs no map: head and pages in one write, the head first. */
int change_write_first(struct change *c)
{
	struct entry entries[HEAD_ENTRIES] = {0};
	int r;

	for (uint32_t i = 0; i < c->count; i++)
		entries[i] = c->pieces[i].entry;
	r = file_write_head(c->e, c->n, c->f, c->size, entries, &c->nonce, c->sealed - PAGE_BYTES, c->bytes);
	if (r < 0)
		return r;
	memcpy(c->f->body.entries, entries, sizeof entries);
	c->f->head.size = c->size;
	return 0;
}

/* ------------------------------------------------------------------ any other */

/* (B2) Before a newborn's pages change in place: what they will be. */
static int log_newborn(struct change *c)
{
	struct change_record r = {
		.size = c->size, .clear = c->clear, .count = c->count, .old = c->old, .pieces = c->pieces};

	change_note_mtime(&r.mtime);
	return change_append(c, &r, NULL, 0, NULL, NULL);
}

/* Without a journal a store that refuses another size says so before anything has changed. */
static int resize_first(const struct change *c)
{
	bool shrinks = c->size < c->f->head.size, grows_by_size = c->count <= c->old && c->size > c->f->head.size;

	return shrinks || grows_by_size ? change_cut_below((struct change *)c, c->size) : 0;
}

int change_commit_in_place(struct change *c, bool newborn, uint32_t *done)
{
	_cleanup_(extents_free) struct extents freed = {0};
	struct file *f = c->f;
	/* What is cut off the end gives its space back with the size. */
	struct extents *note = c->clear.end < layout_max_pages ? &freed : NULL;
	bool shrinks = c->size < f->size_below || !layout_is_paged(c->size);
	int error = 0, r = newborn ? 0 : resize_first(c);

	if (r == 0 && newborn && f->has_head && RULE(B2order))
		r = log_newborn(c);
	*done = r == 0 ? write_all(c, &error) : 0;
	if (r == 0 && *done < c->count && *done <= c->old)
		return error;
	if (r == 0 && c->clear.first < c->clear.end)
		r = tree_clear(c->e, f, c->n->fd, c->clear.first, c->clear.end, note);
	if (r == 0)
		r = enter_pieces(c, *done);
	if (r < 0)
		return r;
	f->head.size = *done < c->count ? change_size_with(c, *done) : c->size;
	/* What failed may have reached behind the end. */
	if (*done < c->count)
		r = change_cut_below(c, f->head.size);
	else if (newborn && c->count <= c->old && c->size > f->size_below)
		r = change_cut_below(c, c->size);
	if (r == 0)
		r = file_commit(c->e, c->n, f);
	if (r == 0 && newborn && shrinks)
		r = change_cut_below(c, f->head.size);
	if (r == 0)
		r = file_keep_holes(c->e, c->n, f, &freed);
	return r < 0 ? r : file_punch_extents(c->e, c->n, &freed);
}

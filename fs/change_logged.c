/* Through the journal: records, and in place what nothing refers to (W1 to W4). */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <time.h>

#include "fs/change_parts.h"
#include "fs/dirty.h"
#include "fs/logged.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/side.h"
#include "util/base/log.h"

/* Invariants (docs/durability.md; there PAGE is a piece in a record's payload, ENTRY one in place):
 *  (W1) a page that the version in place or a live record refers to is never overwritten in place here.  The tree's entries say
 *       what they refer to, but for pages that were cut off: those are in log.cut and log.cut_before until no record needs them.
 *  (W2) the store has pages and records before the caller is answered: memory follows the records, never the other way round.
 *  (W3) small writes use PAGE even where W1 allows in place.  A page that nothing refers to is then written in place as well: that
 *       allocates what the checkpoint will need (W4), so that ENOSPC is the writer's, and the checkpoint need not write it again. */

enum { SMALL = 64 << 10 }; /* bytes since the last sync that go into the journal in any case (W3) */

/* ------------------------------------------------------------------ records */

void change_note_mtime(struct timespec *out)
{
	clock_gettime(CLOCK_REALTIME_COARSE, out);
}

/* (W4) Where blocks are smaller than pages, a page may have only some of its own. */
static int reserve_page(struct engine *e, struct node *n, uint64_t physical)
{
	int r = e->store->ops->fallocate(e->store, n->fd, FALLOC_FL_KEEP_SIZE, physical << PAGE_SHIFT, PAGE_BYTES);

	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

/* The file has a record more: it stays open and in memory until that is in place, and its head has a whole page. */
static int pin_for_record(struct engine *e, struct node *n, struct file *f)
{
	int r = 0;

	if (!f->log.pinned && e->caps.block < PAGE_BYTES)
		r = reserve_page(e, n, 0);
	if (r == 0 && !f->log.pinned)
		r = node_pin(e, n);

	if (r < 0)
		return r;
	if (!f->log.pinned)
		f->log.highest = f->head.size;
	f->log.pinned = true;
	return 0;
}

static void note_record(struct engine *e, struct file *f, const struct journal_mark *begin)
{
	f->log.end = begin->number + 1;
	if (f->log.records)
		return;
	f->log.records = true;
	f->log.expected += HEAD_COST;
	journal_expect(e->journal, HEAD_COST);
}

/* (N1) The first record after each tick says where the file is; true if it is nowhere, which another record is to say (N2). */
static bool add_hint(struct engine *e, struct node *n, struct file *f, char path[RECORD_PATH_MAX],
		     struct record_path *hint)
{
	*hint = (struct record_path){path, 0};
	if (f->log.hinted == e->ticks + 1)
		return false;
	hint->size = names_backing_path(e, n, path, RECORD_PATH_MAX);
	f->log.hinted = e->ticks + 1;
	return hint->size == 0 && !node_has_name(e, n);
}

/* One CHANGE of the file in the ring. */
int change_append(struct change *c, struct change_record *r, const struct journal_part *payload, unsigned parts,
		  struct journal_mark *begin, uint64_t *payload_at)
{
	_cleanup_free_ uint8_t *body = malloc(RECORD_BODY_MAX);
	char path[RECORD_PATH_MAX];
	bool nameless;
	int result;

	if (!body)
		return -ENOMEM;
	memcpy(r->file_id, c->f->head.file_id, 16);
	memcpy(r->base, c->f->log.base, AEAD_TAG);
	nameless = add_hint(c->e, c->n, c->f, path, &r->hint);
	dirty_keep_records(c->e, c->n);
	result = journal_append(c->e->journal, RECORD_CHANGE, body, change_record_encode(r, body), payload, parts,
				begin, payload_at);
	r->hint = (struct record_path){NULL, 0};
	if (result < 0)
		c->f->log.hinted = 0;
	else if (nameless)
		side_log_nameless(c->e, c->n, r->file_id);
	return result;
}

static int append_change(struct change *c, struct change_record *r, const struct journal_part *payload, unsigned parts,
			 uint64_t *payload_at)
{
	struct journal_mark begin = journal_end(c->e->journal);
	/* Without (W2) the store has the pages, and only memory what they are. */
	bool left_out = !RULE(W2) && parts == 0;
	int result = left_out ? 0 : change_append(c, r, payload, parts, &begin, payload_at);

	if (result == 0)
		note_record(c->e, c->f, &begin);
	return result;
}

/* ------------------------------------------------------------------ pieces */

static bool in_range(const struct page_range *r, uint64_t page)
{
	return page >= r->first && page < r->end;
}

/* A page whose last blocks may have no place below yet. */
static bool gets_longer(const struct change *c, uint32_t i)
{
	const struct piece *p = &c->pieces[i];
	uint64_t size = c->f->head.size;

	return c->e->caps.block < PAGE_BYTES && layout_is_paged(size) && p->page + 1 == layout_pages(size) &&
	       p->bytes > layout_page_bytes(size, p->page);
}

/* Finds out how each piece goes (W1, W3). */
static int choose(struct change *c)
{
	struct file *f = c->f;
	bool small = RULE(W3) && f->log.unsynced + c->bytes <= SMALL;

	for (uint32_t i = 0; i < c->count; i++) {
		struct entry now;
		uint64_t page = c->pieces[i].page;
		int r = tree_get(c->e, f, c->n->fd, page, 1, &now);

		if (r < 0)
			return r;

		bool cut = (RULE(W1live) && in_range(&f->log.cut, page)) ||
			   (RULE(W1both) && in_range(&f->log.cut_before, page));

		c->pieces[i].in_place = !RULE(W1) || (entry_is_hole(&now) && !cut);
		c->pieces[i].in_payload = small || !c->pieces[i].in_place;
		c->pieces[i].to_reserve = !c->pieces[i].in_place && (entry_is_hole(&now) || gets_longer(c, i));
	}
	return 0;
}

/* (W4) Also a page that was cut off, and is written again while a version in place may still name it: a checkpoint may have given its space
 * back. */
static int reserve_pieces(struct change *c)
{
	int r = 0;

	for (uint32_t i = 0; i < c->count && r == 0; i++)
		if (c->pieces[i].to_reserve && RULE(W4))
			r = reserve_page(c->e, c->n, layout_physical_page(c->pieces[i].page));
	return r;
}

/* The places of pieces that follow one another. */
static int reserve_run(const struct change *c, uint32_t from, uint32_t to)
{
	int r = 0;

	for (uint32_t at = from, n; at < to && r == 0; at += n) {
		uint64_t page = c->pieces[at].page, run = layout_run(page);

		for (n = 1; at + n < to && n < run && c->pieces[at + n].page == page + n; n++)
			;
		r = c->e->store->ops->fallocate(c->e->store, c->n->fd, FALLOC_FL_KEEP_SIZE,
						layout_physical_page(page) << PAGE_SHIFT, (uint64_t)n * PAGE_BYTES);
	}
	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

/* Pieces [from, to) in place; returns how many.  A write behind the end that fails makes ext4 give back what else is reserved there: the rest of a
 * page that a record before this one made longer (W4).  So where pages are reserved in parts, no write is tried that has no place. */
static uint32_t put_run(struct change *c, uint32_t from, uint32_t to, int *error)
{
	if (c->e->caps.block >= PAGE_BYTES || reserve_run(c, from, to) == 0)
		return change_write_pieces(c, from, to, error);
	for (uint32_t i = from; i < to; i++) {
		*error = reserve_page(c->e, c->n, layout_physical_page(c->pieces[i].page));
		if (*error < 0 || change_write_pieces(c, i, i + 1, error) < 1)
			return i - from;
	}
	return to - from;
}

/* Writes in place what may go there.  Returns how many pieces, from the first, can now be named. */
static uint32_t put_in_place(struct change *c, int *error)
{
	*error = 0;
	for (uint32_t i = 0, n; i < c->count; i += n) {
		for (n = 1; i + n < c->count && c->pieces[i + n].in_place == c->pieces[i].in_place; n++)
			;
		if (!c->pieces[i].in_place)
			continue;

		uint32_t done = put_run(c, i, i + n, error);

		if (done < n)
			return i + done;
	}
	return c->count;
}

/* The contents that a record carries, as runs of the sealed pages. */
static unsigned gather(const struct change *c, uint32_t from, uint32_t to, struct journal_part parts[CHANGE_ROOM])
{
	const uint8_t *at = c->sealed;
	unsigned n = 0;

	for (uint32_t i = 0; i < from; i++)
		at += c->pieces[i].bytes;
	for (uint32_t i = from; i < to; at += c->pieces[i++].bytes) {
		if (!c->pieces[i].in_payload)
			continue;
		if (n && (const uint8_t *)parts[n - 1].data + parts[n - 1].size == at)
			parts[n - 1].size += c->pieces[i].bytes;
		else
			parts[n++] = (struct journal_part){at, c->pieces[i].bytes};
	}
	return n;
}

/* One record: pieces [from, to). */
static int log_pieces(struct change *c, uint32_t from, uint32_t to, uint64_t *payload_at)
{
	struct change_record r = {
		.size = to == from ? c->size : change_size_with(c, to),
		.count = to - from,
		.old = from ? 0 : c->old,
		.pieces = c->pieces + from,
	};
	struct journal_part parts[CHANGE_ROOM];

	if (from == 0)
		r.clear = c->clear;
	if (c->mtime)
		r.mtime = *c->mtime;
	else
		change_note_mtime(&r.mtime);
	return append_change(c, &r, parts, gather(c, from, to, parts), payload_at);
}

/* Memory follows the record. */
static void follow(struct change *c, uint32_t from, uint32_t to, uint64_t payload_at)
{
	struct file *f = c->f;

	if (from == 0)
		change_clear_in_memory(c->e, c->n, f, &c->clear);
	for (uint32_t i = from; i < to; i++) {
		struct piece *p = &c->pieces[i];

		if (tree_set(c->e, f, c->n->fd, p->page, 1, &p->entry) < 0)
			assert(!"a prepared tree_set cannot fail");
		if (p->in_place)
			logged_remove(&f->log.pages, p->page, LOGGED_ANYWHERE);
		else
			logged_put(&f->log.pages, p->page, payload_at, p->bytes);
		payload_at += p->in_payload ? p->bytes : 0;
	}
	change_set_size(f, to == from ? c->size : change_size_with(c, to));
}

/* Appends the records of the first `end` pieces, as few as their contents allow.  Returns how many pieces are named. */
static uint32_t log_all(struct change *c, uint32_t end, int *error)
{
	uint32_t at = 0;

	*error = 0;
	do {
		uint64_t payload_at = 0;
		size_t bytes = 0;
		uint32_t n = 0;

		for (; at + n < end; n++) {
			const struct piece *p = &c->pieces[at + n];

			if (p->in_payload && bytes + p->bytes > RECORD_PAYLOAD_MAX)
				break;
			bytes += p->in_payload ? p->bytes : 0;
		}
		*error = log_pieces(c, at, at + n, &payload_at);
		if (*error < 0)
			break;
		follow(c, at, at + n, payload_at);
		at += n;
	} while (at < end);
	return at;
}

/* ------------------------------------------------------------------ commit */

/* Pages that only a sync of the file makes durable; false if there are none. */
static bool note_in_place(struct file *f, const struct change *c, uint32_t count)
{
	bool some = false;

	for (uint32_t i = 0; i < count; i++) {
		if (c->pieces[i].in_payload)
			continue;
		change_join_range(&f->log.in_place, c->pieces[i].page, c->pieces[i].page + 1);
		some = true;
	}
	return some;
}

/* No record came.  A file without any is not pinned, and has the size that its head says: pages in place may lie behind that. */
static void take_back(struct change *c)
{
	struct file_log *log = &c->f->log;

	if (log->records || log->job)
		return;
	dirty_drop_records(c->e, c->n, NULL);
	if (log->pinned)
		node_unpin(c->e, c->n);
	log->pinned = false;
	if (change_cut_below(c, c->f->size_below) < 0)
		log_warning("cannot give a file its size back after a change that failed");
}

int change_commit_logged(struct change *c, uint32_t *done)
{
	struct file *f = c->f;
	int error = 0, r = choose(c);

	if (r == 0)
		r = logged_make_room(&f->log.pages, c->count);
	if (r == 0)
		r = reserve_pieces(c);
	if (r < 0)
		return r;

	uint32_t there = RULE(W1order) ? put_in_place(c, &error) : c->count;

	if (there < c->count && there <= c->old) {
		take_back(c);
		return error;
	}
	r = pin_for_record(c->e, c->n, f);
	*done = r < 0 ? 0 : log_all(c, there, &r);
	if (!RULE(W1order))
		put_in_place(c, &error);
	if (r < 0 && *done == 0) {
		take_back(c);
		return r;
	}
	f->log.unsynced += c->bytes;
	if (note_in_place(f, c, *done))
		dirty_in_place(c->e, c->n);
	overlay_set(c->n, f->head.size, c->mtime);
	/* Room was made, for nothing. */
	return *done < c->count && *done <= c->old ? r : 0;
}

int change_put_inline_logged(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size,
			     const struct timespec *mtime)
{
	uint64_t payload_at;
	struct change c;
	int r = change_begin(&c, e, n, f, size);

	if (r == 0 && size)
		r = change_page(&c, 0, content);
	if (r == 0)
		r = pin_for_record(e, n, f);
	if (r < 0)
		return r;
	c.mtime = mtime;
	c.clear = (struct page_range){0, layout_max_pages};
	if (c.count)
		c.pieces[0].in_payload = true;
	r = log_pieces(&c, 0, c.count, &payload_at);
	if (r < 0) {
		take_back(&c);
		return r;
	}
	change_clear_in_memory(e, n, f, &c.clear);
	f->log.unsynced += size;
	overlay_set(n, size, mtime);
	return 0;
}

int change_commit_time(struct engine *e, struct node *n, struct file *f, const struct timespec *mtime)
{
	struct change c = {.e = e, .n = n, .f = f, .size = f->head.size};
	struct change_record r = {.size = f->head.size, .mtime = *mtime};
	int result = pin_for_record(e, n, f);

	if (result == 0)
		result = append_change(&c, &r, NULL, 0, NULL);
	if (result == 0)
		overlay_set(n, f->head.size, mtime);
	else
		take_back(&c);
	return result;
}

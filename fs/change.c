#include "fs/change.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <time.h>

#include "fs/checkpoint.h"
#include "fs/damage.h"
#include "fs/descriptor.h"
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
 *       allocates what the checkpoint will need (W4), so that ENOSPC is the writer's, and the checkpoint need not write it again.
 *  (B2) a newborn's pages: ENTRY, pages, head. */

enum { SMALL = 64 << 10, NEWBORN_PAGES = 60 };

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
	struct page_place where = {c->f->head.file_id, PAGE_DATA, 0, page};
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

/* ------------------------------------------------------------------ records */

static void note_mtime(struct timespec *out)
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

static int append_change(struct change *c, struct change_record *r, const struct journal_part *payload, unsigned parts,
			 uint64_t *payload_at)
{
	_cleanup_free_ uint8_t *body = malloc(RECORD_BODY_MAX);
	struct file *f = c->f;
	struct journal_mark begin;
	char path[RECORD_PATH_MAX];

	if (!body)
		return -ENOMEM;
	memcpy(r->file_id, f->head.file_id, 16);
	memcpy(r->base, f->log.base, AEAD_TAG);

	bool nameless = add_hint(c->e, c->n, f, path, &r->hint);

	dirty_keep_records(c->e, c->n);

	int result = 0;

	/* Without (W2) the store has the pages, and only memory what they are. */
	if (!RULE(W2) && parts == 0)
		begin = journal_end(c->e->journal);
	else
		result = journal_append(c->e->journal, RECORD_CHANGE, body, change_record_encode(r, body), payload,
					parts, &begin, payload_at);

	r->hint = (struct record_path){NULL, 0};
	if (result < 0) {
		f->log.hinted = 0;
		return result;
	}
	note_record(c->e, f, &begin);
	if (nameless)
		side_log_nameless(c->e, c->n, r->file_id);
	return 0;
}

/* ------------------------------------------------------------------ memory */

static void join_range(struct page_range *r, uint64_t first, uint64_t end)
{
	if (first >= end)
		return;
	if (r->first == r->end)
		*r = (struct page_range){first, end};
	r->first = r->first < first ? r->first : first;
	r->end = r->end > end ? r->end : end;
}

static bool in_range(const struct page_range *r, uint64_t page)
{
	return page >= r->first && page < r->end;
}

/* Makes the cleared pages holes; a version in place may still refer to them, so their space is given back by a checkpoint. */
static void clear_in_memory(struct engine *e, struct node *n, struct file *f, const struct page_range *clear)
{
	uint64_t pages = layout_pages(f->head.size), end = clear->end < pages ? clear->end : pages;

	if (clear->first >= clear->end)
		return;
	join_range(&f->log.cut, clear->first, end);
	logged_remove_range(&f->log.pages, clear->first, clear->end);
	/* What is cut off the end gives its space back with the size. */
	if (layout_is_paged(f->head.size) &&
	    tree_clear(e, f, n->fd, clear->first, clear->end, clear->end < layout_max_pages ? &f->log.freed : NULL) < 0)
		assert(!"a prepared tree_clear cannot fail");
}

static void set_size(struct file *f, uint64_t size)
{
	f->head.size = size;
	if (f->log.highest < size)
		f->log.highest = size;
}

/* ------------------------------------------------------------------ in place: newborn, or without a journal */

/* Writes pieces [from, to), which may lie apart, in place; returns how many.  A run that fails is tried again page by page: on a full store its
 * first page may well fit, and may have been written over already. */
static uint32_t write_pieces(struct change *c, uint32_t from, uint32_t to, int *error)
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

/* How far the file goes when only the first `done` pieces are there. */
static uint64_t size_with(const struct change *c, uint32_t done)
{
	const struct piece *p = &c->pieces[done - 1];
	uint64_t end = (p->page << PAGE_SHIFT) + p->bytes;

	if (done == c->count)
		return c->size;
	return end > c->f->head.size ? end : c->f->head.size;
}

/* (B2) Before a newborn's pages change in place: what they will be. */
static int log_newborn(struct change *c)
{
	struct change_record r = {
		.size = c->size, .clear = c->clear, .count = c->count, .old = c->old, .pieces = c->pieces};
	_cleanup_free_ uint8_t *body = malloc(RECORD_BODY_MAX);
	char path[RECORD_PATH_MAX];
	int result;

	if (!body)
		return -ENOMEM;
	note_mtime(&r.mtime);
	memcpy(r.file_id, c->f->head.file_id, 16);
	memcpy(r.base, c->f->log.base, AEAD_TAG);
	bool nameless = add_hint(c->e, c->n, c->f, path, &r.hint);

	dirty_keep_records(c->e, c->n);
	result =
		journal_append(c->e->journal, RECORD_CHANGE, body, change_record_encode(&r, body), NULL, 0, NULL, NULL);
	if (result == 0 && nameless)
		side_log_nameless(c->e, c->n, r.file_id);
	return result;
}

static bool is_first_content(const struct change *c)
{
	return !c->f->has_head && c->count && c->pieces[0].page == 0 && c->count == layout_pages(c->size) &&
	       c->count <= NEWBORN_PAGES;
}

/* The first content of a file, if it needs no map: head and pages in one write, the head first. */
static int write_first(struct change *c)
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

/* The pages that are holes now come first: what a full store refuses has then cost nothing that was there. */
static uint32_t write_all(struct change *c, int *error)
{
	uint32_t done = write_pieces(c, c->old, c->count, error);

	if (done + c->old < c->count && done == 0)
		return 0;

	int r;

	if (write_pieces(c, 0, c->old, &r) < c->old) {
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

static int cut_below(struct change *c, uint64_t size)
{
	return c->e->store->ops->truncate(c->e->store, c->n->fd, layout_physical_size(size, true));
}

/* Without a journal a store that refuses another size says so before anything has changed. */
static int resize_first(const struct change *c)
{
	bool shrinks = c->size < c->f->head.size, grows_by_size = c->count <= c->old && c->size > c->f->head.size;

	return shrinks || grows_by_size ? cut_below((struct change *)c, c->size) : 0;
}

static int commit_pages_in_place(struct change *c, bool newborn, uint32_t *done)
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
	f->head.size = *done < c->count ? size_with(c, *done) : c->size;
	/* What failed may have reached behind the end. */
	if (*done < c->count)
		r = cut_below(c, f->head.size);
	else if (newborn && c->count <= c->old && c->size > f->size_below)
		r = cut_below(c, c->size);
	if (r == 0)
		r = file_commit(c->e, c->n, f);
	if (r == 0 && newborn && shrinks)
		r = cut_below(c, f->head.size);
	if (r == 0)
		r = file_keep_holes(c->e, c->n, f, &freed);
	return r < 0 ? r : file_punch_extents(c->e, c->n, &freed);
}

/* ------------------------------------------------------------------ through the journal */

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

/* Writes in place what may go there.  Returns how many pieces, from the first, can now be named. */
static uint32_t put_in_place(struct change *c, int *error)
{
	*error = 0;
	for (uint32_t i = 0, n; i < c->count; i += n) {
		for (n = 1; i + n < c->count && c->pieces[i + n].in_place == c->pieces[i].in_place; n++)
			;
		if (!c->pieces[i].in_place)
			continue;

		uint32_t done = write_pieces(c, i, i + n, error);

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
		.size = to == from ? c->size : size_with(c, to),
		.count = to - from,
		.old = from ? 0 : c->old,
		.pieces = c->pieces + from,
	};
	struct journal_part parts[CHANGE_ROOM];

	if (from == 0)
		r.clear = c->clear;
	note_mtime(&r.mtime);
	return append_change(c, &r, parts, gather(c, from, to, parts), payload_at);
}

/* Memory follows the record. */
static void follow(struct change *c, uint32_t from, uint32_t to, uint64_t payload_at)
{
	struct file *f = c->f;

	if (from == 0)
		clear_in_memory(c->e, c->n, f, &c->clear);
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
	set_size(f, to == from ? c->size : size_with(c, to));
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

/* Pages that only a sync of the file makes durable; false if there are none. */
static bool note_in_place(struct file *f, const struct change *c, uint32_t count)
{
	bool some = false;

	for (uint32_t i = 0; i < count; i++) {
		if (c->pieces[i].in_payload)
			continue;
		join_range(&f->log.in_place, c->pieces[i].page, c->pieces[i].page + 1);
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
	if (cut_below(c, c->f->size_below) < 0)
		log_warning("cannot give a file its size back after a change that failed");
}

static int commit_pages_logged(struct change *c, uint32_t *done)
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
	overlay_set(c->n, f->head.size, NULL);
	/* Room was made, for nothing. */
	return *done < c->count && *done <= c->old ? r : 0;
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
	if (is_first_content(c)) {
		r = write_first(c);
		*done = r < 0 ? 0 : c->count;
		dirty_in_place(c->e, c->n);
		return r;
	}
	r = prepare(c);
	if (r < 0)
		return r;
	if (c->e->journal && !newborn)
		return commit_pages_logged(c, done);
	r = commit_pages_in_place(c, newborn, done);
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
		tree_drop(c->e, f);
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

static int put_inline_logged(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size)
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
	c.clear = (struct page_range){0, layout_max_pages};
	if (c.count)
		c.pieces[0].in_payload = true;
	r = log_pieces(&c, 0, c.count, &payload_at);
	if (r < 0) {
		take_back(&c);
		return r;
	}
	clear_in_memory(e, n, f, &c.clear);
	f->log.unsynced += size;
	overlay_set(n, size, NULL);
	return 0;
}

int change_commit_inline(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size)
{
	bool newborn = true;
	int r = file_make_head(e, n, f);

	if (r == 0 && e->journal)
		r = stays_newborn(e, n, f, size, &newborn);
	if (r == 0)
		r = newborn ? put_inline_in_place(e, n, f, content, size) : put_inline_logged(e, n, f, content, size);
	if (r < 0)
		return r;
	tree_drop(e, f);
	logged_remove_range(&f->log.pages, 0, layout_max_pages);
	memset(&f->body, 0, sizeof f->body);
	memcpy(f->body.content, content, size);
	set_size(f, size);
	return 0;
}

/* ------------------------------------------------------------------ replay */

static int replay_inline(struct engine *e, struct file *f, const struct change_record *r, const uint8_t *payload)
{
	struct page_place where = {f->head.file_id, PAGE_DATA, 0, 0};
	uint8_t content[PAGE_BYTES] = {0};
	int result = 0;

	if (r->size) {
		struct piece p = r->count ? change_record_piece(r, 0) : (struct piece){0};

		if (r->count != 1 || !p.in_payload || p.page != 0 || p.bytes != r->size)
			return -EBADMSG;
		result = page_open(e, &where, &p.entry, payload, p.bytes, content);
	}
	if (result < 0)
		return result;
	if (layout_is_paged(f->head.size))
		join_range(&f->log.cut, 0, layout_pages(f->head.size));
	tree_drop(e, f);
	logged_remove_range(&f->log.pages, 0, layout_max_pages);
	memset(&f->body, 0, sizeof f->body);
	memcpy(f->body.content, content, r->size);
	set_size(f, r->size);
	return 0;
}

int change_replay(struct engine *e, struct node *n, struct file *f, const struct change_record *r, uint32_t pieces,
		  uint64_t size, const uint8_t *payload, uint64_t payload_at)
{
	bool only_time = r->count == 0 && size == f->head.size && r->clear.first == r->clear.end;
	int result = only_time ? 0 : logged_make_room(&f->log.pages, pieces);

	if (only_time)
		return 0;
	if (result < 0 || !layout_is_paged(size))
		return result < 0 ? result : replay_inline(e, f, r, payload);
	if (!layout_is_paged(f->head.size))
		memset(&f->body, 0, sizeof f->body);
	else if (r->clear.first < r->clear.end)
		result = tree_prepare_clear(e, f, n->fd, r->clear.first, r->clear.end);
	for (uint32_t i = 0; i < pieces && result == 0; i++)
		result = tree_prepare(e, f, n->fd, change_record_piece(r, i).page, 1);
	if (result < 0)
		return result;
	clear_in_memory(e, n, f, &r->clear);
	for (uint32_t i = 0; i < pieces && result == 0; i++) {
		struct piece p = change_record_piece(r, i);

		result = tree_set(e, f, n->fd, p.page, 1, &p.entry);
		if (p.in_payload)
			logged_put(&f->log.pages, p.page, payload_at, p.bytes);
		else
			logged_remove(&f->log.pages, p.page, LOGGED_ANYWHERE);
		payload_at += p.in_payload ? p.bytes : 0;
	}
	set_size(f, size);
	return result;
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

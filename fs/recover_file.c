/* Recovery of one file: what its records make of what is in place. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fs/change.h"
#include "fs/dirty.h"
#include "fs/logged.h"
#include "fs/look.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/recover_internal.h"
#include "util/base/log.h"

/* Invariants:
 *  (R2) of a file whose version in place an APPLY names, as its base or its new one, everything is brought in place again, whatever
 *       seems to be there.  It is built in memory, from the records, and goes the way of any checkpoint (R4), with the version in place
 *       as base: a cut in the middle leaves the older APPLY, or the newer one, and either tells the whole.
 *  (R3) records that continue the version are applied in order; what was written in place counts page by page, as it opens. */

/* ------------------------------------------------------------------ one file (R2) */

/* The maps of an IMAGES: the last so many in the MAPS records before it.  (Those of an attempt that came to no IMAGES may lie before.)
 * -ENODATA: the ring begins behind some of them. */
static int enter_maps(struct recovery *rec, struct file *f, const struct logged_file *lf, uint32_t images,
		      uint32_t count)
{
	_cleanup_free_ uint8_t *page = malloc(PAGE_BYTES);
	int r = page ? 0 : -ENOMEM;

	for (uint32_t i = images; i-- > 0 && r == 0 && count;) {
		const struct logged_record *l = record_of(&rec->log, lf, i);
		struct maps_record m;

		if (l->type != RECORD_MAPS)
			continue;
		r = maps_record_decode(l->body, l->body_size, l->payload_size, &m);
		if (r == 0 && m.count > count)
			r = -EBADMSG;
		count -= r == 0 ? m.count : 0;
		for (uint32_t k = m.count; k-- > 0 && r == 0;) {
			r = journal_read_payload(rec->e->journal, l->payload_at + (uint64_t)k * PAGE_BYTES, page,
						 PAGE_BYTES);
			if (r == 0)
				r = tree_enter_map(rec->e, f, m.maps[k].height, m.maps[k].first, page);
		}
	}
	return r == 0 && count ? -ENODATA : r;
}

/* Pages of the version whose content is in records before it. */
static int enter_pages(struct recovery *rec, struct node *n, struct file *f, const struct logged_file *lf,
		       uint32_t images)
{
	int r = 0;

	for (uint32_t i = 0; i < images && r == 0; i++) {
		const struct logged_record *l = record_of(&rec->log, lf, i);
		struct change_record c;
		uint64_t at = l->payload_at;

		if (l->type != RECORD_CHANGE || change_record_decode(l->body, l->body_size, l->payload_size, &c) < 0)
			continue;
		r = logged_make_room(&f->log.pages, c.count);
		for (uint32_t k = 0; k < c.count && r == 0; k++) {
			struct piece p = change_record_piece(&c, k);
			struct entry now;

			if (!p.in_payload)
				continue;
			r = tree_get(rec->e, f, n->fd, p.page, 1, &now);
			if (r == 0 && memcmp(&now, &p.entry, sizeof now) == 0)
				logged_put(&f->log.pages, p.page, at, p.bytes);
			at += p.bytes;
		}
	}
	return r;
}

/* The version of an IMAGES, in memory. */
static int load_images(struct recovery *rec, struct node *n, struct file *f, const struct logged_file *lf,
		       uint32_t images, uint32_t maps)
{
	const struct logged_record *l = record_of(&rec->log, lf, images);
	uint8_t head[PAGE_BYTES];
	int r = l->payload_size <= PAGE_BYTES && l->payload_size >= HEAD_MIN ? 0 : -EBADMSG;

	if (r == 0)
		r = journal_read_payload(rec->e->journal, l->payload_at, head, l->payload_size);
	if (r == 0)
		r = head_open_claimed(rec->e, f->zone, head, l->payload_size, &f->head, &f->body);
	if (r < 0)
		return r;
	f->has_head = f->loaded = true;
	f->size_below = f->log.highest = f->head.size;
	if (!layout_is_paged(f->head.size))
		return 0;
	r = enter_maps(rec, f, lf, images, maps);
	return r < 0 ? r : enter_pages(rec, n, f, lf, images);
}

/* ------------------------------------------------------------------ one file (R3) */

/* How many of the pieces count, from the first: those in place have to open (R3). */
static uint32_t count_opening(struct engine *e, struct node *n, struct file *f, const struct change_record *c)
{
	uint8_t page[PAGE_BYTES];
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		struct piece p = change_record_piece(c, i);
		struct page_place where = {f->zone, f->head.file_id, PAGE_DATA, 0, p.page};
		ssize_t got;

		if (p.in_payload)
			continue;
		got = store_pread(e->store, n->fd, page, p.bytes, layout_physical_page(p.page) << PAGE_SHIFT);
		if (got < 0 || (size_t)got != p.bytes || page_open(e, &where, &p.entry, page, p.bytes, page) < 0)
			if (RULE(R3stop))
				break;
	}
	wipe(page, sizeof page);
	/* What only made room counts with a page that used it. */
	return i < c->count && i <= c->old ? 0 : i;
}

static uint64_t size_after(const struct file *f, const struct change_record *c, uint32_t pieces)
{
	uint64_t size = f->head.size;

	if (pieces == c->count)
		return c->size;
	for (uint32_t i = 0; i < pieces; i++) {
		struct piece p = change_record_piece(c, i);
		uint64_t end = (p.page << PAGE_SHIFT) + p.bytes;

		size = end > size ? end : size;
	}
	return size;
}

/* 1: go on with the file's next record; 0: its replay ends here. */
static int replay_change(struct recovery *rec, struct node *n, struct file *f, const struct logged_record *l,
			 const struct change_record *c)
{
	struct engine *e = rec->e;
	_cleanup_free_ uint8_t *payload = malloc(l->payload_size + 1);
	uint32_t pieces = count_opening(e, n, f, c);
	int r = payload ? journal_read_payload(e->journal, l->payload_at, payload, l->payload_size) : -ENOMEM;

	if (r == 0 && (pieces > 0 || c->count == 0))
		r = change_replay(e, n, f, c, pieces, size_after(f, c, pieces), payload, l->payload_at);
	if (r < 0)
		return r == -ENOMEM || r == -ENOKEY ? r : 0;
	if (pieces > 0 || c->count == 0) {
		f->log.records = true;
		rec->pages += pieces;
		overlay_set(n, f->head.size, &c->mtime);
	}
	return pieces == c->count;
}

static int replay(struct recovery *rec, struct node *n, struct file *f, const struct logged_file *lf,
		  uint8_t name[AEAD_TAG])
{
	int r = 1;

	for (uint32_t i = 0; i < lf->count && r > 0; i++) {
		const struct logged_record *l = record_of(&rec->log, lf, i);
		struct change_record c;
		struct images_record im;

		if (l->type == RECORD_IMAGES && images_record_decode(l->body, l->body_size, &im) == 0 &&
		    memcmp(im.base, name, AEAD_TAG) == 0 && RULE(R3rename))
			memcpy(name, im.version, AEAD_TAG);
		if (l->type == RECORD_CHANGE && change_record_decode(l->body, l->body_size, l->payload_size, &c) == 0 &&
		    (memcmp(c.base, name, AEAD_TAG) == 0 || !RULE(R2skip)))
			r = replay_change(rec, n, f, l, &c);
	}
	return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------ one file */

/* The last IMAGES that is applied and whose base or version is the one in place; -1 if there is none. */
static int64_t find_applied(const struct recovery *rec, const struct logged_file *lf, const uint8_t in_place[AEAD_TAG])
{
	for (uint32_t i = lf->count; i-- > 0;) {
		const struct logged_record *l = record_of(&rec->log, lf, i);
		struct images_record im;

		if (l->type == RECORD_IMAGES && l->applied && images_record_decode(l->body, l->body_size, &im) == 0 &&
		    (memcmp(im.base, in_place, AEAD_TAG) == 0 || memcmp(im.version, in_place, AEAD_TAG) == 0))
			return i;
	}
	return -1;
}

/* A file without records after all: as if it had not been touched. */
static void let_be(struct engine *e, struct node *n, struct file *f)
{
	maps_drop(e, f);
	logged_free(&f->log.pages);
	f->log.pinned = f->log.records = false;
	f->loaded = false;
	node_unpin(e, n);
}

/* (R2) The version of an applied IMAGES becomes what is recovered, and `name`. */
static int load_version(struct recovery *rec, struct node *n, struct file *f, const struct logged_file *lf,
			uint32_t images, uint8_t name[AEAD_TAG])
{
	const struct logged_record *l = record_of(&rec->log, lf, images);
	struct images_record im;
	int r = images_record_decode(l->body, l->body_size, &im);

	if (r == 0)
		r = load_images(rec, n, f, lf, images, im.maps);
	/* The ring begins behind a part of its records only when all of it is in place and synced (C6). */
	if (r == -ENODATA && RULE(R2left) && memcmp(im.version, name, AEAD_TAG) == 0) {
		maps_drop(rec->e, f);
		logged_free(&f->log.pages);
		return file_load_as_it_is(rec->e, n, f);
	}
	if (r < 0)
		return r;
	memcpy(name, im.version, AEAD_TAG);
	overlay_set(n, f->head.size, &im.mtime);
	f->log.records = true;
	return 0;
}

/* Records that cannot be used are said, not passed over. */
static void say_skipped(struct recovery *rec, struct node *n, int error)
{
	char path[1024], escaped[2048];

	names_path(rec->e, n, path, sizeof path);
	log_error("%s: the journal's changes of it cannot be replayed (%s); it stays as it was before them",
		  log_escape(path, escaped, sizeof escaped), strerror(-error));
}

static int recover_locked(struct recovery *rec, struct node *n, struct file *f, const struct logged_file *lf)
{
	uint8_t in_place[AEAD_TAG], name[AEAD_TAG];
	int64_t images;
	int r = file_version(rec->e, n, in_place);

	if (r < 0)
		return r == -ENODATA ? 0 : r; /* torn before anything of it was durable: for the first look */
	images = find_applied(rec, lf, in_place);
	memcpy(name, in_place, AEAD_TAG);
	r = node_pin(rec->e, n);
	if (r < 0)
		return r;
	f->log.pinned = true;
	if (images >= 0 && RULE(R2))
		r = load_version(rec, n, f, lf, (uint32_t)images, name);
	else
		r = file_load_as_it_is(rec->e, n, f);
	if (r == 0)
		r = replay(rec, n, f, lf, name);
	if (r == 0 && f->log.records)
		r = look_judge_replayed(rec->e, n, f);
	if (r < 0 || !f->log.records) {
		let_be(rec->e, n, f);
		if (r == -ENOKEY)
			f->refused = r;
		if (r != -EBADMSG && r != -ENODATA)
			return r;
		say_skipped(rec, n, r);
		return 0;
	}
	/* (R4) What it will be continues the version in place. */
	memcpy(f->log.base, RULE(R4base) ? in_place : name, AEAD_TAG);
	rec->files++;
	return 1;
}

int recover_file(struct recovery *rec, struct node *n, const struct logged_file *lf)
{
	struct file *f;
	int r = node_use(rec->e, n);

	if (r < 0)
		return r;
	r = file_lock_unloaded(n, &f);
	if (r == 0) {
		r = recover_locked(rec, n, f, lf);
		file_unlock(f);
	}
	node_unuse(rec->e, n);
	return r;
}

int recover_file_keep(struct recovery *rec, struct node *n)
{
	struct engine *e = rec->e;
	struct journal_mark start = journal_start(e->journal);
	struct file *f;
	int r = node_use(e, n);

	if (r < 0)
		return r;
	r = file_lock_unloaded(n, &f);
	if (r == 0) {
		r = look_at_replayed(e, n, f);
		f->log.expected += HEAD_COST;
		journal_expect(e->journal, HEAD_COST);
		file_unlock(f);
	}
	if (r == 0) {
		dirty_restore_records(e, n, &start);
		dirty_in_place(e, n);
	}
	node_unuse(e, n);
	return r;
}

#include "fs/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "fs/change.h"
#include "fs/checkpoint.h"
#include "fs/dirty.h"
#include "fs/find.h"
#include "fs/logged.h"
#include "fs/look.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/recover_log.h"
#include "util/base/log.h"

/* Invariants:
 *  (R0) the store is synced first: a kill leaves nobody who knows what is durable.
 *  (R2) of a file whose version in place an APPLY names, as its base or its new one, everything is brought in place again, whatever
 *       seems to be there.  It is built in memory, from the records, and goes the way of any checkpoint (R4), with the version in place
 *       as base: a cut in the middle leaves the older APPLY, or the newer one, and either tells the whole.
 *  (R3) records that continue the version are applied in order; what was written in place counts page by page, as it opens. */

struct recovery {
	struct engine *e;
	struct record_log log;
	uint64_t files, pages;
	bool walked;
	bool no_key;
};

/* ------------------------------------------------------------------ one file (R2) */

/* The maps of an IMAGES: the last so many in the MAPS records before it.  (Those of an attempt that came to no IMAGES may lie before.)
 * -ENODATA: the ring begins behind some of them. */
static int enter_maps(struct recovery *rec, struct file *f, size_t images, uint32_t count)
{
	_cleanup_free_ uint8_t *page = malloc(PAGE_BYTES);
	const uint8_t *id = record_file(&rec->log.list[images]);
	int r = page ? 0 : -ENOMEM;

	for (size_t i = images; i-- > 0 && r == 0 && count;) {
		const struct logged_record *l = &rec->log.list[i];
		struct maps_record m;

		if (l->type != RECORD_MAPS || memcmp(record_file(l), id, 16) != 0)
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
static int enter_pages(struct recovery *rec, struct node *n, struct file *f, size_t images)
{
	const uint8_t *id = record_file(&rec->log.list[images]);
	int r = 0;

	for (size_t i = 0; i < images && r == 0; i++) {
		const struct logged_record *l = &rec->log.list[i];
		struct change_record c;
		uint64_t at = l->payload_at;

		if (l->type != RECORD_CHANGE || memcmp(record_file(l), id, 16) != 0 ||
		    change_record_decode(l->body, l->body_size, l->payload_size, &c) < 0)
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
static int load_images(struct recovery *rec, struct node *n, struct file *f, size_t images, uint32_t maps)
{
	const struct logged_record *l = &rec->log.list[images];
	uint8_t head[PAGE_BYTES];
	int r = l->payload_size <= PAGE_BYTES && l->payload_size >= HEAD_MIN ? 0 : -EBADMSG;

	if (r == 0)
		r = journal_read_payload(rec->e->journal, l->payload_at, head, l->payload_size);
	if (r == 0)
		r = head_open_claimed(rec->e, head, l->payload_size, &f->head, &f->body);
	if (r < 0)
		return r;
	f->has_head = f->loaded = true;
	f->size_below = f->log.highest = f->head.size;
	if (!layout_is_paged(f->head.size))
		return 0;
	r = enter_maps(rec, f, images, maps);
	return r < 0 ? r : enter_pages(rec, n, f, images);
}

/* ------------------------------------------------------------------ one file (R3) */

/* How many of the pieces count, from the first: those in place have to open (R3). */
static uint32_t count_opening(struct engine *e, struct node *n, struct file *f, const struct change_record *c)
{
	uint8_t page[PAGE_BYTES];
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		struct piece p = change_record_piece(c, i);
		struct page_place where = {f->head.file_id, PAGE_DATA, 0, p.page};
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

static int replay(struct recovery *rec, struct node *n, struct file *f, const uint8_t id[16], uint8_t name[AEAD_TAG])
{
	int r = 1;

	for (size_t i = 0; i < rec->log.count && r > 0; i++) {
		const struct logged_record *l = &rec->log.list[i];
		struct change_record c;
		struct images_record im;

		if (!record_file(l) || memcmp(record_file(l), id, 16) != 0)
			continue;
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
static ssize_t find_applied(const struct recovery *rec, const uint8_t id[16], const uint8_t in_place[AEAD_TAG])
{
	for (size_t i = rec->log.count; i-- > 0;) {
		const struct logged_record *l = &rec->log.list[i];
		struct images_record im;

		if (l->type == RECORD_IMAGES && l->applied && memcmp(record_file(l), id, 16) == 0 &&
		    images_record_decode(l->body, l->body_size, &im) == 0 &&
		    (memcmp(im.base, in_place, AEAD_TAG) == 0 || memcmp(im.version, in_place, AEAD_TAG) == 0))
			return (ssize_t)i;
	}
	return -1;
}

/* The record of the file with the last time, for a version that nothing continues. */
static void show_version(struct recovery *rec, struct node *n, struct file *f, size_t images)
{
	struct images_record im;

	if (images_record_decode(rec->log.list[images].body, rec->log.list[images].body_size, &im) == 0)
		overlay_set(n, f->head.size, &im.mtime);
	f->log.records = true;
}

/* A file without records after all: as if it had not been touched. */
static void let_be(struct engine *e, struct node *n, struct file *f)
{
	tree_drop(e, f);
	logged_free(&f->log.pages);
	f->log.pinned = f->log.records = false;
	f->loaded = false;
	node_unpin(e, n);
}

/* Its records amount to a change: the next checkpoint will bring it in place. */
static void keep(struct recovery *rec, struct node *n, struct file *f)
{
	struct journal_mark start = journal_start(rec->e->journal);

	f->log.expected += HEAD_COST;
	journal_expect(rec->e->journal, HEAD_COST);
	rec->files++;
	dirty_restore_records(rec->e, n, &start);
	dirty_in_place(rec->e, n);
}

/* (R2) The version of an applied IMAGES becomes what is recovered, and `name`. */
static int load_version(struct recovery *rec, struct node *n, struct file *f, size_t images, uint8_t name[AEAD_TAG])
{
	const struct logged_record *l = &rec->log.list[images];
	struct images_record im;
	int r = images_record_decode(l->body, l->body_size, &im);

	if (r == 0)
		r = load_images(rec, n, f, images, im.maps);
	/* The ring begins behind a part of its records only when all of it is in place and synced (C6). */
	if (r == -ENODATA && RULE(R2left) && memcmp(im.version, name, AEAD_TAG) == 0) {
		tree_drop(rec->e, f);
		logged_free(&f->log.pages);
		return file_load_as_it_is(rec->e, n, f);
	}
	if (r < 0)
		return r;
	memcpy(name, im.version, AEAD_TAG);
	show_version(rec, n, f, images);
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

static int recover_locked(struct recovery *rec, struct node *n, struct file *f, const uint8_t id[16])
{
	uint8_t in_place[AEAD_TAG], name[AEAD_TAG];
	int r = file_version(rec->e, n, in_place);

	if (r < 0)
		return r == -ENODATA ? 0 : r; /* torn before anything of it was durable: for the first look */

	ssize_t images = find_applied(rec, id, in_place);

	memcpy(name, in_place, AEAD_TAG);
	r = node_pin(rec->e, n);
	if (r < 0)
		return r;
	f->log.pinned = true;
	if (images >= 0 && RULE(R2))
		r = load_version(rec, n, f, (size_t)images, name);
	else
		r = file_load_as_it_is(rec->e, n, f);
	if (r == 0)
		r = replay(rec, n, f, id, name);
	if (r == 0 && f->log.records)
		r = look_at_replayed(rec->e, n, f);
	if (r < 0 || !f->log.records) {
		let_be(rec->e, n, f);
		if (r != -EBADMSG && r != -ENODATA)
			return r;
		say_skipped(rec, n, r);
		return 0;
	}
	/* (R4) What it will be continues the version in place. */
	memcpy(f->log.base, RULE(R4base) ? in_place : name, AEAD_TAG);
	keep(rec, n, f);
	return 0;
}

static int recover_file(struct recovery *rec, struct node *n, const uint8_t id[16])
{
	struct file *f;
	int r = node_use(rec->e, n);

	if (r < 0)
		return r;
	r = file_lock_unloaded(n, &f);
	if (r == 0) {
		r = recover_locked(rec, n, f, id);
		file_unlock(f);
	}
	node_unuse(rec->e, n);
	return r;
}

/* ------------------------------------------------------------------ all files */

static bool seen_before(const struct recovery *rec, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (record_file(&rec->log.list[i]) &&
		    memcmp(record_file(&rec->log.list[i]), record_file(&rec->log.list[at]), 16) == 0)
			return true;
	return false;
}

/* (N1) The hint first; one walk for all that are not where they should be. */
static int find_files(struct recovery *rec, struct find_list *l)
{
	int r = 0;

	for (size_t i = 0; i < rec->log.count && r == 0; i++) {
		if (!record_file(&rec->log.list[i]) || seen_before(rec, i))
			continue;

		_cleanup_free_ char *path = record_file_path(&rec->log, record_file(&rec->log.list[i]));

		r = find_add(l, record_file(&rec->log.list[i]), path);
	}
	if (r == 0)
		r = find_all(rec->e, l, &rec->walked);
	return r;
}

#ifdef COFFER_RULES
/* What a reader could do that believed in GONE (N2). */
static bool is_told_gone(const struct recovery *rec, const uint8_t id[16])
{
	for (size_t i = 0; i < rec->log.count; i++)
		if (rec->log.list[i].type == RECORD_GONE && rec->log.list[i].body_size == 16 &&
		    memcmp(rec->log.list[i].body, id, 16) == 0)
			return true;
	return false;
}
#else
#define is_told_gone(rec, id) false
#endif

static int recover_files(struct recovery *rec)
{
	_cleanup_(find_free) struct find_list l = {.e = rec->e};
	int r = find_files(rec, &l);

	for (size_t i = 0; i < l.count && r == 0; i++) {
		if (!l.list[i].node || (!RULE(N2) && is_told_gone(rec, l.list[i].id)))
			continue;
		r = recover_file(rec, l.list[i].node, l.list[i].id);
		if (r == -ENOKEY) {
			rec->no_key = true;
			r = 0;
		}
	}
	return r;
}

/* (N3) Ids and sidecars that did not last, though the names that need them did. */
static void restore_sides(struct recovery *rec)
{
	for (size_t i = 0; i < rec->log.count; i++) {
		const struct logged_record *l = &rec->log.list[i];
		struct side_record s;

		if (l->type != RECORD_SIDE || side_record_decode(l->body, l->body_size, &s) < 0)
			continue;

		_cleanup_free_ char *path = record_path_now(&rec->log, i, s.path);

		if (path && RULE(N3))
			find_restore_side(rec->e, path, s.name, s.text);
	}
}

static bool decode_mode(const struct logged_record *l, struct mode_record *m)
{
	return l->type == RECORD_MODE && mode_record_decode(l->body, l->body_size, m) == 0;
}

/* True if a later record about the same object makes this one void: another loan, or the user's own choice of the very mode that the loan
 * gave.  Any other choice does not: the loan may have outlived what took it back. */
static bool is_void(const struct recovery *rec, size_t at, const struct mode_record *m)
{
	struct mode_record later;

	for (size_t i = at + 1; i < rec->log.count; i++)
		if (decode_mode(&rec->log.list[i], &later) && later.path.size == m->path.size &&
		    memcmp(later.path.text, m->path.text, m->path.size) == 0 &&
		    (later.lent || later.mode == (m->mode | m->lent)))
			return true;
	return false;
}

/* (N4) */
static void restore_modes(struct recovery *rec)
{
	for (size_t i = 0; i < rec->log.count; i++) {
		struct mode_record m;

		if (!decode_mode(&rec->log.list[i], &m) || !m.lent || is_void(rec, i, &m))
			continue;

		_cleanup_free_ char *path = record_path_now(&rec->log, i, m.path);

		if (path)
			find_restore_mode(rec->e, path, m.mode & 07777, m.lent & 07777);
	}
}

/* ------------------------------------------------------------------ the whole */

/* (R0) */
static int sync_store(struct engine *e)
{
	if (!RULE(R0))
		return 0;
	if (!dirty_syncfs_counts(e))
		atomic_store(&e->nothing_synced, true);
	return e->store->ops->syncfs(e->store, e->data);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void report(struct recovery *rec, int64_t started)
{
	struct engine *e = rec->e;

	e->recovered = (struct recovered){true, rec->files, rec->pages, (uint64_t)(now_ms() - started)};
	log_warning("recovered after an unclean end: %" PRIu64 " files, %" PRIu64 " pages, %" PRIu64 " ms%s%s",
		    e->recovered.files, e->recovered.pages, e->recovered.ms,
		    rec->walked ? "; the tree was walked for files that had moved" : "",
		    e->options.read_only ? "; kept in memory, as the mount is read-only" : "");
}

/* The first superblock of a mount: new keys, an empty ring. */
static int recover_begin(struct engine *e, struct journal_state *state, struct fault *why)
{
	struct journal_mark end = journal_end(e->journal);
	int r;

	state->clean = !e->options.journal;
	r = journal_superblock(e->journal, &end, state, true);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot begin a journal");
	atomic_store(&e->epoch, state->durable + 1);
	look_expect(e, state);
	return 0;
}

static bool is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/* A full store has to be mounted, or nobody could make room: the ring goes on as it is, and what it holds stays in memory until a tick can
 * bring it in place. */
static int recover_crowded(struct engine *e, struct journal_state *state, struct fault *why)
{
	struct journal_mark start = dirty_first_record(e);
	int r;

	log_warning("the store is full: what the journal holds is brought in place when there is room");
	state->clean = false;
	r = journal_superblock(e->journal, &start, state, false);
	if (is_full(r)) {
		log_warning("and nothing at all can be written there: the mount is read-only");
		e->options.read_only = true;
		return 0;
	}
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot go on with the journal");
	atomic_store(&e->epoch, state->durable + 1);
	look_expect(e, state);
	return 0;
}

static int replay_journal(struct engine *e, struct fault *why)
{
	struct recovery rec = {.e = e};
	struct journal_state state = *journal_state(e->journal);
	int64_t started = now_ms();
	int r = e->options.read_only ? 0 : sync_store(e);

	e->recovered.done = true;
	journal_lose_epochs(&state); /* (R5) */
	look_expect(e, &state);
	if (r == 0)
		r = record_log_read(e, &rec.log);
	if (r == 0 && !e->options.read_only)
		restore_sides(&rec);
	if (r == 0)
		r = recover_files(&rec);
	if (r == 0 && !e->options.read_only)
		restore_modes(&rec);
	record_log_free(&rec.log);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot replay the journal");
	if (rec.no_key && !e->options.read_only) {
		log_error("the journal holds changes under a key that cannot be used now: the mount is read-only, and "
			  "the "
			  "journal stays as it is");
		e->options.read_only = true;
	}
	if (!e->options.read_only) {
		atomic_store(&e->epoch, journal_state(e->journal)->durable);
		r = checkpoint_run(e); /* (R4) */
	}
	if (r < 0 && (!is_full(r) || !e->options.journal))
		return fault_errno(why, EXIT_STORE, r, "cannot bring in place what the journal holds");
	report(&rec, started);
	if (e->options.read_only)
		return 0;
	return r < 0 ? recover_crowded(e, &state, why) : recover_begin(e, &state, why);
}

int recover(struct engine *e, struct fault *why)
{
	int r;

	if (e->options.inspect)
		return 0;
	r = journal_open(e->store, e->dot, &e->settings, e->keys, e->options.read_only, &e->journal);
	if (r == -ENOENT && !e->options.journal)
		return 0;
	if (r == -ENOENT || r == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, -r,
				 "%s; put .coffer/journal back from where this copy was made, or give up what it "
				 "held (nothing, after a clean unmount): coffer check --repair makes a new one",
				 r == -ENOENT ? "the volume has no journal" : "the journal is damaged");
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot open the journal");
	if (!journal_state(e->journal)->clean) {
		r = replay_journal(e, why);
	} else if (!e->options.read_only) {
		struct journal_state state = *journal_state(e->journal);

		r = recover_begin(e, &state, why);
	} else {
		look_expect(e, journal_state(e->journal));
	}
	/* Without: it stays as it was left, clean. */
	if (r == 0 && !e->options.journal && !e->options.read_only)
		journal_close(&e->journal);
	return r;
}

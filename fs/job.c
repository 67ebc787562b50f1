#include "fs/job.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/dirty.h"
#include "fs/logged.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/zone.h"
#include "util/base/log.h"

void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->moves);
	extents_free(&j->freed);
	free(j);
}

static int add_move(struct job *j, uint64_t to, uint64_t from, uint32_t bytes)
{
	if (j->count == j->room) {
		size_t room = j->room ? 2 * j->room : 64;
		void *moves = realloc(j->moves, room * sizeof *j->moves);

		if (!moves)
			return -ENOMEM;
		j->moves = moves;
		j->room = room;
	}
	j->moves[j->count++] = (struct move){to, from, bytes};
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct move *x = a, *y = b;

	return x->to < y->to ? -1 : x->to > y->to;
}

static int add_pages(struct job *j, const struct logged *l)
{
	int r = 0;

	for (size_t i = 0; i < l->size && r == 0; i++)
		if (l->slots[i].bytes)
			r = add_move(j, layout_physical_page(l->slots[i].page) << PAGE_SHIFT, l->slots[i].at,
				     l->slots[i].bytes);
	return r;
}

/* ------------------------------------------------------------------ maps */

/* Maps on their way into records, several to each. */
struct map_log {
	struct engine *e;
	struct job *job;
	struct maps_record record;
	uint64_t places[MAPS_MAX]; /* physical, in bytes */
	uint8_t *payload;          /* MAPS_MAX pages */
	uint32_t total;
};

static int flush_maps(struct map_log *l)
{
	uint8_t body[20 + MAPS_MAX * 9];
	struct journal_part part = {l->payload, (size_t)l->record.count * PAGE_BYTES};
	uint64_t at;
	int r;

	if (l->record.count == 0)
		return 0;
	r = journal_append(l->e->journal, RECORD_MAPS, body, maps_record_encode(&l->record, body), &part, 1, NULL, &at);
	for (uint32_t i = 0; i < l->record.count && r == 0; i++)
		r = add_move(l->job, l->places[i], at + (uint64_t)i * PAGE_BYTES, PAGE_BYTES);
	l->total += l->record.count;
	l->record.count = 0;
	return r;
}

static int put_map(void *data, struct layout_slot at, const uint8_t sealed[PAGE_BYTES])
{
	struct map_log *l = data;
	uint32_t i = l->record.count;

	l->record.maps[i].first = at.first;
	l->record.maps[i].height = (uint8_t)at.height;
	l->places[i] = at.physical << PAGE_SHIFT;
	memcpy(l->payload + (size_t)i * PAGE_BYTES, sealed, PAGE_BYTES);
	l->record.count++;
	return l->record.count == MAPS_MAX ? flush_maps(l) : 0;
}

static int seal_maps(struct engine *e, struct file *f, struct job *j, struct nonce *nonce, uint32_t *total)
{
	_cleanup_free_ struct map_log *l = calloc(1, sizeof *l);
	_cleanup_free_ uint8_t *payload = malloc((size_t)MAPS_MAX * PAGE_BYTES);
	const struct map_sink sink = {put_map, l, true};
	int r;

	if (!l || !payload)
		return -ENOMEM;
	*l = (struct map_log){.e = e, .job = j, .payload = payload};
	memcpy(l->record.file_id, f->head.file_id, 16);
	r = tree_seal_maps(e, f, nonce, &sink);
	if (r == 0)
		r = flush_maps(l);
	*total = l->total;
	return r;
}

/* ------------------------------------------------------------------ head */

static int log_images(struct engine *e, struct node *n, struct file *f, struct job *j, uint32_t maps)
{
	uint8_t body[128 + RECORD_PATH_MAX];
	char path[RECORD_PATH_MAX];
	struct journal_part part = {j->head, (size_t)j->head_length};
	struct images_record r = {.size = j->size, .mtime = j->mtime, .maps = maps};

	memcpy(r.file_id, f->head.file_id, 16);
	memcpy(r.base, f->log.base, AEAD_TAG);
	memcpy(r.version, j->version, AEAD_TAG);
	r.hint = (struct record_path){path, names_backing_path(e, n, path, sizeof path)};
	return journal_append(e->journal, RECORD_IMAGES, body, images_record_encode(&r, body), &part, 1, NULL, NULL);
}

/* IMAGES always clears the flag (B5). */
static int seal_head(struct engine *e, struct file *f, struct job *j, struct nonce *nonce)
{
	struct head h = f->head;

	h.commit++;
	h.newborn = false;
	h.epoch = 0;
	j->head_length = head_seal(e, f->zone, &h, nonce, &f->body, j->head);
	if (j->head_length < 0)
		return j->head_length;
	head_version(j->head, j->version);
	return 0;
}

static int seal_locked(struct engine *e, struct node *n, struct file *f, struct job *j)
{
	struct overlay shown;
	struct nonce nonce;
	uint32_t maps = 0;
	int r = nonce_start(&nonce);

	j->node = n;
	j->size = f->head.size;
	if (overlay_get(n, &shown))
		j->mtime = shown.mtime;
	if (r == 0)
		r = file_keep_holes(e, n, f, &f->log.freed);
	if (r == 0)
		r = add_pages(j, &f->log.pages);
	if (r == 0 && layout_is_paged(f->head.size))
		r = seal_maps(e, f, j, &nonce, &maps);
	if (r == 0)
		r = seal_head(e, f, j, &nonce);
	if (r == 0)
		r = log_images(e, n, f, j, maps);
	if (r < 0)
		tree_settle(e, f, false);
	return r;
}

/* The file's later records continue the new version (C3). */
static void take_over(struct engine *e, struct node *n, struct file *f, struct job *j)
{
	if (j->count > 0)
		qsort(j->moves, j->count, sizeof *j->moves, by_place);
	dirty_drop_records(e, n, &j->first);
	f->head.commit++;
	f->head.newborn = false;
	f->head.epoch = 0;
	f->head.generation = head_generation(j->head);
	if (RULE(C3base))
		memcpy(f->log.base, j->version, AEAD_TAG);
	f->log.records = false;
	f->log.expected -= HEAD_COST;
	journal_expect(e->journal, -HEAD_COST);
	f->log.job = j;
	/* What is cleared from here on this version may still name. */
	j->freed = f->log.freed;
	f->log.freed = (struct extents){0};
	f->log.cut_before = f->log.cut;
	f->log.cut = (struct page_range){0, 0};
	f->log.highest = f->head.size;
}

static struct file *pinned_file(struct node *n)
{
	pthread_mutex_lock(&n->lock);

	struct file *f = n->pins ? n->file : NULL;

	pthread_mutex_unlock(&n->lock);
	return f;
}

int job_start(struct engine *e, struct node *n, struct job **out)
{
	struct file *f = pinned_file(n);
	uint32_t zone = zone_of(e, n);
	struct job *j = NULL;
	int r = 0;

	*out = NULL;
	if (!f)
		return 0;
	pthread_rwlock_wrlock(&f->lock);
	file_note_zone(f, zone);
	if (f->log.job) {
		*out = f->log.job;
		(*out)->error = 0;
		/* What came since the IMAGES of this job is still to be needed when the job is done: the ring must not begin behind it (C6). */
		if (f->log.records)
			dirty_add(e, n);
	} else if (f->log.records) {
		j = calloc(1, sizeof *j);
		r = j ? seal_locked(e, n, f, j) : -ENOMEM;
		if (r == 0)
			take_over(e, n, f, j);
		else
			job_free(j);
		*out = r == 0 ? j : NULL;
	}
	pthread_rwlock_unlock(&f->lock);
	return r;
}

/* ------------------------------------------------------------------ end */

/* What lies in the journal only, of the version that is in place now, lies in place. */
static void settle_pages(struct file *f, const struct job *j)
{
	struct logged *l = &f->log.pages;

	for (size_t i = 0; i < j->count; i++) {
		uint64_t page;

		if (layout_page_at(j->moves[i].to >> PAGE_SHIFT, &page))
			logged_remove(l, page, j->moves[i].from);
	}
	if (l->count == 0)
		logged_free(l);
}

void job_settle(struct engine *e, struct job *j)
{
	struct file *f = j->node->file;

	pthread_rwlock_wrlock(&f->lock);
	settle_pages(f, j);
	tree_settle(e, f, true);
	f->size_below = j->size;
	pthread_rwlock_unlock(&f->lock);
}

void job_end(struct engine *e, struct job *j, bool done)
{
	struct node *n = j->node;
	struct file *f = n->file;

	if (!done)
		return;
	pthread_rwlock_wrlock(&f->lock);
	f->log.cut_before = (struct page_range){0, 0};
	f->log.job = NULL;
	bool clean = !f->log.records;

	if (clean) {
		dirty_drop_records(e, n, NULL);
		f->log.pinned = false;
		f->log.in_place = (struct page_range){0, 0};
	}
	pthread_rwlock_unlock(&f->lock);
	atomic_fetch_add(&e->settled, 1);
	if (clean)
		node_unpin(e, n);
	else
		dirty_add(e, n);
	job_free(j);
}

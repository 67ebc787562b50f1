#include "fs/map_cache.h"

#include <errno.h>

#include "fs/meter.h"

enum {
	MAPS_KEPT = 16,             /* a file keeps so many even when memory is short */
	MAP_COST = PAGE_BYTES + 64, /* of a map in the records of a checkpoint */
};

static uint32_t bucket_of(const struct map_cache *c, unsigned height, uint64_t first)
{
	return (uint32_t)(((first >> MAP_SHIFT) * UINT64_C(0x9E3779B97F4A7C15) >> 32) + height) & (c->size - 1);
}

struct map *maps_find(const struct map_cache *c, unsigned height, uint64_t first)
{
	if (!c->size)
		return NULL;

	struct map *m = c->buckets[bucket_of(c, height, first)];

	while (m && (m->first != first || m->height != height))
		m = m->chain;
	return m;
}

/* Accounts for what the next checkpoint will log of this file. */
static void expect(struct engine *e, struct file *f, int64_t bytes)
{
	if (!e->journal)
		return;
	f->log.expected += bytes;
	journal_expect(e->journal, bytes);
}

void maps_mark_dirty(struct engine *e, struct file *f, struct map *m)
{
	struct map_cache *c = &f->maps;

	if (m->dirty)
		return;
	expect(e, f, MAP_COST);
	m->dirty = true;
	m->next_dirty = c->dirty[m->height];
	c->dirty[m->height] = m;
}

void maps_mark_clean(struct engine *e, struct file *f, struct map *m)
{
	struct map **at = &f->maps.dirty[m->height];

	if (!m->dirty)
		return;
	expect(e, f, -MAP_COST);
	while (*at != m)
		at = &(*at)->next_dirty;
	*at = m->next_dirty;
	m->dirty = false;
}

static void forget_at(struct engine *e, struct file *f, struct map **at)
{
	struct map *m = *at;

	maps_mark_clean(e, f, m);
	*at = m->chain;
	f->maps.count--;
	atomic_fetch_sub(&e->map_bytes, sizeof *m);
	free(m);
}

static void evict_some(struct engine *e, struct file *f)
{
	struct map_cache *c = &f->maps;
	uint32_t wanted = 8;

	for (uint32_t i = 0; i < c->size && wanted && c->count > MAPS_KEPT; i++) {
		struct map **at = &c->buckets[c->hand++ & (c->size - 1)];

		while (*at && wanted) {
			if ((*at)->dirty || (*at)->busy) {
				at = &(*at)->chain;
			} else {
				forget_at(e, f, at);
				wanted--;
			}
		}
	}
}

static int grow(struct map_cache *c)
{
	uint32_t size = c->size ? c->size * 2 : 16;
	struct map_cache bigger = {.size = size};
	struct map **buckets = calloc(size, sizeof *buckets);

	if (!buckets)
		return c->size ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < c->size; i++) {
		for (struct map *m = c->buckets[i], *next; m; m = next) {
			uint32_t b = bucket_of(&bigger, m->height, m->first);

			next = m->chain;
			m->chain = buckets[b];
			buckets[b] = m;
		}
	}
	free(c->buckets);
	c->buckets = buckets;
	c->size = size;
	return 0;
}

int maps_enter(struct engine *e, struct file *f, struct map *m)
{
	struct map_cache *c = &f->maps;

	if (atomic_load(&e->map_bytes) > e->map_bytes_max)
		evict_some(e, f);
	if (c->count >= c->size && grow(c) < 0)
		return -ENOMEM;

	uint32_t b = bucket_of(c, m->height, m->first);

	m->chain = c->buckets[b];
	c->buckets[b] = m;
	c->count++;
	atomic_fetch_add(&e->map_bytes, sizeof *m);
	return 0;
}

void maps_forget(struct engine *e, struct file *f, struct map *m)
{
	struct map **at = &f->maps.buckets[bucket_of(&f->maps, m->height, m->first)];

	while (*at != m)
		at = &(*at)->chain;
	forget_at(e, f, at);
}

void maps_forget_inside(struct engine *e, struct file *f, uint64_t first, uint64_t end)
{
	struct map_cache *c = &f->maps;

	for (uint32_t i = 0; i < c->size; i++) {
		struct map **at = &c->buckets[i];

		while (*at) {
			if ((*at)->first >= first && (*at)->first + layout_span((*at)->height) <= end)
				forget_at(e, f, at);
			else
				at = &(*at)->chain;
		}
	}
}

void maps_settle(struct engine *e, struct file *f, bool in_place)
{
	for (uint32_t i = 0; i < f->maps.size; i++) {
		for (struct map *m = f->maps.buckets[i]; m; m = m->chain) {
			if (m->busy && !in_place)
				maps_mark_dirty(e, f, m);
			m->busy = false;
		}
	}
}

void maps_drop(struct engine *e, struct file *f)
{
	struct map_cache *c = &f->maps;

	for (uint32_t i = 0; i < c->size; i++)
		while (c->buckets[i])
			forget_at(e, f, &c->buckets[i]);
	free(c->buckets);
	c->buckets = NULL;
	c->size = c->count = 0;
}

/* Reads the map page of a subtree, or makes an empty one where the entry is a hole. */
static int load_map(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
		    struct map **out)
{
	struct map *m = calloc(1, sizeof *m);
	int r = 0;

	if (!m)
		return -ENOMEM;
	m->first = at.first;
	m->height = at.height;
	if (!entry_is_hole(entry)) {
		struct page_place where = {f->zone, f->head.file_id, PAGE_MAP, at.height, at.first};
		ssize_t got = store_pread(e->store, fd, m->entries, PAGE_BYTES, at.physical << PAGE_SHIFT);

		r = got == PAGE_BYTES ? page_open(e, &where, entry, m->entries, PAGE_BYTES, m->entries)
				      : (got < 0 ? (int)got : -EBADMSG);
	}
	if (r == 0)
		r = maps_enter(e, f, m);
	if (r < 0) {
		free(m);
		return r;
	}
	*out = m;
	return 0;
}

int maps_get(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
	     struct map **out)
{
	*out = maps_find(&f->maps, at.height, at.first);
	meter_add(*out ? METER_MAP_HITS : METER_MAP_MISSES, 1);
	return *out ? 0 : load_map(e, f, fd, at, entry, out);
}

bool maps_is_hole(const struct file *f, struct layout_slot at, const struct entry *entry)
{
	return entry_is_hole(entry) && !(at.height > 0 && maps_find(&f->maps, at.height, at.first));
}

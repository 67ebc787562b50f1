#include "fs/tree.h"

#include <errno.h>
#include <fcntl.h>

/* Invariants:
 *  (1) a map in the cache is what its parent's entry names (and opened under it), or it is dirty.
 *  (2) where a map is dirty, so are all maps above it: whoever changes an entry walks down from the head and marks the way.
 *  (3) only clean maps are evicted, so a pointer to a dirty map holds until tree_write_maps; a pointer to a clean one until the
 *      next map is entered. */

enum {
	MAPS_KEPT = 16,             /* a file keeps so many even when memory is short */
	MAP_COST = PAGE_BYTES + 64, /* of a map in the records of a checkpoint */
};

static uint32_t bucket_of(const struct map_cache *c, unsigned height, uint64_t first)
{
	return (uint32_t)(((first >> MAP_SHIFT) * UINT64_C(0x9E3779B97F4A7C15) >> 32) + height) & (c->size - 1);
}

static struct map *cached(const struct map_cache *c, unsigned height, uint64_t first)
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

static void mark_dirty(struct engine *e, struct file *f, struct map *m)
{
	struct map_cache *c = &f->maps;

	if (m->dirty)
		return;
	expect(e, f, MAP_COST);
	m->dirty = true;
	m->next_dirty = c->dirty[m->height];
	c->dirty[m->height] = m;
}

static void mark_clean(struct engine *e, struct file *f, struct map *m)
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

static void forget_map(struct engine *e, struct file *f, struct map **at)
{
	struct map *m = *at;

	mark_clean(e, f, m);
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
				forget_map(e, f, at);
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

static int enter(struct engine *e, struct file *f, struct map *m)
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
		struct page_place where = {f->head.file_id, PAGE_MAP, at.height, at.first};
		ssize_t got = store_pread(e->store, fd, m->entries, PAGE_BYTES, at.physical << PAGE_SHIFT);

		r = got == PAGE_BYTES ? page_open(e, &where, entry, m->entries, PAGE_BYTES, m->entries)
				      : (got < 0 ? (int)got : -EBADMSG);
	}
	if (r == 0)
		r = enter(e, f, m);
	if (r < 0) {
		free(m);
		return r;
	}
	*out = m;
	return 0;
}

/* Goes down to the map of height 1 over `page`.  *leaf is NULL if the way ends in a hole; with `make` maps are made instead and
 * all on the way become dirty.  Page must not be a child of the head itself. */
static int walk(struct engine *e, struct file *f, int fd, const struct layout_path *path, bool make, struct map **leaf)
{
	const struct entry *entry = &f->body.entries[path->slot];
	struct map *m = NULL;

	for (unsigned i = 0; i < path->height; i++) {
		m = cached(&f->maps, path->map[i].height, path->map[i].first);
		if (!m && !make && entry_is_hole(entry)) {
			*leaf = NULL;
			return 0;
		}
		if (!m) {
			int r = load_map(e, f, fd, path->map[i], entry, &m);

			if (r < 0)
				return r;
		}
		if (make)
			mark_dirty(e, f, m);
		entry = &m->entries[path->index[i]];
	}
	*leaf = m;
	return 0;
}

/* The entries side by side with that of `page`, in the head or in a map, and how many there are from it on. */
static int locate(struct engine *e, struct file *f, int fd, uint64_t page, bool make, struct entry **out, size_t *count)
{
	struct layout_path path;
	struct map *leaf;

	layout_find(page, &path);
	*count = (size_t)layout_run(page);
	if (path.height == 0) {
		*out = &f->body.entries[path.slot];
		return 0;
	}

	int r = walk(e, f, fd, &path, make, &leaf);

	if (r < 0)
		return r;
	*out = leaf ? &leaf->entries[path.index[path.height - 1]] : NULL;
	return 0;
}

int tree_get(struct engine *e, struct file *f, int fd, uint64_t page, size_t count, struct entry *out)
{
	int r = 0;

	pthread_mutex_lock(&f->maps.lock);
	while (count && r == 0) {
		struct entry *at;
		size_t run;

		r = locate(e, f, fd, page, false, &at, &run);
		if (r < 0)
			break;
		if (run > count)
			run = count;
		if (at)
			memcpy(out, at, run * sizeof *out);
		else
			memset(out, 0, run * sizeof *out);
		out += run;
		page += run;
		count -= run;
	}
	pthread_mutex_unlock(&f->maps.lock);
	return r;
}

int tree_prepare(struct engine *e, struct file *f, int fd, uint64_t page, size_t count)
{
	uint64_t end = page + count;
	struct entry *at;
	size_t run;
	int r = 0;

	pthread_mutex_lock(&f->maps.lock);
	for (; page < end && r == 0; page += run)
		r = locate(e, f, fd, page, true, &at, &run);
	pthread_mutex_unlock(&f->maps.lock);
	return r;
}

int tree_set(struct engine *e, struct file *f, int fd, uint64_t page, size_t count, const struct entry *in)
{
	int r = 0;

	pthread_mutex_lock(&f->maps.lock);
	while (count && r == 0) {
		struct entry *at;
		size_t run;

		r = locate(e, f, fd, page, true, &at, &run);
		if (r < 0)
			break;
		assert(at); /* with `make` there is always a map */
		if (run > count)
			run = count;
		memcpy(at, in, run * sizeof *in);
		in += run;
		page += run;
		count -= run;
	}
	pthread_mutex_unlock(&f->maps.lock);
	return r;
}

void extents_free(struct extents *x)
{
	free(x->list);
	*x = (struct extents){0};
}

void extents_add(struct extents *x, struct page_range pages, uint64_t begin, uint64_t end)
{
	if (x->count && x->list[x->count - 1].end == begin && x->list[x->count - 1].pages.end == pages.first) {
		x->list[x->count - 1].pages.end = pages.end;
		x->list[x->count - 1].end = end;
		return;
	}
	if (x->count == x->room) {
		size_t room = x->room ? x->room * 2 : 16;
		void *list = realloc(x->list, room * sizeof *x->list);

		if (!list)
			return;
		x->list = list;
		x->room = room;
	}
	x->list[x->count].pages = pages;
	x->list[x->count].begin = begin;
	x->list[x->count++].end = end;
}

static void note_free(struct extents *x, struct layout_slot at)
{
	if (x)
		extents_add(x, (struct page_range){at.first, at.first + layout_span(at.height)},
			    at.physical << PAGE_SHIFT, (at.physical + layout_extent(at.height)) << PAGE_SHIFT);
}

/* Forgets the cached maps whose pages all lie in [first, end). */
static void forget_inside(struct engine *e, struct file *f, uint64_t first, uint64_t end)
{
	struct map_cache *c = &f->maps;

	for (uint32_t i = 0; i < c->size; i++) {
		struct map **at = &c->buckets[i];

		while (*at) {
			if ((*at)->first >= first && (*at)->first + layout_span((*at)->height) <= end)
				forget_map(e, f, at);
			else
				at = &(*at)->chain;
		}
	}
}

/* True if a map of the subtree is cached although its entry is still a hole: made, but not yet written. */
static bool made_in_memory(const struct file *f, struct layout_slot at)
{
	return at.height > 0 && cached(&f->maps, at.height, at.first);
}

/* Loads what clear_subtree will change, and keeps it from being evicted until then. */
static int prepare_subtree(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
			   uint64_t first, uint64_t end)
{
	uint64_t at_end = at.first + layout_span(at.height);

	if (at.first >= end || at_end <= first || (first <= at.first && at_end <= end) ||
	    (entry_is_hole(entry) && !made_in_memory(f, at)))
		return 0;

	struct map *m = cached(&f->maps, at.height, at.first);
	int r = m ? 0 : load_map(e, f, fd, at, entry, &m);

	if (r < 0)
		return r;
	mark_dirty(e, f, m);
	for (unsigned i = 0; i < MAP_ENTRIES && r == 0; i++)
		r = prepare_subtree(e, f, fd, layout_child(at, i), &m->entries[i], first, end);
	return r;
}

int tree_prepare_clear(struct engine *e, struct file *f, int fd, uint64_t first, uint64_t end)
{
	int r = 0;

	pthread_mutex_lock(&f->maps.lock);
	for (unsigned slot = 0; slot < HEAD_ENTRIES && r == 0; slot++)
		r = prepare_subtree(e, f, fd, layout_head_slot(slot), &f->body.entries[slot], first, end);
	pthread_mutex_unlock(&f->maps.lock);
	return r;
}

/* Clears what [first, end) touches of the subtree `at`, whose entry is *entry. */
static int clear_subtree(struct engine *e, struct file *f, int fd, struct layout_slot at, struct entry *entry,
			 uint64_t first, uint64_t end, struct extents *freed)
{
	uint64_t at_end = at.first + layout_span(at.height);

	if (at.first >= end || at_end <= first || (entry_is_hole(entry) && !made_in_memory(f, at)))
		return 0;
	if (first <= at.first && at_end <= end) {
		memset(entry, 0, sizeof *entry);
		note_free(freed, at);
		return 0;
	}

	struct map *m = cached(&f->maps, at.height, at.first);
	int r = m ? 0 : load_map(e, f, fd, at, entry, &m);

	if (r < 0)
		return r;
	mark_dirty(e, f, m);
	for (unsigned i = 0; i < MAP_ENTRIES && r == 0; i++)
		r = clear_subtree(e, f, fd, layout_child(at, i), &m->entries[i], first, end, freed);
	return r;
}

int tree_clear(struct engine *e, struct file *f, int fd, uint64_t first, uint64_t end, struct extents *freed)
{
	int r = 0;

	pthread_mutex_lock(&f->maps.lock);
	for (unsigned slot = 0; slot < HEAD_ENTRIES && r == 0; slot++)
		r = clear_subtree(e, f, fd, layout_head_slot(slot), &f->body.entries[slot], first, end, freed);
	if (r == 0)
		forget_inside(e, f, first, end);
	pthread_mutex_unlock(&f->maps.lock);
	return r;
}

/* Looks in one subtree; *out keeps `end` if nothing is found. */
static int next_in_subtree(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
			   uint64_t page, uint64_t end, bool hole, uint64_t *out)
{
	uint64_t at_end = at.first + layout_span(at.height);
	bool empty = entry_is_hole(entry) && !made_in_memory(f, at);

	if (at_end <= page || at.first >= end)
		return 0;
	if (at.height == 0 || empty) {
		if (empty == hole)
			*out = at.first > page ? at.first : page;
		return 0;
	}

	struct map *m = cached(&f->maps, at.height, at.first);
	int r = m ? 0 : load_map(e, f, fd, at, entry, &m);

	if (r < 0)
		return r;

	/* A deeper load may evict this map: work on a copy of its entries. */
	_cleanup_free_ struct entry *copy = malloc(sizeof m->entries);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, m->entries, sizeof m->entries);
	for (unsigned i = 0; i < MAP_ENTRIES && r == 0 && *out == end; i++)
		r = next_in_subtree(e, f, fd, layout_child(at, i), &copy[i], page, end, hole, out);
	return r;
}

int tree_next(struct engine *e, struct file *f, int fd, uint64_t page, uint64_t end, bool hole, uint64_t *out)
{
	int r = 0;

	*out = end;
	pthread_mutex_lock(&f->maps.lock);
	for (unsigned slot = 0; slot < HEAD_ENTRIES && r == 0 && *out == end; slot++)
		r = next_in_subtree(e, f, fd, layout_head_slot(slot), &f->body.entries[slot], page, end, hole, out);
	pthread_mutex_unlock(&f->maps.lock);
	return r;
}

struct map_search {
	struct engine *e;
	struct file *f;
	int fd;
	bool (*wanted)(void *data, const struct entry *map);
	void *data;
	uint64_t page;
	bool found;
};

static int find_map(struct map_search *s, struct layout_slot at, const struct entry *entry)
{
	struct map *m = cached(&s->f->maps, at.height, at.first);
	int r = 0;

	if (at.height == 0 || (entry_is_hole(entry) && !m))
		return 0;
	if (!(m && (m->dirty || m->busy)) && s->wanted(s->data, entry)) {
		s->page = at.first;
		s->found = true;
		return 0;
	}
	if (at.height == 1)
		return 0;
	if (!m)
		r = load_map(s->e, s->f, s->fd, at, entry, &m);
	if (r < 0)
		return r;

	/* A deeper load may evict this map: work on a copy of its entries. */
	_cleanup_free_ struct entry *copy = malloc(sizeof m->entries);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, m->entries, sizeof m->entries);
	for (unsigned i = 0; i < MAP_ENTRIES && r == 0 && !s->found; i++)
		r = find_map(s, layout_child(at, i), &copy[i]);
	return r;
}

int tree_find_map(struct engine *e, struct file *f, int fd, bool (*wanted)(void *data, const struct entry *map),
		  void *data, uint64_t *page, bool *found)
{
	struct map_search s = {e, f, fd, wanted, data, 0, false};
	int r = 0;

	pthread_mutex_lock(&f->maps.lock);
	for (unsigned slot = 0; slot < HEAD_ENTRIES && r == 0 && !s.found; slot++)
		r = find_map(&s, layout_head_slot(slot), &f->body.entries[slot]);
	pthread_mutex_unlock(&f->maps.lock);
	*page = s.page;
	*found = s.found;
	return r;
}

/* The entry that names the map at a place; NULL if the map above is not known. */
static struct entry *entry_above(struct file *f, unsigned height, uint64_t first)
{
	struct layout_path path;
	unsigned i = 0;

	layout_find(first, &path);
	while (path.map[i].height != height)
		i++;
	if (i == 0)
		return &f->body.entries[path.slot];

	struct map *above = cached(&f->maps, path.map[i - 1].height, path.map[i - 1].first);

	return above ? &above->entries[path.index[i - 1]] : NULL;
}

static int seal_map(struct engine *e, struct file *f, struct map *m, struct nonce *nonce, const struct map_sink *to)
{
	struct page_place where = {f->head.file_id, PAGE_MAP, m->height, m->first};
	struct entry *entry = entry_above(f, m->height, m->first); /* (2) */
	uint8_t sealed[PAGE_BYTES];
	struct layout_slot at;
	struct entry fresh = {0};

	/* A map of holes only needs no page. */
	if (!bytes_all_zero(m->entries, sizeof m->entries)) {
		int r = page_seal(e, &where, nonce, m->entries, PAGE_BYTES, sealed, &fresh);

		if (r == 0)
			r = layout_map(m->height, m->first, &at) ? to->put(to->data, at, sealed) : -EINVAL;
		if (r < 0)
			return r;
	}
	*entry = fresh;
	return 0;
}

/* What was sealed in vain is dirty again. */
static void unseal(struct engine *e, struct file *f)
{
	for (uint32_t i = 0; i < f->maps.size; i++) {
		for (struct map *m = f->maps.buckets[i]; m; m = m->chain) {
			if (m->busy)
				mark_dirty(e, f, m);
			m->busy = false;
		}
	}
}

void tree_unseal(struct engine *e, struct file *f)
{
	pthread_mutex_lock(&f->maps.lock);
	unseal(e, f);
	pthread_mutex_unlock(&f->maps.lock);
}

/* One map: clean afterwards, or, if it could not be put, forgotten (unless what was put is kept). */
static int put_map(struct engine *e, struct file *f, struct map *m, struct nonce *nonce, const struct map_sink *to)
{
	struct map_cache *c = &f->maps;
	int r = seal_map(e, f, m, nonce, to);

	if (r < 0 && to->keep)
		return r;
	mark_clean(e, f, m);
	if (r == 0) {
		m->busy = to->keep;
		return 0;
	}

	struct map **at = &c->buckets[bucket_of(c, m->height, m->first)];

	while (*at != m)
		at = &(*at)->chain;
	forget_map(e, f, at);
	return r;
}

int tree_seal_maps(struct engine *e, struct file *f, struct nonce *nonce, const struct map_sink *to)
{
	struct map_cache *c = &f->maps;
	int result = 0;

	pthread_mutex_lock(&c->lock);
	for (unsigned height = 1; height <= HEIGHT_MAX && (result == 0 || !to->keep); height++) {
		while (c->dirty[height] && (result == 0 || !to->keep)) {
			int r = put_map(e, f, c->dirty[height], nonce, to);

			if (r < 0)
				result = r;
		}
	}
	if (result < 0 && to->keep)
		unseal(e, f);
	pthread_mutex_unlock(&c->lock);
	return result;
}

void tree_settle(struct file *f)
{
	struct map_cache *c = &f->maps;

	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->size; i++)
		for (struct map *m = c->buckets[i]; m; m = m->chain)
			m->busy = false;
	pthread_mutex_unlock(&c->lock);
}

int tree_enter_map(struct engine *e, struct file *f, unsigned height, uint64_t first, const uint8_t sealed[PAGE_BYTES])
{
	struct page_place where = {f->head.file_id, PAGE_MAP, height, first};
	struct map *m = calloc(1, sizeof *m);
	int r = m ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	m->first = first;
	m->height = height;
	pthread_mutex_lock(&f->maps.lock);

	const struct entry *entry = entry_above(f, height, first);

	r = entry ? page_open(e, &where, entry, sealed, PAGE_BYTES, m->entries) : -EBADMSG;
	if (r == 0)
		r = enter(e, f, m);
	if (r == 0)
		mark_dirty(e, f, m);
	pthread_mutex_unlock(&f->maps.lock);
	if (r < 0)
		free(m);
	return r;
}

/* The maps that are missing on the way to one page. */
static int reserve_way(struct engine *e, struct file *f, int fd, uint64_t page)
{
	struct layout_path path;
	const struct entry *entry;
	bool missing = false;

	layout_find(page, &path);
	entry = &f->body.entries[path.slot];
	for (unsigned i = 0; i < path.height; i++) {
		struct map *m = cached(&f->maps, path.map[i].height, path.map[i].first);
		int r = 0;

		missing = missing || entry_is_hole(entry);
		if (missing)
			r = e->store->ops->fallocate(e->store, fd, FALLOC_FL_KEEP_SIZE,
						     path.map[i].physical << PAGE_SHIFT, PAGE_BYTES);
		else if (!m)
			r = load_map(e, f, fd, path.map[i], entry, &m);
		if (r == -EOPNOTSUPP || r == -ENOSYS)
			return 0;
		if (r < 0)
			return r;
		if (!missing)
			entry = &m->entries[path.index[i]];
	}
	return 0;
}

int tree_reserve(struct engine *e, struct file *f, int fd, uint64_t page, size_t count)
{
	uint64_t end = page + count;
	int r = 0;

	pthread_mutex_lock(&f->maps.lock);
	while (page < end && r == 0) {
		r = reserve_way(e, f, fd, page);
		page += layout_run(page);
	}
	pthread_mutex_unlock(&f->maps.lock);
	return r;
}

void tree_drop(struct engine *e, struct file *f)
{
	struct map_cache *c = &f->maps;

	for (uint32_t i = 0; i < c->size; i++)
		while (c->buckets[i])
			forget_map(e, f, &c->buckets[i]);
	free(c->buckets);
	c->buckets = NULL;
	c->size = c->count = 0;
}

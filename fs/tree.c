#include "fs/tree.h"

#include <errno.h>
#include <fcntl.h>

#include "fs/extents.h"
#include "fs/map_cache.h"

/* Invariant: where a map is dirty, so are all maps above it: whoever changes an entry walks down from the head and marks the way. */

/* Goes down to the map of height 1 over `page`.  *leaf is NULL if the way ends in a hole; with `make` maps are made instead and
 * all on the way become dirty.  Page must not be a child of the head itself. */
static int walk(struct engine *e, struct file *f, int fd, const struct layout_path *path, bool make, struct map **leaf)
{
	const struct entry *entry = &f->body.entries[path->slot];
	struct map *m = NULL;

	for (unsigned i = 0; i < path->height; i++) {
		m = maps_find(&f->maps, path->map[i].height, path->map[i].first);
		if (!m && !make && entry_is_hole(entry)) {
			*leaf = NULL;
			return 0;
		}
		if (!m) {
			int r = maps_get(e, f, fd, path->map[i], entry, &m);

			if (r < 0)
				return r;
		}
		if (make)
			maps_mark_dirty(e, f, m);
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

static void note_free(struct extents *x, struct layout_slot at)
{
	if (x)
		extents_add(x, (struct page_range){at.first, at.first + layout_span(at.height)},
			    at.physical << PAGE_SHIFT, (at.physical + layout_extent(at.height)) << PAGE_SHIFT);
}

/* Loads what clear_subtree will change, and keeps it from being evicted until then. */
static int prepare_subtree(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
			   uint64_t first, uint64_t end)
{
	uint64_t at_end = at.first + layout_span(at.height);

	if (at.first >= end || at_end <= first || (first <= at.first && at_end <= end) || maps_is_hole(f, at, entry))
		return 0;

	struct map *m;
	int r = maps_get(e, f, fd, at, entry, &m);

	if (r < 0)
		return r;
	maps_mark_dirty(e, f, m);
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

	if (at.first >= end || at_end <= first || maps_is_hole(f, at, entry))
		return 0;
	if (first <= at.first && at_end <= end) {
		memset(entry, 0, sizeof *entry);
		note_free(freed, at);
		return 0;
	}

	struct map *m;
	int r = maps_get(e, f, fd, at, entry, &m);

	if (r < 0)
		return r;
	maps_mark_dirty(e, f, m);
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
		maps_forget_inside(e, f, first, end);
	pthread_mutex_unlock(&f->maps.lock);
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

	struct map *above = maps_find(&f->maps, path.map[i - 1].height, path.map[i - 1].first);

	return above ? &above->entries[path.index[i - 1]] : NULL;
}

static int seal_map(struct engine *e, struct file *f, struct map *m, struct nonce *nonce, const struct map_sink *to)
{
	struct page_place where = {f->zone, f->head.file_id, PAGE_MAP, m->height, m->first};
	struct entry *entry = entry_above(f, m->height, m->first); /* known: the map above is dirty too */
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

/* One map: clean afterwards, or, if it could not be put, forgotten (unless what was put is kept). */
static int put_map(struct engine *e, struct file *f, struct map *m, struct nonce *nonce, const struct map_sink *to)
{
	int r = seal_map(e, f, m, nonce, to);

	if (r < 0 && to->keep)
		return r;
	maps_mark_clean(e, f, m);
	if (r == 0) {
		m->busy = to->keep;
		return 0;
	}
	maps_forget(e, f, m);
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
		maps_settle(e, f, false);
	pthread_mutex_unlock(&c->lock);
	return result;
}

void tree_settle(struct engine *e, struct file *f, bool in_place)
{
	pthread_mutex_lock(&f->maps.lock);
	maps_settle(e, f, in_place);
	pthread_mutex_unlock(&f->maps.lock);
}

int tree_enter_map(struct engine *e, struct file *f, unsigned height, uint64_t first, const uint8_t sealed[PAGE_BYTES])
{
	struct page_place where = {f->zone, f->head.file_id, PAGE_MAP, height, first};
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
		r = maps_enter(e, f, m);
	if (r == 0)
		maps_mark_dirty(e, f, m);
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
		struct map *m = maps_find(&f->maps, path.map[i].height, path.map[i].first);
		int r = 0;

		missing = missing || entry_is_hole(entry);
		if (missing)
			r = e->store->ops->fallocate(e->store, fd, FALLOC_FL_KEEP_SIZE,
						     path.map[i].physical << PAGE_SHIFT, PAGE_BYTES);
		else if (!m)
			r = maps_get(e, f, fd, path.map[i], entry, &m);
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

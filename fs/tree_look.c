/* Searches of the tree. */
#include <errno.h>
#include <string.h>

#include "fs/map_cache.h"
#include "fs/tree.h"

/* A deeper load may evict a map: whoever goes on below it works on a copy of its entries. */
static int copy_entries(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
			struct entry *copy)
{
	struct map *m;
	int r = copy ? maps_get(e, f, fd, at, entry, &m) : -ENOMEM;

	if (r == 0)
		memcpy(copy, m->entries, sizeof m->entries);
	return r;
}

/* Looks in one subtree; *out keeps `end` if nothing is found. */
static int next_in_subtree(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
			   uint64_t page, uint64_t end, bool hole, uint64_t *out)
{
	uint64_t at_end = at.first + layout_span(at.height);
	bool empty = maps_is_hole(f, at, entry);

	if (at_end <= page || at.first >= end)
		return 0;
	if (at.height == 0 || empty) {
		if (empty == hole)
			*out = at.first > page ? at.first : page;
		return 0;
	}

	_cleanup_free_ struct entry *copy = malloc(MAP_ENTRIES * sizeof *copy);
	int r = copy_entries(e, f, fd, at, entry, copy);

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
	const struct map *m = maps_find(&s->f->maps, at.height, at.first);

	if (at.height == 0 || (entry_is_hole(entry) && !m))
		return 0;
	if (!(m && (m->dirty || m->busy)) && s->wanted(s->data, entry)) {
		s->page = at.first;
		s->found = true;
		return 0;
	}
	if (at.height == 1)
		return 0;

	_cleanup_free_ struct entry *copy = malloc(MAP_ENTRIES * sizeof *copy);
	int r = copy_entries(s->e, s->f, s->fd, at, entry, copy);

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

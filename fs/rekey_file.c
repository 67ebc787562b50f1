/* The content of files. */
#include <errno.h>

#include "fs/change.h"
#include "fs/damage.h"
#include "fs/dirty.h"
#include "fs/node.h"
#include "fs/rekey.h"

/* The file, locked and loaded, as one step sees it. */
struct step {
	struct rekey *k;
	struct node *n;
	struct file *f;
	struct timespec mtime; /* which stays */
};

static bool wants_entry(const struct rekey *k, const struct entry *e)
{
	return !entry_is_hole(e) && rekey_wants(k, get_le32(e->generation));
}

static bool wants_map(void *data, const struct entry *map)
{
	return wants_entry(data, map);
}

static int get_mtime(struct step *s)
{
	struct overlay shown;
	struct store_stat st;
	int r = 0;

	if (overlay_get(s->n, &shown)) {
		s->mtime = shown.mtime;
	} else {
		r = store_stat(s->k->e->store, s->n->fd, &st);
		s->mtime = st.mtime;
	}
	return r;
}

/* Whole seconds would hide a nanosecond that comes on top of 999,999,999. */
static void touch(struct step *s)
{
	if (!s->k->touch || ++s->mtime.tv_nsec < 1000000000)
		return;
	s->mtime.tv_nsec = 0;
	s->mtime.tv_sec++;
}

/* ------------------------------------------------------------------ pages */

/* The next page from *page on that the pass is about; `end` if there is none. */
static int find_page(struct step *s, uint64_t *page, uint64_t end)
{
	struct engine *e = s->k->e;
	struct entry entries[MAP_ENTRIES] = {0};

	while (*page < end) {
		int r = tree_next(e, s->f, s->n->fd, *page, end, false, page);
		size_t count = end - *page < MAP_ENTRIES ? (size_t)(end - *page) : MAP_ENTRIES;

		if (r == 0 && *page < end)
			r = tree_get(e, s->f, s->n->fd, *page, count, entries);
		if (r < 0)
			return damage_report(e, s->n, r, "map over page", *page);
		for (size_t i = 0; i < count && *page < end; i++, (*page)++)
			if (wants_entry(s->k, &entries[i]))
				return 0;
	}
	*page = end;
	return 0;
}

/* Pages from `page` on that follow one another and are older, at most so many. */
static int count_run(struct step *s, uint64_t page, size_t most, size_t *count)
{
	struct entry entries[CHUNK_PAGES];
	int r = tree_get(s->k->e, s->f, s->n->fd, page, most, entries);

	for (*count = 0; r == 0 && *count < most && wants_entry(s->k, &entries[*count]); (*count)++)
		;
	return damage_report(s->k->e, s->n, r, "map over page", page);
}

/* Seals a run of older pages again.  *page is behind it then. */
static int seal_run(struct step *s, uint64_t *page, uint64_t end, uint64_t *bytes)
{
	struct engine *e = s->k->e;
	_cleanup_free_ struct change *c = malloc(sizeof *c);
	_cleanup_free_ uint8_t *plain = malloc((size_t)CHUNK_PAGES * PAGE_BYTES);
	size_t most = end - *page < CHUNK_PAGES ? (size_t)(end - *page) : CHUNK_PAGES, count = 0;
	uint32_t done;
	int r = c && plain ? count_run(s, *page, most, &count) : -ENOMEM;

	if (r == 0)
		r = file_read_pages(e, s->n, s->f, *page, count, plain);
	if (r == 0)
		r = change_begin(c, e, s->n, s->f, s->f->head.size);
	for (size_t i = 0; i < count && r == 0; i++)
		r = change_page(c, *page + i, plain + i * PAGE_BYTES);
	if (plain)
		wipe(plain, (size_t)CHUNK_PAGES * PAGE_BYTES);
	if (r < 0)
		return r;
	c->mtime = &s->mtime;
	r = change_commit(c, &done);
	if (r == 0 && done < count)
		r = -EAGAIN;
	*page += done;
	*bytes += (uint64_t)done * PAGE_BYTES;
	return r;
}

/* Maps and the head are sealed by every checkpoint of the file, so with pages that are not older they are older only in a volume that was put
 * together from copies.  A record without pages makes a checkpoint seal them. */
static int seal_maps(struct step *s, uint64_t *page, bool *some)
{
	struct engine *e = s->k->e;
	bool found;
	int r = tree_find_map(e, s->f, s->n->fd, wants_map, s->k, page, &found);

	r = damage_report(e, s->n, r, "map over page", *page);
	*some = found;
	if (r == 0 && found && !s->k->count_only)
		r = tree_prepare(e, s->f, s->n->fd, *page, 1);
	return r;
}

static int seal_rest(struct step *s)
{
	bool head = rekey_wants(s->k, s->f->head.generation) && !s->f->log.records, maps = false;
	uint64_t page;
	int r = layout_is_paged(s->f->head.size) ? seal_maps(s, &page, &maps) : 0;

	if (r < 0 || !(head || maps) || s->k->count_only)
		return r < 0 ? r : head || maps;
	if (layout_is_paged(s->f->head.size))
		r = change_commit_time(s->k->e, s->n, s->f, &s->mtime);
	else
		r = change_reseal_inline(s->k->e, s->n, s->f, &s->mtime);
	return r < 0 ? r : 1;
}

/* ------------------------------------------------------------------ one step */

static int paged_step(struct step *s, uint64_t *page, uint64_t *bytes)
{
	uint64_t end = layout_pages(s->f->head.size);
	int r = find_page(s, page, end);

	if (r < 0 || *page == end || s->k->count_only) {
		bool found = *page < end;

		*page = UINT64_MAX;
		return r < 0 || found ? (r < 0 ? r : 1) : seal_rest(s);
	}
	r = seal_run(s, page, end, bytes);
	return r < 0 ? r : 1;
}

static int step(struct step *s, uint64_t *page, uint64_t *bytes)
{
	int r;

	/* What was never written has no head; what is newborn was sealed a moment ago, and the next pass sees it. */
	if (!s->f->has_head || (s->f->newborn && !s->k->count_only)) {
		*page = UINT64_MAX;
		return s->f->has_head && rekey_wants(s->k, s->f->head.generation);
	}
	r = get_mtime(s);
	if (r < 0)
		return r;
	if (*page == 0)
		touch(s);
	if (layout_is_paged(s->f->head.size))
		return paged_step(s, page, bytes);
	*page = UINT64_MAX;
	r = seal_rest(s);
	if (r > 0)
		*bytes += s->f->head.size;
	return r;
}

int rekey_content(struct rekey *k, struct node *n, uint64_t *page, uint64_t *bytes)
{
	struct step s = {.k = k, .n = n};
	size_t cost = change_cost(IO_MAX);
	int r = node_use(k->e, n);

	*bytes = 0;
	if (r < 0)
		return r;
	if (!k->count_only)
		r = change_reserve(k->e, cost);
	if (r == 0) {
		r = file_lock_for_write(k->e, n, &s.f);
		if (r == 0) {
			r = step(&s, page, bytes);
			file_unlock(s.f);
		}
		if (!k->count_only)
			change_release(k->e, cost);
	}
	node_unuse(k->e, n);
	return r;
}

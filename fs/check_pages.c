#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/worker.h"
#include "fs/zone.h"

/* A walk over the hash tree of one file. */
struct pages {
	struct check *c;
	const struct check_entry *en;
	const uint8_t *file_id;
	int fd;
	uint32_t zone;
	uint64_t size, count; /* of the file: bytes, pages */
	/* Bad data pages side by side become one finding. */
	uint64_t bad, bad_end;
	int error;
	uint32_t generation;
	bool *whole; /* not NULL: becomes false instead of a finding */
};

static struct check_kind kind_of(const struct pages *p, int error, uint32_t generation, const char *kind)
{
	if (error == -ENOKEY)
		return (struct check_kind){CHECK_WARNING, "generation", false};
	if (error == -EBADMSG && check_generation(p->c, p->zone, generation))
		return (struct check_kind){CHECK_ERROR, "generation", false};
	return error == -EBADMSG ? (struct check_kind){CHECK_ERROR, kind, false} : check_store_kind(error);
}

static const char *reason_of(const struct pages *p, int error, uint32_t generation)
{
	const char *g = error == -EBADMSG || error == -ENOKEY ? check_generation(p->c, p->zone, generation) : NULL;

	if (g)
		return g;
	return error == -EBADMSG ? "what lies there is not what its parent names" : strerror(-error);
}

/* The finding on the bad pages so far. */
static int flush(struct pages *p)
{
	uint64_t first = p->bad, end = p->bad_end, end_byte = end * PAGE_BYTES < p->size ? end * PAGE_BYTES : p->size;
	char which[64];

	if (end == 0)
		return 0;
	p->bad_end = 0;
	if (p->whole) {
		*p->whole = false;
		return 0;
	}
	if (end - first == 1)
		snprintf(which, sizeof which, "page %" PRIu64, first);
	else
		snprintf(which, sizeof which, "pages %" PRIu64 " to %" PRIu64, first, end - 1);
	return check_say_entry(p->c, p->en, kind_of(p, p->error, p->generation, "page"),
			       "%s (bytes %" PRIu64 " to %" PRIu64 ") cannot be read: %s; the rest of the file can",
			       which, first * PAGE_BYTES, end_byte - 1, reason_of(p, p->error, p->generation));
}

static int bad_page(struct pages *p, uint64_t page, int error, uint32_t generation)
{
	int r = 0;

	if (p->bad_end != page || p->error != error || p->generation != generation)
		r = flush(p);
	if (p->bad_end == 0)
		p->bad = page;
	p->bad_end = page + 1;
	p->error = error;
	p->generation = generation;
	return r;
}

static int open_data(struct pages *p, uint64_t page, const struct entry *entry, uint8_t *at, ssize_t got)
{
	struct page_place where = {p->zone, p->file_id, PAGE_DATA, 0, page};
	unsigned size = layout_page_bytes(p->size, page);
	int r = got < 0 ? (int)got : -EBADMSG;

	if (got >= (ssize_t)size)
		r = page_open(p->c->e, &where, entry, at, size, at);
	if (r == -ENOMEM)
		return r;
	p->c->report->pages++;
	return r < 0 ? bad_page(p, page, r, get_le32(entry->generation)) : 0;
}

/* Data pages side by side without a hole among them; MAP_ENTRIES at most. */
static int check_stretch(struct pages *p, uint64_t page, uint64_t physical, const struct entry *entries, unsigned n)
{
	uint8_t *buf = worker_buffer();
	ssize_t got =
		buf ? store_pread(p->c->e->store, p->fd, buf, (size_t)n * PAGE_BYTES, physical << PAGE_SHIFT) : -ENOMEM;
	int r = got == -ENOMEM ? -ENOMEM : 0;

	for (unsigned i = 0; i < n && r == 0; i++) {
		uint8_t *at = buf + (size_t)i * PAGE_BYTES;
		ssize_t here = got - (ssize_t)i * PAGE_BYTES;

		/* A store that cannot read one page of many is asked for each. */
		if (got < 0)
			here = store_pread(p->c->e->store, p->fd, at, PAGE_BYTES, (physical + i) << PAGE_SHIFT);
		r = open_data(p, page + i, &entries[i], at, here < 0 && got >= 0 ? 0 : here);
	}
	if (got > 0) {
		p->c->report->bytes += (uint64_t)got;
		check_progress(p->c, (uint64_t)got);
	}
	return r;
}

static int check_data(struct pages *p, uint64_t page, uint64_t physical, const struct entry *entries, unsigned n)
{
	int r = 0;

	if (page >= p->count)
		return 0;
	if (n > p->count - page)
		n = (unsigned)(p->count - page);
	for (unsigned i = 0, run; i < n && r == 0 && !p->c->stop; i += run) {
		bool hole = entry_is_hole(&entries[i]);

		for (run = 1; i + run < n && entry_is_hole(&entries[i + run]) == hole; run++)
			;
		if (!hole)
			r = check_stretch(p, page + i, physical + i, entries + i, run);
	}
	return r;
}

static int bad_map(struct pages *p, struct layout_slot at, int error, uint32_t generation)
{
	uint64_t end = at.first + layout_span(at.height);
	int r = flush(p);

	if (r < 0)
		return r;
	if (p->whole) {
		*p->whole = false;
		return 0;
	}
	return check_say_entry(p->c, p->en, kind_of(p, error, generation, "map"),
			       "the map page over pages %" PRIu64 " to %" PRIu64
			       " cannot be read: %s; the rest of the file can",
			       at.first, (end < p->count ? end : p->count) - 1, reason_of(p, error, generation));
}

/* Five levels at most. */
static int check_subtree(struct pages *p, struct layout_slot at, const struct entry *entry)
{
	struct page_place where = {p->zone, p->file_id, PAGE_MAP, at.height, at.first};
	int r = 0;

	if (at.first >= p->count || entry_is_hole(entry))
		return 0;

	_cleanup_free_ struct entry *map = malloc(PAGE_BYTES);

	if (!map)
		return -ENOMEM;

	ssize_t got = store_pread(p->c->e->store, p->fd, map, PAGE_BYTES, at.physical << PAGE_SHIFT);

	r = got == PAGE_BYTES ? page_open(p->c->e, &where, entry, map, PAGE_BYTES, map)
			      : (got < 0 ? (int)got : -EBADMSG);
	if (r == -ENOMEM)
		return r;
	p->c->report->pages++;
	p->c->report->bytes += PAGE_BYTES;
	check_progress(p->c, PAGE_BYTES);
	if (r < 0)
		return bad_map(p, at, r, get_le32(entry->generation));
	if (at.height == 1)
		return check_data(p, at.first, at.physical + 1, map, MAP_ENTRIES);
	for (unsigned i = 0; i < MAP_ENTRIES && r == 0; i++)
		r = check_subtree(p, layout_child(at, i), &map[i]);
	return r;
}

int check_pages(struct check *c, const struct check_entry *en, struct node *n, const struct head *h,
		const struct entry entries[HEAD_ENTRIES], bool *whole)
{
	struct pages p = {.c = c,
			  .en = en,
			  .file_id = h->file_id,
			  .fd = n->fd,
			  .zone = zone_of(c->e, en->dir->node),
			  .size = h->size,
			  .count = layout_pages(h->size),
			  .whole = whole};
	unsigned direct = 0;
	int r;

	while (layout_head_slot(direct).height == 0)
		direct++;
	r = check_data(&p, 0, layout_head_slot(0).physical, entries, direct);
	for (unsigned i = direct; i < HEAD_ENTRIES && r == 0; i++)
		r = check_subtree(&p, layout_head_slot(i), &entries[i]);
	return r == 0 ? flush(&p) : r;
}

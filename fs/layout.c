#include "fs/layout.h"

/* The head's children in groups of one height. */
struct group {
	unsigned slots, height;
	unsigned first_slot;
	uint64_t first, physical;
};

#define E1 UINT64_C(129) /* 1 + 128 */
#define E2 (1 + 128 * E1)
#define E3 (1 + 128 * E2)
#define E4 (1 + 128 * E3)
#define E5 (1 + 128 * E4)

static const uint64_t extents[HEIGHT_MAX + 1] = {1, E1, E2, E3, E4, E5};

static const struct group groups[] = {
	{60, 0, 0, 0, 1},
	{32, 1, 60, 60, 61},
	{28, 2, 92, 4156, 4189},
	{2, 3, 120, 462908, 466553},
	{1, 4, 122, 4657212, 4693883},
	{1, 5, 123, 273092668, 275243004},
};

enum { GROUPS = sizeof groups / sizeof groups[0] };

const uint64_t layout_max_pages = UINT64_C(273092668) + (UINT64_C(1) << 35);

uint64_t layout_extent(unsigned height)
{
	return extents[height];
}

struct layout_slot layout_head_slot(unsigned slot)
{
	const struct group *g = &groups[GROUPS - 1];

	while (g->first_slot > slot)
		g--;

	uint64_t i = slot - g->first_slot;

	return (struct layout_slot){g->height, g->first + i * layout_span(g->height),
				    g->physical + i * extents[g->height]};
}

struct layout_slot layout_child(struct layout_slot parent, unsigned i)
{
	unsigned h = parent.height - 1;

	return (struct layout_slot){h, parent.first + i * layout_span(h), parent.physical + 1 + i * extents[h]};
}

static const struct group *group_of_page(uint64_t page)
{
	const struct group *g = &groups[GROUPS - 1];

	while (g->first > page)
		g--;
	return g;
}

void layout_find(uint64_t page, struct layout_path *out)
{
	const struct group *g = group_of_page(page);

	out->slot = g->first_slot + (unsigned)((page - g->first) / layout_span(g->height));
	out->height = g->height;

	struct layout_slot at = layout_head_slot(out->slot);

	for (unsigned i = 0; i < g->height; i++) {
		unsigned child = (unsigned)((page - at.first) >> (MAP_SHIFT * (at.height - 1)));

		out->map[i] = at;
		out->index[i] = child;
		at = layout_child(at, child);
	}
	out->physical = at.physical;
}

bool layout_map(unsigned height, uint64_t first, struct layout_slot *out)
{
	struct layout_path path;

	if (height == 0 || height > HEIGHT_MAX || first >= layout_max_pages)
		return false;
	layout_find(first, &path);
	for (unsigned i = 0; i < path.height; i++) {
		if (path.map[i].height == height && path.map[i].first == first) {
			*out = path.map[i];
			return true;
		}
	}
	return false;
}

uint64_t layout_physical_page(uint64_t page)
{
	struct layout_path path;

	layout_find(page, &path);
	return path.physical;
}

uint64_t layout_run(uint64_t page)
{
	const struct group *g = group_of_page(page);
	uint64_t inside = page - g->first;

	if (g->height == 0)
		return g->slots - inside;
	return MAP_ENTRIES - (inside & (MAP_ENTRIES - 1));
}

uint64_t layout_physical_size(uint64_t logical, bool has_head)
{
	if (!layout_is_paged(logical))
		return logical || has_head ? HEAD_MIN + logical : 0;

	uint64_t last = logical - 1;

	return (layout_physical_page(last >> PAGE_SHIFT) << PAGE_SHIFT) + (last & (PAGE_BYTES - 1)) + 1;
}

bool layout_page_at(uint64_t physical, uint64_t *page)
{
	const struct group *g = &groups[GROUPS - 1];

	if (physical < 1)
		return false;
	while (g->physical > physical)
		g--;

	uint64_t inside = physical - g->physical;
	uint64_t at = g->first + inside / extents[g->height] * layout_span(g->height);

	if (inside / extents[g->height] >= g->slots)
		return false;
	inside %= extents[g->height];
	for (unsigned h = g->height; h > 0; h--) {
		if (inside == 0)
			return false;
		inside--;
		at += inside / extents[h - 1] * layout_span(h - 1);
		inside %= extents[h - 1];
	}
	*page = at;
	return true;
}

bool layout_logical_size(uint64_t physical, uint64_t *logical)
{
	uint64_t page;

	if (physical == 0) {
		*logical = 0;
		return true;
	}
	if (physical < HEAD_MIN)
		return false;
	if (physical <= PAGE_BYTES) {
		*logical = physical - HEAD_MIN;
		return true;
	}
	if (!layout_page_at((physical - 1) >> PAGE_SHIFT, &page))
		return false;
	*logical = (page << PAGE_SHIFT) + ((physical - 1) & (PAGE_BYTES - 1)) + 1;
	return layout_is_paged(*logical);
}

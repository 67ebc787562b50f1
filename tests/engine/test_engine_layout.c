/* Where pages lie: fs/layout.c against the tree itself, walked page by page, and against a slow oracle. */
#include "fixture.h"

/* The regions by docs/format-volume.md section 6.4, written down once more on purpose. */
static const struct region {
	uint64_t first, physical;
	unsigned slots, height;
} regions[] = {
	{0, 1, 60, 0},          {60, 61, 32, 1},          {4156, 4189, 28, 2},
	{462908, 466553, 2, 3}, {4657212, 4693883, 1, 4}, {273092668, 275243004, 1, 5},
};
enum { REGIONS = sizeof(regions) / sizeof(regions[0]) };

static const uint64_t max_pages = UINT64_C(273092668) + 34359738368;

static uint64_t span(unsigned height)
{
	return height ? 128 * span(height - 1) : 1;
}

static uint64_t extent(unsigned height)
{
	return height ? 1 + 128 * extent(height - 1) : 1;
}

/* The slow oracle: counts through the children in the order in which they lie. */
static uint64_t find_in(unsigned height, uint64_t first, uint64_t physical, uint64_t page)
{
	if (height == 0)
		return physical;
	physical++; /* the map */
	while (page >= first + span(height - 1)) {
		first += span(height - 1);
		physical += extent(height - 1);
	}
	return find_in(height - 1, first, physical, page);
}

static uint64_t oracle(uint64_t page)
{
	uint64_t first = 0, physical = 1;

	for (unsigned i = 0; i < REGIONS; i++)
		for (unsigned slot = 0; slot < regions[i].slots; slot++) {
			if (page < first + span(regions[i].height))
				return find_in(regions[i].height, first, physical, page);
			first += span(regions[i].height);
			physical += extent(regions[i].height);
		}
	return 0;
}

static void check_path(uint64_t page)
{
	struct layout_path p;

	layout_find(page, &p);

	struct layout_slot at = layout_head_slot(p.slot);

	HOLD(p.slot < HEAD_ENTRIES);
	HOLD(at.height == p.height);
	for (unsigned i = 0; i < p.height; i++) {
		HOLD(p.map[i].height == p.height - i);
		HOLD(p.map[i].first == at.first);
		HOLD(p.map[i].physical == at.physical);
		HOLD(p.index[i] < MAP_ENTRIES);
		HOLD(page >= at.first && page - at.first < layout_span(at.height));
		at = layout_child(at, p.index[i]);
	}
	HOLD(at.first == page);
	HOLD(at.physical == p.physical);
	HOLD(p.physical == oracle(page));
	HOLD(layout_physical_page(page) == p.physical);
}

/* Sizes that end in this page, there and back. */
static void check_sizes(uint64_t page)
{
	static const unsigned ends[] = {1, 2, 127, 128, 129, 3967, 3968, 3969, 4095, 4096};
	uint64_t physical = oracle(page);

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		uint64_t logical = page * PAGE_BYTES + ends[i], back;
		bool paged = logical > 3968;
		uint64_t size = paged ? physical * PAGE_BYTES + ends[i] : 128 + logical;

		HOLD(layout_is_paged(logical) == paged);
		HOLD(layout_physical_size(logical, true) == size);
		HOLD(layout_physical_size(logical, false) == size);
		HOLD(layout_logical_size(size, &back) && back == logical);
		HOLD(layout_pages(logical) == page + 1);
		HOLD(layout_page_bytes(logical, page) == ends[i]);
		HOLD(layout_page_bytes(logical, page + 1) == 0);
		if (page)
			HOLD(layout_page_bytes(logical, page - 1) == PAGE_BYTES);
	}
}

/* Whatever ends in the physical page is refused. */
static void check_no_size(uint64_t physical)
{
	static const unsigned ends[] = {1, 2, 2048, 4095, 4096};
	uint64_t size;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		ck_assert_msg(!layout_logical_size(physical * PAGE_BYTES + ends[i], &size), "physical %llu + %u",
			      (unsigned long long)physical, ends[i]);
}

static void check_run(uint64_t page)
{
	uint64_t run = layout_run(page);

	HOLD(run >= 1 && run <= 128);
	for (uint64_t i = 0; i < run; i++)
		HOLD(oracle(page + i) == oracle(page) + i);
	if (page + run < max_pages && page + run != 60)
		HOLD(oracle(page + run) > oracle(page) + run); /* a map lies between */
}

static void check_page(uint64_t page)
{
	check_path(page);
	check_sizes(page);
	check_run(page);
}

START_TEST(constants)
{
	ck_assert_uint_eq(layout_max_pages, max_pages);
	ck_assert_uint_eq(layout_max_size(), max_pages * 4096);
	for (unsigned h = 0; h <= HEIGHT_MAX; h++) {
		ck_assert_uint_eq(layout_span(h), span(h));
		ck_assert_uint_eq(layout_extent(h), extent(h));
	}
	for (unsigned i = 0, slot = 0; i < REGIONS; i++) {
		ck_assert_uint_eq(layout_head_slot(slot).first, regions[i].first);
		ck_assert_uint_eq(layout_head_slot(slot).physical, regions[i].physical);
		ck_assert_uint_eq(layout_head_slot(slot).height, regions[i].height);
		slot += regions[i].slots;
		ck_assert_uint_eq(slot <= HEAD_ENTRIES, 1);
	}
	/* Slots lie side by side, without a gap and without overlapping. */
	for (unsigned slot = 0; slot + 1 < HEAD_ENTRIES; slot++) {
		struct layout_slot a = layout_head_slot(slot), b = layout_head_slot(slot + 1);

		ck_assert_uint_eq(a.first + span(a.height), b.first);
		ck_assert_uint_eq(a.physical + extent(a.height), b.physical);
	}
}
END_TEST

START_TEST(edges)
{
	for (unsigned i = 0; i < REGIONS; i++)
		for (unsigned slot = 0; slot <= regions[i].slots; slot++) {
			uint64_t edge = regions[i].first + slot * span(regions[i].height);

			for (uint64_t page = edge > 2 ? edge - 2 : 0; page <= edge + 2 && page < max_pages; page++)
				check_page(page);
		}
	/* And the edges of all the maps along the first and the last way down. */
	for (unsigned i = 0; i < REGIONS; i++)
		for (unsigned h = 1; h < regions[i].height; h++) {
			uint64_t end = regions[i].first + regions[i].slots * span(regions[i].height);

			for (int d = -2; d <= 2; d++) {
				check_page(regions[i].first + span(h) + (uint64_t)d);
				check_page(end - span(h) + (uint64_t)d);
			}
		}
	check_page(max_pages - 1);
}
END_TEST

/* Every size of the first 100 physical pages: it belongs to exactly one logical size, or to none. */
START_TEST(small_sizes)
{
	uint64_t logical, expected = 0;

	for (uint64_t size = 0; size <= 100 * PAGE_BYTES; size++) {
		uint64_t page = (size - 1) / PAGE_BYTES;
		bool possible = size == 0 || (size >= 128 && size <= 4096) || (size > 8064 && page != 61);

		HOLD(layout_logical_size(size, &logical) == possible);
		if (!possible)
			continue;
		if (size > 128)
			expected++;
		HOLD(logical == expected);
		HOLD(layout_physical_size(logical, true) == (size ? size : 128));
	}
	ck_assert_uint_eq(layout_physical_size(0, false), 0);
	ck_assert_uint_eq(layout_physical_size(0, true), 128);
}
END_TEST

/* Walks the tops of all subtrees down to height 1 in part of the tree: every map page is no end of a file. */
static void refuse_maps(struct layout_slot at, unsigned *budget)
{
	if (at.height == 0 || *budget == 0)
		return;
	--*budget;
	check_no_size(at.physical);
	for (unsigned i = 0; i < MAP_ENTRIES; i++)
		refuse_maps(layout_child(at, i == 1 ? MAP_ENTRIES - 1 : i), budget);
}

START_TEST(impossible_sizes)
{
	uint64_t size, end = regions[5].physical + extent(5);

	for (unsigned slot = 0; slot < HEAD_ENTRIES; slot++) {
		unsigned budget = scaled(20000);

		refuse_maps(layout_head_slot(slot), &budget);
	}
	for (uint64_t n = 1; n < 128; n++)
		ck_assert(!layout_logical_size(n, &size));
	for (uint64_t n = 4097; n <= 8064; n++)
		ck_assert(!layout_logical_size(n, &size));
	/* Behind the last page there is nothing. */
	ck_assert(layout_logical_size(end * PAGE_BYTES, &size) && size == layout_max_size());
	check_no_size(end);
	check_no_size(end + 1);
	check_no_size(end + extent(5));
	check_no_size(UINT64_MAX / PAGE_BYTES - 1);
	for (unsigned bit = 50; bit < 64; bit++)
		ck_assert(!layout_logical_size(UINT64_C(1) << bit, &size));
}
END_TEST

START_TEST(random_pages)
{
	uint64_t seed = first_seed(1);

	for (unsigned i = 0; i < scaled(2000000); i++) {
		/* All magnitudes alike. */
		uint64_t page = rnd(&seed) % max_pages >> below(&seed, 35), logical, size;

		check_path(page);
		logical = page * PAGE_BYTES + 1 + below(&seed, PAGE_BYTES);
		if (layout_is_paged(logical)) {
			size = layout_physical_size(logical, true);
			HOLD((size - 1) / PAGE_BYTES == oracle(page));
			HOLD(layout_logical_size(size, &size) && size == logical);
		}
	}
	for (unsigned i = 0; i < scaled(20000); i++)
		check_page(rnd(&seed) % max_pages >> below(&seed, 35));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("layout");

	tcase_add_test(t, constants);
	tcase_add_test(t, edges);
	tcase_add_test(t, small_sizes);
	tcase_add_test(t, impossible_sizes);
	tcase_add_test(t, random_pages);
	return run_engine_suite("engine_layout", t);
}

/* Where things lie in a backing file: pure arithmetic (docs/format-volume.md sections 6.2 and 6.4).
 *
 * A page number is logical (which 4096 bytes of content) unless called physical (which 4096 bytes of the backing file). */
#ifndef COFFER_FS_LAYOUT_H
#define COFFER_FS_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PAGE_BYTES = 4096,
	PAGE_SHIFT = 12,
	PREFIX_SIZE = 64, /* of a head, in the clear */
	FIELDS_SIZE = 64, /* of a head, sealed */
	HEAD_MIN = PREFIX_SIZE + FIELDS_SIZE,
	INLINE_MAX = PAGE_BYTES - HEAD_MIN,
	ENTRY_SIZE = 32,
	HEAD_ENTRIES = 124,
	MAP_ENTRIES = 128,
	MAP_SHIFT = 7,
	HEIGHT_MAX = 5,
};

/* Pages [first, end). */
struct page_range {
	uint64_t first, end;
};

/* Pages of content that the tree can reach: 129 TiB. */
extern const uint64_t layout_max_pages;

static inline uint64_t layout_max_size(void)
{
	return layout_max_pages << PAGE_SHIFT;
}

/* Pages of content below a subtree of height h: 128^h. */
static inline uint64_t layout_span(unsigned height)
{
	return UINT64_C(1) << (MAP_SHIFT * height);
}

/* Physical pages of a subtree of height h, its map page included. */
uint64_t layout_extent(unsigned height);

/* A child of the head. */
struct layout_slot {
	unsigned height;   /* 0: a data page */
	uint64_t first;    /* logical page that it begins with */
	uint64_t physical; /* physical page of its top */
};
struct layout_slot layout_head_slot(unsigned slot);

/* The subtree of this height (at least 1) that begins with logical page `first`; false if there is none. */
bool layout_map(unsigned height, uint64_t first, struct layout_slot *out);
static inline bool layout_is_map(unsigned height, uint64_t first)
{
	struct layout_slot slot;

	return layout_map(height, first, &slot);
}

/* Child i of the subtree `parent` (height at least 1). */
struct layout_slot layout_child(struct layout_slot parent, unsigned i);

/* The way from the head down to a page: slot in the head, then, from the top, the maps and the index in each. */
struct layout_path {
	unsigned slot;
	unsigned height;                    /* maps on the way */
	struct layout_slot map[HEIGHT_MAX]; /* [0] the topmost */
	unsigned index[HEIGHT_MAX];         /* the child taken in map[i] */
	uint64_t physical;                  /* of the data page */
};
/* page < layout_max_pages. */
void layout_find(uint64_t page, struct layout_path *out);
uint64_t layout_physical_page(uint64_t page);

/* The logical page that lies at a physical one; false if the head, a map or nothing does. */
bool layout_page_at(uint64_t physical, uint64_t *page);

/* How many data pages from `page` on lie side by side: up to the end of their parent (at least 1). */
uint64_t layout_run(uint64_t page);

/* The size of a backing file of this logical size.  `has_head` only matters for 0: a file never written has none. */
uint64_t layout_physical_size(uint64_t logical, bool has_head);

/* The logical size that a physical size means.  False if there is none (a damaged file). */
bool layout_logical_size(uint64_t physical, uint64_t *logical);

static inline bool layout_is_paged(uint64_t logical)
{
	return logical > INLINE_MAX;
}

/* Pages of content in a file of this size; bytes in page `page` of it (0 behind the end). */
static inline uint64_t layout_pages(uint64_t logical)
{
	return (logical + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

static inline unsigned layout_page_bytes(uint64_t logical, uint64_t page)
{
	uint64_t begin = page << PAGE_SHIFT;

	if (logical <= begin)
		return 0;
	return logical - begin < PAGE_BYTES ? (unsigned)(logical - begin) : PAGE_BYTES;
}

#endif

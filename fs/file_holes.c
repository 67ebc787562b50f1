/* Holes: making them, reserving space, finding them. */
#include <errno.h>
#include <fcntl.h>

#include "fs/change.h"
#include "fs/damage.h"

/* Adds a page with a part of it zeroed, unless it is a hole. */
static int zero_part(struct change *c, uint64_t page, size_t from, size_t to)
{
	uint8_t content[PAGE_BYTES];
	int r = file_page_is_hole(c->e, c->n, c->f, page);

	if (r != 0)
		return r < 0 ? r : 0;
	r = file_read_whole_page(c->e, c->n, c->f, page, content);
	if (r < 0)
		return r;
	memset(content + from, 0, to - from);
	return change_page(c, page, content);
}

static int punch_paged(struct change *c, uint64_t off, uint64_t end)
{
	uint64_t size = c->size, first = layout_pages(off), last = end == size ? layout_pages(end) : end >> PAGE_SHIFT;
	size_t from = off & (PAGE_BYTES - 1), to = end & (PAGE_BYTES - 1);
	uint32_t done;
	int r = 0;

	if (first > last) { /* inside one page */
		r = zero_part(c, off >> PAGE_SHIFT, from, to);
	} else {
		if (from)
			r = zero_part(c, off >> PAGE_SHIFT, from, PAGE_BYTES);
		if (r == 0 && to && end != size)
			r = zero_part(c, end >> PAGE_SHIFT, 0, to);
		c->clear = (struct page_range){first, last};
	}
	return r < 0 ? r : change_commit(c, &done);
}

static int punch_locked(struct engine *e, struct node *n, struct file *f, uint64_t off, uint64_t end)
{
	uint8_t content[INLINE_MAX];
	struct change c;

	if (layout_is_paged(f->head.size)) {
		int r = change_begin(&c, e, n, f, f->head.size);

		return r < 0 ? r : punch_paged(&c, off, end);
	}
	memcpy(content, f->body.content, INLINE_MAX);
	memset(content + off, 0, end - off);
	return change_commit_inline(e, n, f, content, f->head.size);
}

/* Adds the pages of a range that are holes, one run below at a time; maps between them stay, and what is beyond `left` runs. */
static int add_holes(struct engine *e, struct node *n, struct file *f, struct page_range pages, struct extents *out,
		     unsigned *left)
{
	uint64_t at = pages.first;
	int r = 0;

	while (at < pages.end && r == 0 && *left) {
		uint64_t hole, data = pages.end;

		r = tree_next(e, f, n->fd, at, pages.end, true, &hole);
		if (r == 0)
			r = tree_next(e, f, n->fd, hole, pages.end, false, &data);
		for (at = hole; r == 0 && at < data && *left; (*left)--) {
			uint64_t run = layout_run(at) < data - at ? layout_run(at) : data - at;
			uint64_t begin = layout_physical_page(at) << PAGE_SHIFT;

			extents_add(out, (struct page_range){at, at + run}, begin, begin + (run << PAGE_SHIFT));
			at += run;
		}
		at = data;
	}
	return r;
}

int file_keep_holes(struct engine *e, struct node *n, struct file *f, struct extents *freed)
{
	enum { RUNS_MAX = 4096 };
	struct extents holes = {0};
	unsigned left = RUNS_MAX;
	int r = 0;

	for (size_t i = 0; i < freed->count && r == 0; i++) {
		struct page_range pages = freed->list[i].pages;
		uint64_t data = pages.end;

		if (layout_is_paged(f->head.size))
			r = tree_next(e, f, n->fd, pages.first, pages.end, false, &data);
		if (r == 0 && data == pages.end)
			extents_add(&holes, pages, freed->list[i].begin, freed->list[i].end);
		else if (r == 0)
			r = add_holes(e, n, f, pages, &holes, &left);
	}
	extents_free(freed);
	*freed = holes;
	return r;
}

int file_punch_extents(struct engine *e, struct node *n, const struct extents *holes)
{
	int r = 0;

	/* A store that cannot punch keeps the space, and reads are zeros all the same. */
	for (size_t i = 0; i < holes->count && r == 0 && e->caps.punch_hole; i++)
		r = e->store->ops->fallocate(e->store, n->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					     holes->list[i].begin, holes->list[i].end - holes->list[i].begin);
	return r;
}

int file_punch(struct engine *e, struct node *n, uint64_t off, uint64_t size)
{
	size_t cost = change_cost(2 * PAGE_BYTES);
	struct file *f;
	int r = change_reserve(e, cost);

	if (r < 0)
		return r;
	r = file_lock_for_write(e, n, &f);
	if (r == 0) {
		uint64_t end = size < f->head.size && off < f->head.size - size ? off + size : f->head.size;

		if (off < end)
			r = punch_locked(e, n, f, off, end);
		if (r < 0)
			file_fall_back(e, n, f);
		file_unlock(f);
	}
	change_release(e, cost);
	return r;
}

int file_reserve(struct engine *e, struct node *n, uint64_t off, uint64_t size)
{
	struct file *f;
	uint64_t begin = 0, end = PAGE_BYTES, whole;
	int r;

	if (file_is_too_big(e, off, size))
		return -EFBIG;
	r = file_lock_for_write(e, n, &f);
	if (r < 0)
		return r;
	/* Where the range lies once the file reaches it; maps between its pages are within.  An inline file is one page. */
	whole = off + size > f->head.size ? off + size : f->head.size;
	if (layout_is_paged(whole)) {
		begin = layout_physical_page(off >> PAGE_SHIFT) << PAGE_SHIFT;
		end = (layout_physical_page((off + size - 1) >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
	}
	r = e->store->ops->fallocate(e->store, n->fd, FALLOC_FL_KEEP_SIZE, begin, end - begin);
	file_unlock(f);
	return r;
}

int file_seek(struct engine *e, struct node *n, uint64_t off, bool hole, uint64_t *out)
{
	struct file *f;
	int r = file_lock_for_read(e, n, &f);

	if (r < 0)
		return r;

	uint64_t size = f->head.size, page = off >> PAGE_SHIFT, end = layout_pages(size), found;

	if (off >= size) {
		r = -ENXIO;
	} else if (!layout_is_paged(size)) {
		*out = hole ? size : off;
	} else {
		r = tree_next(e, f, n->fd, page, end, hole, &found);
		if (r < 0)
			r = damage_report(e, n, r, "map behind page", page);
		else if (found == end && !hole)
			r = -ENXIO;
		else if (found == end)
			*out = size;
		else
			*out = found == page ? off : found << PAGE_SHIFT;
	}
	file_unlock(f);
	return r;
}

/* Holes: making them, reserving space, finding them. */
#include <errno.h>
#include <fcntl.h>

#include "fs/damage.h"
#include "fs/file_parts.h"

/* Zeroes a part of one page, unless it is a hole. */
static int zero_part(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t from, size_t to)
{
	uint8_t content[PAGE_BYTES];
	int r = file_page_is_hole(e, n, f, page);

	if (r != 0)
		return r < 0 ? r : 0;
	r = file_read_whole_page(e, n, f, page, content);
	if (r < 0)
		return r;
	memset(content + from, 0, to - from);
	return file_write_page(e, n, f, page, content, layout_page_bytes(f->head.size, page));
}

static int punch_paged(struct engine *e, struct node *n, struct file *f, uint64_t off, uint64_t end,
		       struct extents *freed)
{
	uint64_t first = layout_pages(off), last = end == f->head.size ? layout_pages(end) : end >> PAGE_SHIFT;
	size_t from = off & (PAGE_BYTES - 1), to = end & (PAGE_BYTES - 1);
	int r = 0;

	if (first > last) /* inside one page */
		return zero_part(e, n, f, off >> PAGE_SHIFT, from, to);
	if (from)
		r = zero_part(e, n, f, off >> PAGE_SHIFT, from, PAGE_BYTES);
	if (r == 0 && to && end != f->head.size)
		r = zero_part(e, n, f, end >> PAGE_SHIFT, 0, to);
	if (r == 0 && first < last)
		r = file_clear_pages(e, n, f, first, last, freed);
	return r;
}

static int punch_locked(struct engine *e, struct node *n, struct file *f, uint64_t off, uint64_t end,
			struct extents *freed)
{
	if (!layout_is_paged(f->head.size)) {
		uint8_t content[INLINE_MAX];

		memcpy(content, f->body.content, INLINE_MAX);
		memset(content + off, 0, end - off);
		return file_put_inline(e, n, f, content, f->head.size);
	}

	int r = punch_paged(e, n, f, off, end, freed);

	return r < 0 ? r : file_commit(e, n, f);
}

int file_punch(struct engine *e, struct node *n, uint64_t off, uint64_t size)
{
	struct extents freed = {0};
	struct file *f;
	int r = file_lock_for_write(e, n, &f);

	if (r < 0)
		return r;

	uint64_t end = size < f->head.size && off < f->head.size - size ? off + size : f->head.size;

	if (off < end) {
		r = punch_locked(e, n, f, off, end, &freed);
		if (r < 0)
			file_fall_back(e, n, f);
	}
	/* Space that no entry names any more; a store that cannot punch keeps it, and reads are zeros all the same. */
	for (size_t i = 0; i < freed.count && r == 0 && e->caps.punch_hole; i++)
		r = e->store->ops->fallocate(e->store, n->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					     freed.list[i].begin, freed.list[i].end - freed.list[i].begin);
	file_unlock(f);
	free(freed.list);
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

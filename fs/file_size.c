/* Changing the size of a file, and with it its form. */
#include <errno.h>
#include <time.h>

#include "fs/change.h"
#include "fs/dirty.h"

static int set_inline_size(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	uint8_t content[PAGE_BYTES] = {0};
	uint64_t keep = f->head.size < size ? f->head.size : size;
	int r = keep ? file_read_whole_page(e, n, f, 0, content) : 0;

	if (r < 0)
		return r;
	memset(content + keep, 0, sizeof content - keep);
	return change_commit_inline(e, n, f, content, size);
}

/* The last page of a shorter file is sealed again, unless it is a hole. */
static int add_new_end(struct change *c, uint64_t size)
{
	uint64_t last = layout_pages(size) - 1;
	uint8_t content[PAGE_BYTES];
	int r;

	c->clear = (struct page_range){last + 1, layout_max_pages};
	if (layout_page_bytes(size, last) >= layout_page_bytes(c->f->head.size, last))
		return 0;
	r = file_page_is_hole(c->e, c->n, c->f, last);
	if (r == 0)
		r = file_read_whole_page(c->e, c->n, c->f, last, content);
	else if (r > 0)
		return 0;
	return r < 0 ? r : change_page(c, last, content);
}

/* The same size: the time of change moves all the same. */
static int touch(struct engine *e, struct node *n, struct file *f)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (f->log.pinned)
		return change_commit_time(e, n, f, &now);
	overlay_set_mtime(n, &now);
	return e->store->ops->truncate(e->store, n->fd, layout_physical_size(f->head.size, f->has_head));
}

int file_set_size(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	struct change c;
	uint32_t done;
	int r;

	if (size == f->head.size)
		return touch(e, n, f);
	if (!layout_is_paged(size))
		return set_inline_size(e, n, f, size);
	r = change_begin(&c, e, n, f, size);
	if (r == 0)
		r = size < f->head.size ? add_new_end(&c, size) : change_old_end(&c, layout_max_pages);
	return r < 0 ? r : change_commit(&c, &done);
}

static int resize(struct engine *e, struct node *n, uint64_t size, bool shrink)
{
	size_t cost = change_cost(PAGE_BYTES);
	struct file *f;
	int r;

	if (file_is_too_big(e, size, 0))
		return -EFBIG;
	r = change_reserve(e, cost);
	if (r < 0)
		return r;
	r = file_lock_for_write(e, n, &f);
	if (r == 0) {
		if (shrink || size > f->head.size)
			r = file_set_size(e, n, f, size);
		if (r < 0)
			file_fall_back(e, n, f);
		file_unlock(f);
	}
	change_release(e, cost);
	return r;
}

int file_truncate(struct engine *e, struct node *n, uint64_t size)
{
	return resize(e, n, size, true);
}

int file_grow(struct engine *e, struct node *n, uint64_t size)
{
	return resize(e, n, size, false);
}

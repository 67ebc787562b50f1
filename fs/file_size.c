/* Changing the size of a file, and with it its form. */
#include <errno.h>

#include "fs/file_parts.h"

static int truncate_to_inline(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	uint8_t content[PAGE_BYTES] = {0};
	int r = 0;

	if (layout_is_paged(f->head.size))
		r = size ? file_read_whole_page(e, n, f, 0, content) : 0;
	else
		memcpy(content, f->body.content, f->head.size < size ? f->head.size : size);
	if (r == 0)
		r = file_put_inline(e, n, f, content, size);
	if (r < 0)
		return r;
	tree_drop(e, f);
	return e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));
}

/* The store first: if it refuses, nothing has changed, and what fails later costs only what was to go. */
static int shrink_paged(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	uint64_t last = layout_pages(size) - 1;
	unsigned bytes = layout_page_bytes(size, last);
	bool shorter = bytes < layout_page_bytes(f->head.size, last);
	uint8_t content[PAGE_BYTES];
	int r = file_page_is_hole(e, n, f, last);

	if (r > 0)
		shorter = false;
	if (r >= 0)
		r = shorter ? file_read_whole_page(e, n, f, last, content) : 0;
	if (r == 0)
		r = file_clear_pages(e, n, f, last + 1, layout_max_pages, NULL);
	if (r == 0)
		r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));
	if (r == 0 && shorter)
		r = file_write_page(e, n, f, last, content, bytes);
	if (r < 0)
		return r;
	f->head.size = size;
	return file_commit(e, n, f);
}

static int grow_paged(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	/* The store first: it says EFBIG or ENOSPC before anything has changed. */
	int r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));

	if (r == 0)
		r = file_fill_last_page(e, n, f, size);
	if (r < 0)
		return r;
	f->head.size = size;
	return file_commit(e, n, f);
}

static int inline_to_paged(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	int r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));

	if (r == 0)
		r = file_become_paged(e, n, f, size);
	if (r < 0)
		return r;
	f->head.size = size;
	return file_commit(e, n, f);
}

static int set_size(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	if (size == f->head.size)
		return e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, f->has_head));
	if (!layout_is_paged(size))
		return truncate_to_inline(e, n, f, size);
	if (!layout_is_paged(f->head.size))
		return inline_to_paged(e, n, f, size);
	return size < f->head.size ? shrink_paged(e, n, f, size) : grow_paged(e, n, f, size);
}

static int resize(struct engine *e, struct node *n, uint64_t size, bool shrink)
{
	struct file *f;
	int r;

	if (file_is_too_big(e, size, 0))
		return -EFBIG;
	r = file_lock_for_write(e, n, &f);
	if (r < 0)
		return r;
	if (shrink || size > f->head.size)
		r = set_size(e, n, f, size);
	if (r < 0)
		file_fall_back(e, n, f);
	file_unlock(f);
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

/* Changing the size of a file, and with it its form. */
#include <errno.h>

#include "fs/file_parts.h"
#include "util/base/log.h"

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

static int shrink_paged(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	uint64_t last = layout_pages(size) - 1;
	unsigned bytes = layout_page_bytes(size, last);
	/* First what can fail without having changed anything in place. */
	int r = file_clear_pages(e, n, f, last + 1, layout_max_pages, NULL);

	if (r < 0)
		return r;
	if (bytes < layout_page_bytes(f->head.size, last))
		r = file_resize_last_page(e, n, f, last, bytes);
	if (r < 0)
		return r;
	f->head.size = size;
	r = file_commit(e, n, f);
	return r < 0 ? r : e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));
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
	uint64_t old_size = f->head.size;
	bool had_head = f->has_head;
	int r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));

	if (r == 0)
		r = file_become_paged(e, n, f, size);
	if (r == 0) {
		f->head.size = size;
		r = file_commit(e, n, f);
	}
	if (r < 0)
		file_undo_growth(e, n, f, old_size, had_head);
	return r;
}

/* Nothing of a write got through: back to the size before, whatever prepare_growth did. */
void file_undo_growth(struct engine *e, struct node *n, struct file *f, uint64_t size, bool had_head)
{
	if (!layout_is_paged(size)) {
		if (e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, had_head)) < 0)
			log_warning("cannot undo the growth of a file after a failed write");
		file_distrust(e, f);
	} else if (f->head.size != size && file_set_size(e, n, f, size) < 0) {
		file_distrust(e, f);
	}
}

int file_set_size(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	if (size == f->head.size)
		return e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, f->has_head));
	if (!layout_is_paged(size))
		return truncate_to_inline(e, n, f, size);
	if (!layout_is_paged(f->head.size))
		return inline_to_paged(e, n, f, size);
	return size < f->head.size ? shrink_paged(e, n, f, size) : grow_paged(e, n, f, size);
}

int file_truncate(struct engine *e, struct node *n, uint64_t size)
{
	struct file *f;
	int r;

	if (file_is_too_big(e, size, 0))
		return -EFBIG;
	r = file_lock_for_write(e, n, &f);
	if (r < 0)
		return r;
	r = file_set_size(e, n, f, size);
	if (r < 0)
		file_distrust(e, f);
	file_unlock(f);
	return r;
}

/* Reading a file. */
#include <errno.h>

#include "fs/file_parts.h"

static ssize_t read_aligned(struct engine *e, struct node *n, struct file *f, uint8_t *buf, size_t size, uint64_t off)
{
	uint8_t tail[PAGE_BYTES];
	size_t done = 0;

	while (done < size) {
		uint64_t page = (off + done) >> PAGE_SHIFT;
		size_t left = size - done, pages = left / PAGE_BYTES;
		unsigned bytes = layout_page_bytes(f->head.size, page);
		int r;

		/* A page of which only a part is wanted, and would not fit, goes through a buffer of its own. */
		if (pages == 0 && left < bytes) {
			r = file_read_pages(e, n, f, page, 1, tail);
			if (r == 0)
				memcpy(buf + done, tail, left);
			pages = 1;
		} else {
			pages = pages == 0 ? 1 : (pages > CHUNK_PAGES ? CHUNK_PAGES : pages);
			r = file_read_pages(e, n, f, page, pages, buf + done);
		}
		if (r < 0)
			return r;
		done += left < pages * PAGE_BYTES ? left : pages * PAGE_BYTES;
	}
	return (ssize_t)size;
}

static ssize_t read_unaligned(struct engine *e, struct node *n, struct file *f, uint8_t *buf, size_t size, uint64_t off)
{
	uint8_t *scratch = worker_buffer();
	size_t done = 0;

	if (!scratch)
		return -ENOMEM;
	while (done < size) {
		uint64_t page = (off + done) >> PAGE_SHIFT;
		size_t skip = (off + done) & (PAGE_BYTES - 1), want = size - done;

		if (want > IO_MAX - skip)
			want = IO_MAX - skip;

		int r = file_read_pages(e, n, f, page, (skip + want + PAGE_BYTES - 1) / PAGE_BYTES, scratch);

		if (r < 0)
			return r;
		memcpy(buf + done, scratch + skip, want);
		done += want;
	}
	return (ssize_t)size;
}

ssize_t file_read(struct engine *e, struct node *n, void *buf, size_t size, uint64_t off)
{
	struct file *f;
	int r = file_lock_for_read(e, n, &f);
	ssize_t got;

	if (r < 0)
		return r;
	if (off >= f->head.size)
		size = 0;
	else if (size > f->head.size - off)
		size = (size_t)(f->head.size - off);
	got = (ssize_t)size;
	if (size && !layout_is_paged(f->head.size))
		memcpy(buf, f->body.content + off, size);
	else if (size)
		got = (off & (PAGE_BYTES - 1)) ? read_unaligned(e, n, f, buf, size, off)
					       : read_aligned(e, n, f, buf, size, off);
	file_unlock(f);
	if (got < 0)
		memset(buf, 0, size);
	return got;
}

/* Writing to a file. */
#include <errno.h>

#include "fs/change.h"
#include "fs/checkpoint.h"
#include "util/base/log.h"

static ssize_t write_inline(struct engine *e, struct node *n, struct file *f, const void *buf, size_t size,
			    uint64_t off)
{
	uint8_t content[INLINE_MAX] = {0};
	uint64_t new_size = off + size > f->head.size ? off + size : f->head.size;

	memcpy(content, f->body.content, f->head.size);
	memcpy(content + off, buf, size);

	int r = change_commit_inline(e, n, f, content, new_size);

	if (r < 0)
		file_fall_back(e, n, f);
	return r < 0 ? r : (ssize_t)size;
}

/* Adds the pages that [off, off + size) touches. */
static int add_pages(struct change *c, const uint8_t *buf, size_t size, uint64_t off)
{
	uint64_t first = off >> PAGE_SHIFT, last = (off + size - 1) >> PAGE_SHIFT;
	uint8_t merged[PAGE_BYTES];
	int r = 0;

	for (uint64_t page = first; page <= last && r == 0; page++) {
		uint64_t begin = page << PAGE_SHIFT;
		size_t from = off > begin ? (size_t)(off - begin) : 0;
		size_t to = off + size - begin < PAGE_BYTES ? (size_t)(off + size - begin) : PAGE_BYTES;
		const uint8_t *plain = buf + (begin + from - off);

		if (from > 0 || to < layout_page_bytes(c->size, page)) {
			r = file_read_whole_page(c->e, c->n, c->f, page, merged);
			if (r < 0)
				return r;
			memcpy(merged + from, plain, to - from);
			plain = merged;
		}
		r = change_page(c, page, plain);
	}
	return r;
}

/* One step of a paged write, at most CHUNK_PAGES pages.  Returns the bytes that are written. */
static ssize_t write_chunk(struct engine *e, struct node *n, struct file *f, const uint8_t *buf, size_t size,
			   uint64_t off)
{
	struct change c;
	uint32_t done = 0;
	int r = change_begin(&c, e, n, f, off + size > f->head.size ? off + size : f->head.size);

	if (r == 0)
		r = change_old_end(&c, off >> PAGE_SHIFT);
	if (r == 0)
		r = add_pages(&c, buf, size, off);
	if (r == 0)
		r = change_commit(&c, &done);
	if (r < 0)
		file_fall_back(e, n, f);
	if (r < 0 || done == 0)
		return r;

	uint64_t end = done < c.count ? c.pieces[done].page << PAGE_SHIFT : off + size;

	return (ssize_t)(end - off);
}

static ssize_t write_paged(struct engine *e, struct node *n, struct file *f, const uint8_t *buf, size_t size,
			   uint64_t off)
{
	size_t done = 0;

	while (done < size) {
		size_t chunk = size - done, room = IO_MAX - ((off + done) & (PAGE_BYTES - 1));
		ssize_t got = write_chunk(e, n, f, buf + done, chunk < room ? chunk : room, off + done);

		if (got <= 0)
			return done ? (ssize_t)done : got;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* An offset: at the end, wherever that is when the file is locked. */
#define AT_END UINT64_MAX

static ssize_t write_once(struct engine *e, struct node *n, const void *buf, size_t size, uint64_t off)
{
	size_t cost = change_cost(size < IO_MAX ? size : IO_MAX);
	struct file *f;
	ssize_t done = 0;
	int r = change_reserve(e, cost);

	if (r < 0)
		return r;
	r = file_lock_for_write(e, n, &f);
	if (r == 0) {
		bool at_end = off == AT_END;

		off = at_end ? f->head.size : off;
		if (at_end && file_is_too_big(e, off, size))
			done = -EFBIG;
		else if (!layout_is_paged(f->head.size) && !layout_is_paged(off + size))
			done = write_inline(e, n, f, buf, size, off);
		else
			done = write_paged(e, n, f, buf, size, off);
		file_unlock(f);
	}
	change_release(e, cost);
	return r < 0 ? r : done;
}

static ssize_t write_somewhere(struct engine *e, struct node *n, const void *buf, size_t size, uint64_t off)
{
	ssize_t done = size ? write_once(e, n, buf, size, off) : 0;

	/* A tick may still hold open what was removed to make room, or have yet to bring in place what was cut off; whatever else of it fails. */
	for (int tries = 2; done == -ENOSPC && e->journal && tries > 0; tries--) {
		if (checkpoint_run(e) < 0)
			log_info("not everything could be brought in place on a full store");
		done = write_once(e, n, buf, size, off);
	}
	return done;
}

ssize_t file_write(struct engine *e, struct node *n, const void *buf, size_t size, uint64_t off)
{
	return size && file_is_too_big(e, off, size) ? -EFBIG : write_somewhere(e, n, buf, size, off);
}

ssize_t file_append(struct engine *e, struct node *n, const void *buf, size_t size)
{
	return write_somewhere(e, n, buf, size, AT_END);
}

/* Writing to a file. */
#include <errno.h>

#include "fs/file_parts.h"
#include "util/base/log.h"

static ssize_t write_inline(struct engine *e, struct node *n, struct file *f, const void *buf, size_t size,
			    uint64_t off)
{
	uint8_t content[INLINE_MAX] = {0};
	uint64_t new_size = off + size > f->head.size ? off + size : f->head.size;

	memcpy(content, f->body.content, f->head.size);
	memcpy(content + off, buf, size);

	int r = file_put_inline(e, n, f, content, new_size);

	return r < 0 ? r : (ssize_t)size;
}

/* Seals the pages that [off, off + size) touches into `sealed`, one after the other, and fills their entries. */
static int seal_chunk(struct engine *e, struct node *n, struct file *f, const uint8_t *buf, size_t size, uint64_t off,
		      uint64_t new_size, uint8_t *sealed, struct entry *entries)
{
	uint64_t first = off >> PAGE_SHIFT, last = (off + size - 1) >> PAGE_SHIFT;
	uint8_t merged[PAGE_BYTES];
	struct nonce nonce;
	int r = nonce_start(&nonce);

	for (uint64_t page = first; page <= last && r == 0; page++) {
		struct page_place where = {f->head.file_id, PAGE_DATA, 0, page};
		uint64_t begin = page << PAGE_SHIFT;
		size_t from = off > begin ? (size_t)(off - begin) : 0;
		size_t to = off + size - begin < PAGE_BYTES ? (size_t)(off + size - begin) : PAGE_BYTES;
		size_t bytes = layout_page_bytes(new_size, page);
		const uint8_t *plain = buf + (begin + from - off);

		if (from > 0 || to < bytes) {
			r = file_read_whole_page(e, n, f, page, merged);
			if (r < 0)
				return r;
			memcpy(merged + from, plain, to - from);
			plain = merged;
		}
		r = page_seal(e, &where, &nonce, plain, bytes, sealed + (page - first) * PAGE_BYTES,
			      &entries[page - first]);
	}
	return r;
}

/* Writes sealed pages in place.  Returns how many, fewer than count after an error (*error). */
static size_t write_runs(struct engine *e, struct node *n, uint64_t page, size_t count, uint64_t new_size,
			 const uint8_t *sealed, int *error)
{
	size_t done = 0;

	*error = 0;
	while (done < count) {
		size_t run = (size_t)layout_run(page + done);

		if (run > count - done)
			run = count - done;

		size_t bytes = (run - 1) * PAGE_BYTES + layout_page_bytes(new_size, page + done + run - 1);
		ssize_t put = store_pwrite(e->store, n->fd, sealed + done * PAGE_BYTES, bytes,
					   layout_physical_page(page + done) << PAGE_SHIFT);

		if (put < 0) {
			*error = (int)put;
			break;
		}
		done += run;
	}
	return done;
}

/* One step of a paged write, at most CHUNK_PAGES pages.  Returns the bytes that are in place and entered. */
static ssize_t write_chunk(struct engine *e, struct node *n, struct file *f, const uint8_t *buf, size_t size,
			   uint64_t off, uint64_t new_size)
{
	uint64_t page = off >> PAGE_SHIFT;
	size_t count = (size_t)(((off + size - 1) >> PAGE_SHIFT) - page + 1);
	struct entry entries[CHUNK_PAGES];
	uint8_t *sealed = worker_buffer();
	int r, error;

	if (!sealed)
		return -ENOMEM;
	r = seal_chunk(e, n, f, buf, size, off, new_size, sealed, entries);
	if (r == 0)
		r = file_reserve_maps(e, n, f, page, count);
	if (r < 0)
		return r;

	size_t done = write_runs(e, n, page, count, new_size, sealed, &error);

	r = done ? file_set_entries(e, n, f, page, done, entries) : 0;
	if (r < 0 || done == 0)
		return r < 0 ? r : error;

	uint64_t end = (page + done) << PAGE_SHIFT;

	if (end > off + size)
		end = off + size;
	if (end > f->head.size)
		f->head.size = end;
	return (ssize_t)(end - off);
}

/* The first content of a file, if it needs no map: head and pages in one write, the head first (journal rule B2). */
static ssize_t write_first(struct engine *e, struct node *n, struct file *f, const void *buf, size_t size)
{
	struct entry entries[HEAD_ENTRIES] = {0};
	uint8_t *out = worker_buffer();
	struct nonce nonce;
	struct head h;
	int r = out ? file_make_head(e, n, f) : -ENOMEM;

	if (r == 0)
		r = seal_chunk(e, n, f, buf, size, 0, size, out + PAGE_BYTES, entries);
	if (r == 0)
		r = nonce_start(&nonce);
	if (r < 0)
		return r;
	h = f->head;
	h.size = size;
	h.commit++;
	r = head_seal(e, &h, &nonce, entries, out);
	if (r < 0)
		return r;

	ssize_t put = store_pwrite(e->store, n->fd, out, PAGE_BYTES + size, 0);

	if (put < 0) {
		/* Nothing was there before, and nothing shall be. */
		if (e->store->ops->truncate(e->store, n->fd, 0) < 0)
			log_warning("cannot empty a file after a failed write");
		return put;
	}
	memcpy(f->body.entries, entries, sizeof entries);
	f->head = h;
	f->has_head = true;
	return (ssize_t)size;
}

/* How a paged write that grows the file begins: what was there takes the shape that the new size asks. */
static int prepare_growth(struct engine *e, struct node *n, struct file *f, uint64_t off, uint64_t new_size)
{
	if (!layout_is_paged(f->head.size))
		return file_become_paged(e, n, f, new_size);
	/* If the write begins in the last page, it seals that page anew itself. */
	if ((off >> PAGE_SHIFT) >= layout_pages(f->head.size))
		return file_fill_last_page(e, n, f, new_size);
	return 0;
}

static ssize_t write_paged(struct engine *e, struct node *n, struct file *f, const uint8_t *buf, size_t size,
			   uint64_t off)
{
	uint64_t old_size = f->head.size, new_size = off + size > old_size ? off + size : old_size;
	bool had_head = f->has_head;
	size_t done = 0;
	ssize_t got = prepare_growth(e, n, f, off, new_size);

	while (got >= 0 && done < size) {
		size_t chunk = size - done, room = IO_MAX - ((off + done) & (PAGE_BYTES - 1));

		got = write_chunk(e, n, f, buf + done, chunk < room ? chunk : room, off + done, new_size);
		if (got > 0)
			done += (size_t)got;
	}
	if (done == 0) {
		file_undo_growth(e, n, f, old_size, had_head);
		return got;
	}

	/* What failed may have reached behind the end. */
	int r = done < size ? e->store->ops->truncate(e->store, n->fd, layout_physical_size(f->head.size, true)) : 0;

	if (r == 0)
		r = file_commit(e, n, f);
	if (r < 0) {
		file_distrust(e, f);
		return r;
	}
	return (ssize_t)done;
}

ssize_t file_write(struct engine *e, struct node *n, const void *buf, size_t size, uint64_t off)
{
	struct file *f;
	ssize_t done;
	int r;

	if (size == 0)
		return 0;
	if (file_is_too_big(e, off, size))
		return -EFBIG;
	r = file_lock_for_write(e, n, &f);
	if (r < 0)
		return r;
	if (!layout_is_paged(f->head.size) && !layout_is_paged(off + size))
		done = write_inline(e, n, f, buf, size, off);
	else if (f->head.size == 0 && !f->has_head && off == 0 && size <= 60 * PAGE_BYTES)
		done = write_first(e, n, f, buf, size);
	else
		done = write_paged(e, n, f, buf, size, off);
	file_unlock(f);
	return done;
}

/* Writing to a file. */
#include <errno.h>

#include "fs/file_parts.h"

static ssize_t write_inline(struct engine *e, struct node *n, struct file *f, const void *buf, size_t size,
			    uint64_t off)
{
	uint8_t content[INLINE_MAX] = {0};
	uint64_t new_size = off + size > f->head.size ? off + size : f->head.size;

	memcpy(content, f->body.content, f->head.size);
	memcpy(content + off, buf, size);

	int r = file_put_inline(e, n, f, content, new_size);

	if (r < 0)
		file_fall_back(e, n, f);
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

/* Writes sealed pages in place.  Returns how many, fewer than count after an error (*error).  A run that fails is tried again page by
 * page: on a full store its first page may well fit, and may have been written over in place already. */
static size_t write_runs(struct engine *e, struct node *n, uint64_t page, size_t count, uint64_t new_size,
			 const uint8_t *sealed, int *error)
{
	size_t done = 0, longest = count;

	*error = 0;
	while (done < count) {
		size_t run = (size_t)layout_run(page + done);

		if (run > count - done)
			run = count - done;
		if (run > longest)
			run = longest;

		size_t bytes = (run - 1) * PAGE_BYTES + layout_page_bytes(new_size, page + done + run - 1);
		ssize_t put = store_pwrite(e->store, n->fd, sealed + done * PAGE_BYTES, bytes,
					   layout_physical_page(page + done) << PAGE_SHIFT);

		if (put >= 0) {
			done += run;
		} else if (run > 1) {
			longest = 1;
		} else {
			*error = (int)put;
			break;
		}
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

/* The first content of a file, if it needs no map: head and pages in one write, the head first. */
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
		file_fall_back(e, n, f);
		return put;
	}
	memcpy(f->body.entries, entries, sizeof entries);
	f->head = h;
	f->has_head = true;
	f->size_below = size;
	return (ssize_t)size;
}

/* The pages that a write touches.  Returns how many bytes are in place and entered; *error if not all. */
static size_t write_pages(struct engine *e, struct node *n, struct file *f, const uint8_t *buf, size_t size,
			  uint64_t off, uint64_t new_size, int *error)
{
	size_t done = 0;

	*error = 0;
	while (done < size) {
		size_t chunk = size - done, room = IO_MAX - ((off + done) & (PAGE_BYTES - 1));
		ssize_t got = write_chunk(e, n, f, buf + done, chunk < room ? chunk : room, off + done, new_size);

		if (got < 0) {
			*error = (int)got;
			break;
		}
		done += (size_t)got;
	}
	return done;
}

/* A write behind a gap: the page that was the last one gets the length that it has now.  In place, so after what may not find space. */
static int close_gap(struct engine *e, struct node *n, struct file *f, uint64_t old_size)
{
	uint64_t new_size = f->head.size;

	f->head.size = old_size;

	int r = file_fill_last_page(e, n, f, new_size);

	f->head.size = new_size;
	return r;
}

static ssize_t write_paged(struct engine *e, struct node *n, struct file *f, const uint8_t *buf, size_t size,
			   uint64_t off)
{
	uint64_t old_size = f->head.size, new_size = off + size > old_size ? off + size : old_size;
	bool was_paged = layout_is_paged(old_size);
	int error = was_paged ? 0 : file_become_paged(e, n, f, new_size);
	size_t done = error < 0 ? 0 : write_pages(e, n, f, buf, size, off, new_size, &error);
	int r = done ? 0 : error;

	/* What failed may have reached behind the end. */
	if (r == 0 && done < size)
		r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(f->head.size, true));
	if (r == 0 && was_paged && (off >> PAGE_SHIFT) >= layout_pages(old_size))
		r = close_gap(e, n, f, old_size);
	if (r == 0)
		r = file_commit(e, n, f);
	if (r < 0)
		file_fall_back(e, n, f);
	return r < 0 ? r : (ssize_t)done;
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

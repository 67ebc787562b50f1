#include "fs/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/damage.h"
#include "fs/names.h"
#include "fs/tree.h"
#include "fs/worker.h"
#include "util/base/log.h"

/* Invariants:
 *  (1) between operations, memory and store say the same: every change ends with commit(), which writes dirty maps, children
 *      first, and then the head.
 *  (2) no page behind the end has an entry, and the last page is exactly as long as the size asks.
 *  (3) content goes in place before the entries that name it; what fails half-way leaves the old head, or a head that
 *      names only what was written. */

enum { CHUNK_PAGES = IO_MAX / PAGE_BYTES };

void file_free(struct engine *e, struct file *f)
{
	if (!f)
		return;
	tree_drop(e, f);
	pthread_mutex_destroy(&f->maps.lock);
	pthread_rwlock_destroy(&f->lock);
	free(f);
}

/* The state of an open node; made at its first use. */
static struct file *get_file(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	if (!n->file) {
		n->file = calloc(1, sizeof *n->file);
		if (n->file) {
			pthread_rwlock_init(&n->file->lock, NULL);
			pthread_mutex_init(&n->file->maps.lock, NULL);
		}
	}

	struct file *f = n->file;

	pthread_mutex_unlock(&n->lock);
	return f;
}

static int load(struct engine *e, struct node *n, struct file *f)
{
	uint8_t head[PAGE_BYTES];
	struct store_stat st;
	int r = store_stat(e->store, n->fd, &st);

	if (r < 0)
		return r;
	memset(&f->head, 0, sizeof f->head);
	memset(&f->body, 0, sizeof f->body);
	f->has_head = st.size > 0;
	if (f->has_head) {
		ssize_t got = store_pread(e->store, n->fd, head, sizeof head, 0);

		r = got < 0 ? (int)got : head_open(e, head, (size_t)got, st.size, &f->head, &f->body);
		if (r < 0)
			return damage_report(e, n, r, "head", 0);
	}
	f->loaded = true;
	return 0;
}

static int lock_for_write(struct engine *e, struct node *n, struct file **out)
{
	struct file *f = get_file(n);

	if (!f)
		return -ENOMEM;
	pthread_rwlock_wrlock(&f->lock);

	int r = f->loaded ? 0 : load(e, n, f);

	if (r < 0) {
		pthread_rwlock_unlock(&f->lock);
		return r;
	}
	*out = f;
	return 0;
}

static int lock_for_read(struct engine *e, struct node *n, struct file **out)
{
	struct file *f = get_file(n);

	if (!f)
		return -ENOMEM;
	pthread_rwlock_rdlock(&f->lock);
	while (!f->loaded) {
		pthread_rwlock_unlock(&f->lock);

		int r = lock_for_write(e, n, &f);

		if (r < 0)
			return r;
		pthread_rwlock_unlock(&f->lock);
		pthread_rwlock_rdlock(&f->lock);
	}
	*out = f;
	return 0;
}

static void unlock(struct file *f)
{
	pthread_rwlock_unlock(&f->lock);
}

/* After a failure that may have left memory ahead of the store: believe the store. */
static void distrust(struct engine *e, struct file *f)
{
	tree_drop(e, f);
	f->loaded = false;
}

/* ------------------------------------------------------------------ head */

static int make_head(struct engine *e, struct node *n, struct file *f)
{
	if (f->has_head || !bytes_all_zero(f->head.file_id, sizeof f->head.file_id))
		return 0;
	names_birth(e, n, f->head.birth);
	return crypto_random(f->head.file_id, sizeof f->head.file_id);
}

/* Writes a head of this size over this body in place; the size and body in memory are the caller's. */
static int write_head(struct engine *e, struct node *n, struct file *f, uint64_t size, const void *body,
		      struct nonce *nonce)
{
	uint8_t sealed[PAGE_BYTES];
	struct head h = f->head;

	h.size = size;
	h.commit++;

	int length = head_seal(e, &h, nonce, body, sealed);

	if (length < 0)
		return length;

	ssize_t put = store_pwrite(e->store, n->fd, sealed, (size_t)length, 0);

	if (put < 0)
		return (int)put;
	f->head.commit = h.commit;
	f->has_head = true;
	return 0;
}

/* Brings the store to what memory says of a paged file.  An error of a map does not keep the head from being written:
 * tree_write_maps left a tree that is sound without that map. */
static int commit(struct engine *e, struct node *n, struct file *f)
{
	struct nonce nonce;
	int r = nonce_start(&nonce);

	if (r < 0)
		return r;
	r = tree_write_maps(e, f, n->fd, &nonce);

	int h = write_head(e, n, f, f->head.size, &f->body, &nonce);

	return r < 0 ? r : h;
}

/* An inline file gets this content. */
static int put_inline(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size)
{
	struct nonce nonce;
	int r = make_head(e, n, f);

	if (r == 0)
		r = nonce_start(&nonce);
	if (r == 0)
		r = write_head(e, n, f, size, content, &nonce);
	if (r < 0)
		return r;
	memset(&f->body, 0, sizeof f->body);
	memcpy(f->body.content, content, size);
	f->head.size = size;
	return 0;
}

/* ------------------------------------------------------------------ pages */

/* Reads and opens `count` pages from `page` on into dst, one after the other (the last may be short). */
static int read_pages(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count, uint8_t *dst)
{
	struct entry entries[CHUNK_PAGES];
	int r = tree_get(e, f, n->fd, page, count, entries);

	if (r < 0)
		return damage_report(e, n, r, "map over page", page);
	for (size_t i = 0; i < count;) {
		size_t run = 1, bytes = layout_page_bytes(f->head.size, page + i);

		if (entry_is_hole(&entries[i])) {
			memset(dst + i * PAGE_BYTES, 0, bytes);
			i++;
			continue;
		}
		while (run < layout_run(page + i) && i + run < count && !entry_is_hole(&entries[i + run]))
			bytes += layout_page_bytes(f->head.size, page + i + run++);

		ssize_t got = store_pread(e->store, n->fd, dst + i * PAGE_BYTES, bytes,
					  layout_physical_page(page + i) << PAGE_SHIFT);

		if (got < 0 || (size_t)got != bytes)
			return damage_report(e, n, got < 0 ? (int)got : -EBADMSG, "page", page + i);
		for (; run--; i++) {
			struct page_place where = {f->head.file_id, PAGE_DATA, 0, page + i};
			uint8_t *at = dst + i * PAGE_BYTES;

			r = page_open(e, &where, &entries[i], at, layout_page_bytes(f->head.size, page + i), at);
			if (r < 0)
				return damage_report(e, n, r, "page", page + i);
		}
	}
	return 0;
}

/* The content of one page, zeros where it is a hole or shorter. */
static int read_whole_page(struct engine *e, struct node *n, struct file *f, uint64_t page, uint8_t out[PAGE_BYTES])
{
	memset(out, 0, PAGE_BYTES);
	if (page >= layout_pages(f->head.size))
		return 0;
	return read_pages(e, n, f, page, 1, out);
}

/* What writing needs of the tree, with its damage reported. */
static int reserve_maps(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count)
{
	return damage_report(e, n, tree_reserve(e, f, n->fd, page, count), "map over page", page);
}

static int set_entries(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count,
		       const struct entry *entries)
{
	return damage_report(e, n, tree_set(e, f, n->fd, page, count, entries), "map over page", page);
}

static int clear_pages(struct engine *e, struct node *n, struct file *f, uint64_t first, uint64_t end,
		       struct extents *freed)
{
	return damage_report(e, n, tree_clear(e, f, n->fd, first, end, freed), "map over or behind page", first);
}

static int is_hole(struct engine *e, struct node *n, struct file *f, uint64_t page)
{
	struct entry entry;
	int r = tree_get(e, f, n->fd, page, 1, &entry);

	if (r < 0)
		return damage_report(e, n, r, "map over page", page);
	return entry_is_hole(&entry);
}

/* Seals one page of `bytes` bytes in place and enters it. */
static int write_page(struct engine *e, struct node *n, struct file *f, uint64_t page, const uint8_t *content,
		      size_t bytes)
{
	struct page_place where = {f->head.file_id, PAGE_DATA, 0, page};
	uint8_t sealed[PAGE_BYTES];
	struct entry entry;
	struct nonce nonce;
	int r = nonce_start(&nonce);

	if (r == 0)
		r = reserve_maps(e, n, f, page, 1);
	if (r == 0)
		r = page_seal(e, &where, &nonce, content, bytes, sealed, &entry);
	if (r < 0)
		return r;

	ssize_t put = store_pwrite(e->store, n->fd, sealed, bytes, layout_physical_page(page) << PAGE_SHIFT);

	return put < 0 ? (int)put : set_entries(e, n, f, page, 1, &entry);
}

/* Gives the last page of the file another length, keeping or zero-filling its content.  A hole stays one. */
static int resize_last_page(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t bytes)
{
	uint8_t content[PAGE_BYTES];
	int r = is_hole(e, n, f, page);

	if (r != 0)
		return r < 0 ? r : 0;
	r = read_whole_page(e, n, f, page, content);
	return r < 0 ? r : write_page(e, n, f, page, content, bytes);
}

/* Turns an inline file into a paged one in memory, with its content as page 0 in place, as long as that page is in a file of
 * new_size (which is then the size, or the end of the page); or an empty one into an empty tree.  The head in place stays as it was. */
static int become_paged(struct engine *e, struct node *n, struct file *f, uint64_t new_size)
{
	uint8_t content[PAGE_BYTES] = {0};
	uint64_t size = f->head.size;
	int r = make_head(e, n, f);

	if (r < 0)
		return r;
	memcpy(content, f->body.content, size);
	memset(&f->body, 0, sizeof f->body);
	if (size == 0)
		return 0;
	f->head.size = layout_page_bytes(new_size, 0);
	return write_page(e, n, f, 0, content, f->head.size);
}

/* Before the file grows past its last page: that page gets the length that it has in a file of new_size, and is the end for now. */
static int fill_last_page(struct engine *e, struct node *n, struct file *f, uint64_t new_size)
{
	uint64_t size = f->head.size, last = layout_pages(size) - 1;
	unsigned now = layout_page_bytes(size, last), then = layout_page_bytes(new_size, last);
	int r = 0;

	if (size == 0 || then <= now)
		return 0;
	r = resize_last_page(e, n, f, last, then);
	if (r == 0)
		f->head.size = (last << PAGE_SHIFT) + then;
	return r;
}

/* ------------------------------------------------------------------ reading */

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
			r = read_pages(e, n, f, page, 1, tail);
			if (r == 0)
				memcpy(buf + done, tail, left);
			pages = 1;
		} else {
			pages = pages == 0 ? 1 : (pages > CHUNK_PAGES ? CHUNK_PAGES : pages);
			r = read_pages(e, n, f, page, pages, buf + done);
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

		int r = read_pages(e, n, f, page, (skip + want + PAGE_BYTES - 1) / PAGE_BYTES, scratch);

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
	int r = lock_for_read(e, n, &f);
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
	unlock(f);
	if (got < 0)
		memset(buf, 0, size);
	return got;
}

/* ------------------------------------------------------------------ writing */

static ssize_t write_inline(struct engine *e, struct node *n, struct file *f, const void *buf, size_t size,
			    uint64_t off)
{
	uint8_t content[INLINE_MAX] = {0};
	uint64_t new_size = off + size > f->head.size ? off + size : f->head.size;

	memcpy(content, f->body.content, f->head.size);
	memcpy(content + off, buf, size);

	int r = put_inline(e, n, f, content, new_size);

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
			r = read_whole_page(e, n, f, page, merged);
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
		r = reserve_maps(e, n, f, page, count);
	if (r < 0)
		return r;

	size_t done = write_runs(e, n, page, count, new_size, sealed, &error);

	r = done ? set_entries(e, n, f, page, done, entries) : 0;
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
	int r = out ? make_head(e, n, f) : -ENOMEM;

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
		r = e->store->ops->truncate(e->store, n->fd, 0);
		return put;
	}
	memcpy(f->body.entries, entries, sizeof entries);
	f->head = h;
	f->has_head = true;
	return (ssize_t)size;
}

static int set_size(struct engine *e, struct node *n, struct file *f, uint64_t size);

/* How a paged write that grows the file begins: what was there takes the shape that the new size asks. */
static int prepare_growth(struct engine *e, struct node *n, struct file *f, uint64_t off, uint64_t new_size)
{
	if (!layout_is_paged(f->head.size))
		return become_paged(e, n, f, new_size);
	/* If the write begins in the last page, it seals that page anew itself. */
	if ((off >> PAGE_SHIFT) >= layout_pages(f->head.size))
		return fill_last_page(e, n, f, new_size);
	return 0;
}

/* Nothing of a write got through: back to the size before, whatever prepare_growth did. */
static void undo_growth(struct engine *e, struct node *n, struct file *f, uint64_t size, bool had_head)
{
	if (!layout_is_paged(size)) {
		if (e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, had_head)) < 0)
			log_warning("cannot undo the growth of a file after a failed write");
		distrust(e, f);
	} else if (f->head.size != size && set_size(e, n, f, size) < 0) {
		distrust(e, f);
	}
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
		undo_growth(e, n, f, old_size, had_head);
		return got;
	}

	/* What failed may have reached behind the end. */
	int r = done < size ? e->store->ops->truncate(e->store, n->fd, layout_physical_size(f->head.size, true)) : 0;

	if (r == 0)
		r = commit(e, n, f);
	if (r < 0) {
		distrust(e, f);
		return r;
	}
	return (ssize_t)done;
}

/* True if neither the tree nor the store can hold a file of this size; asked first, so that a refusal changes nothing. */
static bool is_too_big(const struct engine *e, uint64_t off, uint64_t size)
{
	if (off > layout_max_size() || size > layout_max_size() - off)
		return true;
	return layout_physical_size(off + size, true) > e->caps.file_max;
}

ssize_t file_write(struct engine *e, struct node *n, const void *buf, size_t size, uint64_t off)
{
	struct file *f;
	ssize_t done;
	int r;

	if (size == 0)
		return 0;
	if (is_too_big(e, off, size))
		return -EFBIG;
	r = lock_for_write(e, n, &f);
	if (r < 0)
		return r;
	if (!layout_is_paged(f->head.size) && !layout_is_paged(off + size))
		done = write_inline(e, n, f, buf, size, off);
	else if (f->head.size == 0 && !f->has_head && off == 0 && size <= 60 * PAGE_BYTES)
		done = write_first(e, n, f, buf, size);
	else
		done = write_paged(e, n, f, buf, size, off);
	unlock(f);
	return done;
}

/* ------------------------------------------------------------------ size */

static int truncate_to_inline(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	uint8_t content[PAGE_BYTES] = {0};
	int r = 0;

	if (layout_is_paged(f->head.size))
		r = size ? read_whole_page(e, n, f, 0, content) : 0;
	else
		memcpy(content, f->body.content, f->head.size < size ? f->head.size : size);
	if (r == 0)
		r = put_inline(e, n, f, content, size);
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
	int r = clear_pages(e, n, f, last + 1, layout_max_pages, NULL);

	if (r < 0)
		return r;
	if (bytes < layout_page_bytes(f->head.size, last))
		r = resize_last_page(e, n, f, last, bytes);
	if (r < 0)
		return r;
	f->head.size = size;
	r = commit(e, n, f);
	return r < 0 ? r : e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));
}

static int grow_paged(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	/* The store first: it says EFBIG or ENOSPC before anything has changed. */
	int r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));

	if (r == 0)
		r = fill_last_page(e, n, f, size);
	if (r < 0)
		return r;
	f->head.size = size;
	return commit(e, n, f);
}

static int inline_to_paged(struct engine *e, struct node *n, struct file *f, uint64_t size)
{
	uint64_t old_size = f->head.size;
	bool had_head = f->has_head;
	int r = e->store->ops->truncate(e->store, n->fd, layout_physical_size(size, true));

	if (r == 0)
		r = become_paged(e, n, f, size);
	if (r == 0) {
		f->head.size = size;
		r = commit(e, n, f);
	}
	if (r < 0)
		undo_growth(e, n, f, old_size, had_head);
	return r;
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

int file_truncate(struct engine *e, struct node *n, uint64_t size)
{
	struct file *f;
	int r;

	if (is_too_big(e, size, 0))
		return -EFBIG;
	r = lock_for_write(e, n, &f);
	if (r < 0)
		return r;
	r = set_size(e, n, f, size);
	if (r < 0)
		distrust(e, f);
	unlock(f);
	return r;
}

/* ------------------------------------------------------------------ holes */

/* Zeroes a part of one page, unless it is a hole. */
static int zero_part(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t from, size_t to)
{
	uint8_t content[PAGE_BYTES];
	int r = is_hole(e, n, f, page);

	if (r != 0)
		return r < 0 ? r : 0;
	r = read_whole_page(e, n, f, page, content);
	if (r < 0)
		return r;
	memset(content + from, 0, to - from);
	return write_page(e, n, f, page, content, layout_page_bytes(f->head.size, page));
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
		r = clear_pages(e, n, f, first, last, freed);
	return r;
}

static int punch_locked(struct engine *e, struct node *n, struct file *f, uint64_t off, uint64_t end,
			struct extents *freed)
{
	if (!layout_is_paged(f->head.size)) {
		uint8_t content[INLINE_MAX];

		memcpy(content, f->body.content, INLINE_MAX);
		memset(content + off, 0, end - off);
		return put_inline(e, n, f, content, f->head.size);
	}

	int r = punch_paged(e, n, f, off, end, freed);

	return r < 0 ? r : commit(e, n, f);
}

int file_punch(struct engine *e, struct node *n, uint64_t off, uint64_t size)
{
	struct extents freed = {0};
	struct file *f;
	int r = lock_for_write(e, n, &f);

	if (r < 0)
		return r;

	uint64_t end = size < f->head.size && off < f->head.size - size ? off + size : f->head.size;

	if (off < end) {
		r = punch_locked(e, n, f, off, end, &freed);
		if (r < 0)
			distrust(e, f);
	}
	/* Space that no entry names any more; a store that cannot punch keeps it, and reads are zeros all the same. */
	for (size_t i = 0; i < freed.count && r == 0 && e->caps.punch_hole; i++)
		r = e->store->ops->fallocate(e->store, n->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					     freed.list[i].begin, freed.list[i].end - freed.list[i].begin);
	unlock(f);
	free(freed.list);
	return r;
}

int file_reserve(struct engine *e, struct node *n, uint64_t off, uint64_t size)
{
	struct file *f;
	uint64_t begin = 0, end = PAGE_BYTES, whole;
	int r;

	if (is_too_big(e, off, size))
		return -EFBIG;
	r = lock_for_write(e, n, &f);
	if (r < 0)
		return r;
	/* Where the range lies once the file reaches it; maps between its pages are within.  An inline file is one page. */
	whole = off + size > f->head.size ? off + size : f->head.size;
	if (layout_is_paged(whole)) {
		begin = layout_physical_page(off >> PAGE_SHIFT) << PAGE_SHIFT;
		end = (layout_physical_page((off + size - 1) >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
	}
	r = e->store->ops->fallocate(e->store, n->fd, FALLOC_FL_KEEP_SIZE, begin, end - begin);
	unlock(f);
	return r;
}

int file_seek(struct engine *e, struct node *n, uint64_t off, bool hole, uint64_t *out)
{
	struct file *f;
	int r = lock_for_read(e, n, &f);

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
	unlock(f);
	return r;
}

int file_size(struct engine *e, struct node *n, uint64_t *size)
{
	struct file *f;
	int r = lock_for_read(e, n, &f);

	if (r < 0)
		return r;
	*size = f->head.size;
	unlock(f);
	return 0;
}

/* A head for a file that has no content and needs an id.  That is no change of content, so the time of the last one stays. */
static int make_empty_head(struct engine *e, struct node *n, struct file *f)
{
	static const uint8_t none[INLINE_MAX];
	struct store_stat st;
	int r = store_stat(e->store, n->fd, &st);

	if (r == 0)
		r = put_inline(e, n, f, none, 0);
	if (r == 0) {
		const struct timespec ts[2] = {{0, UTIME_OMIT}, st.mtime};

		r = e->store->ops->utimens(e->store, n->fd, ts);
	}
	return r;
}

int file_id(struct engine *e, struct node *n, bool make, uint8_t id[16])
{
	struct file *f;
	int r = lock_for_write(e, n, &f);

	if (r < 0)
		return r;
	if (!f->has_head)
		r = make ? make_empty_head(e, n, f) : -ENODATA;
	if (r == 0)
		memcpy(id, f->head.file_id, 16);
	unlock(f);
	return r;
}

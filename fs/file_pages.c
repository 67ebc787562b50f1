/* Pages of content in place: reading, writing, and giving the last one another length. */
#include <errno.h>

#include "fs/damage.h"
#include "fs/file_parts.h"

/* Reads and opens `count` pages from `page` on into dst, one after the other (the last may be short). */
int file_read_pages(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count, uint8_t *dst)
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
int file_read_whole_page(struct engine *e, struct node *n, struct file *f, uint64_t page, uint8_t out[PAGE_BYTES])
{
	memset(out, 0, PAGE_BYTES);
	if (page >= layout_pages(f->head.size))
		return 0;
	return file_read_pages(e, n, f, page, 1, out);
}

/* What writing needs of the tree, with its damage reported. */
int file_reserve_maps(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count)
{
	return damage_report(e, n, tree_reserve(e, f, n->fd, page, count), "map over page", page);
}

int file_set_entries(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count,
		     const struct entry *entries)
{
	return damage_report(e, n, tree_set(e, f, n->fd, page, count, entries), "map over page", page);
}

int file_clear_pages(struct engine *e, struct node *n, struct file *f, uint64_t first, uint64_t end,
		     struct extents *freed)
{
	return damage_report(e, n, tree_clear(e, f, n->fd, first, end, freed), "map over or behind page", first);
}

int file_page_is_hole(struct engine *e, struct node *n, struct file *f, uint64_t page)
{
	struct entry entry;
	int r = tree_get(e, f, n->fd, page, 1, &entry);

	if (r < 0)
		return damage_report(e, n, r, "map over page", page);
	return entry_is_hole(&entry);
}

/* Seals one page of `bytes` bytes in place and enters it. */
int file_write_page(struct engine *e, struct node *n, struct file *f, uint64_t page, const uint8_t *content,
		    size_t bytes)
{
	struct page_place where = {f->head.file_id, PAGE_DATA, 0, page};
	uint8_t sealed[PAGE_BYTES];
	struct entry entry;
	struct nonce nonce;
	int r = nonce_start(&nonce);

	if (r == 0)
		r = file_reserve_maps(e, n, f, page, 1);
	if (r == 0)
		r = page_seal(e, &where, &nonce, content, bytes, sealed, &entry);
	if (r < 0)
		return r;

	ssize_t put = store_pwrite(e->store, n->fd, sealed, bytes, layout_physical_page(page) << PAGE_SHIFT);

	return put < 0 ? (int)put : file_set_entries(e, n, f, page, 1, &entry);
}

/* Gives the last page of the file another length, keeping or zero-filling its content.  A hole stays one. */
int file_resize_last_page(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t bytes)
{
	uint8_t content[PAGE_BYTES];
	int r = file_page_is_hole(e, n, f, page);

	if (r != 0)
		return r < 0 ? r : 0;
	r = file_read_whole_page(e, n, f, page, content);
	return r < 0 ? r : file_write_page(e, n, f, page, content, bytes);
}

/* Turns an inline file into a paged one in memory, with its content as page 0 in place, as long as that page is in a file of
 * new_size (which is then the size, or the end of the page); or an empty one into an empty tree.  The head in place stays as it was. */
int file_become_paged(struct engine *e, struct node *n, struct file *f, uint64_t new_size)
{
	uint8_t content[PAGE_BYTES] = {0};
	uint64_t size = f->head.size;
	int r = file_make_head(e, n, f);

	if (r < 0)
		return r;
	memcpy(content, f->body.content, size);
	memset(&f->body, 0, sizeof f->body);
	if (size == 0)
		return 0;
	f->head.size = layout_page_bytes(new_size, 0);
	return file_write_page(e, n, f, 0, content, f->head.size);
}

/* Before the file grows past its last page: that page gets the length that it has in a file of new_size, and is the end for now. */
int file_fill_last_page(struct engine *e, struct node *n, struct file *f, uint64_t new_size)
{
	uint64_t size = f->head.size, last = layout_pages(size) - 1;
	unsigned now = layout_page_bytes(size, last), then = layout_page_bytes(new_size, last);
	int r = 0;

	if (size == 0 || then <= now)
		return 0;
	r = file_resize_last_page(e, n, f, last, then);
	if (r == 0)
		f->head.size = (last << PAGE_SHIFT) + then;
	return r;
}

/* Reading the pages of a file, wherever they lie. */
#include <errno.h>

#include "fs/damage.h"
#include "fs/file_parts.h"
#include "fs/logged.h"

/* Where a run of pages lies: side by side in place, or side by side in a payload of the journal. */
struct run {
	size_t pages, bytes;
	bool logged;
	uint64_t at;
};

static struct run find_run(const struct file *f, const struct entry *entries, uint64_t page, size_t count)
{
	const struct logged_page *l = logged_find(&f->log.pages, page);
	struct run run = {1, layout_page_bytes(f->head.size, page), l != NULL,
			  l ? l->at : layout_physical_page(page) << PAGE_SHIFT};

	if (!l && count > layout_run(page))
		count = (size_t)layout_run(page);
	for (; run.pages < count && !entry_is_hole(&entries[run.pages]); run.pages++) {
		const struct logged_page *next = logged_find(&f->log.pages, page + run.pages);

		if ((next != NULL) != run.logged || (next && next->at != run.at + run.bytes))
			break;
		run.bytes += layout_page_bytes(f->head.size, page + run.pages);
	}
	return run;
}

static int read_run(struct engine *e, struct node *n, const struct run *run, uint8_t *dst)
{
	if (run->logged)
		return journal_read_payload(e->journal, run->at, dst, run->bytes);

	ssize_t got = store_pread(e->store, n->fd, dst, run->bytes, run->at);

	return got < 0 ? (int)got : ((size_t)got == run->bytes ? 0 : -EBADMSG);
}

/* Reads and opens `count` pages from `page` on into dst, one after the other (the last may be short). */
int file_read_pages(struct engine *e, struct node *n, struct file *f, uint64_t page, size_t count, uint8_t *dst)
{
	struct entry entries[CHUNK_PAGES];
	int r = tree_get(e, f, n->fd, page, count, entries);

	if (r < 0)
		return damage_report(e, n, r, "map over page", page);
	for (size_t i = 0; i < count;) {
		if (entry_is_hole(&entries[i])) {
			memset(dst + i * PAGE_BYTES, 0, layout_page_bytes(f->head.size, page + i));
			i++;
			continue;
		}

		struct run run = find_run(f, entries + i, page + i, count - i);

		r = read_run(e, n, &run, dst + i * PAGE_BYTES);
		if (r < 0)
			return damage_report(e, n, r, "page", page + i);
		for (; run.pages--; i++) {
			struct page_place where = {f->zone, f->head.file_id, PAGE_DATA, 0, page + i};
			uint8_t *at = dst + i * PAGE_BYTES;

			r = page_open(e, &where, &entries[i], at, layout_page_bytes(f->head.size, page + i), at);
			if (r < 0)
				return damage_report(e, n, r, "page", page + i);
		}
	}
	return 0;
}

/* The content of one page, zeros where it is a hole, short, or behind the end. */
int file_read_whole_page(struct engine *e, struct node *n, struct file *f, uint64_t page, uint8_t out[PAGE_BYTES])
{
	memset(out, 0, PAGE_BYTES);
	if (page >= layout_pages(f->head.size))
		return 0;
	if (!layout_is_paged(f->head.size)) {
		memcpy(out, f->body.content, f->head.size);
		return 0;
	}
	return file_read_pages(e, n, f, page, 1, out);
}

int file_page_is_hole(struct engine *e, struct node *n, struct file *f, uint64_t page)
{
	struct entry entry;
	int r;

	if (!layout_is_paged(f->head.size))
		return page >= layout_pages(f->head.size);
	r = tree_get(e, f, n->fd, page, 1, &entry);
	if (r < 0)
		return damage_report(e, n, r, "map over page", page);
	return entry_is_hole(&entry);
}

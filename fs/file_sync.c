/* Making a file durable (journal (W5), (W6), (B3)). */
#include <errno.h>

#include "fs/dirty.h"
#include "fs/file_parts.h"
#include "fs/logged.h"
#include "fs/node.h"
#include "util/base/log.h"

/* What a sync has to cover; the file is newborn no more before it begins (B3): a later write, torn by a cut, would stand under an
 * epoch that is called durable.  *named: records name pages in place. */
static uint64_t begin_sync(struct node *n, bool *named)
{
	uint64_t end = 0;

	pthread_mutex_lock(&n->lock);

	struct file *f = n->file;

	pthread_mutex_unlock(&n->lock);
	*named = false;
	if (!f)
		return 0;
	pthread_rwlock_wrlock(&f->lock);
	if (RULE(B3))
		f->newborn = false;
	end = f->log.end;
	f->log.unsynced = 0;
	*named = f->log.in_place.first < f->log.in_place.end;
	pthread_rwlock_unlock(&f->lock);
	return end;
}

/* Writes what stands in place once more: the store then tries again to make it durable, which after a failed sync it would not
 * (journal (W6)).  Only what still authenticates. */
static int write_page_again(struct engine *e, struct node *n, struct file *f, uint64_t page)
{
	struct page_place where = {f->zone, f->head.file_id, PAGE_DATA, 0, page};
	size_t bytes = layout_page_bytes(f->head.size, page);
	uint64_t at = layout_physical_page(page) << PAGE_SHIFT;
	uint8_t sealed[PAGE_BYTES], plain[PAGE_BYTES];
	struct entry entry;
	int r = tree_get(e, f, n->fd, page, 1, &entry);

	if (r < 0 || entry_is_hole(&entry) || logged_find(&f->log.pages, page))
		return r;

	ssize_t got = store_pread(e->store, n->fd, sealed, bytes, at);

	if (got < 0 || (size_t)got != bytes)
		return got < 0 ? (int)got : -EIO;
	r = page_open(e, &where, &entry, sealed, bytes, plain);
	wipe(plain, sizeof plain);
	if (r == 0)
		got = store_pwrite(e->store, n->fd, sealed, bytes, at);
	return r < 0 ? r : (got < 0 ? (int)got : 0);
}

static int write_head_again(struct engine *e, struct node *n, struct file *f)
{
	uint8_t sealed[PAGE_BYTES];
	ssize_t got = store_pread(e->store, n->fd, sealed, PAGE_BYTES, 0);

	if (got < HEAD_MIN)
		return got < 0 ? (int)got : (f->has_head ? -EIO : 0);
	got = store_pwrite(e->store, n->fd, sealed, (size_t)got, 0);
	return got < 0 ? (int)got : 0;
}

static int write_again(struct engine *e, struct node *n)
{
	struct file *f;
	int r = file_lock_for_write(e, n, &f);

	if (r < 0)
		return r;
	r = write_head_again(e, n, f);
	if (layout_is_paged(f->head.size)) {
		uint64_t pages = layout_pages(f->head.size);
		struct page_range all = f->log.pinned ? f->log.in_place : (struct page_range){0, pages};

		all.end = all.end < pages ? all.end : pages;
		for (uint64_t page = all.first; page < all.end && r == 0; page++) {
			r = tree_next(e, f, n->fd, page, all.end, false, &page);
			if (r == 0 && page < all.end)
				r = write_page_again(e, n, f, page);
		}
	}
	file_unlock(f);
	if (r == 0)
		dirty_in_place(e, n);
	return r;
}

/* In place.  A failure stays with the file, whichever descriptor asks, until what was written is durable after all. */
int file_sync_in_place(struct engine *e, struct node *n)
{
	int failed = atomic_load(&n->failed), r = failed && RULE(W6) ? write_again(e, n) : 0;

	if (r == 0)
		r = dirty_sync(e, n);
	atomic_store(&n->failed, r < 0 ? r : 0);
	return r;
}

int file_sync(struct engine *e, struct node *n, bool metadata)
{
	bool named;
	uint64_t end;
	int r = 0, log = 0;

	if (!e->journal)
		return metadata ? e->store->ops->fsync(e->store, n->fd) : e->store->ops->fdatasync(e->store, n->fd);
	end = begin_sync(n, &named);
	/* A head in place has to be synced as well (W5h). */
	if (RULE(W5a) && (RULE(W5h) || named))
		r = file_sync_in_place(e, n);
	if (end)
		log = journal_sync(e->journal, end);
	return r < 0 ? r : log;
}

bool file_is_ordered(struct node *n)
{
	pthread_mutex_lock(&n->lock);

	struct file *f = n->file;

	pthread_mutex_unlock(&n->lock);
	if (!f)
		return atomic_load(&n->written) == atomic_load(&n->synced);
	pthread_rwlock_rdlock(&f->lock);

	bool ordered = !f->log.pinned && (f->newborn || atomic_load(&n->written) == atomic_load(&n->synced));

	pthread_rwlock_unlock(&f->lock);
	return ordered;
}

#include "fs/look.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/change.h"
#include "fs/damage.h"
#include "fs/dirty.h"
#include "fs/logged.h"
#include "fs/names.h"
#include "fs/xattr.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { KEPT_MAX = 64 << 20 };

void look_expect(struct engine *e, const struct journal_state *state)
{
	e->lost = *state;
	atomic_store(&e->lost_ranges, state->range_count > 0);
}

bool look_is_due(struct engine *e, const struct store_stat *st)
{
	if (!atomic_load(&e->lost_ranges))
		return false;
	for (uint32_t i = 0; i < e->lost.range_count; i++)
		if (st->ctime.tv_sec >= e->lost.ranges[i].from && st->ctime.tv_sec <= e->lost.ranges[i].to)
			return true;
	return false;
}

static bool is_lost_epoch(const struct engine *e, uint64_t epoch)
{
	for (uint32_t i = 0; i < e->lost.range_count; i++)
		if (epoch >= e->lost.ranges[i].first && epoch <= e->lost.ranges[i].last)
			return true;
	return false;
}

/* ------------------------------------------------------------------ lost/ (F4) */

static int open_lost(struct engine *e)
{
	int fd = store_open(e->store, e->dot, "lost", O_RDONLY | O_DIRECTORY, 0);

	if (fd == -ENOENT) {
		int r = e->store->ops->mkdir(e->store, e->dot, "lost", 0700);

		fd = r < 0 ? r : store_open(e->store, e->dot, "lost", O_RDONLY | O_DIRECTORY, 0);
	}
	return fd;
}

static int copy_bytes(struct engine *e, int from, int to, uint64_t begin, uint64_t end)
{
	uint8_t *room = worker_buffer();

	if (!room)
		return -ENOMEM;
	for (uint64_t at = begin; at < end;) {
		size_t n = end - at < IO_MAX ? (size_t)(end - at) : IO_MAX;
		ssize_t got = store_pread(e->store, from, room, n, at);

		if (got <= 0)
			return (int)got;
		got = store_pwrite(e->store, to, room, (size_t)got, at);
		if (got < 0)
			return (int)got;
		at += n;
	}
	return 0;
}

/* Keeps the head and what lies behind `begin`, at the same places of a file in lost/. */
static int keep_bytes(struct engine *e, struct node *n, const uint8_t *id, uint64_t begin, uint64_t end)
{
	char name[80], hex[33];
	uint32_t draw;
	int dir = open_lost(e), fd, r = crypto_random(&draw, sizeof draw);

	if (dir < 0 || r < 0)
		return dir < 0 ? dir : r;
	for (unsigned i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	snprintf(name, sizeof name, "%s-%lld-%08" PRIx32, hex, (long long)time(NULL), draw);
	fd = store_open(e->store, dir, name, O_CREAT | O_EXCL | O_RDWR, 0600);
	r = fd < 0 ? fd : copy_bytes(e, n->fd, fd, 0, end < PAGE_BYTES ? end : PAGE_BYTES);
	if (end > begin + KEPT_MAX)
		end = begin + KEPT_MAX;
	if (r == 0)
		r = copy_bytes(e, n->fd, fd, begin < PAGE_BYTES ? PAGE_BYTES : begin, end);
	if (r == 0)
		r = e->store->ops->fsync(e->store, fd);
	if (r == 0)
		r = e->store->ops->fsync(e->store, dir);
	store_close(e->store, fd);
	store_close(e->store, dir);
	atomic_fetch_add(&e->lost_files, r == 0);
	return r;
}

static void say(struct engine *e, struct node *n, uint64_t size, const char *what)
{
	char path[1024], escaped[2048];

	names_path(e, n, path, sizeof path);
	log_warning("%s was being written when the machine stopped: %s %" PRIu64
		    " bytes; the rest is kept in .coffer/lost/, where what has no "
		    "entry any more cannot be decrypted",
		    log_escape(path, escaped, sizeof escaped), what, size);
}

/* ------------------------------------------------------------------ what verifies */

/* Reads one page that is no hole: 1 if it is there, 0 if not. */
static int is_readable(struct engine *e, struct node *n, struct file *f, uint64_t page)
{
	struct page_place where = {f->zone, f->head.file_id, PAGE_DATA, 0, page};
	size_t bytes = layout_page_bytes(f->head.size, page);
	uint8_t content[PAGE_BYTES];
	struct entry entry;
	int r = tree_get(e, f, n->fd, page, 1, &entry);

	if (r < 0 || logged_find(&f->log.pages, page))
		return r < 0 ? r : 1;

	ssize_t got = store_pread(e->store, n->fd, content, bytes, layout_physical_page(page) << PAGE_SHIFT);

	if (got < 0)
		return (int)got;
	r = (size_t)got == bytes ? page_open(e, &where, &entry, content, bytes, content) : -EBADMSG;
	wipe(content, sizeof content);
	return r < 0 ? r : 1;
}

/* Holes [page, end): a hole behind the physical end is missing, too, unless records say so: its size was never durable.  Returns the first that
 * is. */
static uint64_t end_of_holes(const struct file *f, uint64_t page, uint64_t end, uint64_t physical)
{
	if (f->log.pinned)
		return end;
	while (page < end && (layout_physical_page(page) << PAGE_SHIFT) < physical)
		page++;
	return page;
}

/* Pages from the first that can be read.  Only what is not there, or does not verify, ends them; everything else is an error. */
static int readable_pages(struct engine *e, struct node *n, struct file *f, uint64_t *out)
{
	uint64_t pages = layout_pages(f->head.size), page = 0, next = 0;
	struct store_stat st;
	int r = store_stat(e->store, n->fd, &st);

	*out = pages;
	if (r < 0 || !layout_is_paged(f->head.size))
		return r;
	while (page < pages) {
		r = tree_next(e, f, n->fd, page, pages, false, &next);
		if (r < 0)
			break;
		page = end_of_holes(f, page, next, st.size);
		if (page < next || page == pages)
			break;
		r = is_readable(e, n, f, page);
		if (r <= 0)
			break;
		page++;
	}
	*out = page;
	return r == -EBADMSG || r > 0 ? 0 : r;
}

/* In memory: the file ends after so many pages. */
static int cut_in_memory(struct engine *e, struct node *n, struct file *f, uint64_t pages)
{
	struct change_record r = {.size = pages << PAGE_SHIFT, .clear = {pages, layout_max_pages}};

	return change_replay(e, n, f, &r, 0, r.size, NULL, 0);
}

static bool is_young_after_replay(const struct engine *e, const struct file *f)
{
	return f->head.newborn && is_lost_epoch(e, f->head.epoch) && RULE(R3young);
}

int look_judge_replayed(struct engine *e, struct node *n, struct file *f)
{
	uint64_t pages;

	return is_young_after_replay(e, f) ? readable_pages(e, n, f, &pages) : 0;
}

int look_at_replayed(struct engine *e, struct node *n, struct file *f)
{
	uint64_t pages = 0;
	int r = is_young_after_replay(e, f) ? readable_pages(e, n, f, &pages) : 0;

	if (r < 0 || !is_young_after_replay(e, f) || pages == layout_pages(f->head.size))
		return r;
	say(e, n, pages << PAGE_SHIFT, "cut to");
	if (!e->options.read_only)
		r = keep_bytes(e, n, f->head.file_id, pages << PAGE_SHIFT, layout_physical_size(f->head.size, true));
	if (r == 0)
		r = cut_in_memory(e, n, f, pages);
	if (r == 0)
		overlay_set(n, f->head.size, NULL);
	return r;
}

/* ------------------------------------------------------------------ at load */

static int size_below(struct engine *e, struct node *n, uint64_t physical)
{
	int r = e->options.read_only ? 0 : e->store->ops->truncate(e->store, n->fd, physical);

	if (r == 0)
		dirty_in_place(e, n);
	return r;
}

static void load_nothing(struct file *f)
{
	memset(&f->head, 0, sizeof f->head);
	memset(&f->body, 0, sizeof f->body);
	f->has_head = f->newborn = false;
	f->size_below = f->log.highest = 0;
	f->loaded = true;
}

/* (F2) Nothing of it can be read: the file is empty, as it was when it was made.  What hung on its id hangs on nothing now. */
static int cut_to_nothing(struct engine *e, struct node *n, struct file *f, const uint8_t *head, uint64_t physical)
{
	int r = e->options.read_only ? 0 : keep_bytes(e, n, head + 8, 0, physical);

	if (r == 0)
		r = size_below(e, n, 0);
	if (r < 0)
		return r;
	say(e, n, 0, "cut to");
	load_nothing(f);
	if (e->options.read_only)
		overlay_set(n, 0, NULL);
	else
		xattr_drop_all(e, n);
	return 0;
}

/* (F2) The longest first part that verifies; as a record, so that the head in place stays whole until the new one is. */
static int cut_to_pages(struct engine *e, struct node *n, struct file *f, uint64_t pages, uint64_t physical)
{
	int r = e->options.read_only ? 0 : keep_bytes(e, n, f->head.file_id, pages << PAGE_SHIFT, physical);

	if (r < 0)
		return r;
	say(e, n, pages << PAGE_SHIFT, "cut to");
	if (!e->options.read_only)
		return file_set_size(e, n, f, pages << PAGE_SHIFT);
	r = cut_in_memory(e, n, f, pages);
	overlay_set(n, f->head.size, NULL);
	return r;
}

/* (F3) Pages whose records were lost with the cut. */
static int cut_growth(struct engine *e, struct node *n, struct file *f, uint64_t physical)
{
	uint64_t sealed = layout_physical_size(f->head.size, true);
	int r = e->options.read_only ? 0 : keep_bytes(e, n, f->head.file_id, sealed, physical);

	if (r == 0)
		r = size_below(e, n, sealed);
	if (r == 0)
		say(e, n, f->head.size, "kept its");
	if (r == 0 && e->options.read_only)
		overlay_set(n, f->head.size, NULL);
	return r;
}

static int judge(struct engine *e, struct node *n, struct file *f, bool young, uint64_t physical)
{
	uint64_t sealed = layout_physical_size(f->head.size, true), pages = layout_pages(f->head.size), good = pages;

	if (young) {
		int r = readable_pages(e, n, f, &good);

		if (r < 0)
			return damage_report(e, n, r, "page", good);
	}
	if (good < pages && RULE(F2))
		return cut_to_pages(e, n, f, good, physical);
	if (physical > sealed && RULE(F3))
		return cut_growth(e, n, f, physical);
	/* (F1) All that it says is there, but for the size of a hole at its end. */
	if (physical < sealed && young && good == pages)
		return size_below(e, n, sealed);
	return physical == sealed ? 0 : damage_report(e, n, -EBADMSG, "head", 0);
}

int look_load(struct engine *e, struct node *n, struct file *f)
{
	uint8_t head[PAGE_BYTES] = {0};
	struct store_stat st;
	int r = store_stat(e->store, n->fd, &st);
	ssize_t got = r < 0 ? r : store_pread(e->store, n->fd, head, sizeof head, 0);

	if (got < 0)
		return (int)got;
	/* A head that was lost altogether leaves what was bound to its id. */
	if (got == 0) {
		load_nothing(f);
		if (!e->options.read_only && look_is_due(e, &st))
			xattr_drop_all(e, n);
		return 0;
	}
	r = head_open_claimed(e, f->zone, head, (size_t)got, &f->head, &f->body);
	if (r == 0) {
		head_version(head, f->log.base);
		f->has_head = f->loaded = true;
		f->newborn = false;
		f->size_below = f->log.highest = f->head.size;
		return judge(e, n, f, f->head.newborn && is_lost_epoch(e, f->head.epoch), st.size);
	}
	if (r == -EBADMSG && head_is_young(head, (size_t)got, e->lost.ranges, e->lost.range_count) && RULE(F2))
		return cut_to_nothing(e, n, f, head, st.size);
	return damage_report(e, n, r, "head", 0);
}

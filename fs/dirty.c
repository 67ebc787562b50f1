#include "fs/dirty.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/node.h"
#include "util/base/log.h"

int dirty_refusal(struct engine *e)
{
	return e->journal && RULE(W6) && journal_failure(e->journal) < 0 ? -EROFS : 0;
}

void dirty_start(struct engine *e)
{
	pthread_mutex_init(&e->dirty.lock, NULL);
}

void dirty_stop(struct engine *e)
{
	pthread_mutex_destroy(&e->dirty.lock);
}

void dirty_let_go(struct engine *e)
{
	while (e->dirty.first)
		dirty_forget(e, e->dirty.first);
}

/* Under the list's lock. */
static void enlist(struct dirty_list *d, struct node *n)
{
	n->dirty = true;
	n->dirty_next = d->first;
	n->dirty_at = &d->first;
	if (d->first)
		d->first->dirty_at = &n->dirty_next;
	d->first = n;
	d->count++;
}

void dirty_add(struct engine *e, struct node *n)
{
	struct dirty_list *d = &e->dirty;

	if (e->options.read_only)
		return;
	pthread_mutex_lock(&d->lock);

	bool known = n->dirty;

	pthread_mutex_unlock(&d->lock);
	if (known)
		return;
	/* The list's reference comes first: a tick may take the node off, and let go of it, at once. */
	node_ref(e, n);
	pthread_mutex_lock(&d->lock);
	known = n->dirty;
	if (!known)
		enlist(d, n);
	pthread_mutex_unlock(&d->lock);
	if (known)
		node_unref(e, n);
}

/* Earlier of the two. */
static void keep_side_from(struct side_marks *s, const struct journal_mark *from)
{
	if (!s->some[0] || from->number < s->first[0].number)
		s->first[0] = *from;
	s->some[0] = true;
}

void dirty_forget(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&e->dirty.lock);

	bool listed = n->dirty;

	if (listed) {
		*n->dirty_at = n->dirty_next;
		if (n->dirty_next)
			n->dirty_next->dirty_at = n->dirty_at;
		n->dirty = false;
		e->dirty.count--;
	}
	if (n->logged)
		keep_side_from(&e->dirty.sides, &n->first_record);
	n->logged = false;
	pthread_mutex_unlock(&e->dirty.lock);
	if (listed)
		node_unref(e, n);
}

int dirty_take(struct engine *e, struct node ***nodes, uint32_t *count)
{
	struct dirty_list *d = &e->dirty;

	*count = 0;
	pthread_mutex_lock(&d->lock);
	*nodes = calloc((size_t)d->count + 1, sizeof(struct node *));
	if (!*nodes) {
		pthread_mutex_unlock(&d->lock);
		return -ENOMEM;
	}
	for (struct node *n = d->first; n; n = n->dirty_next) {
		n->dirty = false;
		(*nodes)[(*count)++] = n;
	}
	d->first = NULL;
	d->count = 0;
	d->sides.some[1] = d->sides.some[0];
	d->sides.first[1] = d->sides.first[0];
	d->sides.some[0] = false;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

void dirty_in_place(struct engine *e, struct node *n)
{
	/* Of others nothing can be synced but their names. */
	if (!S_ISREG(n->type) && !n->dir)
		return;
	atomic_fetch_add(&n->written, 1);
	dirty_add(e, n);
}

void dirty_metadata(struct engine *e, struct node *n)
{
	dirty_in_place(e, n);
	atomic_store(&n->metadata, atomic_load(&n->written));
}

void dirty_entry(struct engine *e, struct node *dir, struct node *n)
{
	if (n)
		atomic_store(&n->name_new, true);
	dirty_in_place(e, dir);
}

void dirty_renamed(struct engine *e, struct node *n)
{
	atomic_store(&n->renamed, atomic_load(&e->good_ticks) + 1);
}

/* The tick that was under way may have come too early for it; the next covers it. */
static bool is_settled(const struct engine *e, struct node *n)
{
	uint64_t renamed = atomic_load(&n->renamed);

	return renamed == 0 || atomic_load(&e->good_ticks) > renamed;
}

bool dirty_names_settled(struct engine *e, struct node *n, struct node *dir)
{
	bool settled = is_settled(e, n);

	pthread_mutex_lock(&e->table.lock);
	for (; settled && dir; dir = dir->links ? dir->links->parent : NULL)
		settled = is_settled(e, dir);
	pthread_mutex_unlock(&e->table.lock);
	return settled;
}

/* ------------------------------------------------------------------ records that are needed */

/* Marks are taken under the list's lock, and before the record is appended: whoever looks for the first one sees it, or looks at an end of
 * the ring that lies before it. */
bool dirty_keep_records(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&e->dirty.lock);

	bool kept = n->logged;

	if (!kept)
		n->first_record = journal_end(e->journal);
	n->logged = true;
	pthread_mutex_unlock(&e->dirty.lock);
	dirty_add(e, n);
	return kept;
}

void dirty_drop_records(struct engine *e, struct node *n, struct journal_mark *first)
{
	pthread_mutex_lock(&e->dirty.lock);
	if (first)
		*first = n->first_record;
	n->logged = false;
	pthread_mutex_unlock(&e->dirty.lock);
}

void dirty_restore_records(struct engine *e, struct node *n, const struct journal_mark *first)
{
	pthread_mutex_lock(&e->dirty.lock);
	n->first_record = *first;
	n->logged = true;
	pthread_mutex_unlock(&e->dirty.lock);
	dirty_add(e, n);
}

void dirty_keep_side(struct engine *e)
{
	pthread_mutex_lock(&e->dirty.lock);

	struct journal_mark end = journal_end(e->journal);

	keep_side_from(&e->dirty.sides, &end);
	pthread_mutex_unlock(&e->dirty.lock);
}

void dirty_keep_sides(struct engine *e)
{
	struct side_marks *s = &e->dirty.sides;

	pthread_mutex_lock(&e->dirty.lock);
	if (s->some[1])
		keep_side_from(s, &s->first[1]);
	pthread_mutex_unlock(&e->dirty.lock);
}

/* Records are in the ring that no dirty file needs: the next ticks free them. */
bool dirty_holds_the_ring(struct engine *e)
{
	return e->journal && journal_start(e->journal).number != journal_end(e->journal).number;
}

struct journal_mark dirty_first_record(struct engine *e)
{
	const struct side_marks *s = &e->dirty.sides;

	pthread_mutex_lock(&e->dirty.lock);

	struct journal_mark first = journal_end(e->journal), start = journal_start(e->journal);

	for (unsigned i = 0; i < 2; i++)
		if (s->some[i] && s->first[i].number < first.number)
			first = s->first[i];
	for (struct node *n = e->dirty.first; n; n = n->dirty_next)
		if (n->logged && n->first_record.number < first.number)
			first = n->first_record;
	pthread_mutex_unlock(&e->dirty.lock);
	/* What stood in the ring of the mount before has no place in this one's. */
	return first.number < start.number ? start : first;
}

bool dirty_has_records(struct engine *e)
{
	bool some = false;

	pthread_mutex_lock(&e->dirty.lock);
	for (struct node *n = e->dirty.first; n && !some; n = n->dirty_next)
		some = n->logged;
	pthread_mutex_unlock(&e->dirty.lock);
	return some;
}

/* ------------------------------------------------------------------ syncs */

void dirty_covered(struct node *n, uint64_t written)
{
	uint64_t before = atomic_load(&n->synced);

	while (before < written && !atomic_compare_exchange_weak(&n->synced, &before, written))
		;
}

int dirty_sync(struct engine *e, struct node *n)
{
	uint64_t covers = atomic_load(&n->written);
	uint64_t synced = atomic_load(&n->synced);
	bool metadata = atomic_load(&n->metadata) > synced;
	int r;

	if (synced >= covers)
		return 0;
	r = metadata || n->dir ? e->store->ops->fsync(e->store, n->fd) : e->store->ops->fdatasync(e->store, n->fd);
	if (r == 0)
		dirty_covered(n, covers);
	return r;
}

/* The first name's directory, with a reference; NULL for the root and the nameless. */
static struct node *directory_of(struct engine *e, struct node *n)
{
	struct node *parent = NULL;

	pthread_mutex_lock(&e->table.lock);
	if (n->links) {
		parent = n->links->parent;
		parent->refs++;
	}
	pthread_mutex_unlock(&e->table.lock);
	return parent;
}

static bool type_is(const struct engine *e, const char *const *types)
{
	for (; *types; types++)
		if (strcmp(e->caps.type, *types) == 0)
			return true;
	return false;
}

bool dirty_store_orders_names(const struct engine *e)
{
	static const char *const types[] = {"ext4", "xfs", "btrfs", NULL};

	return type_is(e, types);
}

/* auto_da_alloc of ext4, flushoncommit-like handling of btrfs. */
bool dirty_store_orders_renames(const struct engine *e)
{
	static const char *const types[] = {"ext4", "btrfs", NULL};

	return type_is(e, types);
}

bool dirty_syncfs_counts(const struct engine *e)
{
	static const char *const types[] = {"ext4", "xfs", "btrfs", "tmpfs", NULL};

	return type_is(e, types);
}

int dirty_sync_above(struct engine *e, struct node *n)
{
	struct node *at = node_ref(e, n), *dir;
	int r = 0;

	/* All the way up: a directory may have been moved above what lies in it for long. */
	while (r == 0 && !dirty_store_orders_names(e) && (dir = directory_of(e, at))) {
		if (atomic_exchange(&at->name_new, false)) {
			r = node_use(e, dir);
			if (r == 0) {
				r = dirty_sync(e, dir);
				node_unuse(e, dir);
			}
		}
		if (r < 0)
			atomic_store(&at->name_new, true);
		node_unref(e, at);
		at = dir;
	}
	node_unref(e, at);
	return r;
}

/* ------------------------------------------------------------------ overlay */

void overlay_set(struct node *n, uint64_t size, const struct timespec *mtime)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	pthread_mutex_lock(&n->lock);
	n->overlay = (struct overlay){size, mtime ? *mtime : now, now};
	n->overlay_valid = true;
	pthread_mutex_unlock(&n->lock);
}

void overlay_set_mtime(struct node *n, const struct timespec *mtime)
{
	pthread_mutex_lock(&n->lock);
	n->overlay.mtime = *mtime;
	pthread_mutex_unlock(&n->lock);
}

bool overlay_get(struct node *n, struct overlay *out)
{
	pthread_mutex_lock(&n->lock);

	bool valid = n->overlay_valid;

	*out = n->overlay;
	pthread_mutex_unlock(&n->lock);
	return valid;
}

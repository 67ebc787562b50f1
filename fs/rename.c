/* Moving entries: rename. */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>

#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/file.h"
#include "fs/lend.h"
#include "fs/list.h"
#include "fs/moved.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/record.h"
#include "fs/removal.h"
#include "fs/rename.h"
#include "fs/side.h"
#include "fs/symlink.h"
#include "fs/worker.h"
#include "fs/zone.h"
#include "util/base/log.h"

/* What changes its place. */
struct moved {
	struct node *node; /* NULL if the table does not know it */
	size_t size;
	char path[RECORD_PATH_MAX]; /* before */
};

struct moving {
	struct engine *e;
	struct node *from, *to;
	struct backing_name old_name, new_name;
	struct store_stat old_st, new_st;
	bool replaces; /* something has the new name */
	bool below;    /* the name in the mount stays */
	unsigned flags;
	struct link *spare[2];
	struct node *busy; /* to be waited for */
	struct moved moved[2];
};

/* Links for the table, made before anything changes. */
static int make_spares(struct moving *m)
{
	m->spare[0] = node_link_new(m->new_name.name);
	m->spare[1] = node_link_new(m->old_name.name);
	return m->spare[0] && m->spare[1] ? 0 : -ENOMEM;
}

static void free_spares(struct moving *m)
{
	free(m->spare[0]);
	free(m->spare[1]);
	m->spare[0] = m->spare[1] = NULL;
}

static int find_both(struct moving *m, const char *old_name, const char *new_name)
{
	int r = names_lookup(m->e, m->from, old_name, &m->old_name, &m->old_st);

	if (r < 0)
		return r;
	r = names_lookup(m->e, m->to, new_name, &m->new_name, &m->new_st);
	m->replaces = r == 0;
	if (r < 0 && r != -ENOENT)
		return r;
	if (!m->replaces && (m->flags & RENAME_EXCHANGE))
		return -ENOENT;
	if (m->replaces && (m->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (m->replaces && !(m->flags & RENAME_EXCHANGE)) {
		if (S_ISDIR(m->new_st.mode) && !S_ISDIR(m->old_st.mode))
			return -EISDIR;
		if (!S_ISDIR(m->new_st.mode) && S_ISDIR(m->old_st.mode))
			return -ENOTDIR;
	}
	return make_spares(m);
}

/* By inode, too: a file with several names may be known under another one only. */
static void remember(struct engine *e, struct node *dir, const char *name, const struct store_stat *st, struct moved *w)
{
	w->node = node_enter(e, dir, name, st, false);
	w->size = w->node && e->journal ? names_backing_path(e, w->node, w->path, sizeof w->path) : 0;
}

/* What moves, and where it was. */
static void remember_paths(struct moving *m, bool exchange)
{
	m->moved[1].node = NULL;
	remember(m->e, m->from, m->old_name.name, &m->old_st, &m->moved[0]);
	if (exchange)
		remember(m->e, m->to, m->new_name.name, &m->new_st, &m->moved[1]);
}

static void note_move(struct moving *m, bool done)
{
	for (unsigned i = 0; i < 2; i++) {
		struct moved *w = &m->moved[i];

		if (done && w->node) {
			if (w->node->dir && !m->below)
				atomic_fetch_add(&m->e->directories_moved, 1);
			if (!m->below)
				moved_note(m->e, w->node);
			dirty_renamed(m->e, w->node);
			side_log_moved(m->e, w->node, w->path, w->size);
			dirty_entry(m->e, i ? m->from : m->to, w->node);
			dirty_metadata(m->e, w->node);
		}
		node_unref(m->e, w->node);
		w->node = NULL;
	}
	if (done) {
		dirty_entry(m->e, m->from, NULL);
		dirty_entry(m->e, m->to, NULL);
	}
}

/* Of an entry that only gets another name below: its directory may deny changes to its owner. */
static int rename_lent(struct moving *m, unsigned flags)
{
	struct store *s = m->e->store;
	mode_t before;
	int r = -EACCES;

	if (m->from == m->to && m->below && lend(m->e, m->from, m->from->fd, 0300, &before)) {
		r = s->ops->rename(s, m->from->fd, m->old_name.name, m->to->fd, m->new_name.name, flags);
		lend_back(m->e, m->from, m->from->fd, 0300, before);
	}
	return r;
}

/* The rename itself, below and in the table, with nobody reading names meanwhile. */
static int move(struct moving *m, unsigned flags)
{
	struct engine *e = m->e;

	pthread_rwlock_wrlock(&e->tree);
	remember_paths(m, flags & RENAME_EXCHANGE);

	int r = e->store->ops->rename(e->store, m->from->fd, m->old_name.name, m->to->fd, m->new_name.name, flags);

	if (r == -EACCES)
		r = rename_lent(m, flags);
	if (r == 0) {
		node_renamed(e, m->from, m->old_name.name, m->to, m->new_name.name, flags & RENAME_EXCHANGE, m->spare);
		m->spare[0] = m->spare[1] = NULL;
	}
	pthread_rwlock_unlock(&e->tree);
	note_move(m, r == 0);
	return r;
}

/* The old directory changes places with the new one and is removed from there; if that cannot be, all is as it was. */
static int exchange_and_remove(struct moving *m, struct node *old)
{
	int r = move(m, RENAME_EXCHANGE);

	if (r < 0)
		return r;
	r = removal_take_down(m->e, m->from, m->old_name.name, old->fd);
	if (r < 0 && (make_spares(m) < 0 || move(m, RENAME_EXCHANGE) < 0))
		log_error("a directory that could not be replaced has changed places with the new one");
	return r;
}

/* Over a directory: one that is not empty below, as its id is in it, cannot be renamed over. */
static int move_over_directory(struct moving *m)
{
	struct engine *e = m->e;
	bool exchange = e->caps.rename_exchange;
	struct node *old;
	int r = removal_begin(e, m->to, m->new_name.name, &m->new_st, &old, &m->busy);

	if (r == -EAGAIN && m->busy == m->from) { /* what is moved lies in what it would replace */
		node_unref(e, m->busy);
		m->busy = NULL;
		return -ENOTEMPTY;
	}
	if (r < 0)
		return r;

	bool pinned = removal_keep_open(e, old);

	r = removal_prove_empty(e, old->fd);
	if (r == 0)
		r = exchange ? exchange_and_remove(m, old) : removal_take_down(e, m->to, m->new_name.name, old->fd);
	if (exchange)
		removal_name_went(e, m->from, m->old_name.name, old, pinned, r == 0);
	else
		removal_name_went(e, m->to, m->new_name.name, old, pinned, r == 0);
	if (r == 0 && !exchange)
		r = move(m, 0);
	removal_end(e, old);
	return r;
}

/* (B4) A file that replaces another is durable before it does, unless the store itself orders the two (engine rule 22). */
static int make_durable(struct moving *m)
{
	struct engine *e = m->e;
	struct node *n = node_enter(e, m->from, m->old_name.name, &m->old_st, false);
	int r = n ? (RULE(B4) ? node_use(e, n) : -ESTALE) : -ENOMEM;

	if (r == 0) {
		if (!(dirty_store_orders_renames(e) && file_is_ordered(n)))
			r = file_sync(e, n, false);
		node_unuse(e, n);
	}
	node_unref(e, n);
	return r == -ESTALE ? 0 : r; /* gone: the rename itself says so */
}

static int move_over_file(struct moving *m)
{
	struct engine *e = m->e;
	int synced = m->replaces && S_ISREG(m->old_st.mode) && e->journal ? make_durable(m) : 0;

	if (synced < 0)
		return synced;

	struct node *old = m->replaces ? node_find_as(e, m->to, m->new_name.name, &m->new_st) : NULL;

	zone_keep(e, old);

	char text[LINK_TEXT_MAX] = "", parked_name[OWN_NAME_MAX];
	bool parked = removal_should_park(e, old, &m->new_st) && removal_park_beside(e, old, parked_name) == 0;
	bool pinned = !parked && removal_keep_open(e, old);

	if (m->replaces)
		removal_link_text(e, m->to, m->new_name.name, &m->new_st, text);
	int r = move(m, m->flags & RENAME_NOREPLACE && e->caps.rename_noreplace ? RENAME_NOREPLACE : 0);

	if (parked && r < 0)
		removal_unpark(e, old, parked_name);
	if (pinned && (r < 0 || node_has_name(e, old)))
		node_unpin(e, old);
	if (r == 0 && m->replaces && m->new_st.nlink == 1)
		side_log_gone(e, old, m->to);
	else if (r == 0 && old)
		dirty_renamed(e, old);
	if (r == 0)
		symlink_drop_body(e, text);
	node_unref(e, old);
	return r;
}

static int move_entry(struct moving *m)
{
	struct engine *e = m->e;
	bool same_name = m->from == m->to && strcmp(m->old_name.name, m->new_name.name) == 0;
	int r;

	/* Two names of one file: POSIX says to do nothing. */
	if (same_name || (m->replaces && m->old_st.ino == m->new_st.ino && m->old_st.dev == m->new_st.dev))
		return 0;
	if (m->flags & RENAME_EXCHANGE)
		return move(m, RENAME_EXCHANGE);
	r = side_log_sidecar(e, m->to, &m->new_name);
	if (r == 0)
		r = names_add_sidecar(e, m->to->fd, &m->new_name);
	if (r == 0 && m->new_name.is_long)
		dirty_entry(e, m->to, NULL);
	if (r == 0)
		r = side_settle_target(e, m->to, &m->new_name);
	if (r < 0)
		return r;
	if (m->replaces && S_ISDIR(m->new_st.mode))
		r = move_over_directory(m);
	else
		r = move_over_file(m);
	if (r == 0)
		side_drop_sidecar(e, m->from, &m->old_name);
	else if (!m->replaces)
		side_drop_sidecar(e, m->to, &m->new_name);
	return r;
}

int rename_below(struct engine *e, struct node *dir, const struct backing_name *from, const struct store_stat *st,
		 const struct backing_name *to)
{
	struct moving m = {.e = e, .from = dir, .to = dir, .below = true};
	mode_t before;
	int r;

	m.old_name = *from;
	m.new_name = *to;
	m.old_st = *st;
	r = make_spares(&m);
	if (r == 0)
		r = side_log_sidecar(e, dir, to);
	if (r == 0)
		r = names_add_sidecar(e, dir->fd, to);
	if (r == -EACCES && lend(e, dir, dir->fd, 0300, &before)) {
		r = names_add_sidecar(e, dir->fd, to);
		lend_back(e, dir, dir->fd, 0300, before);
	}
	if (r == 0 && to->is_long)
		dirty_entry(e, dir, NULL);
	if (r == 0)
		r = side_settle_target(e, dir, to);
	if (r == 0) {
		r = move(&m, e->caps.rename_noreplace ? RENAME_NOREPLACE : 0);
		side_drop_sidecar(e, dir, r == 0 ? from : to);
	}
	free_spares(&m);
	return r;
}

/* Programs copy what they cannot move. */
static int refuse_zones(struct engine *e, struct node *from, struct node *to)
{
	if (!keys_zones_joined(worker_keys(e), zone_of(e, from), zone_of(e, to)))
		return -EXDEV;
	return zone_is_locked(e, to) ? -ENOKEY : 0;
}

int fs_rename(struct engine *e, uint64_t old_parent, const char *old_name, uint64_t new_parent, const char *new_name,
	      unsigned flags)
{
	struct moving m = {.e = e, .flags = flags};
	int r;

	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if ((flags & RENAME_EXCHANGE) && !e->caps.rename_exchange)
		return -EINVAL;
	do {
		m.busy = NULL;
		r = directory_begin_two(e, old_parent, new_parent, &m.from, &m.to);
		if (r < 0)
			return r;
		r = refuse_zones(e, m.from, m.to);
		if (r == 0)
			r = find_both(&m, old_name, new_name);
		if (r == 0)
			r = move_entry(&m);
		if (r == 0)
			list_came(m.to->dir, new_name);
		free_spares(&m);
		directory_end_two(e, m.from, m.to);
	} while (removal_wait(e, m.busy));
	return r;
}

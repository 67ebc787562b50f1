/* Opening the backing object of a node by its names, from the nearest ancestor that is open, one component at a time (engine rules 2
 * and 3). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/descriptor.h"
#include "fs/lend.h"
#include "fs/meter.h"
#include "fs/node.h"

static int open_flags(const struct engine *e, const struct node *n)
{
	if (S_ISDIR(n->type))
		return O_RDONLY | O_DIRECTORY | (e->options.relatime ? 0 : O_NOATIME);
	if (S_ISREG(n->type))
		return (e->options.read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | (e->options.relatime ? 0 : O_NOATIME);
	return O_PATH;
}

static int same_inode(struct engine *e, const struct node *n, int fd)
{
	struct store_stat st;
	int r = store_stat(e->store, fd, &st);

	if (r < 0)
		return r;
	return node_is_inode(n, &st) ? 0 : -ESTALE;
}

/* An object whose mode denies its owner to open it again (0444, 0000): the mode is lent.  Only the owner can; others keep their EACCES. */
static int open_by_lending(struct engine *e, struct node *n, int dir, const char *name)
{
	mode_t rights = S_ISDIR(n->type) ? 0700 : 0600, before;
	int path = store_open(e->store, dir, name, O_PATH, 0);
	int r = path < 0 ? path : same_inode(e, n, path);

	if (r == 0) {
		r = -EACCES;
		if (lend(e, n, path, rights, &before)) {
			r = store_open(e->store, dir, name, open_flags(e, n), 0);
			lend_back(e, n, path, rights, before);
		}
	}
	store_close(e->store, path);
	return r;
}

static int open_once(struct engine *e, struct node *n, int dir, const char *name)
{
	int fd = store_open(e->store, dir, name, open_flags(e, n), 0);

	return fd == -EACCES && (S_ISREG(n->type) || S_ISDIR(n->type)) ? open_by_lending(e, n, dir, name) : fd;
}

/* The same in a directory in which its owner may not look anything up. */
static int open_in_denied(struct engine *e, struct node *n, struct node *parent, const char *name)
{
	mode_t before;
	int fd = -EACCES, dir = parent->fd;

	if (lend(e, parent, dir, 0100, &before)) {
		fd = open_once(e, n, dir, name);
		lend_back(e, parent, dir, 0100, before);
	}
	return fd;
}

static int open_at(struct engine *e, struct node *n, struct node *parent, const char *name)
{
	int dir = parent->fd, fd = open_once(e, n, dir, name);

	while ((fd == -EMFILE || fd == -ENFILE) && descriptor_evict(e))
		fd = open_once(e, n, dir, name);
	if (fd == -EACCES)
		fd = open_in_denied(e, n, parent, name);
	/* What stands there now is something else. */
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -ENOENT || fd == -EISDIR || fd == -ENXIO)
		return -ESTALE;
	if (fd < 0)
		return fd;

	int r = same_inode(e, n, fd);

	if (r < 0) {
		store_close(e->store, fd);
		return r;
	}
	return fd;
}

/* Name number i of the node, copied, with a reference on its parent. */
static bool nth_link(struct engine *e, struct node *n, unsigned i, struct node **parent, char name[NAME_MAX + 1])
{
	pthread_mutex_lock(&e->table.lock);

	struct link *l = n->links;

	while (l && i--)
		l = l->sibling;
	if (l) {
		*parent = l->parent;
		l->parent->refs++;
		strcpy(name, l->name);
	}
	pthread_mutex_unlock(&e->table.lock);
	return l != NULL;
}

/* Opens n, unless it is open, by a name in a parent whose descriptor is in use, and counts a user. */
static int use_in(struct engine *e, struct node *n, struct node *parent, const char *name)
{
	int r = 0;

	descriptor_make_room(e);
	pthread_mutex_lock(&n->lock);
	if (n->fd < 0) {
		r = open_at(e, n, parent, name);
		if (r >= 0 && !descriptor_enter(e, n, r)) {
			store_close(e->store, r);
			r = -ENFILE;
		}
	}
	if (n->fd >= 0) {
		n->fd_users++;
		r = 0;
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}

/* Directories without a descriptor on the way up, each with a reference. */
struct way {
	struct node **list;
	size_t count, room;
};

static int way_add(struct way *w, struct node *n)
{
	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 16;
		void *list = realloc(w->list, room * sizeof *w->list);

		if (!list)
			return -ENOMEM;
		w->list = list;
		w->room = room;
	}
	w->list[w->count++] = n;
	return 0;
}

/* Goes up from a directory to the first that is open (the root always is), noting the others; *top is in use and referenced. */
static int way_up(struct engine *e, struct node *dir, struct way *w, struct node **top)
{
	char name[NAME_MAX + 1];
	struct node *at = node_ref(e, dir);

	while (!node_use_cached(at)) {
		int r = way_add(w, at);

		if (r < 0) {
			node_unref(e, at);
			return r;
		}
		if (!nth_link(e, at, 0, &at, name))
			return -ESTALE;
	}
	*top = at;
	return 0;
}

/* Opens what the way noted, one component at a time.  *at, in use and referenced, is where it starts and where it got to. */
static int way_down(struct engine *e, struct way *w, struct node **at)
{
	char name[NAME_MAX + 1];

	while (w->count) {
		struct node *n = w->list[w->count - 1], *parent;

		if (!nth_link(e, n, 0, &parent, name))
			return -ESTALE;

		int r = parent == *at ? use_in(e, n, parent, name) : -ESTALE;

		node_unref(e, parent);
		if (r < 0)
			return r;
		node_unuse(e, *at);
		node_unref(e, *at);
		*at = n;
		w->count--;
	}
	return 0;
}

/* Counts a user of a directory, opening it and what lies above it if need be, however deep. */
static int use_directory(struct engine *e, struct node *dir)
{
	struct way w = {0};
	struct node *at;
	int r;

	if (node_use_cached(dir))
		return 0;
	r = way_up(e, dir, &w, &at);
	if (r == 0) {
		r = way_down(e, &w, &at);
		if (r < 0)
			node_unuse(e, at);
		node_unref(e, at);
	}
	while (w.count)
		node_unref(e, w.list[--w.count]);
	free(w.list);
	return r;
}

/* Opens n by one of its names and counts a user.  Under tree (read). */
static int use_slowly(struct engine *e, struct node *n)
{
	char name[NAME_MAX + 1];
	struct node *parent;
	int r = -ESTALE;

	for (unsigned i = 0; r == -ESTALE && nth_link(e, n, i, &parent, name); i++) {
		r = use_directory(e, parent);
		if (r == 0) {
			r = use_in(e, n, parent, name);
			node_unuse(e, parent);
		}
		node_unref(e, parent);
	}
	/* If its last name went meanwhile, whoever took it has pinned a descriptor before. */
	return r == -ESTALE && node_use_cached(n) ? 0 : r;
}

int node_use(struct engine *e, struct node *n)
{
	if (node_use_cached(n)) {
		meter_add(METER_DESCRIPTOR_HITS, 1);
		return 0;
	}
	meter_add(METER_DESCRIPTOR_MISSES, 1);
	pthread_rwlock_rdlock(&e->tree);

	int r = use_slowly(e, n);

	pthread_rwlock_unlock(&e->tree);
	return r;
}

static int stat_by_name(struct engine *e, struct node *n, struct store_stat *out)
{
	char name[NAME_MAX + 1];
	struct node *parent;
	int r = -ESTALE;

	for (unsigned i = 0; r == -ESTALE && nth_link(e, n, i, &parent, name); i++) {
		r = node_use(e, parent);
		if (r == 0) {
			r = store_stat_at(e->store, parent->fd, name, out);
			node_unuse(e, parent);
		}
		node_unref(e, parent);
		if (r == -ENOENT || r == -ENOTDIR)
			r = -ESTALE;
		if (r == 0 && !node_is_inode(n, out))
			r = -ESTALE;
	}
	return r;
}

int node_stat(struct engine *e, struct node *n, struct store_stat *out)
{
	int r;

	if (!node_use_cached(n)) {
		r = stat_by_name(e, n, out);
		if (r != -ESTALE && r != -EACCES)
			return r;
		/* The name may have changed meanwhile, or may not be looked up: the descriptor tells. */
		r = node_use(e, n);
		if (r < 0)
			return r;
	}
	r = store_stat(e->store, n->fd, out);
	node_unuse(e, n);
	return r;
}

static bool has_lost_names_here(struct engine *e, const struct node *n)
{
	pthread_mutex_lock(&e->table.lock);

	bool has = !n->links && !n->taken;

	pthread_mutex_unlock(&e->table.lock);
	return has;
}

/* By what the table knows. */
static bool leads_to_root(struct engine *e, const struct node *dir)
{
	const struct node *at = dir;

	pthread_mutex_lock(&e->table.lock);
	while (at != e->root && at->links)
		at = at->links->parent;
	pthread_mutex_unlock(&e->table.lock);
	return at == e->root;
}

/* -ESTALE: that name does not lead to it. */
static int look_at_name(struct engine *e, struct node *n, struct node *dir, const char *name)
{
	struct store_stat st;
	int r = leads_to_root(e, dir) ? use_directory(e, dir) : -ESTALE;

	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	r = store_stat_at(e->store, dir->fd, name, &st);
	node_unuse(e, dir);
	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && !node_is_inode(n, &st)))
		return -ESTALE;
	return r;
}

int node_is_named(struct engine *e, struct node *n)
{
	char name[NAME_MAX + 1];
	struct node *parent;
	int r;

	/* Nobody renames here meanwhile. */
	pthread_rwlock_rdlock(&e->tree);
	r = n == e->root || has_lost_names_here(e, n) ? 0 : -ESTALE;
	/* Each by itself: others may have taken away the directory of one of them. */
	for (unsigned i = 0; r == -ESTALE && nth_link(e, n, i, &parent, name); i++) {
		r = look_at_name(e, n, parent, name);
		node_unref(e, parent);
	}
	pthread_rwlock_unlock(&e->tree);
	return r;
}

int node_in_place(struct engine *e, struct node *n)
{
	struct store_stat st;
	int r = node_is_named(e, n);

	/* Perhaps somebody is just removing it here: then it has been, below, and the table is about to be told. */
	if (r == -ESTALE) {
		struct node *parent = node_first_parent(e, n, NULL);

		if (parent) {
			pthread_rwlock_rdlock(&parent->dir->lock);
			pthread_rwlock_unlock(&parent->dir->lock);
			node_unref(e, parent);
		}
		r = node_is_named(e, n);
	}
	if (r != -EACCES)
		return r;
	/* Nobody may look at the name: at least the inode has one. */
	r = store_stat(e->store, n->fd, &st);
	return r == 0 && st.nlink == 0 ? -ESTALE : r;
}

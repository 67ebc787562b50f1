#include "fs/find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/heal.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/node_stack.h"
#include "util/base/log.h"

int find_add(struct find_list *l, const uint8_t id[16], const char *path, bool gone)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		void *list = realloc(l->list, room * sizeof *l->list);

		if (!list)
			return -ENOMEM;
		l->list = list;
		l->room = room;
	}

	struct found *f = &l->list[l->count++];

	*f = (struct found){.path = path ? strdup(path) : NULL, .gone = gone};
	memcpy(f->id, id, 16);
	return path && !f->path ? -ENOMEM : 0;
}

void find_free(struct find_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->list[i].path);
		node_unref(l->e, l->list[i].node);
	}
	free(l->list);
	l->list = NULL;
	l->count = l->room = 0;
}

/* The id in the clear prefix of a file; false if it is none of ours.  By way of a node, which opens what a mode forbids. */
static bool file_id_of(struct engine *e, struct node *n, uint8_t id[16])
{
	uint8_t prefix[PREFIX_SIZE];
	bool ours;

	if (!S_ISREG(n->type) || node_use(e, n) < 0)
		return false;
	ours = store_pread(e->store, n->fd, prefix, sizeof prefix, 0) == sizeof prefix && head_is_ours(prefix, id);
	node_unuse(e, n);
	return ours;
}

/* ------------------------------------------------------------------ by path */

static bool is_component(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !names_is_ours(name);
}

/* The node of an entry, with a reference. */
static int step(struct engine *e, struct node *dir, const char *name, struct node **out)
{
	struct store_stat st;
	int r = dir->dir && is_component(name) ? node_use(e, dir) : -ENOENT;

	if (r < 0)
		return r;
	r = store_stat_at(e->store, dir->fd, name, &st);
	if (r == 0) {
		*out = node_enter(e, dir, name, &st, false);
		r = *out ? 0 : -ENOMEM;
	}
	node_unuse(e, dir);
	return r;
}

/* Walks down a path of backing names; `last` (may be NULL) gets the last component instead of following it. */
static int walk_path(struct engine *e, const char *path, struct node **out, char last[NAME_MAX + 1])
{
	struct node *at = node_ref(e, e->root);
	_cleanup_free_ char *copy = strdup(path);
	char *rest = copy, *name;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && (name = strsep(&rest, "/"))) {
		struct node *next = NULL;

		if (!rest && last) {
			r = strlen(name) <= NAME_MAX && is_component(name) ? 0 : -ENOENT;
			if (r == 0)
				strcpy(last, name);
			break;
		}
		r = step(e, at, name, &next);
		if (r == 0) {
			node_unref(e, at);
			at = next;
		}
	}
	if (r < 0)
		node_unref(e, at);
	else
		*out = at;
	return r;
}

static int find_by_path(struct engine *e, struct found *f)
{
	char name[NAME_MAX + 1];
	uint8_t id[16];
	struct node *dir, *n = NULL;
	int r = f->path ? walk_path(e, f->path, &dir, name) : -ENOENT;

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = step(e, dir, name, &n);
	if (r == 0 && S_ISREG(n->type) && (!RULE(N1) || (file_id_of(e, n, id) && memcmp(id, f->id, 16) == 0)))
		f->node = node_ref(e, n);
	node_unref(e, n);
	node_unref(e, dir);
	return r == -ENOMEM ? r : 0;
}

/* ------------------------------------------------------------------ by walking */

struct walk {
	struct engine *e;
	struct found **wanted; /* by id */
	size_t wanted_count;
	struct node *dir;
	struct node_stack stack;
};

static int compare_ids(const void *a, const void *b)
{
	return memcmp((*(struct found *const *)a)->id, (*(struct found *const *)b)->id, 16);
}

static void meet_file(struct walk *w, struct node *n)
{
	struct found key, *k = &key, **f;

	if (!file_id_of(w->e, n, key.id))
		return;
	f = bsearch(&k, w->wanted, w->wanted_count, sizeof(struct found *), compare_ids);
	if (f && !(*f)->node)
		(*f)->node = node_ref(w->e, n);
}

static int meet(void *data, const struct store_dirent *d)
{
	struct walk *w = data;
	struct node *n = NULL;
	int r;

	if (names_is_ours(d->name) || (d->type != DT_DIR && d->type != DT_REG && d->type != DT_UNKNOWN))
		return 0;
	r = step(w->e, w->dir, d->name, &n);
	if (r < 0 || !n)
		return r == -ENOMEM ? r : 0;
	if (n->dir)
		return node_stack_push(w->e, &w->stack, n);
	meet_file(w, n);
	node_unref(w->e, n);
	return 0;
}

static int walk_tree(struct walk *w)
{
	struct engine *e = w->e;
	int r = node_stack_push(e, &w->stack, node_ref(e, e->root));

	while ((w->dir = node_stack_pop(&w->stack))) {
		if (r == 0)
			r = node_use(e, w->dir);
		if (r == 0) {
			r = directory_scan(e, w->dir->fd, meet, w);
			node_unuse(e, w->dir);
		}
		node_unref(e, w->dir);
	}
	return r;
}

static int find_by_walking(struct engine *e, struct find_list *l)
{
	_cleanup_free_ struct found **wanted = calloc(l->count, sizeof(struct found *));
	struct walk w = {.e = e, .wanted = wanted};

	if (!wanted)
		return -ENOMEM;
	for (size_t i = 0; i < l->count; i++)
		if (!l->list[i].node)
			wanted[w.wanted_count++] = &l->list[i];
	qsort(wanted, w.wanted_count, sizeof(struct found *), compare_ids);
	return walk_tree(&w);
}

int find_all(struct engine *e, struct find_list *l, bool *walked)
{
	int r = 0;

	*walked = false;
	for (size_t i = 0; i < l->count && r == 0; i++) {
		r = find_by_path(e, &l->list[i]);
		if (!l->list[i].node && !l->list[i].gone)
			*walked = true;
	}
	return r == 0 && *walked ? find_by_walking(e, l) : r;
}

/* ------------------------------------------------------------------ ids and sidecars */

static void put_text(struct engine *e, int dir, const char *name, struct record_path text)
{
	_cleanup_free_ char *copy = strndup(text.text, text.size);
	int r = copy ? names_write_text(e, dir, name, copy) : -ENOMEM;

	if (r < 0)
		log_warning("cannot restore %s: %s", name, strerror(-r));
}

static bool is_missing(struct engine *e, int dir, const char *name)
{
	struct store_stat st;

	return store_stat_at(e->store, dir, name, &st) == -ENOENT;
}

static void restore_id(struct engine *e, const char *path, struct record_path text)
{
	struct node *dir;

	if (walk_path(e, path, &dir, NULL) < 0)
		return;
	if (dir->dir && node_use(e, dir) == 0) {
		heal_from_journal(e, dir, text.text, text.size);
		node_unuse(e, dir);
	}
	node_unref(e, dir);
}

static void restore_sidecar(struct engine *e, const char *path, struct record_path name, struct record_path text)
{
	char entry[NAME_MAX + 1];
	_cleanup_free_ char *sidecar = strndup(name.text, name.size);
	struct node *dir;

	if (!sidecar || strchr(sidecar, '/') || !names_is_ours(sidecar) || walk_path(e, path, &dir, entry) < 0)
		return;
	if (node_use(e, dir) == 0) {
		if (!is_missing(e, dir->fd, entry) && is_missing(e, dir->fd, sidecar)) {
			put_text(e, dir->fd, sidecar, text);
			/* Its record is freed by this recovery. */
			dirty_in_place(e, dir);
		}
		node_unuse(e, dir);
	}
	node_unref(e, dir);
}

void find_restore_side(struct engine *e, const char *path, struct record_path name, struct record_path text)
{
	if (name.size == 0)
		restore_id(e, path, text);
	else
		restore_sidecar(e, path, name, text);
}

/* As long as they are lent it can be opened; its mode is durable before the record of it is freed. */
static int take_back(struct engine *e, int dir, const char *name, int fd, mode_t mode, mode_t lent)
{
	int how = (mode | lent) & 0400 ? O_RDONLY : O_WRONLY;
	int open = store_open(e->store, dir, name, how | O_NONBLOCK | O_NOFOLLOW, 0);
	int r = e->store->ops->chmod(e->store, fd, mode);

	if (r == 0)
		r = open < 0 ? open : e->store->ops->fsync(e->store, open);
	store_close(e->store, open);
	return r;
}

bool find_restore_mode(struct engine *e, const char *path, mode_t mode, mode_t lent)
{
	char name[NAME_MAX + 1];
	struct store_stat st;
	struct node *dir;
	bool has = false;

	if (walk_path(e, path, &dir, name) < 0)
		return false;
	if (node_use(e, dir) == 0) {
		int fd = store_open(e->store, dir->fd, name, O_PATH, 0);

		has = fd >= 0 && store_stat(e->store, fd, &st) == 0 && !S_ISLNK(st.mode) &&
		      (st.mode & 07777) == (mode | lent);
		if (has && take_back(e, dir->fd, name, fd, mode, lent) < 0)
			log_warning("cannot take back rights that were lent to the owner of a file");
		store_close(e->store, fd);
		node_unuse(e, dir);
	}
	node_unref(e, dir);
	return has;
}

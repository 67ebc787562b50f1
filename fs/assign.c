#include "fs/assign.h"

#include <errno.h>
#include <string.h>

#include "fs/directory.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/node_stack.h"
#include "fs/worker.h"
#include "fs/zone.h"
#include "keymgr/scope.h"

/* ------------------------------------------------------------------ the directory */

static int find_directory(struct engine *e, const char *path, struct node **out)
{
	_cleanup_free_ char *copy = strdup(path);
	char *rest = copy, *name;
	uint64_t at = ROOT_NODE;
	struct node_attr a;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && (name = strsep(&rest, "/"))) {
		if (!*name || strcmp(name, ".") == 0)
			continue;
		r = strlen(name) > NAME_MAX ? -ENAMETOOLONG : fs_lookup(e, at, name, &a);
		if (r == 0) {
			fs_forget(e, at, 1);
			at = a.node;
			r = S_ISDIR(a.st.mode) ? 0 : -ENOTDIR;
		}
	}
	*out = r == 0 ? node_get(e, at) : NULL;
	fs_forget(e, at, 1);
	return r == 0 && !*out ? -ESTALE : r;
}

/* Its id, and the scope that it has. */
static int look_at(struct engine *e, struct node *dir, uint8_t id[DIRECTORY_ID_SIZE], uint32_t *scope)
{
	int r = node_use(e, dir);

	if (r == 0) {
		r = names_load_directory(e, dir);
		node_unuse(e, dir);
	}
	if (r == 0 && dir->dir->duplicate)
		r = -EROFS;
	if (r == 0) {
		memcpy(id, dir->dir->record.id, DIRECTORY_ID_SIZE);
		*scope = keys_zone_scope(worker_keys(e), zone_of(e, dir));
	}
	return r;
}

/* ------------------------------------------------------------------ (2) */

/* A file with several names, and how many of them lie below. */
struct several {
	struct node *node;
	uint64_t names;
};

struct search {
	struct engine *e;
	struct node *dir;
	struct node_stack stack;
	struct several *list;
	size_t count, room;
};

static int count_name(struct search *s, struct node *n)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].node == n) {
			s->list[i].names++;
			return 0;
		}
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct several *list = realloc(s->list, room * sizeof *list);

		if (!list)
			return -ENOMEM;
		s->list = list;
		s->room = room;
	}
	s->list[s->count++] = (struct several){node_ref(s->e, n), 1};
	return 0;
}

static int meet(void *data, const struct store_dirent *d)
{
	struct search *s = data;
	struct store_stat st;
	struct node *n;
	int r;

	if (names_is_ours(d->name))
		return 0;
	r = store_stat_at(s->e->store, s->dir->fd, d->name, &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!S_ISDIR(st.mode) && st.nlink < 2)
		return 0;
	n = node_enter(s->e, s->dir, d->name, &st, false);
	if (!n)
		return -ENOMEM;
	if (n->dir)
		return node_stack_push(s->e, &s->stack, n);
	r = count_name(s, n);
	node_unref(s->e, n);
	return r;
}

static int look_below(struct search *s, struct node *top)
{
	int r = node_stack_push(s->e, &s->stack, node_ref(s->e, top));

	while ((s->dir = node_stack_pop(&s->stack))) {
		if (r == 0)
			r = node_use(s->e, s->dir);
		if (r == 0) {
			r = directory_scan_apart(s->e, s->dir, meet, s);
			node_unuse(s->e, s->dir);
		}
		/* Removed meanwhile. */
		if (r == -ESTALE || r == -ENOENT)
			r = 0;
		node_unref(s->e, s->dir);
	}
	return r;
}

/* Links below may have come and gone meanwhile; none has come that crosses the border. */
static bool has_name_outside(struct engine *e, const struct several *f)
{
	struct store_stat st;

	return node_stat(e, f->node, &st) == 0 && st.nlink > f->names;
}

static int prove_no_name_outside(struct engine *e, struct node *top, struct fault *why)
{
	struct search s = {.e = e};
	char path[1024];
	int r;

	worker_enter(e);
	r = look_below(&s, top);
	if (r < 0)
		r = fault_errno(why, EXIT_STORE, r, "cannot look at all that is in the directory");
	for (size_t i = 0; i < s.count; i++) {
		if (r == 0 && has_name_outside(e, &s.list[i])) {
			names_path(e, s.list[i].node, path, sizeof path);
			r = fault_set(why, EXIT_REFUSED, EMLINK,
				      "%s has another name outside the directory: a file is in one scope only; "
				      "remove one of the names, or copy it",
				      path);
		}
		node_unref(e, s.list[i].node);
	}
	free(s.list);
	worker_leave();
	return r;
}

/* ------------------------------------------------------------------ the steps */

struct plan {
	uint8_t id[DIRECTORY_ID_SIZE];
	uint32_t now, to;
};

static int plan(struct keyring *k, void *context, struct fault *why)
{
	const struct plan *p = context;

	return keyring_zone_plan(k, p->id, p->now, p->to, why);
}

static int abandon(struct keyring *k, void *context, struct fault *why)
{
	return keyring_zone_abandon(k, ((const struct plan *)context)->id, why);
}

static int give(struct keyring *k, void *context, struct fault *why)
{
	return keyring_zone_assign(k, ((const struct plan *)context)->id, why);
}

static int refuse(const struct engine *e, struct fault *why)
{
	if (e->options.read_only)
		return fault_set(why, EXIT_REFUSED, EROFS, "the volume is read-only here");
	if (!e->journal)
		return fault_set(why, EXIT_REFUSED, ENOTSUP,
				 "what is in the directory has to be re-encrypted, and that needs the journal; mount "
				 "without nojournal");
	return 0;
}

static int find(struct engine *e, const char *path, struct node **dir, struct plan *p, struct fault *why)
{
	int r;

	*dir = NULL;
	worker_enter(e);
	r = find_directory(e, path, dir);
	if (r == 0)
		r = look_at(e, *dir, p->id, &p->now);
	worker_leave();
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "%s", *path ? path : "the top of the volume") : 0;
}

int assign_scope(struct engine *e, struct live_keys *keys, const char *path, uint32_t scope, struct fault *why)
{
	struct fault ignored = {.status = EXIT_OK};
	struct plan p = {.to = scope};
	struct node *dir = NULL;
	int r = refuse(e, why);

	if (r == 0)
		r = find(e, path, &dir, &p, why);
	if (r == 0)
		r = live_keys_change(keys, plan, &p, why);
	if (r == 0) {
		r = prove_no_name_outside(e, dir, why);
		if (r == 0)
			r = live_keys_change(keys, give, &p, why);
		if (r < 0)
			(void)!live_keys_change(keys, abandon, &p, &ignored);
	}
	node_unref(e, dir);
	return r;
}

#include "fs/rekey.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/freeze.h"
#include "fs/moved.h"
#include "fs/node.h"
#include "fs/node_stack.h"
#include "fs/worker.h"
#include "fs/zone.h"
#include "util/base/log.h"

enum { FROZEN_MS = 200 };

/* The pass: directories still to be looked at. */
struct pass {
	struct rekey *k;
	struct node *dir;
	struct node_stack stack;
};

/* ------------------------------------------------------------------ targets */

/* With a scope goes what is on its way out of it: that may lie under any generation of it still. */
int rekey_aim(struct rekey *k, uint32_t scope)
{
	const struct keys *keys;
	int r = 0;

	worker_enter(k->e);
	keys = worker_keys(k->e);
	memset(k->targets, 0, sizeof k->targets);
	for (uint32_t i = 0; i < keys->scope_count; i++) {
		if (i == SCOPE_FIELDS || (scope != REKEY_ALL && scope != i))
			continue;
		k->targets[i] = keys->active[i];
	}
	for (uint32_t i = 0; i < keys->zone_count; i++)
		if (keys->zones[i].from != SCOPE_NONE && keys->zones[i].from == scope)
			k->targets[keys->zones[i].scope] = keys->active[keys->zones[i].scope];
	for (uint32_t i = 0; i < keys->scope_count; i++)
		if (k->targets[i] && (keys->locked >> i & 1))
			r = -ENOKEY;
	worker_leave();
	return r;
}

/* Takes aim for an object; false: the pass is not about it. */
static bool aim(struct rekey *k, struct node *n)
{
	const struct keys *keys;
	uint32_t zone, scope;
	bool wanted;

	worker_enter(k->e);
	keys = worker_keys(k->e);
	zone = zone_of(k->e, n);
	if (k->count_only) {
		scope = keys_scope_of(keys, k->generation);
		wanted = scope == SCOPE_NONE || keys_zone_accepts(keys, zone, scope);
	} else {
		scope = keys_zone_scope(keys, zone);
		k->generation = scope < SCOPES_MAX ? k->targets[scope] : GENERATION_NONE;
		wanted = k->generation != GENERATION_NONE;
	}
	worker_leave();
	return wanted;
}

/* ------------------------------------------------------------------ steps */

int rekey_begin(struct rekey *k)
{
	const struct timespec moment = {0, FROZEN_MS * 1000000L};
	struct freeze *gate = k->e->options.freeze;

	while (gate && !freeze_enter(gate)) {
		int r = k->rest ? k->rest(k->data, 0) : 0;

		if (r != 0)
			return r;
		nanosleep(&moment, NULL);
	}
	worker_enter(k->e);
	return 0;
}

void rekey_end(struct rekey *k)
{
	worker_leave();
	if (k->e->options.freeze)
		freeze_leave(k->e->options.freeze);
}

int rekey_hold(struct rekey *k, struct node *dir, struct timespec *mtime)
{
	struct store_stat st = {0};
	int r = rekey_begin(k);

	if (r != 0)
		return r;
	pthread_rwlock_wrlock(&dir->dir->lock);
	r = k->count_only ? 0 : store_stat(k->e->store, dir->fd, &st);
	*mtime = st.mtime;
	if (r < 0)
		rekey_let_go(k, dir, NULL);
	return r;
}

void rekey_let_go(struct rekey *k, struct node *dir, const struct timespec *mtime)
{
	struct timespec ts[2] = {{0, UTIME_OMIT}, {0, 0}};
	struct store_stat st = {0};

	if (mtime && !k->count_only && store_stat(k->e->store, dir->fd, &st) == 0 &&
	    (st.mtime.tv_sec != mtime->tv_sec || st.mtime.tv_nsec != mtime->tv_nsec)) {
		ts[1] = *mtime;
		if (k->e->store->ops->utimens(k->e->store, dir->fd, ts) < 0)
			log_info("a directory's time of change is that of its re-encryption");
		dirty_metadata(k->e, dir);
	}
	pthread_rwlock_unlock(&dir->dir->lock);
	rekey_end(k);
}

static int rest(struct rekey *k, uint64_t bytes)
{
	return k->rest ? k->rest(k->data, bytes) : 0;
}

/* What became of an object.  Not 0: the pass ends. */
static int note(struct rekey *k, struct node *n, int result)
{
	char path[1024];

	if (result == -ENOMEM)
		return result;
	/* Gone meanwhile; or damaged, and nobody can come to it any more. */
	if (result == -ESTALE || result == -ENOENT || (result == -EIO && n != k->e->root && !node_has_name(k->e, n)))
		return 0;
	if (result > 0)
		k->objects++;
	if (result < 0) {
		k->failed++;
		worker_enter(k->e);
		names_path(k->e, n, path, sizeof path);
		worker_leave();
		if (k->stuck)
			k->stuck(k->data, n, path, result);
	}
	return 0;
}

/* ------------------------------------------------------------------ objects */

static int content(struct rekey *k, struct node *n, bool *some)
{
	uint64_t page = 0, bytes;
	int r = 0;

	while (page != UINT64_MAX) {
		r = rekey_begin(k);
		if (r != 0)
			return r;
		r = rekey_content(k, n, &page, &bytes);
		rekey_end(k);
		if (r < 0)
			return r;
		*some |= r > 0;
		k->bytes += bytes;
		r = rest(k, bytes);
		if (r != 0)
			return r;
	}
	return r;
}

static int attributes(struct rekey *k, struct node *n, bool *some)
{
	int r = rekey_begin(k);

	if (r != 0)
		return r;
	r = rekey_attributes(k, n);
	rekey_end(k);
	*some |= r > 0;
	return r < 0 ? r : 0;
}

static int link_target(struct pass *p, const char *backing, const struct store_stat *st, bool *some)
{
	struct rekey *k = p->k;
	struct timespec mtime;
	int r = rekey_hold(k, p->dir, &mtime);

	if (r != 0)
		return r;
	r = rekey_link(k, p->dir, backing, st);
	rekey_let_go(k, p->dir, &mtime);
	*some |= r > 0;
	return r < 0 ? r : 0;
}

static bool ends_pass(int r)
{
	return r > 0 || r == -ENOMEM || r == -ECANCELED;
}

/* Anything but a directory. */
static int visit(struct pass *p, struct node *n, const char *backing, const struct store_stat *st)
{
	struct rekey *k = p->k;
	bool some = false;
	int r = 0;

	k->seen++;
	if (k->measure_only) {
		k->passed += S_ISREG(n->type) ? st->size : 0;
		return k->seen_one ? k->seen_one(k->data, n, st) : rest(k, 0);
	}
	if (!aim(k, n)) {
		moved_seen(k->e, n);
		return rest(k, 0);
	}
	if (S_ISLNK(st->mode) && backing)
		r = link_target(p, backing, st, &some);
	else if (S_ISREG(n->type))
		r = content(k, n, &some);
	if (r == 0)
		r = attributes(k, n, &some);
	if (ends_pass(r))
		return r;
	if (S_ISREG(n->type))
		k->passed += st->size;
	if (r == 0)
		moved_seen(k->e, n);
	return note(k, n, r < 0 ? r : some);
}

static int meet(void *data, const struct store_dirent *d)
{
	struct pass *p = data;
	struct engine *e = p->k->e;
	struct store_stat st;
	struct node *n;
	int r;

	if (names_is_ours(d->name))
		return 0;
	r = store_stat_at(e->store, p->dir->fd, d->name, &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	n = node_enter(e, p->dir, d->name, &st, false);
	if (!n)
		return -ENOMEM;
	if (n->dir) {
		r = p->k->measure_only && p->k->seen_one ? p->k->seen_one(p->k->data, n, &st) : 0;
		if (r == 0)
			return node_stack_push(e, &p->stack, n);
	} else {
		r = visit(p, n, d->name, &st);
	}
	node_unref(e, n);
	return r;
}

/* ------------------------------------------------------------------ directories */

static int entries(struct pass *p)
{
	struct engine *e = p->k->e;
	int r = node_use(e, p->dir);

	if (r < 0)
		return r;
	r = directory_scan_apart(e, p->dir, meet, p);
	node_unuse(e, p->dir);
	return r;
}

/* What belongs to a directory itself. */
static int directory_itself(struct pass *p)
{
	struct rekey *k = p->k;
	bool some;
	int r;

	if (!aim(k, p->dir))
		return 0;
	r = rekey_names(k, p->dir);
	some = r > 0;

	if (r >= 0)
		r = attributes(k, p->dir, &some);
	return ends_pass(r) ? r : note(k, p->dir, r < 0 ? r : some);
}

static int directory(struct pass *p)
{
	struct rekey *k = p->k;
	int r = k->measure_only ? 0 : directory_itself(p);

	k->seen++;
	if (r == 0)
		r = rest(k, 0);
	if (r == 0)
		r = entries(p);
	/* What comes into it from now on is noted itself. */
	if (r == 0 && !k->measure_only)
		moved_seen(k->e, p->dir);
	return r < 0 && !ends_pass(r) ? note(k, p->dir, r) : r;
}

static int tree(struct pass *p)
{
	struct engine *e = p->k->e;
	int r = 0;

	while ((p->dir = node_stack_pop(&p->stack))) {
		if (r == 0)
			r = directory(p);
		node_unref(e, p->dir);
	}
	return r;
}

/* ------------------------------------------------------------------ files without a name */

/* Unlinked, and held open by somebody. */
static bool is_nameless(const struct engine *e, const struct node *n)
{
	return S_ISREG(n->type) && (!n->links || n->links->parent == e->open_node);
}

static int nameless(struct pass *p)
{
	struct engine *e = p->k->e;
	size_t count;
	struct node **list = node_gather(e, is_nameless, &count);
	struct store_stat st = {.mode = S_IFREG};
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; list && i < count; i++) {
		if (r == 0)
			r = visit(p, list[i], NULL, &st);
		node_unref(e, list[i]);
	}
	free(list);
	return r;
}

/* ------------------------------------------------------------------ what moved meanwhile */

/* The directory and the name below of a node, by one of its names. */
static bool place_of(struct engine *e, struct node *n, struct node **dir, char backing[NAME_MAX + 1])
{
	pthread_mutex_lock(&e->table.lock);
	*dir = n->links ? n->links->parent : NULL;
	if (*dir) {
		(*dir)->refs++;
		strcpy(backing, n->links->name);
	}
	pthread_mutex_unlock(&e->table.lock);
	return *dir;
}

static int visit_moved(struct pass *p, struct node *n)
{
	struct engine *e = p->k->e;
	struct store_stat st;
	char backing[NAME_MAX + 1];
	int r;

	if (n->dir) {
		r = node_stack_push(e, &p->stack, node_ref(e, n));
		return r < 0 ? r : tree(p);
	}
	if (!place_of(e, n, &p->dir, backing))
		return 0; /* among the nameless */
	r = node_use(e, p->dir);
	if (r == 0) {
		r = store_stat_at(e->store, p->dir->fd, backing, &st);
		if (r == 0)
			r = visit(p, n, backing, &st);
		node_unuse(e, p->dir);
	}
	node_unref(e, p->dir);
	return r == -ENOENT || r == -ESTALE ? 0 : r;
}

static int moved(struct pass *p)
{
	struct engine *e = p->k->e;
	struct node **list;
	size_t count;
	int r = 0;

	while (r == 0 && moved_take(e, &list, &count)) {
		for (size_t i = 0; list && i < count; i++) {
			if (r == 0)
				r = visit_moved(p, list[i]);
			node_unref(e, list[i]);
		}
		free(list);
	}
	return r;
}

int rekey_pass(struct rekey *k)
{
	struct pass p = {.k = k};
	int r = 0;

	/* Written through, a page that a cut tears is lost, and its old content with it. */
	if (!k->e->journal && !k->count_only && !k->measure_only)
		return -EOPNOTSUPP;
	k->objects = k->seen = k->bytes = k->passed = k->failed = 0;
	/* Who only wants to know how much there is may miss something. */
	if (!k->measure_only)
		r = moved_start(k->e, !k->count_only);
	if (r < 0)
		return r;
	r = node_stack_push(k->e, &p.stack, node_ref(k->e, k->e->root));
	if (r == 0)
		r = tree(&p);
	if (r == 0 && !k->measure_only)
		r = moved(&p);
	if (r == 0 && !k->measure_only)
		r = nameless(&p);
	k->missed = !k->measure_only && moved_stop(k->e);
	rekey_links_free(k);
	return r;
}

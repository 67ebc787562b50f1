/* Listing directories. */
#include <errno.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/directory.h"
#include "fs/list.h"
#include "fs/names.h"
#include "fs/node.h"
#include "util/base/log.h"

enum { SEEN_MAX = 4096, BATCH = 32768 };

/* Which undecryptable names were logged already, by hash: one line for each name and mount, and not more than so many. */
struct seen_names {
	pthread_mutex_t lock;
	size_t count;
	uint64_t hashes[SEEN_MAX];
};

int list_start(struct engine *e)
{
	e->seen = calloc(1, sizeof *e->seen);
	if (!e->seen)
		return -ENOMEM;
	pthread_mutex_init(&e->seen->lock, NULL);
	return 0;
}

void list_stop(struct engine *e)
{
	if (e->seen)
		pthread_mutex_destroy(&e->seen->lock);
	free(e->seen);
	e->seen = NULL;
}

static bool first_time(struct seen_names *s, const struct node *dir, const char *backing)
{
	uint64_t h = dir->ino * UINT64_C(0x9E3779B97F4A7C15);
	bool fresh = true;

	for (const char *c = backing; *c; c++)
		h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001B3);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count && fresh; i++)
		fresh = s->hashes[i] != h;
	if (s->count == SEEN_MAX)
		fresh = false;
	else if (fresh)
		s->hashes[s->count++] = h;
	pthread_mutex_unlock(&s->lock);
	return fresh;
}

static void report_undecryptable(struct engine *e, struct node *dir, const char *backing)
{
	char path[1024], shown[2048], name[4 * NAME_MAX + 1];

	if (!first_time(e->seen, dir, backing))
		return;
	atomic_fetch_add(&e->undecryptable_names, 1);
	names_path(e, dir, path, sizeof path);
	log_warning("not shown: %s in %s below does not decrypt", log_escape(backing, name, sizeof name),
		    log_escape(path, shown, sizeof shown));
}

struct listing {
	struct engine *e;
	struct node *dir;
	bool plus;
	fs_emit *emit;
	void *data;
};

/* True to go on, false if the caller's buffer is full. */
static bool list_plus(struct listing *l, const struct store_dirent *d, const char *name)
{
	uint64_t settled = atomic_load(&l->e->settled);
	struct store_stat st;
	struct node_attr attr;

	if (store_stat_at(l->e->store, l->dir->fd, d->name, &st) < 0)
		return l->emit(l->data, name, d->ino, d->type, d->next, NULL);

	struct node *n = node_enter(l->e, l->dir, d->name, &st, true);

	if (!n)
		return l->emit(l->data, name, d->ino, d->type, d->next, NULL);
	attr_fill(l->e, n, &st, l->dir->fd, d->name, &attr);
	/* As in a lookup: the size may be older than what came in place meanwhile. */
	if (atomic_load(&l->e->settled) != settled && fs_getattr(l->e, n->id, &attr) < 0)
		attr.st = st;

	bool taken = l->emit(l->data, name, d->ino, d->type, d->next, &attr);

	if (!taken)
		node_forget(l->e, n->id, 1);
	node_unref(l->e, n);
	return taken;
}

/* While names are being moved to another generation, a cut may have left an entry under both: the next one is the entry. */
static bool is_superseded(struct listing *l, const struct store_dirent *d, const char *name)
{
	struct backing_name b;
	struct store_stat st;

	return l->dir->dir->record.next && names_lookup(l->e, l->dir, name, &b, &st) == 0 &&
	       strcmp(b.name, d->name) != 0;
}

/* 1: go on; 0: full; negative: error. */
static int list_entry(struct listing *l, const struct store_dirent *d)
{
	char name[NAME_MAX + 1];

	if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0) {
		uint64_t ino = l->dir == l->e->root ? l->dir->ino : d->ino;

		return l->emit(l->data, d->name, ino, DT_DIR, d->next, NULL);
	}
	if (names_is_ours(d->name))
		return 1;

	int r = names_decrypt(l->e, l->dir, d->name, name);

	if (r == -EBADMSG) {
		report_undecryptable(l->e, l->dir, d->name);
		return 1;
	}
	/* Removed between the listing and its sidecar's reading. */
	if (r == -ENOENT)
		return 1;
	if (r < 0)
		return r;
	if (is_superseded(l, d, name))
		return 1;
	return l->plus ? list_plus(l, d, name) : l->emit(l->data, name, d->ino, d->type, d->next, NULL);
}

static int list_batches(struct listing *l, int64_t cookie)
{
	_Alignas(8) uint8_t buf[BATCH];

	for (;;) {
		ssize_t used;
		size_t pos = 0;
		struct store_dirent d;

		pthread_mutex_lock(&l->dir->dir->position);
		used = l->e->store->ops->getdents(l->e->store, l->dir->fd, cookie, buf, sizeof buf);
		pthread_mutex_unlock(&l->dir->dir->position);
		if (used <= 0)
			return (int)used;
		while (store_dirent_next(buf, (size_t)used, &pos, &d)) {
			int r = list_entry(l, &d);

			if (r <= 0)
				return r;
			cookie = d.next;
		}
	}
}

int fs_readdir(struct engine *e, uint64_t node, int64_t cookie, bool plus, fs_emit *emit, void *data)
{
	struct listing l = {.e = e, .plus = plus, .emit = emit, .data = data};
	int r = directory_begin(e, node, DIR_READ, &l.dir);

	if (r < 0)
		return r;
	r = list_batches(&l, cookie);
	directory_end(e, l.dir);
	return r;
}

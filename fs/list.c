/* Listing directories. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/ahead.h"
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

	if (taken)
		ahead_listed(l->e, n, &st);
	else
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

/* The name that an entry shows.  1: it shows none. */
static int shown_name(struct listing *l, const struct store_dirent *d, char name[NAME_MAX + 1])
{
	int r;

	if (names_is_ours(d->name))
		return 1;
	r = names_decrypt(l->e, l->dir, d->name, name);
	if (r == -EBADMSG) {
		report_undecryptable(l->e, l->dir, d->name);
		return 1;
	}
	/* Removed between the listing and its sidecar's reading. */
	if (r == -ENOENT)
		return 1;
	return r == 0 && is_superseded(l, d, name) ? 1 : r;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* 1: go on; 0: full; negative: error. */
static int list_entry(struct listing *l, const struct store_dirent *d)
{
	char name[NAME_MAX + 1];
	int r;

	if (is_dots(d->name)) {
		uint64_t ino = l->dir == l->e->root ? l->dir->ino : d->ino;

		return l->emit(l->data, d->name, ino, DT_DIR, d->next, NULL);
	}
	r = shown_name(l, d, name);
	if (r != 0)
		return r;
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

/* ------------------------------------------------------------------ while names move below */

/* Cookies of such a listing: no store has such ones. */
#define SHOWN_COOKIE (INT64_C(0x5AC3F1) << 40)
enum { SHOWN_DOT = 1, SHOWN_DOTS = 2, SHOWN_FIRST = 3 }; /* then by position in the list */

static bool is_shown_cookie(int64_t cookie)
{
	return cookie >> 40 == SHOWN_COOKIE >> 40;
}

/* An entry that was there when the list was made: under whichever name it lies now. */
static int list_shown_entry(struct listing *l, const char *name, int64_t next)
{
	struct backing_name b;
	struct store_stat st;
	struct store_dirent d = {.next = next, .name = b.name};
	int r = names_lookup(l->e, l->dir, name, &b, &st);

	if (r < 0)
		return r == -ENOENT ? 1 : r;
	d.ino = st.ino;
	d.type = (uint8_t)(st.mode >> 12 & 15);
	return l->plus ? list_plus(l, &d, name) : l->emit(l->data, name, d.ino, d.type, next, NULL);
}

static int list_shown(struct listing *l, const struct name_list *names, int64_t cookie)
{
	int64_t at = cookie ? cookie - SHOWN_COOKIE : 0;

	if (at < SHOWN_DOT && !l->emit(l->data, ".", l->dir->ino, DT_DIR, SHOWN_COOKIE + SHOWN_DOT, NULL))
		return 0;
	if (at < SHOWN_DOTS && !l->emit(l->data, "..", l->dir->ino, DT_DIR, SHOWN_COOKIE + SHOWN_FIRST, NULL))
		return 0;
	for (size_t i = at < SHOWN_FIRST ? 0 : (size_t)(at - SHOWN_FIRST); i < names->size;) {
		size_t next = i + strlen(names->text + i) + 1;
		int r = list_shown_entry(l, names->text + i, SHOWN_COOKIE + SHOWN_FIRST + (int64_t)next);

		if (r <= 0)
			return r;
		i = next;
	}
	return 0;
}

static int add_name(struct name_list *l, const char *name)
{
	size_t n = strlen(name) + 1;

	if (l->size + n > l->room) {
		size_t room = l->room ? 2 * l->room : 4096;
		char *text = realloc(l->text, room);

		if (!text)
			return -ENOMEM;
		l->text = text;
		l->room = room;
	}
	memcpy(l->text + l->size, name, n);
	l->size += n;
	l->count++;
	return 0;
}

struct gathering {
	struct listing l;
	struct name_list *names;
};

static int gather(void *data, const struct store_dirent *d)
{
	struct gathering *g = data;
	char name[NAME_MAX + 1];
	int r = is_dots(d->name) ? 1 : shown_name(&g->l, d, name);

	return r == 0 ? add_name(g->names, name) : (r < 0 ? r : 0);
}

int list_gather(struct engine *e, struct node *dir, struct name_list **out)
{
	struct gathering g = {.l = {.e = e, .dir = dir}, .names = calloc(1, sizeof *g.names)};
	int r = g.names ? directory_scan_apart(e, dir, gather, &g) : -ENOMEM;

	if (r < 0) {
		name_list_free(g.names);
		g.names = NULL;
	}
	*out = g.names;
	return r;
}

static bool has_name(const struct name_list *l, const char *name)
{
	for (size_t i = 0; i < l->size; i += strlen(l->text + i) + 1)
		if (strcmp(l->text + i, name) == 0)
			return true;
	return false;
}

void list_came(struct dir *d, const char *name)
{
	/* What was there before and comes back is in it. */
	if (d->shown && !d->shown_over && !has_name(d->shown, name) && add_name(d->shown, name) < 0)
		log_warning("no memory to show a new name until the next listing");
}

void name_list_free(struct name_list *l)
{
	if (l)
		free(l->text);
	free(l);
}

/* ------------------------------------------------------------------ the operation */

static void one_less(struct listers *l)
{
	unsigned n = atomic_load(&l->count);

	while (n > 0 && !atomic_compare_exchange_weak(&l->count, &n, n - 1)) {
	}
}

/* A listing ends with an answer that has nothing in it. */
static void note_listing(struct listers *l, bool first, bool some)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	atomic_store(&l->at_ms, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	if (first && some)
		atomic_fetch_add(&l->count, 1);
	else if (!first && !some)
		one_less(l);
}

struct counted_emit {
	fs_emit *emit;
	void *data;
	uint64_t count;
};

static bool emit_counted(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next,
			 const struct node_attr *attr)
{
	struct counted_emit *c = data;

	c->count++;
	return c->emit(c->data, name, ino, type, next, attr);
}

int fs_readdir(struct engine *e, uint64_t node, int64_t cookie, bool plus, fs_emit *emit, void *data)
{
	struct counted_emit counted = {emit, data, 0};
	struct listing l = {.e = e, .plus = plus, .emit = emit_counted, .data = &counted};
	int r = directory_begin(e, node, DIR_READ, &l.dir);

	if (r < 0)
		return r;
	if (l.dir->dir->shown && (is_shown_cookie(cookie) || (cookie == 0 && !l.dir->dir->shown_over))) {
		r = list_shown(&l, l.dir->dir->shown, cookie);
		note_listing(&l.dir->dir->of_shown, cookie == 0, counted.count > 0);
	} else if (is_shown_cookie(cookie)) {
		r = -ESTALE;
	} else {
		r = list_batches(&l, cookie);
		note_listing(&l.dir->dir->of_store, cookie == 0, counted.count > 0);
	}
	if (plus)
		ahead_listing_done(e);
	directory_end(e, l.dir);
	return r;
}

#include "fs/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/worker.h"

enum { PROGRESS_EVERY = 64 };

/* ------------------------------------------------------------------ findings */

/* The path of an entry as text of its own: plain names as far as all of them are known, else backing ones. */
static char *join(const struct check_dir *d, const char *last, bool plain)
{
	size_t size = strlen(last) + 1;
	char *out, *at;

	for (const struct check_dir *u = d; u && u->up; u = u->up)
		size += strlen(plain ? u->name : u->backing) + 1;
	out = malloc(size);
	if (!out)
		return NULL;
	at = out + size - strlen(last) - 1;
	strcpy(at, last);
	for (const struct check_dir *u = d; u && u->up; u = u->up) {
		const char *name = plain ? u->name : u->backing;

		if (*at)
			*--at = '/';
		at -= strlen(name);
		memcpy(at, name, strlen(name));
	}
	memmove(out, at, strlen(at) + 1);
	return out;
}

char *check_backing_path(const struct check_dir *d, const char *backing)
{
	return join(d, backing, false);
}

static bool all_named(const struct check_dir *d)
{
	while (d && d->up && d->named)
		d = d->up;
	return !d || !d->up;
}

static PRINTF_LIKE(5, 0) int add(struct check *c, bool plain, char *path, struct check_kind k, const char *format,
				 va_list ap)
{
	struct check_finding f = {k.severity, k.repaired, plain, k.kind, path, NULL};
	int r = path && vasprintf(&f.text, format, ap) >= 0 ? check_report_add(c->report, &f) : -ENOMEM;

	free(f.text);
	return r;
}

char *check_path(const struct check_dir *d, const char *backing, const char *name, bool *plain)
{
	_cleanup_free_ char *inside = NULL;
	char *path;

	/* The root has no name in the mount; what is wrong with it is said of data/. */
	*plain = all_named(d) && (d->up || backing) && (!backing || name);
	inside = join(d, !backing ? "" : (*plain ? name : backing), *plain);
	if (!inside || (!*plain && asprintf(&path, "data%s%s", *inside ? "/" : "", inside) < 0))
		return NULL;
	return *plain ? strdup(inside) : path;
}

static PRINTF_LIKE(6, 0) int say_in(struct check *c, const struct check_dir *d, const char *backing, const char *name,
				    struct check_kind k, const char *format, va_list ap)
{
	bool plain;
	_cleanup_free_ char *path = check_path(d, backing, name, &plain);

	return add(c, plain, path, k, format, ap);
}

int check_say(struct check *c, const struct check_dir *d, const char *backing, const char *name, struct check_kind k,
	      const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = say_in(c, d, backing, name, k, format, ap);
	va_end(ap);
	return r;
}

int check_say_entry(struct check *c, const struct check_entry *en, struct check_kind k, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = say_in(c, en->dir, en->backing, en->name, k, format, ap);
	va_end(ap);
	return r;
}

int check_say_volume(struct check *c, const char *path, struct check_kind k, const char *format, ...)
{
	_cleanup_free_ char *copy = strdup(path);
	va_list ap;
	int r;

	va_start(ap, format);
	r = add(c, false, copy, k, format, ap);
	va_end(ap);
	return r;
}

void check_progress(struct check *c, uint64_t more)
{
	c->done += more;
	if (c->o->progress && c->calls++ % PROGRESS_EVERY == 0 &&
	    !c->o->progress(c->o->data, c->done, c->total > c->done || !c->total ? c->total : c->done))
		c->stop = true;
}

const char *check_generation(const struct check *c, uint32_t zone, uint32_t generation)
{
	const struct keys *k = worker_keys(c->e);
	int error;

	if (keys_for_open_in(k, zone, generation, &error))
		return NULL;
	if (error == -ENOKEY)
		return "is suspended";
	for (uint32_t i = 0; i < k->count; i++) {
		if (k->generations[i].number != generation)
			continue;
		if (!keys_zone_accepts(k, zone, k->generations[i].scope))
			return "belongs to another scope";
		return generation < k->floor[k->generations[i].scope] ? "is below the floor"
								      : "is destroyed or not yet in use";
	}
	return "is unknown to this keyring";
}

/* ------------------------------------------------------------------ ids */

static struct check_id *slot_of(const struct check_ids *ids, const uint8_t id[16])
{
	uint64_t h;

	memcpy(&h, id, sizeof h);
	h = (h * UINT64_C(0x9E3779B97F4A7C15)) >> 16;
	while (ids->slots[h & (ids->size - 1)].ino && memcmp(ids->slots[h & (ids->size - 1)].id, id, 16) != 0)
		h++;
	return &ids->slots[h & (ids->size - 1)];
}

static int ids_grow(struct check_ids *ids)
{
	struct check_ids bigger = {.count = ids->count, .size = ids->size ? 2 * ids->size : 1024};

	bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < ids->size; i++)
		if (ids->slots[i].ino)
			*slot_of(&bigger, ids->slots[i].id) = ids->slots[i];
	free(ids->slots);
	*ids = bigger;
	return 0;
}

int check_ids_add(struct check_ids *ids, const uint8_t id[16], uint64_t ino, uint64_t *before)
{
	struct check_id *slot;

	if (4 * (ids->count + 1) > 3 * ids->size && ids_grow(ids) < 0)
		return -ENOMEM;
	slot = slot_of(ids, id);
	*before = slot->ino;
	if (slot->ino)
		return 0;
	memcpy(slot->id, id, 16);
	slot->ino = ino;
	ids->count++;
	return 0;
}

uint64_t check_ids_find(const struct check_ids *ids, const uint8_t id[16])
{
	return ids->size ? slot_of(ids, id)->ino : 0;
}

/* ------------------------------------------------------------------ start and end */

static int measure(struct check *c)
{
	return c->o->deep && c->o->progress ? check_walk(c, check_measure) : 0;
}

static int walk(struct check *c)
{
	return check_walk(c, check_directory);
}

/* Each goes by what the ones before it have seen of the whole: after one that was stopped none may follow. */
int check_volume(struct check *c)
{
	static int (*const steps[])(struct check *) = {
		check_beside,      measure,         walk,        check_lost_directories,
		check_link_bodies, check_leftovers, check_young, check_doubled,
	};
	int r = 0;

	for (size_t i = 0; i < sizeof steps / sizeof steps[0] && r == 0; i++) {
		r = steps[i](c);
		if (r == 0 && c->stop)
			r = -ECANCELED;
	}
	return r;
}

static int run(struct check *c, struct fault *why)
{
	struct store *s = c->opened.store;
	int r = 0;

	c->repair = c->o->repair;
	if (c->repair && c->o->no_recover)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "what is not in place cannot be mended: --no-recover is for looking");
	if (c->repair && keyring_read_only(c->opened.keyring))
		return fault_set(
			why, EXIT_UNSUPPORTED, EROFS,
			"the volume uses a feature that this coffer may not change; check it without --repair");
	if (c->repair && c->opened.read_only)
		return fault_set(why, EXIT_STORE, EROFS, "the store is read-only; nothing can be mended on it");
	if (c->repair)
		r = store_probe(s, c->opened.dot, &c->e->caps);
	if (r == 0)
		r = check_journal(c);
	if (r == 0)
		r = check_volume(c);
	if ((r == 0 || r == -ECANCELED) && c->report->repaired) {
		int synced = s->ops->syncfs(s, c->opened.data);

		r = synced < 0 ? synced : r;
	}
	if (r == -ECANCELED)
		return fault_set(why, EXIT_FAILED, ECANCELED, "the check was stopped; what it found so far is not all");
	if (r < 0)
		return fault_errno(why, r == -ENOMEM ? EXIT_FAILED : EXIT_STORE, r, "the check could not go on");
	return 0;
}

void check_forget(struct check *c)
{
	for (size_t i = 0; i < c->lost_count; i++)
		free(c->lost[i].path);
	free(c->lost);
	for (size_t i = 0; i < c->doubled_count; i++)
		free(c->doubled[i].path);
	free(c->doubled);
	for (size_t i = 0; i < c->young_count; i++)
		free(c->young[i].path);
	free(c->young);
	free(c->journal.files.slots);
	check_list_free(&c->journal.places);
	free(c->files.slots);
	free(c->directories.slots);
	free(c->bodies.slots);
	free(c->gone.slots);
	store_close(c->opened.store, c->lost_fd);
}

int check_run(const struct check_options *o, struct check_report *report, struct fault *why)
{
	struct engine_options eo = {.read_only = true, .inspect = true};
	struct check c = {.o = o, .report = report, .lost_fd = -1};
	struct opened *opened = &c.opened;
	int r;

	*report = (struct check_report){0};
	r = opened_start(o->volume, &o->unlock, o->repair ? OPENED_LOCKED : OPENED_STILL, opened, why);
	if (r < 0)
		return r;
	r = engine_start(opened->store, opened->dot, opened->data, keyring_settings(opened->keyring),
			 keyring_root_directory(opened->keyring), opened->keys, &eo, &c.e, why);
	if (r == 0) {
		r = run(&c, why);
		check_forget(&c);
		engine_stop(&c.e);
	}
	opened_stop(opened);
	return r;
}

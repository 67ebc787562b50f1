/* The id record of a directory, and the names in it.
 *
 * 1. While names move the record says both generations, and everybody looks under both.  It says so, durably, before the first name moves, and says
 *    the new one alone only when every name has moved, durably.
 * 2. The names of a small directory move while nobody else is in it.  Those of a large one move a few at a time.  Before the first one moves a list is made
 *    from which the directory is listed from then on, so that no listing misses a name or shows one twice (list.c); and the listings of the store
 *    itself that had begun by then are waited for, and so are those of an older list before this one takes its place.  In both cases no new ones
 *    begin, and who does not go on for a while has left off. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/lend.h"
#include "fs/list.h"
#include "fs/node.h"
#include "fs/rekey.h"
#include "fs/rename.h"
#include "fs/worker.h"

enum { AT_ONCE = 256, QUIET_MS = 5000, QUIET_TRIES = 100, QUIET_STEP_MS = 100 };

/* ------------------------------------------------------------------ the record */

/* Puts a new record in the place of the old one, whole. */
static int put_text(struct engine *e, struct node *dir, const char *text)
{
	char temporary[OWN_NAME_MAX];
	struct store *s = e->store;
	int r = directory_own_name("new", temporary);

	if (r == 0)
		r = names_write_text(e, dir->fd, temporary, text);
	if (r < 0)
		return r;
	r = s->ops->rename(s, dir->fd, temporary, dir->fd, DIRECTORY_RECORD_NAME, 0);
	if (r < 0)
		s->ops->unlink(s, dir->fd, temporary);
	dirty_entry(e, dir, NULL);
	return r;
}

static int put_record(struct engine *e, struct node *dir, const struct directory_record *record)
{
	char text[DIRECTORY_RECORD_TEXT + 1];
	mode_t before;
	int r = directory_record_seal(worker_keys(e)->directory_key, record, text);

	if (r == 0)
		r = put_text(e, dir, text);
	/* Its owner may be denied that. */
	if (r == -EACCES && lend(e, dir, dir->fd, 0300, &before)) {
		r = put_text(e, dir, text);
		lend_back(e, dir, dir->fd, 0300, before);
	}
	return r;
}

/* A store that does not keep the order of what happens in a directory is synced between what has to be in order (1). */
static int settle(struct engine *e, struct node *dir)
{
	return dirty_store_orders_names(e) ? 0 : dirty_sync(e, dir);
}

static int set_record(struct engine *e, struct node *dir, uint32_t generation, uint32_t next)
{
	struct directory_record record = dir->dir->record;
	int r = settle(e, dir);

	record.generation = generation;
	record.next = next;
	if (r == 0)
		r = put_record(e, dir, &record);
	/* Its id is read without a lock. */
	if (r == 0) {
		dir->dir->record.generation = generation;
		dir->dir->record.next = next;
	}
	return r < 0 ? r : settle(e, dir);
}

/* ------------------------------------------------------------------ names */

/* An entry that has the name still under the older generation; the directory is locked. */
static int move_name(struct engine *e, struct node *dir, const char *name)
{
	struct backing_name from, to;
	struct store_stat st;
	int r = names_lookup(e, dir, name, &from, &st);

	if (r == 0)
		r = names_encrypt(e, dir, dir->dir->record.next, name, &to);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* gone meanwhile */
	return strcmp(from.name, to.name) == 0 ? 0 : rename_below(e, dir, &from, &st, &to);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until they have come to their end, or nobody has gone on for a while (2).  Not 0: what `rest` returned. */
static int wait_for(const struct rekey *k, struct listers *l)
{
	const struct timespec step = {0, QUIET_STEP_MS * 1000000L};

	for (int i = 0; i < QUIET_TRIES && atomic_load(&l->count) > 0 && now_ms() - atomic_load(&l->at_ms) <= QUIET_MS;
	     i++) {
		int r = k->rest ? k->rest(k->data, 0) : 0;

		if (r != 0)
			return r;
		nanosleep(&step, NULL);
	}
	atomic_store(&l->count, 0);
	return 0;
}

/* Moves some names, from *at of the list on, which becomes SIZE_MAX at its end; the directory is locked. */
static int move_some(struct engine *e, struct node *dir, size_t *at)
{
	const struct name_list *names = dir->dir->shown;
	int r = 0;

	for (unsigned most = AT_ONCE; *at < names->size && most > 0 && r == 0; most--) {
		r = move_name(e, dir, names->text + *at);
		*at += strlen(names->text + *at) + 1;
	}
	if (*at >= names->size)
		*at = SIZE_MAX;
	return r;
}

/* Makes the list, which belongs to the directory from then on. */
static int show(struct rekey *k, struct node *dir)
{
	struct dir *d = dir->dir;
	struct name_list *names;
	struct timespec mtime;
	int r = rekey_hold(k, dir, &mtime);

	if (r != 0)
		return r;
	r = list_gather(k->e, dir, &names);
	if (r == 0) {
		name_list_free(d->shown);
		d->shown = names;
		d->shown_over = false;
	}
	rekey_let_go(k, dir, &mtime);
	return r;
}

/* (2) */
static int move_all(struct rekey *k, struct node *dir)
{
	struct timespec mtime;
	size_t at = 0;
	int r = wait_for(k, &dir->dir->of_shown);

	if (r == 0)
		r = show(k, dir);
	if (r == 0)
		r = wait_for(k, &dir->dir->of_store);
	while (r == 0 && at != SIZE_MAX) {
		r = rekey_hold(k, dir, &mtime);
		if (r != 0)
			break;
		r = move_some(k->e, dir, &at);
		rekey_let_go(k, dir, &mtime);
		if (r == 0 && at != SIZE_MAX && k->rest)
			r = k->rest(k->data, 0);
	}
	/* Also where it was broken off: names are found under either generation. */
	pthread_rwlock_wrlock(&dir->dir->lock);
	dir->dir->shown_over = true;
	pthread_rwlock_unlock(&dir->dir->lock);
	return r;
}

/* ------------------------------------------------------------------ a directory */

/* Brings the names from the record's generation to its next one, which is `to` if it has none yet. */
static int move_to_next(struct rekey *k, struct node *dir, uint32_t to)
{
	struct timespec mtime;
	int r = rekey_hold(k, dir, &mtime);

	if (r != 0)
		return r;
	if (!dir->dir->record.next)
		r = set_record(k->e, dir, dir->dir->record.generation, to);
	to = dir->dir->record.next;
	rekey_let_go(k, dir, &mtime);
	if (r == 0)
		r = move_all(k, dir);
	if (r == 0)
		r = rekey_hold(k, dir, &mtime);
	if (r != 0)
		return r;
	r = set_record(k->e, dir, to, 0);
	rekey_let_go(k, dir, &mtime);
	return r;
}

static bool is_done(const struct rekey *k, const struct dir *d)
{
	return d->record.generation == k->generation && d->record.next == 0;
}

static int move_directory(struct rekey *k, struct node *dir)
{
	int r = 0;

	/* First where an earlier pass was going. */
	while (r == 0 && !is_done(k, dir->dir))
		r = move_to_next(k, dir, k->generation);
	return r;
}

int rekey_names(struct rekey *k, struct node *dir)
{
	struct engine *e = k->e;
	int r = node_use(e, dir), result = 0;

	if (r < 0)
		return r;
	r = rekey_begin(k);
	if (r == 0) {
		r = names_load_directory(e, dir);
		rekey_end(k);
	}
	if (r == 0 && k->count_only) {
		result = dir->dir->record.generation == k->generation || dir->dir->record.next == k->generation;
	} else if (r == 0 && !is_done(k, dir->dir)) {
		result = 1;
		r = dir->dir->duplicate ? -EROFS : move_directory(k, dir);
	}
	node_unuse(e, dir);
	return r != 0 ? r : result;
}

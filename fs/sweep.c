#include "fs/sweep.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/checkpoint.h"
#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/file_parts.h"
#include "fs/freeze.h"
#include "fs/look.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/node_stack.h"
#include "util/base/log.h"

/* Invariants:
 *  (1) ranges are dropped only behind a walk that met every file, and looked at each that may have been cut short.  Files are looked up, which is
 *      a look, before anything can move them; if a directory was moved meanwhile the walk is done again.
 *  (2) what the looks have cut is durable before (a tick that failed at nothing).  On a store whose syncfs promises nothing so is what they
 *      only read: a kill has left it in the store's memory (R0).
 *  (3) one file at a time, inside the gate of a freeze; no lock is held while resting. */

enum { LOOKS_AT_ONCE = 256, REST_PER_WORK = 3, REST_MAX_MS = 200, FROZEN_MS = 500, BEGIN_MS = 2000, ATTEMPTS = 5 };

struct sweep {
	struct engine *e;
	struct node *dir;
	struct node_stack stack; /* directories still to be read */
	bool rest;
	unsigned looked; /* since the last rest */
	int64_t began_ms;
	int error; /* of the first file that could not be looked at */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ rests */

/* True if it is time to end. */
static bool wait_ms(struct engine *e, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&e->tick_lock);
	while (!e->sweep_stop && pthread_cond_timedwait(&e->sweep_now, &e->tick_lock, &until) == 0)
		;

	bool stop = e->sweep_stop;

	pthread_mutex_unlock(&e->tick_lock);
	return stop;
}

/* A quarter of the time at most is worked. */
static int rest(struct sweep *s)
{
	int64_t pause = (now_ms() - s->began_ms + 1) * REST_PER_WORK;

	if (!s->rest || ++s->looked < LOOKS_AT_ONCE)
		return 0;

	bool stop = wait_ms(s->e, pause < REST_MAX_MS ? pause : REST_MAX_MS);

	s->looked = 0;
	s->began_ms = now_ms();
	return stop ? -EAGAIN : 0;
}

/* ------------------------------------------------------------------ looks */

static int load(struct engine *e, struct node *n)
{
	struct file *f;
	int r = node_use(e, n);

	if (r < 0)
		return r;
	r = file_lock_for_read(e, n, &f);
	if (r == 0)
		file_unlock(f);
	/* (2) */
	if (r == 0 && atomic_load(&e->nothing_synced))
		dirty_add(e, n);
	node_unuse(e, n);
	return r;
}

/* Damage is damage with the range and without; everything else may be better another time. */
static int look(struct sweep *s, struct node *n)
{
	struct engine *e = s->e;
	struct freeze *gate = e->options.freeze;
	uint64_t damaged = atomic_load(&e->damaged_pages);

	while (gate && !freeze_enter(gate))
		if (wait_ms(e, FROZEN_MS))
			return -EAGAIN;

	worker_enter(e);

	int r = load(e, n);

	worker_leave();
	if (gate)
		freeze_leave(gate);
	if (r == -ESTALE || r == -ENOENT || (r == -EIO && atomic_load(&e->damaged_pages) != damaged))
		r = 0;
	if (r < 0 && s->error == 0)
		s->error = r;
	s->looked += LOOKS_AT_ONCE / 16; /* dearer than a name */
	return 0;
}

/* ------------------------------------------------------------------ the walk */

static int meet(void *data, const struct store_dirent *d)
{
	struct sweep *s = data;
	struct store_stat st;
	struct node *n;
	int r = rest(s);

	if (r < 0 || names_is_ours(d->name) || (d->type != DT_DIR && d->type != DT_REG && d->type != DT_UNKNOWN))
		return r;
	r = store_stat_at(s->e->store, s->dir->fd, d->name, &st);
	if (r < 0 || !(S_ISDIR(st.mode) || (S_ISREG(st.mode) && look_is_due(s->e, &st))))
		return r == -ENOENT ? 0 : r;
	n = node_enter(s->e, s->dir, d->name, &st, false);
	if (!n)
		return -ENOMEM;
	if (n->dir)
		return node_stack_push(s->e, &s->stack, n);
	r = look(s, n);
	node_unref(s->e, n);
	return r;
}

static int read_directory(struct sweep *s)
{
	struct engine *e = s->e;
	int r = node_use(e, s->dir);

	if (r < 0)
		return r == -ESTALE || r == -ENOENT ? 0 : r; /* removed meanwhile */
	r = directory_scan_apart(e, s->dir, meet, s);
	node_unuse(e, s->dir);
	return r;
}

static int walk(struct sweep *s)
{
	struct engine *e = s->e;
	int r = node_stack_push(e, &s->stack, node_ref(e, e->root));

	while ((s->dir = node_stack_pop(&s->stack))) {
		if (r == 0)
			r = read_directory(s);
		node_unref(e, s->dir);
	}
	return r < 0 ? r : s->error;
}

/* Again if a directory was moved, perhaps from before the walk to behind it. */
static int look_at_all(struct engine *e, bool rests)
{
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		uint64_t moved = atomic_load(&e->directories_moved);
		struct sweep s = {.e = e, .rest = rests, .began_ms = now_ms()};
		int r = walk(&s);

		if (r < 0)
			return r;
		if (atomic_load(&e->directories_moved) == moved)
			return 0;
	}
	return -EAGAIN;
}

int sweep_run(struct engine *e, bool rests)
{
	struct freeze *gate = e->options.freeze;
	int r;

	if (!e->journal || e->options.read_only || !atomic_load(&e->lost_ranges))
		return 0;
	r = look_at_all(e, rests);
	while (r == 0 && gate && !freeze_enter(gate))
		r = wait_ms(e, FROZEN_MS) ? -EAGAIN : 0;
	if (r < 0)
		return r;
	r = checkpoint_drop_ranges(e);
	if (gate)
		freeze_leave(gate);
	return r;
}

/* ------------------------------------------------------------------ the thread */

static void *run(void *data)
{
	struct engine *e = data;
	/* Whoever mounts wants to work first. */
	int r = wait_ms(e, BEGIN_MS) ? -EAGAIN : sweep_run(e, true);

	if (r < 0 && r != -EAGAIN)
		log_info("not all files could be looked at that a crash may have cut short (%s); the next mount tries "
			 "again",
			 strerror(-r));
	fs_thread_end();
	return NULL;
}

int sweep_start(struct engine *e)
{
	int r;

	if (!e->journal || !atomic_load(&e->lost_ranges))
		return 0;
	r = pthread_create(&e->sweeper, NULL, run, e);
	e->sweeping = r == 0;
	return -r;
}

void sweep_stop(struct engine *e)
{
	if (!e->sweeping)
		return;
	pthread_mutex_lock(&e->tick_lock);
	e->sweep_stop = true;
	pthread_cond_signal(&e->sweep_now);
	pthread_mutex_unlock(&e->tick_lock);
	pthread_join(e->sweeper, NULL);
	e->sweeping = false;
}

#include "fs/checkpoint.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/dirty.h"
#include "fs/file_parts.h"
#include "fs/freeze.h"
#include "fs/gone.h"
#include "fs/in_place.h"
#include "fs/job.h"
#include "fs/node.h"
#include "util/base/log.h"

/* Invariants:
 *  (C1) one tick at a time (checkpointing), and a file's job ends with it, or is tried again by the next before the file gets another.
 *  (C2) the epoch counts up first; what is newborn then is so no more, and is synced before the epoch is called durable.
 *  (C4) files with pages in place are synced before APPLY, and APPLY is synced before anything goes in place (C5).
 *  (C6) everything is in place and synced before the superblock frees its records; directories are synced before that, too, so that
 *       the records of an unlinked file, and ids and sidecars made through the journal, are needed no more.
 *  (C7) a tick that fails has freed nothing: each of its jobs keeps its records, and is brought in place by a later one. */

enum { TICK_SECONDS = 5, SYNC_ALL_ABOVE = 64 };

struct tick {
	struct engine *e;
	struct node **nodes; /* taken off the dirty list */
	uint32_t count;
	struct job *jobs;
	time_t started;
	int error;      /* the first */
	int names_lost; /* a directory could not be synced: nothing may be freed */
	bool newborns_failed;
};

static void note(struct tick *t, int r)
{
	if (r < 0 && t->error == 0)
		t->error = r;
}

/* ------------------------------------------------------------------ newborns */

static struct file *file_of(struct node *n)
{
	pthread_mutex_lock(&n->lock);

	struct file *f = n->file;

	pthread_mutex_unlock(&n->lock);
	return f;
}

/* (C2): they wait for a write that is under way (B3). */
static void grow_up(struct tick *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		struct node *n = t->nodes[i];

		if (!node_use_cached(n))
			continue;

		struct file *f = file_of(n);

		if (f) {
			if (RULE(B3lock))
				pthread_rwlock_wrlock(&f->lock);
			if (RULE(B3))
				f->newborn = false;
			f->log.unsynced = 0;
			if (RULE(B3lock))
				pthread_rwlock_unlock(&f->lock);
		}
		node_unuse(t->e, n);
	}
}

/* ------------------------------------------------------------------ syncs */

/* Nobody can reach it any more. */
static bool is_lost_to_all(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&e->table.lock);

	bool lost = !n->links && n->lookups == 0;

	pthread_mutex_unlock(&e->table.lock);
	return lost && node_is_gone(e, n);
}

static bool needs_sync(struct node *n)
{
	return atomic_load(&n->written) != atomic_load(&n->synced);
}

static int sync_node(struct engine *e, struct node *n)
{
	int r = node_use(e, n);

	if (r < 0)
		return r == -ESTALE ? 0 : r; /* removed meanwhile */
	r = n->dir ? dirty_sync(e, n) : file_sync_in_place(e, n);
	node_unuse(e, n);
	return r;
}

/* Everything at once, by one sync of the filesystem; what it did not cover is synced one by one. */
static void sync_all_at_once(struct tick *t)
{
	struct engine *e = t->e;
	_cleanup_free_ uint64_t *written = calloc(t->count + 1, sizeof *written);
	uint32_t count = 0;

	for (uint32_t i = 0; i < t->count && written; i++) {
		written[i] = atomic_load(&t->nodes[i]->written);
		count += needs_sync(t->nodes[i]);
	}
	if (!written || count <= SYNC_ALL_ABOVE || !dirty_syncfs_counts(e) ||
	    e->store->ops->syncfs(e->store, e->data) < 0)
		return;
	for (uint32_t i = 0; i < t->count; i++)
		if (atomic_load(&t->nodes[i]->failed) == 0)
			dirty_covered(t->nodes[i], written[i]);
}

/* What its version names in place is not durable: the version must not be applied (C4). */
static void hold_back(struct tick *t, struct node *n, int error)
{
	for (struct job *j = t->jobs; j; j = j->next)
		if (j->node == n && RULE(C4files))
			j->error = error;
}

/* Files first, then the directories that name them. */
static void sync_nodes(struct tick *t, bool directories)
{
	for (uint32_t i = 0; i < t->count; i++) {
		struct node *n = t->nodes[i];
		int r;

		if ((n->dir != NULL) != directories || !needs_sync(n) || (!directories && is_lost_to_all(t->e, n)))
			continue;
		r = sync_node(t->e, n);
		note(t, r);
		if (r == 0)
			continue;
		dirty_add(t->e, n);
		if (directories) {
			t->names_lost = r;
		} else {
			t->newborns_failed = true;
			hold_back(t, n, r);
		}
	}
}

/* (C4) */
static void sync_before_apply(struct tick *t)
{
	sync_all_at_once(t);
	if ((t->jobs && RULE(C4files)) || (!t->jobs && RULE(C2)))
		sync_nodes(t, false);
	if (RULE(C6gone))
		sync_nodes(t, true);
}

/* ------------------------------------------------------------------ jobs */

/* (C3) */
static void seal_jobs(struct tick *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		struct node *n = t->nodes[i];
		struct job *j = NULL;
		int r = 0;

		/* The unlink may have come behind the list of directories that this tick syncs. */
		if (S_ISREG(n->type) && is_lost_to_all(t->e, n))
			dirty_forget(t->e, n);
		else if (S_ISREG(n->type))
			r = job_start(t->e, n, &j);

		note(t, r);
		if (r < 0)
			dirty_add(t->e, n);
		if (j) {
			j->next = t->jobs;
			t->jobs = j;
		}
	}
}

static int append_apply(struct tick *t)
{
	uint8_t body[APPLY_MAX * AEAD_TAG];
	size_t n = 0;
	int r = 0;

	for (struct job *j = t->jobs; j && r == 0; j = j->next) {
		if (j->error == 0) {
			memcpy(body + n, j->version, AEAD_TAG);
			n += AEAD_TAG;
		}
		if (n == sizeof body || (n && !j->next)) {
			r = journal_append(t->e->journal, RECORD_APPLY, body, n, NULL, 0, NULL, NULL);
			n = 0;
		}
	}
	if (r == 0 && RULE(C4apply))
		r = journal_sync(t->e->journal, journal_end(t->e->journal).number);
	return r;
}

/* (C5): pages, maps, head, size in place; then each file is synced. */
static void bring_in_place(struct tick *t)
{
	struct engine *e = t->e;
	uint32_t count = 0;

	for (struct job *j = t->jobs; j; j = j->next, count++) {
		if (j->error < 0)
			continue;
		j->error = in_place_write(e, j);
		note(t, j->error);
	}
	if (!RULE(C6))
		return;

	bool all = count > SYNC_ALL_ABOVE && dirty_syncfs_counts(e) && e->store->ops->syncfs(e->store, e->data) == 0;

	for (struct job *j = t->jobs; j && !all; j = j->next) {
		if (j->error < 0)
			continue;
		j->error = e->store->ops->fsync(e->store, j->node->fd); /* modes and times as well */
		note(t, j->error);
	}
}

/* (C7) Those that failed, and all if nothing was freed, wait for the next tick. */
static void end_jobs(struct tick *t, bool freed)
{
	while (t->jobs) {
		struct job *j = t->jobs;
		bool done = freed && j->error == 0;

		t->jobs = j->next;
		if (!done && RULE(C7))
			dirty_restore_records(t->e, j->node, &j->first);
		job_end(t->e, j, done);
	}
}

/* ------------------------------------------------------------------ one tick */

/* (C6).  Jobs that failed keep their records. */
static int move_on(struct tick *t, uint64_t durable)
{
	struct engine *e = t->e;
	struct journal_state state = *journal_state(e->journal);
	struct journal_mark start;

	for (struct job *j = t->jobs; j; j = j->next) {
		if (j->error < 0 && RULE(C7))
			dirty_restore_records(e, j->node, &j->first);
		else
			job_settle(e, j);
	}
	start = dirty_first_record(e);
	state.clean = false;
	if (!t->newborns_failed && state.durable < durable) {
		state.durable = durable;
		state.since = t->started;
	}
	return journal_superblock(e->journal, &start, &state, false);
}

static void let_go(struct tick *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		node_unref(t->e, t->nodes[i]);
	free(t->nodes);
}

static int tick_journal(struct tick *t)
{
	struct engine *e = t->e;
	uint64_t durable = atomic_fetch_add(&e->epoch, 1);
	int r;

	grow_up(t);
	seal_jobs(t);
	sync_before_apply(t);
	r = t->jobs ? append_apply(t) : 0;
	if (r == 0)
		bring_in_place(t);
	if (r == 0)
		r = t->names_lost;
	if (r == 0)
		r = move_on(t, durable);
	if (r < 0)
		dirty_keep_sides(e);
	if (r < 0)
		log_error("a commit failed (%s); nothing since the last good one is durable", strerror(-r));
	end_jobs(t, r == 0);
	return r;
}

static void tick(struct tick *t)
{
	struct engine *e = t->e;
	int r = dirty_take(e, &t->nodes, &t->count);

	note(t, r);
	if (t->count == 0 && !atomic_load(&e->gone_some) && !dirty_holds_the_ring(e)) {
		free(t->nodes);
		e->good_ticks++;
		return;
	}
	if (e->journal)
		note(t, tick_journal(t));
	else
		sync_before_apply(t);
	if (t->error == 0) {
		gone_sweep(e, t->started);
		e->good_ticks++;
	}
	let_go(t);
	e->ticks++;
}

int checkpoint_run(struct engine *e)
{
	struct tick t = {.e = e, .started = time(NULL)};

	worker_enter(e);
	pthread_mutex_lock(&e->checkpointing);
	tick(&t);
	if (e->journal)
		journal_round_over(e->journal);
	pthread_mutex_unlock(&e->checkpointing);
	worker_leave();
	return t.error;
}

int checkpoint_drop_ranges(struct engine *e)
{
	struct tick t = {.e = e, .started = time(NULL)};
	int r;

	worker_enter(e);
	pthread_mutex_lock(&e->checkpointing);
	tick(&t);
	r = t.error;
	if (r == 0) {
		struct journal_state state = *journal_state(e->journal);
		struct journal_mark start = journal_start(e->journal);

		state.range_count = 0;
		r = journal_superblock(e->journal, &start, &state, false);
	}
	/* What they were stays readable: somebody may be looking. */
	if (r == 0)
		atomic_store(&e->lost_ranges, false);
	journal_round_over(e->journal);
	pthread_mutex_unlock(&e->checkpointing);
	worker_leave();
	return r;
}

/* ------------------------------------------------------------------ the thread */

/* Not in a frozen volume: a freeze has made everything durable.  A tick that writers wait for does not ask: those are inside the gate, and a
 * freeze waits for them. */
static void tick_unless_frozen(struct engine *e, bool early)
{
	struct freeze *gate = early ? NULL : e->options.freeze;

	if (gate && !freeze_enter(gate))
		return;
	/* What fails is said where it fails, and tried again. */
	if (checkpoint_run(e) < 0)
		log_warning("not everything could be made durable and brought in place; it is tried again");
	if (gate)
		freeze_leave(gate);
}

static void *run(void *data)
{
	struct engine *e = data;
	uint32_t seconds = e->options.commit_seconds ? e->options.commit_seconds : TICK_SECONDS;

	pthread_mutex_lock(&e->tick_lock);
	while (!e->tick_stop) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += seconds;
		while (!e->tick_stop && !e->tick_early)
			if ((seconds == UINT32_MAX ? pthread_cond_wait(&e->tick_now, &e->tick_lock)
						   : pthread_cond_timedwait(&e->tick_now, &e->tick_lock, &until)) != 0)
				break;

		bool early = e->tick_early;

		e->tick_early = false;
		if (e->tick_stop)
			break;
		pthread_mutex_unlock(&e->tick_lock);
		tick_unless_frozen(e, early);
		pthread_mutex_lock(&e->tick_lock);
	}
	pthread_mutex_unlock(&e->tick_lock);
	fs_thread_end();
	return NULL;
}

int checkpoint_start_ticking(struct engine *e)
{
	int r = pthread_create(&e->ticker, NULL, run, e);

	e->ticking = r == 0;
	return -r;
}

void checkpoint_stop_ticking(struct engine *e)
{
	if (!e->ticking)
		return;
	pthread_mutex_lock(&e->tick_lock);
	e->tick_stop = true;
	pthread_cond_signal(&e->tick_now);
	pthread_mutex_unlock(&e->tick_lock);
	pthread_join(e->ticker, NULL);
	e->ticking = false;
}

void checkpoint_wake(void *engine)
{
	struct engine *e = engine;

	pthread_mutex_lock(&e->tick_lock);
	e->tick_early = true;
	pthread_cond_signal(&e->tick_now);
	pthread_mutex_unlock(&e->tick_lock);
}

int checkpoint_finish(struct engine *e)
{
	int r = checkpoint_run(e);

	/* Again for what the first could not finish, and then for what came behind that; with nothing left the ring is empty. */
	for (int more = 2; more > 0 && (r < 0 || dirty_has_records(e)); more--)
		r = checkpoint_run(e);
	if (r == 0 && dirty_has_records(e))
		r = -EIO;
	if (r < 0 || !e->journal)
		return r;

	struct journal_state state = *journal_state(e->journal);
	struct journal_mark end = journal_end(e->journal);

	state.clean = true;
	return journal_superblock(e->journal, &end, &state, false);
}

#include "fs/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "fs/checkpoint.h"
#include "fs/dirty.h"
#include "fs/find.h"
#include "fs/look.h"
#include "fs/node.h"
#include "fs/recover_internal.h"
#include "fs/worker.h"
#include "util/base/log.h"

/* Invariants:
 *  (R0) the store is synced before anything of it counts: a kill leaves nobody who knows what is durable.
 *  (R4) files are recovered in memory, one after the other, and go the way of any checkpoint.
 *  (1) until it is known that every key is there which the records need, nothing is written.
 *  (2) time and memory are proportional to the records; if a file is not where they say, one walk over data/ is added.
 *  (3) nothing is written under a keyring that is older than what the journal has seen of the volume's. */

/* ------------------------------------------------------------------ all files */

/* (N1) The hint first; one walk for all that are not where they should be. */
static int find_files(struct recovery *rec, struct find_list *l)
{
	int r = 0;

	for (uint32_t i = 0; i < rec->log.file_count && r == 0; i++) {
		const struct logged_file *f = &rec->log.files[i];
		_cleanup_free_ char *path = f->place == PLACE_NONE ? NULL : paths_text(&rec->log.paths, f->place);

		r = find_add(l, f->id, path, record_log_gone(&rec->log, f));
	}
	if (r == 0)
		r = find_all(rec->e, l, &rec->walked);
	return r;
}

/* In memory.  Of the list only the nodes that have changed, or are refused, stay; no_key: some are refused. */
static int recover_files(struct recovery *rec, struct find_list *l, bool *no_key)
{
	int r = 0;

	for (size_t i = 0; i < l->count && r >= 0; i++) {
		struct found *f = &l->list[i];

		/* (N2) Without, GONE is believed. */
		if (!f->node || (!RULE(N2) && rec->log.files[i].gone != FILE_NONE))
			continue;
		r = recover_file(rec, f->node, &rec->log.files[i]);
		if (r == -ENOKEY) {
			*no_key = true;
			r = 1;
		}
		if (r == 0) {
			node_unref(rec->e, f->node);
			f->node = NULL;
		}
	}
	return r < 0 ? r : 0;
}

/* From here on the store may be written to. */
static int keep_files(struct recovery *rec, const struct find_list *l)
{
	int r = 0;

	for (size_t i = 0; i < l->count && r == 0; i++)
		if (l->list[i].node)
			r = recover_file_keep(rec, l->list[i].node);
	return r;
}

/* What nobody writes down is kept in memory until the engine stops. */
static int hold_files(struct engine *e, struct find_list *l)
{
	e->held = calloc(l->count + 1, sizeof(struct node *));
	if (!e->held)
		return -ENOMEM;
	for (size_t i = 0; i < l->count; i++) {
		if (l->list[i].node)
			e->held[e->held_count++] = l->list[i].node;
		l->list[i].node = NULL;
	}
	return 0;
}

void recover_stop(struct engine *e)
{
	for (size_t i = 0; i < e->held_count; i++)
		node_unref(e, e->held[i]);
	free(e->held);
	e->held = NULL;
	e->held_count = 0;
}

/* ------------------------------------------------------------------ the whole */

/* (R0) */
static int sync_store(struct engine *e)
{
	if (!RULE(R0))
		return 0;
	if (!dirty_syncfs_counts(e))
		atomic_store(&e->nothing_synced, true);
	return e->store->ops->syncfs(e->store, e->data);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void report(struct recovery *rec, int64_t started)
{
	struct engine *e = rec->e;

	e->recovered = (struct recovered){true, rec->files, rec->pages, (uint64_t)(now_ms() - started)};
	log_warning("recovered after an unclean end: %" PRIu64 " files, %" PRIu64 " pages, %" PRIu64 " ms%s%s",
		    e->recovered.files, e->recovered.pages, e->recovered.ms,
		    rec->walked ? "; the tree was walked for files that had moved" : "",
		    e->options.read_only ? "; kept in memory, as the mount is read-only" : "");
}

static int reopen_journal(struct engine *e, struct fault *why)
{
	int r = journal_open(e->store, e->dot, &e->settings, worker_keys(e), false, &e->journal);

	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot open the journal") : 0;
}

/* Another size, now that nothing is needed of what the ring holds.  If that cannot be, the old one does. */
static int change_size(struct engine *e, struct journal_state *state, struct fault *why)
{
	struct journal_mark end = journal_end(e->journal);
	uint64_t size = e->options.journal_size & ~(uint64_t)(PAGE_BYTES - 1), before = journal_file_size(e->journal);
	struct fault refused = {0};
	int r, renewed;

	if (size == 0 || size == before || !e->options.journal)
		return 0;
	state->clean = true;
	r = journal_superblock(e->journal, &end, state, true);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot end the journal");
	journal_close(&e->journal);
	renewed = journal_renew(e->store, e->dot, &e->settings, worker_keys(e), size, &refused);
	r = reopen_journal(e, why);
	if (r < 0 || renewed == 0)
		return r;
	/* It is there, but nobody knows whether it will be. */
	if (journal_file_size(e->journal) != before)
		return fault_set(why, EXIT_STORE, -renewed, "%s", refused.text);
	log_warning("the journal stays as it is, of %" PRIu64 " MiB: %s", before >> 20, refused.text);
	return 0;
}

/* The first superblock of a mount: new keys, an empty ring. */
static int recover_begin(struct engine *e, struct journal_state *state, struct fault *why)
{
	int r = change_size(e, state, why);

	if (r < 0)
		return r;

	struct journal_mark end = journal_end(e->journal);

	state->clean = !e->options.journal;
	r = journal_superblock(e->journal, &end, state, true);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot begin a journal");
	atomic_store(&e->epoch, state->durable + 1);
	look_expect(e, state);
	return 0;
}

static bool is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/* A full store has to be mounted, or nobody could make room: the ring goes on as it is, and what it holds stays in memory until a tick can
 * bring it in place. */
static int recover_crowded(struct engine *e, struct journal_state *state, struct fault *why)
{
	struct journal_mark start = dirty_first_record(e);
	int r;

	log_warning("the store is full: what the journal holds is brought in place when there is room");
	state->clean = false;
	r = journal_superblock(e->journal, &start, state, false);
	if (is_full(r)) {
		log_warning("and nothing at all can be written there: the mount is read-only");
		e->options.read_only = true;
		return 0;
	}
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot go on with the journal");
	atomic_store(&e->epoch, state->durable + 1);
	look_expect(e, state);
	return 0;
}

/* In memory, and what has to be known before it. */
static int replay_in_memory(struct recovery *rec, struct find_list *l, struct fault *why)
{
	struct engine *e = rec->e;
	bool no_key = false;
	int r = record_log_read(e, &rec->log);

	if (r == 0)
		r = find_files(rec, l);
	if (r == 0)
		r = recover_files(rec, l, &no_key);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot replay the journal");
	if (no_key && !e->options.read_only)
		log_error("the journal holds changes under a key that cannot be used now: the mount is read-only, and "
			  "the journal stays as it is");
	e->options.read_only |= no_key;
	return 0;
}

/* (R0), (R4).  Only what it returns in *full may be tried again later: then all files are on the dirty list. */
static int bring_in_place(struct recovery *rec, const struct find_list *l, bool *full)
{
	struct engine *e = rec->e;
	int r = sync_store(e);

	if (r < 0)
		return r;
	recover_sides(rec);
	r = keep_files(rec, l);
	if (r < 0)
		return r;
	recover_modes(rec);
	atomic_store(&e->epoch, journal_state(e->journal)->durable);
	r = checkpoint_run(e);
	*full = is_full(r) && e->options.journal;
	return *full ? 0 : r;
}

static int keep_in_memory(struct recovery *rec, struct find_list *l)
{
	int r = keep_files(rec, l);

	return r < 0 ? r : hold_files(rec->e, l);
}

static int replay_journal(struct engine *e, struct fault *why)
{
	_cleanup_(find_free) struct find_list l = {.e = e};
	struct recovery rec = {.e = e};
	struct journal_state state = *journal_state(e->journal);
	int64_t started = now_ms();
	bool full = false;
	int r;

	e->recovered.done = true;
	journal_lose_epochs(&state); /* (R5) */
	look_expect(e, &state);
	r = replay_in_memory(&rec, &l, why);
	if (r == 0)
		r = e->options.read_only ? keep_in_memory(&rec, &l) : bring_in_place(&rec, &l, &full);
	record_log_free(&rec.log);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot bring in place what the journal holds");
	report(&rec, started);
	if (e->options.read_only)
		return 0;
	return full ? recover_crowded(e, &state, why) : recover_begin(e, &state, why);
}

/* (3) A generation of which the keyring knows nothing: an older one was put in place.  The number would be given to another key. */
static void check_keyring_age(struct engine *e)
{
	uint32_t newest = journal_state(e->journal)->newest, known = keys_newest(worker_keys(e));

	if (newest <= known)
		return;
	log_error("this keyring is older than the data: generation %" PRIu32
		  " was in use, and it knows none above %" PRIu32
		  ": put the newer one back, or restore a newer key backup; the mount is read-only",
		  newest, known);
	e->options.read_only = true;
}

int recover(struct engine *e, struct fault *why)
{
	int r;

	if (e->options.inspect)
		return 0;
	r = journal_open(e->store, e->dot, &e->settings, worker_keys(e), e->options.read_only, &e->journal);
	if (r == -ENOENT && !e->options.journal)
		return 0;
	if (r == -ENOENT || r == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, -r,
				 "%s; put .coffer/journal back from where this copy was made, or give up what it "
				 "held (nothing, after a clean unmount): coffer check --repair makes a new one",
				 r == -ENOENT ? "the volume has no journal" : "the journal is damaged");
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot open the journal");
	if (e->options.shared && (!journal_state(e->journal)->clean || journal_state(e->journal)->range_count))
		return fault_set(why, EXIT_REFUSED, EBUSY,
				 "the last mount did not end cleanly; while nobody else changes the volume, mount it "
				 "without shared_store until coffer status says no more of that");
	if (!e->options.read_only)
		check_keyring_age(e);
	if (!e->options.read_only)
		journal_clear_renewed(e->store, e->dot);
	if (!journal_state(e->journal)->clean) {
		r = replay_journal(e, why);
	} else if (!e->options.read_only) {
		struct journal_state state = *journal_state(e->journal);

		r = recover_begin(e, &state, why);
	} else {
		look_expect(e, journal_state(e->journal));
	}
	/* Without: it stays as it was left, clean. */
	if (r == 0 && !e->options.journal && !e->options.read_only)
		journal_close(&e->journal);
	return r;
}

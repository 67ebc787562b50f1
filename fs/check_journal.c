/* The journal: what it holds is brought in place before anything is looked at, by what does so at a mount.
 *
 *  (1) Without that, files that have records are not judged: what lies below is not what they are.
 *  (2) ... and nothing is mended: a repair could take from a record what it continues.
 *  (3) A damaged journal is made usable with the records that it still has, and recovered; one that is past that is made anew
 *      (check_remake.c), and files are judged as they lie below. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/dirty.h"
#include "fs/recover_log.h"
#include "fs/worker.h"

static const char journal_path[] = ".coffer/journal";

/* ------------------------------------------------------------------ recovery */

int check_mount_engine(struct check *c, struct engine **out, struct fault *why)
{
	const struct engine_options eo = {.journal = true, .commit_seconds = UINT32_MAX};
	struct opened *o = &c->opened;

	return engine_start(o->store, o->dot, o->data, keyring_settings(o->keyring), keyring_root_directory(o->keyring),
			    o->keys, &eo, out, why);
}

int check_recover(struct check *c, struct fault *why)
{
	struct engine_counts n = {0};
	struct engine *e = NULL;
	int r = check_mount_engine(c, &e, why), stopped;

	if (r < 0)
		return r;
	engine_counts(e, &n);
	stopped = engine_stop(&e);
	/* It went on without writing: a key that cannot be used now. */
	if (n.read_only)
		return fault_set(why, EXIT_DAMAGED, ENOKEY, "they are under a key that cannot be used now");
	if (stopped < 0)
		return fault_errno(why, EXIT_STORE, stopped, "they cannot be brought in place");
	c->report->recovered = true;
	c->report->recovered_files += n.recovered_files;
	c->report->recovered_pages += n.recovered_pages;
	c->report->recovery_ms += n.recovery_ms;
	return 0;
}

/* ------------------------------------------------------------------ what it holds */

static bool is_unusable(const struct check *c, uint32_t generation)
{
	int error = 0;

	return generation != GENERATION_NONE && !keys_for_open_in(worker_keys(c->e), ZONE_ANY, generation, &error) &&
	       error == -ENOKEY;
}

/* True if a record is about content under a key that is suspended: then recovery would end half way. */
static bool lacks_key(struct check *c, const struct logged_record *l)
{
	uint8_t head[HEAD_MIN];
	struct change_record change;

	if (l->type == RECORD_IMAGES && l->payload_size >= sizeof head &&
	    journal_read_payload(c->e->journal, l->payload_at, head, sizeof head) == 0)
		return is_unusable(c, head_generation(head));
	if (l->type != RECORD_CHANGE || change_record_decode(l->body, l->body_size, l->payload_size, &change) < 0)
		return false;
	for (uint32_t i = 0; i < change.count; i++)
		if (is_unusable(c, get_le32(change_record_piece(&change, i).entry.generation)))
			return true;
	return false;
}

/* What a record would put back, if it is missing: the id of the directory at this path, or the sidecar of the entry there. */
static int note_side(struct check *c, const struct record_log *log, const struct logged_record *l)
{
	struct side_record side;
	int r;

	if (l->type != RECORD_SIDE || l->place == PLACE_NONE || side_record_decode(l->body, l->body_size, &side) < 0)
		return 0;

	_cleanup_free_ char *path = side.name.size ? paths_text_in(&log->paths, l->place, paths_last(side.path))
						   : paths_text(&log->paths, l->place);

	r = path ? check_list_add(&c->journal.places, path) : 0;
	return r;
}

static int note_records(struct check *c, const struct record_log *log, bool *no_key)
{
	uint64_t before;
	int r = 0;

	for (uint32_t i = 0; i < log->file_count && r == 0; i++)
		r = log->files[i].count ? check_ids_add(&c->journal.files, log->files[i].id, 1, &before) : 0;
	for (uint32_t i = 0; i < log->count && r == 0; i++) {
		r = note_side(c, log, &log->list[i]);
		*no_key = *no_key || lacks_key(c, &log->list[i]);
	}
	return r;
}

/* The check's own engine has no journal; it is lent one to read with. */
static int read_records(struct check *c, bool *no_key)
{
	struct record_log log = {0};
	int r = journal_open(c->opened.store, c->opened.dot, keyring_settings(c->opened.keyring), c->opened.keys, true,
			     &c->e->journal);

	*no_key = false;
	if (r == 0)
		r = record_log_read(c->e, &log);
	if (r == 0)
		r = note_records(c, &log, no_key);
	record_log_free(&log);
	journal_close(&c->e->journal);
	return r;
}

bool check_has_records(const struct check *c, const uint8_t file_id[16])
{
	return c->journal.pending && check_ids_find(&c->journal.files, file_id);
}

bool check_has_side(const struct check *c, const struct check_dir *d, const char *backing)
{
	if (!c->journal.pending || c->journal.places.count == 0)
		return false;

	_cleanup_free_ char *path = check_backing_path(d, backing ? backing : "");
	size_t size = path ? strlen(path) : 0;

	/* That of a directory ends with a slash. */
	if (size && path[size - 1] == '/')
		path[size - 1] = 0;
	for (size_t i = 0; path && i < c->journal.places.count; i++)
		if (strcmp(c->journal.places.names[i], path) == 0)
			return true;
	return false;
}

/* ------------------------------------------------------------------ not in place */

static int say_pending(struct check *c, const char *reason)
{
	size_t files = c->journal.files.count;

	c->journal.pending = c->partial = true;
	c->repair = false;
	if (files == 0 && c->journal.places.count == 0)
		return check_say_volume(c, journal_path, (struct check_kind){CHECK_WARNING, "journal", false},
					"the volume was not unmounted cleanly, and the journal was left as it is: %s",
					reason);
	return check_say_volume(c, journal_path, (struct check_kind){CHECK_ERROR, "journal", false},
				"the journal holds changes of %zu files that are not in place (%s): mount the volume "
				"once or let check bring them in place; these files were not looked at",
				files, reason);
}

static int bring_in_place(struct check *c)
{
	struct fault why = {.status = EXIT_OK};
	bool no_key = false;
	int r = read_records(c, &no_key);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return say_pending(c, "it cannot be read");
	if (c->o->no_recover)
		return say_pending(c, "nothing was to be changed");
	if (c->opened.store_read_only)
		return say_pending(c, "the store is read-only");
	if (c->opened.read_only)
		return say_pending(c, "the volume uses a feature that this coffer may not change");
	if (no_key)
		return say_pending(c, "some are under a generation that is suspended; resume it first");
	r = c->repair ? check_root_first(c) : 0;
	if (r == 0)
		r = check_recover(c, &why);
	if (r == -ENOMEM)
		return r;
	return r < 0 ? say_pending(c, why.text) : 0;
}

/* ------------------------------------------------------------------ damage */

/* What is wrong with it; NULL: nothing. */
static const char *what_is_wrong(const struct check_journal *j, const char **then)
{
	const struct journal_facts *f = &j->facts;

	*then = "what was only in it is lost";
	if (j->error == -ENOENT)
		return "the journal is missing";
	if (j->error < 0)
		return "the journal cannot be read";
	if (!f->regular)
		return "something else is in the place of the journal";
	if (f->valid == 0)
		return "the journal is damaged, or that of another volume";
	*then = f->state.clean ? "nothing was in it" : "what it still holds is kept";
	if (!f->fits)
		return "the journal is shorter or longer than it was made, or has a second hard link";
	*then = "what was in it may be lost";
	if (f->first == JOURNAL_FIRST_FOREIGN)
		return "the superblock of the last mount is damaged, and its changes cannot be read any more";
	*then = "they are kept";
	if (f->first == JOURNAL_FIRST_OPENS)
		return "the journal is marked as clean, but holds changes";
	*then = "nothing is lost";
	if (f->half && f->state.clean)
		return "one of the two superblocks of the journal is damaged";
	return NULL;
}

/* Mends what it can; negative from finding no memory. */
static int mend_and_say(struct check *c, const char *what, const char *then)
{
	const struct journal_facts *f = &c->journal.facts;
	bool usable = !c->journal.useless && f->fits && f->first == JOURNAL_FIRST_NONE;
	struct check_kind k = {usable ? CHECK_WARNING : CHECK_ERROR, "journal", false};
	int r = -EROFS;

	if (c->repair)
		r = c->journal.useless ? check_remake_journal(c) : check_mend_journal(c);
	if (r == -ENOMEM)
		return r;
	k.repaired = r == 0;
	if (r == 0)
		return check_say_volume(c, journal_path, k, "%s; %s; %s", what, then,
					usable || f->first == JOURNAL_FIRST_OPENS ? "written again"
					: c->journal.error == -ENOENT
						? "there is a new one"
						: "there is a new one, and the old one is in .coffer/lost/");
	if (r != -EROFS)
		return check_say_volume(c, journal_path, k, "%s; %s; %s", what, then, strerror(-r));
	return check_say_volume(c, journal_path, k, "%s; %s; %s", what, then,
				usable ? "--repair writes it again"
				       : "put .coffer/journal back from where this volume was copied, or let --repair "
					 "make a new one");
}

static int examine(struct check *c)
{
	struct opened *o = &c->opened;

	c->journal.error = journal_examine(o->store, o->dot, keyring_settings(o->keyring), o->keys, &c->journal.facts);
	return c->journal.error == -ENOMEM ? -ENOMEM : 0;
}

static bool is_past_use(const struct check_journal *j)
{
	return j->error < 0 || !j->facts.regular || j->facts.valid == 0 || j->facts.first == JOURNAL_FIRST_FOREIGN;
}

/* Epochs that a crash cut short: as noted, and those that a recovery or a new journal would note. */
static void take_ranges(struct check *c)
{
	struct journal_state s = c->journal.facts.state;

	c->report->lost_ranges = s.range_count;
	if (is_past_use(&c->journal))
		s = (struct journal_state){.range_count = 1, .ranges[0] = {0, UINT64_MAX, INT64_MIN, INT64_MAX}};
	else if (!s.clean)
		journal_lose_epochs(&s);
	memcpy(c->ranges, s.ranges, sizeof s.ranges);
	c->range_count = s.range_count;
}

/* Whoever runs the check may not read it: nobody knows what is not in place. */
static int say_forbidden(struct check *c)
{
	c->partial = true;
	c->repair = false;
	return check_say_volume(c, journal_path, check_store_kind(c->journal.error),
				"the journal cannot be read (%s): files that it holds changes of may look damaged",
				strerror(-c->journal.error));
}

/* What is under generations of which this keyring knows nothing is no damage, and what is mended would be under numbers that are given
 * already (recover.c (3)). */
static int check_keyring_age(struct check *c)
{
	uint32_t newest = c->journal.facts.state.newest, known = keys_newest(worker_keys(c->e));

	if (is_past_use(&c->journal) || newest <= known)
		return 0;
	c->repair = false;
	return check_say_volume(c, ".coffer/keyring.json", (struct check_kind){CHECK_ERROR, "keyring", false},
				"this keyring is older than the data: generation %" PRIu32
				" was in use, and it knows none above %" PRIu32
				"; put the newer one back, or restore a newer key backup; nothing is mended until then",
				newest, known);
}

int check_journal(struct check *c)
{
	const char *then, *what;
	int r = examine(c);

	if (r < 0)
		return r;
	if (c->journal.error == -EACCES || c->journal.error == -EPERM)
		return say_forbidden(c);
	r = check_keyring_age(c);
	if (r < 0)
		return r;
	what = what_is_wrong(&c->journal, &then);
	c->journal.useless = is_past_use(&c->journal);
	if (what) {
		r = mend_and_say(c, what, then);
		if (r == 0 && c->repair)
			r = examine(c);
	}
	if (r == 0 && !is_past_use(&c->journal) && c->journal.facts.fits && !c->journal.facts.state.clean)
		r = bring_in_place(c);
	if (r == 0 && c->report->recovered)
		r = examine(c);
	take_ranges(c);
	return r;
}

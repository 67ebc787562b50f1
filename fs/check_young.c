/* Files that a crash cut short as they were made, and of which nothing was promised: no damage, but what a mount's first look is for
 * (journal (F1) to (F6)).  A repair gives them that look, by the same code; and when it has opened every page of every file, no range of
 * lost epochs is needed any more. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/dirty.h"

bool check_may_be_young(const struct check *c, const uint8_t *head, size_t size)
{
	return c->range_count > 0 && head_is_young(head, size, c->ranges, c->range_count);
}

bool check_young_time(const struct check *c, const struct store_stat *st)
{
	for (uint32_t i = 0; i < c->range_count; i++)
		if (st->ctime.tv_sec >= c->ranges[i].from && st->ctime.tv_sec <= c->ranges[i].to)
			return true;
	return false;
}

int check_keep_young(struct check *c, const struct check_entry *en)
{
	struct young *y;

	if (c->young_count == c->young_room) {
		size_t room = c->young_room ? 2 * c->young_room : 16;
		struct young *more = reallocarray(c->young, room, sizeof *more);

		if (!more)
			return -ENOMEM;
		c->young = more;
		c->young_room = room;
	}
	y = &c->young[c->young_count];
	y->path = check_path(en->dir, en->backing, en->name, &y->plain);
	return y->path ? (c->young_count++, 0) : -ENOMEM;
}

/* ------------------------------------------------------------------ the look */

static int look(struct engine *e, const struct young *y)
{
	struct check_place p;
	uint8_t byte;
	int r = y->plain ? check_find(e, y->path, &p) : -ENOENT;
	ssize_t n = r < 0 ? r : fs_read(e, p.attr.node, &byte, 1, 0);

	return n < 0 ? (int)n : 0;
}

static int say(struct check *c, const struct young *y, int looked)
{
	/* Where nobody knows what was promised, this may be more than a crash may take. */
	enum check_severity severity = c->journal.useless ? CHECK_ERROR : CHECK_NOTE;
	struct check_finding f = {severity, looked == 0, y->plain, "young", y->path, NULL};
	int r;

	if (asprintf(&f.text,
		     "it was being written when the machine stopped, and is cut to what can be read and was promised; "
		     "the "
		     "rest %s",
		     looked == 0        ? "is in .coffer/lost/"
		     : looked == -EROFS ? "goes to .coffer/lost/, at the first look in a mount or by --repair"
					: strerror(-looked)) < 0)
		return -ENOMEM;
	r = check_report_add(c->report, &f);
	free(f.text);
	return r;
}

static int look_at_all(struct check *c, bool *left)
{
	struct fault why = {.status = EXIT_OK};
	struct engine *e = NULL;
	int r = 0, started = -EROFS, stopped = 0;

	if (c->repair && c->young_count)
		started = check_mount_engine(c, &e, &why);
	for (size_t i = 0; i < c->young_count && r == 0; i++) {
		int looked = started < 0 ? started : look(e, &c->young[i]);

		*left = *left || looked < 0;
		r = looked == -ENOMEM ? looked : say(c, &c->young[i], looked);
	}
	if (e)
		stopped = engine_stop(&e);
	return r < 0 ? r : stopped;
}

/* ------------------------------------------------------------------ the end of the lost ranges (F6) */

/* Everything that a range was about has been looked at and is durable. */
static int end_ranges(struct check *c)
{
	struct opened *o = &c->opened;
	struct journal_state state;
	struct journal_mark start;
	struct journal *j = NULL;
	int r = o->store->ops->syncfs(o->store, o->data);

	if (r == 0)
		r = journal_open(o->store, o->dot, keyring_settings(o->keyring), o->keys, false, &j);
	if (r < 0)
		return r;
	state = *journal_state(j);
	start = journal_start(j);
	state.range_count = 0;
	if (state.clean)
		r = journal_superblock(j, &start, &state, false);
	c->report->lost_ranges_ended = state.clean && r == 0;
	journal_close(&j);
	return r;
}

int check_young(struct check *c)
{
	bool left = false;
	int r = look_at_all(c, &left);

	if (r < 0 || !c->repair || !c->o->deep || c->partial || left || c->report->lost_ranges == 0 ||
	    !dirty_syncfs_counts(c->e))
		return r;
	/* A range more that stays is no reason to end the check. */
	r = end_ranges(c);
	return r == -ENOMEM ? r : 0;
}

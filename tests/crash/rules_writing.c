/* How files are written: journal rules W and B. */
#include "rules_traces.h"

void write_meanwhile(struct live *l, void *data)
{
	struct late_write *m = data;

	act_write(l, m->file, m->off, m->size);
	if (m->sync)
		act_fsync(l, m->file);
	m->end = crash_store_count(l->m.cs);
}

/* ------------------------------------------------------------------ W */

/* journal (W1): what is in place is not written over: a torn page would be neither old nor new. */
static void overwrite(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	CUT(t, trace_end(t), {PAGE_OF(f, 0), FATE_TORN});
}

/* journal (W1order): a page in place is there before a record names it.  The file's lock is held over both, so that no kill between the two
 * shows; but a page that the store refuses must not have been named. */
static void refused_page(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_refuse(&t->l, f, 4);
	act_append(&t->l, f, BIG);
	act_refuse_no_more(&t->l);
	act_write(&t->l, f, 0, PAGE);
	trace_kill(t, trace_end(t));
}

/* journal (W1live): a page that was cut off is still referred to by what is in place. */
static void cut_and_written_again(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_truncate(&t->l, f, 2 * PAGE);
	act_write(&t->l, f, 3 * PAGE, PAGE);
	CUT(t, trace_end(t), {PAGE_OF(f, 3), FATE_TORN});
}

/* journal (W1both): during a checkpoint both versions count as the one in place. */
static void cut_and_written_again_meanwhile(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);
	struct late_write m = {.file = f, .off = 3 * PAGE, .size = PAGE};

	act_truncate(&t->l, f, 2 * PAGE);
	act_meanwhile_sync(&t->l, 0, write_meanwhile, &m);
	act_tick(&t->l);
	CUT(t, m.end, {PAGE_OF(f, 3), FATE_TORN});
}

/* journal (W2): what was answered the store has. */
static void killed_when_answered(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_append(&t->l, f, BIG);
	trace_kill(t, trace_end(t));
}

/* journal (W3): of few small writes fsync costs one sync, also where they are in place as well. */
static void small_writes(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	for (unsigned i = 0; i < 4; i++)
		act_write(&t->l, f, i * 2 * PAGE, PAGE);
	act_fsync(&t->l, f);
	trace_expect(t, trace_count(t, JOURNAL_SYNC) == 1 && trace_count(t, SYNC_OF(f)) == 0, "one sync");
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* journal (W4): a checkpoint allocates nothing. */
static void allocated_before(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, PAGE, PAGE);
	act_truncate(&t->l, f, 2 * PAGE);
	act_write(&t->l, f, 3 * PAGE, PAGE);
	act_append(&t->l, f, PAGE);
	act_write(&t->l, f, 1000 * PAGE, PAGE); /* maps */
	act_write(&t->l, f, 100 * PAGE, BIG);
	trace_mark(t);
	act_tick(&t->l);
	trace_expect(t, trace_count(t, HEAD_OF(f)) == 1, "a checkpoint");
	trace_expect(t, trace_allocated(t) == 0, "what it needs is there");
	trace_kill(t, trace_end(t));
}

/* journal (W5a): fsync syncs the file where pages are in place. */
static void synced_in_place(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_append(&t->l, f, BIG);
	act_fsync(&t->l, f);
	CUT(t, trace_end(t), {ANY_RECORD, FATE_KEPT});
}

/* journal (W5h): the same where it is only a head. */
static void synced_head(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	act_append(&t->l, f, 1000);
	act_fsync(&t->l, f);
	CUT(t, trace_end(t), {NAME_OF(f), FATE_KEPT});
}

/* journal (W5b): and the journal. */
static void synced_record(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_fsync(&t->l, f);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* journal (W5share): a sync of the journal that began before does not cover a record. */
static void shared_sync(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4), g = trace_file(t, "g", 4);
	struct late_write m = {.file = g, .size = PAGE, .sync = true};

	act_write(&t->l, f, 0, PAGE);
	act_meanwhile_sync(&t->l, 0, write_meanwhile, &m);
	act_fsync(&t->l, f);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* journal (W6): what a failed sync was to cover is written again before the next. */
static void failed_sync(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_append(&t->l, f, BIG);
	act_fail_sync(&t->l, (uint32_t)t->l.o.objects[f].ino);
	trace_expect(t, !act_fsync(&t->l, f), "the first fsync fails");
	trace_expect(t, act_fsync(&t->l, f), "the next does not");
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* journal (W6): after a failed sync of the journal nothing is promised. */
static void failed_journal(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4), g = trace_file(t, "g", 4);

	act_write(&t->l, f, 0, PAGE);
	act_write(&t->l, g, 0, PAGE);
	act_fail_sync(&t->l, base_journal_ino(t->base));
	trace_expect(t, !act_fsync(&t->l, f), "the first fsync fails");
	trace_expect(t, !act_fsync(&t->l, f), "so does the next");
	trace_expect(t, !act_fsync(&t->l, g), "and that of another file");
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* ------------------------------------------------------------------ B */

static unsigned newborn(struct trace *t, const char *name, unsigned pages)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, name, 0644);

	act_write(&t->l, f, 0, pages * PAGE);
	trace_mark(t);
	return f;
}

/* journal (B1): an inline newborn's change is one write of one page. */
static void inline_newborn(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	act_append(&t->l, f, 3000);
	trace_mark(t);
	act_append(&t->l, f, 500);
	trace_expect(t, trace_end(t) - t->mark == 1 && trace_count(t, HEAD_OF(f)) == 1, "one write");
	trace_kill(t, trace_end(t));
}

/* journal (B2order): between page and head of a newborn the record fits the page. */
static void newborn_killed(struct trace *t)
{
	unsigned f = newborn(t, "f", 3);

	act_write(&t->l, f, PAGE, PAGE);
	trace_kill(t, trace_behind(t, PAGE_OF(f, 1)));
}

/* journal (B3): once synced, a newborn's pages are no more written over. */
static void newborn_synced(struct trace *t)
{
	unsigned f = newborn(t, "f", 3);

	act_fsync(&t->l, f);
	act_write(&t->l, f, PAGE, PAGE);
	CUT(t, trace_end(t), {PAGE_OF(f, 1), FATE_TORN});
}

/* The same by a tick. */
static void newborn_ticked(struct trace *t)
{
	unsigned f = newborn(t, "f", 3);

	act_fsyncdir(&t->l, ORACLE_ROOT);
	act_tick(&t->l);
	act_write(&t->l, f, PAGE, PAGE);
	CUT(t, trace_end(t), {PAGE_OF(f, 1), FATE_TORN});
}

static void tick(struct live *l, void *data)
{
	(void)data;
	act_tick(l);
}

/* journal (B3lock): a tick waits for the write of a newborn that is under way. */
static void newborn_ticked_meanwhile(struct trace *t)
{
	unsigned f = newborn(t, "f", 3);

	act_fsyncdir(&t->l, ORACLE_ROOT);
	trace_mark(t);
	act_meanwhile_page(&t->l, f, 1, tick, NULL);
	act_write(&t->l, f, PAGE, PAGE);
	CUT(t, trace_end(t), {PAGE_OF(f, 1), FATE_TORN});
}

/* journal (B4): what replaces a file is durable before it does. */
static void replaced(struct trace *t)
{
	unsigned f = trace_file(t, "f", 2), g = newborn(t, "new", 3);

	act_rename(&t->l, ORACLE_ROOT, "new", ORACLE_ROOT, "f", 0);
	CUT(t, trace_end(t), {NAME_OF(f), FATE_KEPT}, {NAME_OF(g), FATE_KEPT});
}

/* journal (B5h): a new file that is large at once has a head before a record names it. */
static void large_at_once(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	act_write(&t->l, f, 70 * PAGE, PAGE);
	trace_kill(t, trace_end(t));
}

const struct directed writing_traces[] = {
	{RULE_W1, "a page written over", overwrite},
	{RULE_W1order, "a page that the store refuses", refused_page},
	{RULE_W1live, "a page cut off and written again", cut_and_written_again},
	{RULE_W1both, "the same while the cut is brought in place", cut_and_written_again_meanwhile},
	{RULE_W2, "pages in place, killed", killed_when_answered},
	{RULE_W3, "small writes, synced", small_writes},
	{RULE_W4, "what a checkpoint allocates", allocated_before},
	{RULE_W5a, "pages in place, synced", synced_in_place},
	{RULE_W5a, "a head in place, synced", synced_head},
	{RULE_W5h, "a head in place, synced", synced_head},
	{RULE_W5b, "a record, synced", synced_record},
	{RULE_W5share, "a record that came during a sync", shared_sync},
	{RULE_W6, "a failed sync of a file", failed_sync},
	{RULES, "a failed sync of the journal", failed_journal},
	{RULES, "an inline newborn", inline_newborn},
	{RULE_B2order, "a newborn killed between page and head", newborn_killed},
	{RULE_B3, "a newborn written after its fsync", newborn_synced},
	{RULE_B3, "a newborn written after a tick", newborn_ticked},
	{RULE_B3lock, "a newborn written during a tick", newborn_ticked_meanwhile},
	{RULE_B4, "a file replaced by a newborn", replaced},
	{RULE_B5h, "a file that is large at once", large_at_once},
};
const size_t writing_count = sizeof(writing_traces) / sizeof(writing_traces[0]);

/* Ticks and checkpoints: journal rules C. */
#include "rules_traces.h"

#include "fs/record.h"

static void write_and_tick(struct live *l, void *data)
{
	act_write(l, *(unsigned *)data, PAGE, PAGE);
	act_tick(l);
}

/* journal (C1): a second checkpoint of a file begins when the first is over. */
static void two_ticks(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_meanwhile_sync(&t->l, 0, write_and_tick, &f);
	act_tick(&t->l);
	trace_expect(t, trace_count(t, RECORD(RECORD_IMAGES)) == 2, "two checkpoints");
	t->mark = trace_behind(t, SUPERBLOCK);
	trace_expect(t, trace_count(t, RECORD(RECORD_IMAGES)) == 1, "the second behind the first");
	trace_kill(t, trace_end(t));
}

/* journal (C2): newborns are synced before their epoch is called durable. */
static void epoch(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	act_write(&t->l, f, 0, PAGE);
	act_write(&t->l, f, PAGE, PAGE);
	act_fsyncdir(&t->l, ORACLE_ROOT);
	act_tick(&t->l);
	CUT(t, trace_end(t), {HEAD_OF(f), FATE_KEPT}, {PAGE_OF(f, 0), FATE_KEPT}, {PAGE_OF(f, 1), FATE_TORN});
}

/* journal (C3base): records behind an IMAGES continue the new version. */
static void written_behind_images(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_tick(&t->l);
	act_write(&t->l, f, PAGE, PAGE);
	trace_kill(t, trace_end(t));
}

/* journal (C4files): pages in place are synced before an APPLY relies on them. */
static void applied_over_pages(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_append(&t->l, f, BIG);
	act_tick(&t->l);
	t->mark = trace_behind(t, RECORD(RECORD_APPLY));
	CUT(t, trace_behind(t, JOURNAL_SYNC), {ANY, FATE_DROPPED});
}

/* journal (C4apply): APPLY is durable before anything goes in place. */
static void in_place_without_apply(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_tick(&t->l);
	CUT(t, trace_behind(t, HEAD_OF(f)), {PAGE_OF(f, 0), FATE_TORN});
}

/* journal (C5size): the size in place is not below what was written meanwhile. */
static void grown_meanwhile(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);
	struct late_write m = {.file = f, .off = 4 * PAGE, .size = BIG};

	act_write(&t->l, f, 0, PAGE);
	act_meanwhile_sync(&t->l, 0, write_meanwhile, &m);
	act_tick(&t->l);
	trace_kill(t, trace_end(t));
}

/* journal (C5way): nor below pages that were written while their record is still to come.  The second part of the write comes late. */
static void growing_meanwhile(struct trace *t)
{
	enum { SLOW_MS = 300 };
	unsigned f = trace_file(t, "f", 4);
	struct late_write m = {.file = f, .off = 50 * PAGE, .size = BIG};

	act_write(&t->l, f, 0, PAGE);
	act_pause(&t->l, f, 60, SLOW_MS);
	act_meanwhile_sync(&t->l, 0, write_meanwhile, &m);
	act_tick(&t->l);
	trace_kill(t, trace_end(t));
}

/* journal (C6): what is in place is synced before its records are freed. */
static void freed(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_tick(&t->l);
	CUT(t, trace_end(t), {HEAD_OF(f), FATE_KEPT});
}

/* journal (C6gone): so are the directories: without its removal an unlinked file needs its records. */
static void freed_unlinked(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_fsync(&t->l, f);
	act_unlink(&t->l, ORACLE_ROOT, "f");
	act_forget(&t->l, f);
	act_tick(&t->l);
	act_tick(&t->l);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* journal (C7): a file that cannot be brought in place keeps its records; the others go on. */
static void refused_below(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4), g = trace_file(t, "g", 4);

	act_write(&t->l, f, 0, PAGE);
	act_write(&t->l, g, 0, PAGE);
	act_refuse(&t->l, f, 0);
	trace_expect(t, !act_tick(&t->l), "the tick says it");
	trace_expect(t, trace_count(t, PAGE_OF(f, 0)) == 0 && trace_count(t, PAGE_OF(g, 0)) == 1, "one is in place");
	act_write(&t->l, f, PAGE, PAGE);
	act_tick(&t->l);
	act_refuse_no_more(&t->l);
	trace_kill(t, trace_end(t));
}

/* The same, when it can be again. */
static void refused_for_a_while(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_refuse(&t->l, f, 0);
	trace_expect(t, !act_tick(&t->l), "the tick says it");
	act_refuse_no_more(&t->l);
	act_tick(&t->l);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* A checkpoint that fails, and a write behind its IMAGES. */
static void fail_and_write(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_refuse(&t->l, f, 0);
	trace_expect(t, !act_tick(&t->l), "the tick says it");
	act_refuse_no_more(&t->l);
	act_write(&t->l, f, PAGE, PAGE);
}

/* The one that then works does not free that. */
static void written_behind_a_failed_one(struct trace *t)
{
	fail_and_write(t);
	act_tick(&t->l);
	trace_kill(t, trace_end(t));
}

/* Nor does a clean end. */
static void ended_behind_a_failed_one(struct trace *t)
{
	fail_and_write(t);
	act_remount(&t->l);
	trace_kill(t, trace_end(t));
}

const struct directed checkpoint_traces[] = {
	{RULES, "two ticks", two_ticks},
	{RULE_C2, "a newborn torn behind its tick", epoch},
	{RULE_C3base, "a record behind an IMAGES", written_behind_images},
	{RULE_C4files, "an APPLY over pages in place", applied_over_pages},
	{RULE_C4apply, "in place before APPLY is durable", in_place_without_apply},
	{RULE_C5size, "growth during a checkpoint", grown_meanwhile},
	{RULE_C5way, "growth under way during a checkpoint", growing_meanwhile},
	{RULE_C6, "a torn place behind a tick", freed},
	{RULE_C7, "a file that cannot be brought in place", refused_below},
	{RULES, "one that can be again", refused_for_a_while},
	{RULES, "a write behind one that is tried again", written_behind_a_failed_one},
	{RULES, "a clean end behind one that is tried again", ended_behind_a_failed_one},
	{RULE_C6gone, "a removal that did not last", freed_unlinked},
};
const size_t checkpoint_count = sizeof(checkpoint_traces) / sizeof(checkpoint_traces[0]);

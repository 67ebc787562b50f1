/* Ticks and checkpoints: journal rules C. */
#include "rules_traces.h"

#include "fs/record.h"

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

const struct directed checkpoint_traces[] = {
	{RULE_C2, "a newborn torn behind its tick", epoch},
	{RULE_C3base, "a record behind an IMAGES", written_behind_images},
	{RULE_C4files, "an APPLY over pages in place", applied_over_pages},
	{RULE_C4apply, "in place before APPLY is durable", in_place_without_apply},
	{RULE_C5size, "growth during a checkpoint", grown_meanwhile},
	{RULE_C5way, "growth under way during a checkpoint", growing_meanwhile},
	{RULE_C6, "a torn place behind a tick", freed},
	{RULE_C6gone, "a removal that did not last", freed_unlinked},
};
const size_t checkpoint_count = sizeof(checkpoint_traces) / sizeof(checkpoint_traces[0]);

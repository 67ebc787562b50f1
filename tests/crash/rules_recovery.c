/* Recovery and the first look: journal rules R and F. */
#include "rules_traces.h"

#include <stdio.h>
#include <string.h>

#include "fs/record.h"

/* ------------------------------------------------------------------ R0 */

/* journal (R0): a removal that a kill left unsynced is durable before the records of the file are freed. */
static void removed_and_killed(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_fsync(&t->l, f);
	act_unlink(&t->l, ORACLE_ROOT, "f");
	trace_kill(t, trace_end(t));
	trace_recover(t);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* journal (R0): in a second life an fsync covers what the first wrote. */
static void synced_in_second_life(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	act_append(&t->l, f, 3 * PAGE);
	act_kill(&t->l);
	act_fsync(&t->l, f);
	CUT(t, trace_end(t), {NAME_OF(f), FATE_KEPT});
}

/* ------------------------------------------------------------------ R1, R6 */

/* journal (R1): a torn superblock leaves the one before. */
static void torn_superblock(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_tick(&t->l);
	CUT(t, trace_behind(t, SUPERBLOCK), {SUPERBLOCK, FATE_TORN});
}

/* journal (R1): a record that does not open is none. */
static void torn_record(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_truncate(&t->l, f, 2 * PAGE);
	act_write(&t->l, f, PAGE, PAGE);
	CUT(t, trace_end(t), {ANY_RECORD, FATE_TORN});
}

/* What a mount takes after a kill, with so many other files there. */
static size_t cost_of_recovery(struct trace *t, unsigned others)
{
	unsigned f = trace_file(t, "f", 4);
	char name[32];

	for (unsigned i = 0; i < others; i++) {
		snprintf(name, sizeof(name), "other-%u", i);
		act_append(&t->l, act_create(&t->l, ORACLE_ROOT, name, 0644), 5000);
	}
	act_tick(&t->l);
	act_write(&t->l, f, 0, PAGE);
	trace_kill(t, trace_end(t));
	trace_recover(t);
	return t->recovery_cost;
}

/* journal (R6): recovery does not look at files without records. */
static void others_left_alone(struct trace *t)
{
	enum { FEW = 5, MANY = 300 };
	struct trace few;
	size_t cost;

	trace_start(&few, t->base);
	cost = cost_of_recovery(&few, FEW);
	trace_free(&few);
	trace_expect(t, cost_of_recovery(t, MANY) <= cost + FEW, "it costs the same with more files");
}

/* ------------------------------------------------------------------ R2, R3 */

static void write_other(struct live *l, void *data)
{
	act_write(l, *(unsigned *)data, 0, PAGE);
}

/* True if a record of the other file came between two MAPS.  It is the journal's lock that decides who comes next. */
static bool came_among_maps(const struct trace *t)
{
	struct trace behind = *t;

	behind.mark = trace_behind(t, RECORD(RECORD_MAPS));
	behind.mark = trace_behind(&behind, RECORD(RECORD_CHANGE));
	return trace_behind(&behind, RECORD(RECORD_MAPS)) < trace_end(t);
}

/* journal (R2left): the ring may begin in the middle of what a checkpoint logged, once all of that is in place: here, between two MAPS. */
static void ring_begins_among_maps(struct trace *t)
{
	/* Two records of maps, but not so many that a tick begins by itself. */
	enum { MAPS = MAPS_MAX + 46, SPAN = MAP_ENTRIES, TRIES = 1000 };
	unsigned f = trace_file(t, "f", 4), g = trace_file(t, "g", 4);

	for (unsigned i = 0; i < TRIES && (i == 0 || !came_among_maps(t)); i++) {
		act_tick(&t->l); /* the other file has nothing that this one's tick would take along */
		for (unsigned k = 1; k <= MAPS; k++)
			act_write(&t->l, f, (uint64_t)k * SPAN * PAGE, 100);
		trace_mark(t);
		act_meanwhile_record(&t->l, RECORD_MAPS, write_other, &g);
		act_tick(&t->l);
	}
	act_write(&t->l, f, 0, PAGE);
	trace_kill(t, trace_end(t));
}

/* journal (R2): the head in place may have arrived before its maps. */
static void head_before_maps(struct trace *t)
{
	unsigned f = trace_file(t, "f", 200);

	act_write(&t->l, f, 190 * PAGE, PAGE);
	act_tick(&t->l);
	CUT(t, trace_behind(t, HEAD_OF(f)), {HEAD_OF(f), FATE_KEPT});
}

/* journal (R2skip): what continued an earlier version is in the one in place already. */
static void earlier_records(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	/* Keeps what follows in the ring for another tick. */
	act_mkdir(&t->l, ORACLE_ROOT, "d", 0755);
	act_append(&t->l, f, BIG);
	act_write(&t->l, f, 5 * PAGE, PAGE);
	act_tick(&t->l);
	act_write(&t->l, f, 0, PAGE);
	trace_kill(t, trace_end(t));
}

/* journal (R3stop): what was written behind a page that did not last does not count without it. */
static void behind_a_lost_page(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_append(&t->l, f, BIG);
	act_write(&t->l, f, 0, PAGE);
	CUT(t, trace_end(t), {ANY_RECORD, FATE_KEPT});
}

/* journal (R3rename): an IMAGES without APPLY only renames the version. */
static void behind_images_alone(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);
	struct late_write m = {.file = f, .size = PAGE};

	act_append(&t->l, f, BIG);
	act_meanwhile_sync(&t->l, 0, write_meanwhile, &m);
	act_tick(&t->l);
	trace_kill(t, m.end);
}

/* journal (R3young): a young file is judged before its flag goes. */
static void young_with_a_record(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	for (unsigned i = 0; i < 3; i++)
		act_write(&t->l, f, i * PAGE, PAGE);
	act_write(&t->l, f, 0, PAGE);
	CUT(t, trace_behind_last(t, PAGE_OF(f, 0)), {ANY, FATE_KEPT}, {PAGE_OF(f, 2), FATE_TORN});
}

/* journal (R4base): recovery's version continues the one in place, whatever was renamed in between. */
static void recovery_cut(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_append(&t->l, f, BIG);
	act_write(&t->l, f, 5 * PAGE, PAGE);
	act_fsync(&t->l, f);
	act_tick(&t->l);
	trace_kill(t, trace_behind(t, RECORD(RECORD_IMAGES)));
	trace_recover(t);
	CUT(t, trace_behind(t, HEAD_OF(f)), {PAGE_OF(f, 5), FATE_KEPT});
}

/* ------------------------------------------------------------------ R5, F */

static void torn_newborn(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	for (unsigned i = 0; i < 3; i++)
		act_write(&t->l, f, i * PAGE, PAGE);
	CUT(t, trace_end(t), {ANY, FATE_KEPT}, {PAGE_OF(f, 2), FATE_TORN});
}

/* journal (F1): what verifies is as it says, also when its epoch was lost. */
static void whole_newborn(struct trace *t)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, "f", 0644);

	for (unsigned i = 0; i < 3; i++)
		act_write(&t->l, f, i * PAGE, PAGE);
	trace_kill(t, trace_end(t));
	trace_judge(t);
	trace_expect(t, trace_lost(t) == 0, "nothing was cut off");
}

/* journal (F4): what is cut off is kept. */
static void kept_in_lost(struct trace *t)
{
	torn_newborn(t);
	trace_judge(t);
	trace_expect(t, trace_lost(t) == 1, "one file in lost/");
}

/* journal (F5): what was durable and does not verify is damage, and is not cut. */
static void damage(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	trace_kill(t, trace_end(t));
	trace_damage(t, f, 1);
	trace_judge(t);
	trace_expect(t, strstr(t->x.text, "read: Input/output error"), "an error");
	trace_expect(t, trace_lost(t) == 0, "nothing in lost/");
	t->x.text[0] = 0;
	t->judged = true;
}

/* journal (F3): pages in place whose records did not last. */
static void growth_without_records(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_append(&t->l, f, BIG);
	CUT(t, trace_end(t), {ANY, FATE_KEPT}, {ANY_RECORD, FATE_DROPPED});
}

const struct directed recovery_traces[] = {
	{RULE_R0, "a removal that only a kill came behind", removed_and_killed},
	{RULE_R0, "an fsync in a second life", synced_in_second_life},
	{RULES, "a torn superblock", torn_superblock},
	{RULES, "a torn record", torn_record},
	{RULES, "a recovery among many files", others_left_alone},
	{RULE_R2, "a head that arrived before its maps", head_before_maps},
	{RULE_R2left, "a ring that begins among the maps", ring_begins_among_maps},
	{RULE_R2skip, "records of an earlier version", earlier_records},
	{RULE_R3stop, "a record behind a lost page", behind_a_lost_page},
	{RULE_R3rename, "a record behind an IMAGES that nothing applies", behind_images_alone},
	{RULE_R3young, "a young file with a record", young_with_a_record},
	{RULE_R4base, "a recovery cut in place", recovery_cut},
	{RULE_R5, "a newborn torn: its epoch was lost", torn_newborn}, /* journal (R5) */
	{RULE_F2, "a newborn torn: what is left of it", torn_newborn}, /* journal (F2) */
	{RULES, "a newborn that is whole", whole_newborn},
	{RULES, "what is left of a torn newborn, in lost/", kept_in_lost},
	{RULES, "damage after a crash", damage},
	{RULE_F3, "growth without records", growth_without_records},
};
const size_t recovery_count = sizeof(recovery_traces) / sizeof(recovery_traces[0]);

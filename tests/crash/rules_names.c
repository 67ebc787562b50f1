/* Names: journal rules N. */
#include "rules_traces.h"

#include <linux/fs.h>
#include <string.h>

#include "fs/record.h"

/* journal (N1): a hint that leads to another file is stale. */
static void exchanged(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4), g = trace_file(t, "g", 4);

	act_write(&t->l, f, 0, PAGE);
	act_fsync(&t->l, f);
	act_rename(&t->l, ORACLE_ROOT, "f", ORACLE_ROOT, "g", RENAME_EXCHANGE);
	CUT(t, trace_end(t), {NAME_OF(f), FATE_KEPT}, {NAME_OF(g), FATE_KEPT});
}

/* journal (N2): GONE is a hint; the file may still be there. */
static void gone_and_back(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_fsync(&t->l, f);
	act_unlink(&t->l, ORACLE_ROOT, "f");
	CUT(t, trace_end(t), {ANY_RECORD, FATE_KEPT});
}

/* journal (N2settled): GONE says where a file is not only if its name, and those above, had lasted. */
static void renamed_and_gone(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_write(&t->l, f, 0, PAGE);
	act_fsync(&t->l, f);
	act_rename(&t->l, ORACLE_ROOT, "f", ORACLE_ROOT, "g", 0);
	act_unlink(&t->l, ORACLE_ROOT, "g");
	CUT(t, trace_end(t), {ANY_RECORD, FATE_KEPT});
}

/* The same for a directory above. */
static void moved_and_gone(struct trace *t)
{
	unsigned d = act_mkdir(&t->l, ORACLE_ROOT, "d", 0755), f = act_create(&t->l, d, "f", 0644);

	act_append(&t->l, f, 4 * PAGE);
	act_tick(&t->l);
	trace_mark(t);
	act_write(&t->l, f, 0, PAGE);
	act_fsync(&t->l, f);
	act_rename(&t->l, ORACLE_ROOT, "d", ORACLE_ROOT, "e", 0);
	act_unlink(&t->l, d, "f");
	CUT(t, trace_end(t), {ANY_RECORD, FATE_KEPT});
}

/* journal (N3): the id of a directory is in the journal before its name appears. */
static void directory_without_id(struct trace *t)
{
	unsigned d = act_mkdir(&t->l, ORACLE_ROOT, "d", 0755), f = act_create(&t->l, d, "f", 0644);

	act_append(&t->l, f, 100);
	/* All names but that of the record within it: the first thing in it. */
	CUT(t, trace_end(t), {NAME_OF(ORACLE_ROOT), FATE_KEPT}, {NAME_OF(f), FATE_KEPT}, {HEAD_OF(f), FATE_KEPT},
	    {RECORD(RECORD_SIDE), FATE_KEPT});
}

/* journal (N3sync): that record is durable before a sync of the directory that holds the name has returned. */
static void synced_without_id(struct trace *t)
{
	unsigned d = act_mkdir(&t->l, ORACLE_ROOT, "d", 0755), f;

	act_fsyncdir(&t->l, ORACLE_ROOT);
	f = act_create(&t->l, d, "f", 0644);
	CUT(t, trace_end(t), {NAME_OF(f), FATE_KEPT}, {RECORD(RECORD_SIDE), FATE_DROPPED});
}

/* journal (N4): the true mode is in the journal before more rights are lent. */
static void lent(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_chmod(&t->l, f, 0444);
	act_remount(&t->l);
	trace_mark(t);
	act_write(&t->l, f, 0, PAGE);
	trace_kill(t, trace_behind(t, MODE_OF(f)));
}

/* Of two loans the first is what lasted, and the one behind the user's own choice is the next life's. */
static void lent_twice(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);
	size_t lent;

	act_chmod(&t->l, f, 0444);
	act_remount(&t->l);
	trace_mark(t);
	act_write(&t->l, f, 0, PAGE);
	lent = trace_behind(t, MODE_OF(f)) - 1;
	act_chmod(&t->l, f, 0400);
	trace_mark(t);
	act_kill(&t->l);
	act_write(&t->l, f, 0, PAGE);
	CUT(t, trace_behind(t, RECORD(RECORD_MODE)), {ANY_RECORD, FATE_KEPT}, {CALL(lent), FATE_KEPT});
}

/* What was lent is back for good before a clean end frees the record of it. */
static void lent_and_ended(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);
	size_t lent;

	act_chmod(&t->l, f, 0000);
	act_remount(&t->l);
	trace_mark(t);
	act_read(&t->l, f);
	act_remount(&t->l);
	lent = trace_behind(t, MODE_OF(f)) - 1;
	/* Of the tick, and of the end; the next mount syncs everything. */
	t->mark = trace_behind(t, SUPERBLOCK);
	t->mark = trace_behind(t, SUPERBLOCK);
	CUT(t, trace_behind(t, JOURNAL_SYNC), {CALL(lent), FATE_KEPT});
}

/* The same, and the recovery that took them back is cut when it is over. */
static void lent_and_cut(struct trace *t)
{
	unsigned f = trace_file(t, "f", 4);

	act_chmod(&t->l, f, 0444);
	act_remount(&t->l);
	trace_mark(t);
	act_write(&t->l, f, 0, PAGE);
	trace_kill(t, trace_behind(t, MODE_OF(f)));
	trace_recover(t);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

/* journal (N3): what recovery put back is durable before the records of it are freed. */
static void directory_and_cut(struct trace *t)
{
	directory_without_id(t);
	trace_recover(t);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

static void long_name_without_sidecar(struct trace *t)
{
	char name[201];
	unsigned f;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	f = act_create(&t->l, ORACLE_ROOT, name, 0644);
	act_append(&t->l, f, 100);
	CUT(t, trace_end(t), {NAME_OF(f), FATE_KEPT}, {HEAD_OF(f), FATE_KEPT}, {RECORD(RECORD_SIDE), FATE_KEPT});
}

static void long_name_and_cut(struct trace *t)
{
	long_name_without_sidecar(t);
	trace_recover(t);
	CUT(t, trace_end(t), {ANY, FATE_DROPPED});
}

const struct directed name_traces[] = {
	{RULE_N1, "two files exchanged", exchanged},
	{RULE_N2, "a removal that did not last", gone_and_back},
	{RULE_N2settled, "removed behind a name that did not last", renamed_and_gone},
	{RULE_N2settled, "removed from a directory whose name did not last", moved_and_gone},
	{RULE_N3, "a directory whose id did not last", directory_without_id},
	{RULE_N3, "the same, and a cut when it has it again", directory_and_cut},
	{RULE_N3, "a long name whose sidecar did not last", long_name_without_sidecar},
	{RULE_N3, "the same, and a cut when it has it again", long_name_and_cut},
	{RULE_N4, "the same, and a cut when they were taken back", lent_and_cut},
	{RULE_N3sync, "a directory that was promised, without its id", synced_without_id},
	{RULES, "two loans, the first of which lasted", lent_twice},
	{RULES, "a clean end after rights were lent", lent_and_ended},
	{RULE_N4, "killed while rights were lent", lent},
};
const size_t name_count = sizeof(name_traces) / sizeof(name_traces[0]);

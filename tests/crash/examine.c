#include "examine.h"

#include <stdio.h>

static void fail(struct examined *x, const char *what, const char *how)
{
	if (!x->text[0])
		snprintf(x->text, sizeof(x->text), "%s: %s", what, how);
}

/* Starts an engine, which recovers, and holds what it shows against the history. */
static void judge(const struct base *b, struct crash_store *cs, const struct oracle *o, const struct view *v,
		  struct snapshot *seen, struct examined *x)
{
	struct fault why = {0};
	struct verdict verdict;
	struct mounted m;

	if (mounted_start(&m, b, cs, &why) < 0) {
		fail(x, "(2) start", why.text);
		return;
	}
	x->started = crash_store_count(cs);
	observe(m.e, seen);
	x->looked = crash_store_count(cs);
	oracle_judge(o, v, seen, &verdict);
	if (verdict.violations)
		fail(x, "shown", verdict.text);
	x->unreadable = verdict.unreadable;
	x->retried = verdict.retried;
	if (mounted_stop(&m) < 0)
		fail(x, "stop", "refused");
}

/* After it stopped cleanly the same has to be there. */
static void judge_again(const struct base *b, struct crash_store *cs, const struct snapshot *before, struct examined *x)
{
	struct snapshot after = {0};
	struct fault why = {0};
	const char *how;
	struct mounted m;

	if (mounted_start(&m, b, cs, &why) < 0) {
		fail(x, "second start", why.text);
		return;
	}
	observe(m.e, &after);
	how = snapshot_differs(before, &after);
	if (how)
		fail(x, "after a clean stop", how);
	if (mounted_stop(&m) < 0)
		fail(x, "second stop", "refused");
	snapshot_free(&after);
}

static void run_check(const struct base *b, struct crash_store *cs, struct examined *x)
{
	char text[600] = "";

	if (volume_check(b, cs, text, sizeof(text)))
		fail(x, "check", text);
	if (crash_store_handles(cs))
		fail(x, "handles", "some were left open");
}

void examine(const struct base *b, struct crash_store *cs, const struct oracle *o, const struct view *v, bool check,
	     struct examined *out)
{
	struct snapshot seen = {0};

	*out = (struct examined){.before = crash_store_count(cs)};
	judge(b, cs, o, v, &seen, out);
	if (!out->text[0])
		judge_again(b, cs, &seen, out);
	/* What was promised to nobody may need repair (oracle.h, ids). */
	if (!out->text[0] && check && !out->unreadable)
		run_check(b, cs, out);
	snapshot_free(&seen);
}

struct crash_store *crashed(const struct cut *cut, const struct image *base, const struct record *r, FILE *trace)
{
	struct crash_store *cs;
	struct image left;
	struct call part;

	survive(base, r, cut, &left, trace);
	if (cut->model != MODEL_KILL) {
		cs = crash_store_new(&left);
	} else if (cut->pages) {
		survive_part(&r->calls[cut->calls], cut->pages, &part);
		cs = crash_store_after_kill(&left, r, cut->calls, &part);
		call_free(&part);
	} else {
		cs = crash_store_after_kill(&left, r, cut->calls, NULL);
	}
	image_free(&left);
	return cs;
}

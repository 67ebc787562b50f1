#include "campaign.h"

#include <stdio.h>
#include <string.h>

enum { CHECK_EVERY = 5, SECOND_EVERY = 3, SECOND_CUTS = 2, STRIDE = 37 /* no divisor in common with STATES_OF_RUN */ };

/* One state of a live run. */
struct state {
	const struct campaign *c;
	struct live *live;
	size_t first; /* calls before the workload began */
	unsigned number;
	struct cut cut, second; /* second.calls 0: none */
	struct view view;
	struct tally *tally;
	bool unreadable; /* a directory of which nothing was promised */
	char text[1200]; /* what it breaks; empty: nothing */
};

/* ------------------------------------------------------------------ which states */

static void choose_cut(const struct state *s, size_t begin, size_t end, uint64_t seed, unsigned at, struct cut *cut)
{
	const struct record *r = crash_store_record(s->live->m.cs);
	size_t span = end - begin + 1;

	cut->seed = seed;
	cut->choice = s->number % 8 < CHOICE_RANDOM ? (enum crash_choice)(s->number % 8) : CHOICE_RANDOM;
	/* Evenly over the record, somewhere in each part. */
	cut->calls = begin + (size_t)(((uint64_t)at * span + mix(seed, 1) % span) / STATES_OF_RUN);
	cut->pages = 0;
	if (cut->model != MODEL_KILL)
		return;
	/* Writes of many pages are few; they are looked for. */
	for (size_t i = cut->calls; s->number % 2 && i < end && i < cut->calls + 40; i++)
		if (survive_parts(r, i)) {
			cut->calls = i;
			cut->pages = 1 + mix(seed, 2) % survive_parts(r, i);
			return;
		}
}

static void choose_first(struct state *s, uint64_t live_seed)
{
	uint64_t seed = mix(live_seed, s->number * MODELS + s->cut.model);

	/* However few states are asked for, they are spread over the record. */
	unsigned at = s->number % STATES_OF_RUN * STRIDE % STATES_OF_RUN;

	choose_cut(s, s->first, crash_store_record(s->live->m.cs)->count, seed, at, &s->cut);
	s->view = (struct view){.done = s->cut.calls,
				.begun = s->cut.calls + (s->cut.pages ? 1 : 0),
				.model = s->cut.model,
				.exact = s->cut.model == MODEL_KILL};
}

/* ------------------------------------------------------------------ one state */

static void fail(struct state *s, const char *what, const char *how)
{
	if (!s->text[0])
		snprintf(s->text, sizeof(s->text), "%s: %s", what, how);
}

/* How many calls were recorded when the engine had started, and when everything had been looked at. */
struct progress {
	size_t before, started, looked;
};

/* Starts an engine, which recovers, and holds what it shows against the history. */
static void examine(struct state *s, struct crash_store *cs, struct snapshot *seen, struct progress *p)
{
	struct fault why = {0};
	struct verdict verdict;
	struct mounted m;

	if (mounted_start(&m, s->c->base, cs, &why) < 0) {
		fail(s, "(2) start", why.text);
		return;
	}
	p->started = crash_store_count(cs);
	observe(m.e, seen);
	p->looked = crash_store_count(cs);
	oracle_judge(&s->live->o, &s->view, seen, &verdict);
	if (verdict.violations)
		fail(s, "shown", verdict.text);
	s->unreadable = verdict.unreadable;
	s->tally->unreadable += verdict.unreadable;
	s->tally->retried += verdict.retried;
	if (mounted_stop(&m) < 0)
		fail(s, "stop", "refused");
}

/* After it stopped cleanly the same has to be there. */
static void examine_again(struct state *s, struct crash_store *cs, const struct snapshot *before)
{
	struct snapshot after = {0};
	struct fault why = {0};
	const char *how;
	struct mounted m;

	if (mounted_start(&m, s->c->base, cs, &why) < 0) {
		fail(s, "second start", why.text);
		return;
	}
	observe(m.e, &after);
	how = snapshot_differs(before, &after);
	if (how)
		fail(s, "after a clean stop", how);
	if (mounted_stop(&m) < 0)
		fail(s, "second stop", "refused");
	snapshot_free(&after);
}

static void check(struct state *s, struct crash_store *cs)
{
	char text[600] = "";

	/* What was promised to nobody may need repair (oracle.h, ids). */
	if (s->number % CHECK_EVERY || s->unreadable)
		return;
	s->tally->checked++;
	if (volume_check(s->c->base, cs, text, sizeof(text)))
		fail(s, "check", text);
	if (crash_store_handles(cs))
		fail(s, "handles", "some were left open");
}

/* All that is asked of what is left. */
static void examine_all(struct state *s, struct crash_store *cs, struct progress *p)
{
	struct snapshot seen = {0};

	*p = (struct progress){.before = crash_store_count(cs)};
	examine(s, cs, &seen, p);
	if (!s->text[0])
		examine_again(s, cs, &seen);
	if (!s->text[0])
		check(s, cs);
	snapshot_free(&seen);
}

/* ------------------------------------------------------------------ crash and crash again */

static struct crash_store *after(const struct cut *cut, const struct image *base, const struct record *r, FILE *trace)
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

/* A crash in the recovery, or when files are first looked at.  A kill made nothing durable: behind one, `base` is what was there before
 * the first record, which the second continues. */
static void crash_again(struct state *s, const struct image *base, struct crash_store *recovered,
			const struct progress *p, unsigned at, FILE *trace)
{
	const struct record *r = crash_store_record(recovered);
	struct view view = s->view;
	struct crash_store *cs;
	struct progress ignored;
	uint64_t seed = mix(s->cut.seed, 100 + at);
	size_t end = mix(seed, 6) % 3 ? p->started : p->looked;

	s->second = (struct cut){.model = s->cut.model, .seed = seed, .choice = CHOICE_RANDOM};
	if (s->cut.model == MODEL_KILL)
		s->second.model = (enum crash_model)(mix(seed, 7) % MODELS);
	if (mix(seed, 8) % 4 == 0)
		s->second.choice = (enum crash_choice)(mix(seed, 9) % CHOICES);
	s->second.calls = p->before + (size_t)(mix(seed, 10) % (end - p->before + 1));
	if (s->second.model == MODEL_KILL && survive_parts(r, s->second.calls) && mix(seed, 11) % 2)
		s->second.pages = 1 + mix(seed, 12) % survive_parts(r, s->second.calls);
	s->view.model = s->second.model;
	s->view.exact = s->second.model == MODEL_KILL;
	s->tally->second++;
	s->tally->states++;
	cs = after(&s->second, base, r, trace);
	examine_all(s, cs, &ignored);
	crash_store_free(cs);
	s->view = view;
}

static void tell(const struct state *s)
{
	printf("violation: seed %llu workload %s model %s state %u\n", (unsigned long long)s->c->seed,
	       s->c->workload->name, crash_model_names[s->cut.model], s->number);
	printf("  cut behind call %zu", s->cut.calls);
	if (s->cut.model != MODEL_KILL)
		printf(", choice %s", crash_choice_names[s->cut.choice]);
	if (s->cut.pages)
		printf(" and %zu pages", s->cut.pages);
	if (s->second.calls)
		printf("; then, in the recovery, %s behind call %zu, choice %s, %zu pages",
		       crash_model_names[s->second.model], s->second.calls, crash_choice_names[s->second.choice],
		       s->second.pages);
	printf("\n  %s\n  again: run --seed %llu --workload %s --model %s --state %u%s\n", s->text,
	       (unsigned long long)s->c->seed, s->c->workload->name, crash_model_names[s->cut.model], s->number,
	       s->c->with);
}

static void run_state(struct state *s, uint64_t live_seed)
{
	const struct image *base = &s->c->base->image;
	const struct record *r = crash_store_record(s->live->m.cs);
	FILE *trace = s->c->verbose ? stdout : NULL;
	struct crash_store *cs;
	struct image left = {0};
	struct progress p;

	choose_first(s, live_seed);
	s->tally->states++;
	cs = after(&s->cut, base, r, trace);
	if (s->cut.model != MODEL_KILL) {
		image_copy(&left, crash_store_image(cs));
		base = &left;
	}
	examine_all(s, cs, &p);
	for (unsigned i = 0; !s->text[0] && s->number % SECOND_EVERY == 0 && i < SECOND_CUTS; i++)
		crash_again(s, base, cs, &p, i, trace);
	image_free(&left);
	crash_store_free(cs);
	if (!s->text[0])
		return;
	if (s->tally->violations++ < s->c->complain)
		tell(s);
}

/* ------------------------------------------------------------------ all */

static uint64_t text_number(const char *text)
{
	uint64_t n = 0;

	while (*text)
		n = mix(n, (uint8_t)*text++);
	return n;
}

static void run_live(const struct campaign *c, unsigned run, unsigned first, unsigned end, struct tally out[MODELS])
{
	uint64_t seed = mix(mix(c->seed, text_number(c->workload->name)), run);
	struct live live;
	struct state s = {.c = c, .live = &live};
	size_t calls;

	live_start(&live, c->base, seed);
	calls = crash_store_count(live.m.cs);
	c->workload->run(&live);
	live_stop(&live);
	if (live.refused[0]) {
		printf("violation: workload %s, live run %u: %s\n", c->workload->name, run, live.refused);
		for (int m = 0; m < MODELS; m++)
			out[m].violations += c->models[m];
		live_free(&live);
		return;
	}
	for (int m = 0; m < MODELS; m++)
		for (unsigned n = first; c->models[m] && n < end; n++) {
			s = (struct state){.c = c, .live = &live, .first = calls, .number = n, .tally = &out[m]};
			s.cut.model = (enum crash_model)m;
			run_state(&s, seed);
			if (crash_store_record(live.m.cs)->count > out[m].calls)
				out[m].calls = crash_store_record(live.m.cs)->count;
		}
	live_free(&live);
}

void campaign_run(const struct campaign *c, unsigned first, unsigned count, struct tally out[MODELS])
{
	memset(out, 0, MODELS * sizeof(*out));
	for (unsigned run = first / STATES_OF_RUN; run * STATES_OF_RUN < first + count; run++) {
		unsigned begin = run * STATES_OF_RUN, end = begin + STATES_OF_RUN;

		run_live(c, run, begin > first ? begin : first, end < first + count ? end : first + count, out);
	}
}

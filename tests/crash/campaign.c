#include "campaign.h"

#include <stdio.h>
#include <string.h>

#include "examine.h"

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

static void examine_state(struct state *s, struct crash_store *cs, struct examined *x)
{
	examine(s->c->base, cs, &s->live->o, &s->view, s->number % CHECK_EVERY == 0, x);
	s->tally->unreadable += x->unreadable;
	s->tally->retried += x->retried;
	s->tally->checked += !x->unreadable && s->number % CHECK_EVERY == 0;
	memcpy(s->text, x->text, sizeof(s->text));
}

/* A crash in the recovery, or when files are first looked at.  A kill made nothing durable: behind one, `base` is what was there before
 * the first record, which the second continues. */
static void crash_again(struct state *s, const struct image *base, struct crash_store *recovered,
			const struct examined *p, unsigned at, FILE *trace)
{
	const struct record *r = crash_store_record(recovered);
	struct view view = s->view;
	struct crash_store *cs;
	struct examined ignored;
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
	cs = crashed(&s->second, base, r, trace);
	examine_state(s, cs, &ignored);
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
	struct examined p;

	choose_first(s, live_seed);
	s->tally->states++;
	cs = crashed(&s->cut, base, r, trace);
	if (s->cut.model != MODEL_KILL) {
		image_copy(&left, crash_store_image(cs));
		base = &left;
	}
	examine_state(s, cs, &p);
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

/* suspend, resume, deactivate, compromise: one step of a generation; floor: what is below is not accepted any more. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "util/cli/key.h"
#include "util/cli/options.h"

struct step {
	uint32_t generation;
	enum key_event event;
	struct key_transition done;
};

static int take_step(struct keyring *k, void *context, struct fault *why)
{
	struct step *s = context;

	return keyring_transition(k, s->generation, s->event, &s->done, why);
}

static const char *consequence(enum key_state to)
{
	switch (to) {
	case KEY_SUSPENDED:
		return "its data cannot be read until \"coffer key resume\"";
	case KEY_COMPROMISED:
		return "it decrypts only; re-encrypt its data soon";
	default:
		return "it decrypts only";
	}
}

static void report_step(const struct key_work *w, const struct key_transition *t)
{
	if (w->json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "generation", t->generation);
		json_add_text(o, "scope", keyring_scope_name(w->volume.keyring, t->scope));
		json_add_text(o, "from", key_state_name(t->from));
		json_add_text(o, "state", key_state_name(t->to));
		json_object_object_add(o, "successor", t->successor ? json_object_new_uint64(t->successor) : NULL);
		json_print(o);
		return;
	}
	if (t->successor)
		printf("generation %" PRIu32 " is active now\n", t->successor);
	printf("generation %" PRIu32 " is %s: %s\n", t->generation, key_state_name(t->to), consequence(t->to));
}

static int run_step(const struct verb *v, int argc, char **argv, enum key_event event, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.unlock), {OPTION_FLAG, 0, 0, "json", &w.json}, {0}};
	struct step step = {.event = event};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	r = generation_parse(v, words.at[1], &step.generation, why);
	if (r == 0)
		r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = key_change_generations(&w.volume, take_step, &step, why);
	if (r == 0)
		report_step(&w, &step.done);
	return r;
}

int cmd_key_suspend(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run_step(v, argc, argv, KEY_EVENT_SUSPEND, why);
}

int cmd_key_resume(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run_step(v, argc, argv, KEY_EVENT_RESUME, why);
}

int cmd_key_deactivate(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run_step(v, argc, argv, KEY_EVENT_DEACTIVATE, why);
}

int cmd_key_compromise(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run_step(v, argc, argv, KEY_EVENT_COMPROMISE, why);
}

/* ------------------------------------------------------------------ the floor */

struct floor {
	struct cli_volume *volume;
	uint32_t generation;
};

static int raise_floor(struct keyring *k, void *context, struct fault *why)
{
	const struct floor *f = context;
	struct generation_users users = key_users(f->volume);

	return keyring_raise_floor(k, f->generation, &users, why);
}

int cmd_key_floor(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.unlock), {OPTION_FLAG, 0, 0, "json", &w.json}, {0}};
	struct floor floor = {.volume = &w.volume};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	r = generation_parse(v, words.at[1], &floor.generation, why);
	if (r == 0)
		r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = key_change_generations(&w.volume, raise_floor, &floor, why);
	if (r < 0)
		return r;
	if (w.json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "floor", floor.generation);
		json_print(o);
	} else {
		printf("nothing below generation %" PRIu32 " is accepted any more in its scope\n", floor.generation);
	}
	return 0;
}

/* The key service's policy beside the volume's own (managed_policy.h (1) to (4)). */
#include "policies.h"

#include "keymgr/reencryption.h"

#define GIB MANAGED_AFTER_MIN

static void start_managed(struct work *w)
{
	start(w);
	w->facts.managed = &w->managed;
}

static void run(struct work *w, uint32_t rotated, uint32_t retired, bool started)
{
	ck_assert_msg(keyring_run_policy(w->k, &w->facts, &w->done, &w->why) == 0, "%s", w->why.text);
	ck_assert_uint_eq(w->done.rotated, rotated);
	ck_assert_uint_eq(w->done.retired, retired);
	ck_assert_uint_eq(w->done.destroyed, 0);
	ck_assert_int_eq(w->done.started, started);
}

static void own(struct work *w, struct policy p)
{
	ck_assert_int_eq(keyring_set_policy(w->k, &p, &w->why), 0);
}

static uint32_t rotate(struct work *w, uint32_t scope)
{
	uint32_t n;

	ck_assert_int_eq(keyring_rotate(w->k, scope, &n, &w->why), 0);
	return n;
}

/* A re-encryption of all that is there ends. */
static void moved(struct work *w)
{
	uint32_t all[SCOPES_MAX] = {0};

	for (uint32_t i = 0; i < w->k->scope_count; i++)
		all[i] = i == SCOPE_FIELDS ? GENERATION_NONE : w->k->active[i];
	ck_assert_msg(keyring_end_reencryption(w->k, all, &w->why) == 0, "%s", w->why.text);
}

static enum key_state state(struct work *w, uint32_t generation)
{
	return generation_find(w->k, generation)->state;
}

static bool waits(struct work *w, uint32_t generation)
{
	return generation_find(w->k, generation)->destroy_at[0];
}

/* (1), by age: whichever comes first. */
START_TEST(the_stricter_age)
{
	static const struct {
		uint64_t own, managed, after; /* days; after: so many it rotates */
	} cases[] = {{0, 10, 10}, {10, 0, 10}, {10, 20, 10}, {20, 10, 10}}, *c;
	struct work w;

	c = &cases[_i];
	start_managed(&w);
	own(&w, (struct policy){.rotate_every = c->own * DAY});
	w.managed.rotate_every = c->managed * DAY;
	document_set_clock_for_tests(noon + (time_t)(c->after * DAY) - 1);
	run(&w, 0, 0, false);
	document_set_clock_for_tests(noon + (time_t)(c->after * DAY));
	run(&w, 2, 0, false);
	run(&w, 0, 0, false);
	end(&w);
}
END_TEST

/* (1), (3), by bytes: the service's counts for a generation of a day only. */
START_TEST(the_stricter_amount)
{
	struct work w;

	start_managed(&w);
	ck_assert_uint_eq(keyring_bytes_allowed(w.k, &w.managed), 0);
	w.managed.rotate_after = GIB;
	ck_assert_uint_eq(keyring_bytes_allowed(w.k, &w.managed), 0);
	own(&w, (struct policy){.rotate_after = 5 * GIB});
	ck_assert_uint_eq(keyring_bytes_allowed(w.k, &w.managed), 5 * GIB);
	w.facts.bytes = 3 * GIB;
	run(&w, 0, 0, false);
	document_set_clock_for_tests(noon + DAY - 1);
	run(&w, 0, 0, false);
	document_set_clock_for_tests(noon + DAY);
	ck_assert_uint_eq(keyring_bytes_allowed(w.k, &w.managed), GIB);
	ck_assert_uint_eq(keyring_bytes_allowed(w.k, NULL), 5 * GIB);
	run(&w, 1, 0, false);
	ck_assert_uint_eq(w.k->active[SCOPE_DEFAULT], 3);
	ck_assert_uint_eq(w.k->active[SCOPE_FIELDS], 2);
	/* The new one is young: what the service says does not count, the volume's own does. */
	run(&w, 0, 0, false);
	ck_assert_uint_eq(keyring_bytes_allowed(w.k, &w.managed), 5 * GIB);
	w.facts.bytes = 5 * GIB;
	run(&w, 1, 0, false);
	end(&w);
}
END_TEST

/* With generations that are gone, as its users may have made them. */
static void fill(struct keyring *k)
{
	struct fault why = {0};
	json_object *array, *o, *first = generation_find(k, 1)->json, *history;

	ck_assert(json_object_object_get_ex(k->doc, "generations", &array));
	for (uint32_t n = k->next_generation; json_object_array_length(array) < MANAGED_GENERATIONS_MAX; n++) {
		o = NULL;
		ck_assert_int_eq(json_object_deep_copy(first, &o, NULL), 0);
		json_object_object_del(o, "wrapped");
		ck_assert_int_eq(put_number(o, "generation", n), 0);
		ck_assert_int_eq(put_string(o, "state", "destroyed"), 0);
		ck_assert(json_object_object_get_ex(o, "history", &history));
		ck_assert_int_eq(put_string(json_object_array_get_idx(history, json_object_array_length(history) - 1),
					    "state", "destroyed"),
				 0);
		ck_assert_int_eq(put_element(array, o), 0);
		ck_assert_int_eq(put_number(k->doc, "next_generation", n + 1), 0);
	}
	ck_assert_msg(generation_reload(k, 0, &why) == 0, "%s", why.text);
	ck_assert_uint_eq(k->generation_count, MANAGED_GENERATIONS_MAX);
}

/* (3): a day apart whatever it says, with one that lies outside the bounds, too. */
START_TEST(never_in_a_loop)
{
	struct work w;
	uint32_t rotations = 0;

	start_managed(&w);
	w.facts.bytes = UINT64_MAX - 1;
	for (time_t at = 0; at < 3 * DAY; at += DAY / 24) {
		w.managed = (struct managed_policy){.rotate_every = 1 + (uint64_t)at % 7, .rotate_after = 1};
		document_set_clock_for_tests(noon + at);
		ck_assert_int_eq(keyring_run_policy(w.k, &w.facts, &w.done, &w.why), 0);
		rotations += w.done.rotated;
	}
	ck_assert_uint_eq(rotations, 2 * 2); /* of two scopes, after one day and after two */
	/* Nor in a keyring that is half full. */
	fill(w.k);
	document_set_clock_for_tests(noon + 100 * DAY);
	run(&w, 0, 0, false);
	rotate(&w, SCOPE_DEFAULT);
	own(&w, (struct policy){.rotate_every = 50 * DAY});
	document_set_clock_for_tests(noon + 200 * DAY);
	run(&w, 2, 0, false);
	end(&w);
}
END_TEST

/* (4): beyond the newest, first moved, then below the floor, then waiting for 30 days. */
START_TEST(keeping)
{
	struct reencryption how;
	struct work w;

	start_managed(&w);
	w.managed.keep = 2;
	run(&w, 0, 0, false);
	rotate(&w, SCOPE_DEFAULT); /* 3 */
	rotate(&w, SCOPE_FIELDS);  /* 4 */
	rotate(&w, SCOPE_FIELDS);  /* 5 */
	run(&w, 0, 0, false);      /* 1 and 3; fields do not count */
	rotate(&w, SCOPE_DEFAULT); /* 6 */
	run(&w, 0, 0, true);
	ck_assert(keyring_reencryption(w.k, &how) && !how.only);
	ck_assert(!waits(&w, 1));
	run(&w, 0, 0, false); /* it is under way */
	moved(&w);
	run(&w, 0, 1, false);
	ck_assert(waits(&w, 1) && !waits(&w, 3) && !waits(&w, 2));
	run(&w, 0, 0, false);
	w.managed.keep = 1;
	run(&w, 0, 1, false); /* nothing needs it any more, so nothing is to be moved */
	ck_assert(waits(&w, 3));
	/* What somebody brings back goes again; what nobody wants to be gone, stays. */
	w.managed.keep = 0;
	ck_assert_int_eq(keyring_undelete(w.k, 3, &w.why), 0);
	run(&w, 0, 0, false);
	document_set_clock_for_tests(noon + 30 * DAY);
	ck_assert_int_eq(keyring_run_policy(w.k, &w.facts, &w.done, &w.why), 0);
	ck_assert_uint_eq(w.done.destroyed, 1);
	ck_assert_int_eq(state(&w, 1), KEY_DESTROYED);
	ck_assert_int_eq(state(&w, 3), KEY_DEACTIVATED);
	end(&w);
}
END_TEST

/* What is suspended cannot be moved: nothing is begun that could not end.  What somebody paused or began stays as it is. */
START_TEST(what_is_left_alone)
{
	struct reencryption how = {.paused = true, .max_rate = 7};
	struct key_transition t;
	struct work w;

	start_managed(&w);
	w.managed.keep = 1;
	rotate(&w, SCOPE_DEFAULT);
	ck_assert_int_eq(keyring_transition(w.k, 1, KEY_EVENT_SUSPEND, &t, &w.why), 0);
	run(&w, 0, 0, false);
	ck_assert_int_eq(keyring_transition(w.k, 1, KEY_EVENT_RESUME, &t, &w.why), 0);
	ck_assert_int_eq(keyring_start_reencryption(w.k, &how, &w.why), 0);
	run(&w, 0, 0, false);
	ck_assert(keyring_reencryption(w.k, &how) && how.paused && how.max_rate == 7);
	ck_assert_int_eq(keyring_stop_reencryption(w.k, &w.why), 0);
	run(&w, 0, 0, true);
	end(&w);
}
END_TEST

/* Of several scopes that one which needs it. */
START_TEST(scopes)
{
	struct reencryption how;
	struct work w;
	uint32_t scope;

	start_managed(&w);
	w.managed.keep = 1;
	ck_assert_int_eq(keyring_scope_create(w.k, "taxes", &scope, &w.why), 0);
	rotate(&w, scope);
	run(&w, 0, 0, true);
	ck_assert(keyring_reencryption(w.k, &how) && how.only && how.scope == scope);
	moved(&w);
	run(&w, 0, 1, false);
	rotate(&w, scope);
	rotate(&w, SCOPE_DEFAULT);
	run(&w, 0, 0, true);
	ck_assert(keyring_reencryption(w.k, &how) && !how.only);
	end(&w);
}
END_TEST

START_TEST(behind)
{
	struct managed_state s;
	struct work w;

	start_managed(&w);
	keyring_managed_state(w.k, &s);
	ck_assert_uint_eq(s.kept, 1);
	ck_assert_uint_eq(s.floor, 1);
	ck_assert_int_eq(s.rotated, noon);
	document_set_clock_for_tests(noon + DAY);
	rotate(&w, SCOPE_DEFAULT);
	ck_assert_int_eq(keyring_note_sealed(w.k, GIB, &w.why), 0);
	keyring_managed_state(w.k, &s);
	ck_assert_uint_eq(s.kept, 2);
	ck_assert_uint_eq(s.sealed, GIB);
	ck_assert_int_eq(s.rotated, noon); /* of fields */
	ck_assert(!managed_policy_behind(&(struct managed_policy){0}, &s, noon + 9 * DAY));
	ck_assert(!managed_policy_behind(&(struct managed_policy){.rotate_every = 2 * DAY}, &s, noon + 2 * DAY - 1));
	ck_assert(managed_policy_behind(&(struct managed_policy){.rotate_every = 2 * DAY}, &s, noon + 2 * DAY));
	ck_assert(!managed_policy_behind(&(struct managed_policy){.rotate_every = 2 * DAY}, &s, noon - 9 * DAY));
	ck_assert(!managed_policy_behind(&(struct managed_policy){.rotate_after = GIB}, &s, noon + DAY - 1));
	ck_assert(managed_policy_behind(&(struct managed_policy){.rotate_after = GIB}, &s, noon + DAY));
	ck_assert(!managed_policy_behind(&(struct managed_policy){.rotate_after = GIB + 1}, &s, noon + 9 * DAY));
	ck_assert(!managed_policy_behind(&(struct managed_policy){.keep = 2}, &s, noon));
	ck_assert(managed_policy_behind(&(struct managed_policy){.keep = 1}, &s, noon));
	end(&w);
}
END_TEST

/* (2) */
START_TEST(bounds)
{
	static const struct {
		const char *text;
		int load, change; /* what comes of it */
	} cases[] = {
		{"{}", 0, 0},
		{"{\"p_rotate_every\":86400,\"p_rotate_after\":1073741824,\"p_keep\":1}", 0, 0},
		{"{\"p_rotate_every\":315360000,\"p_rotate_after\":1125899906842624,\"p_keep\":1000}", 0, 0},
		{"{\"p_rotate_every\":86399}", -EBADMSG, -EBADMSG},
		{"{\"p_rotate_every\":315360001}", -EBADMSG, -EBADMSG},
		{"{\"p_rotate_after\":1073741823}", -EBADMSG, -EBADMSG},
		{"{\"p_rotate_after\":1125899906842625}", -EBADMSG, -EBADMSG},
		{"{\"p_keep\":1001}", -EBADMSG, -EBADMSG},
		{"{\"p_keep\":-1}", -EBADMSG, -EBADMSG},
		{"{\"p_keep\":\"1\"}", -EBADMSG, -EBADMSG},
		{"{\"p_keep\":0}", -EBADMSG, 0},
		{"{\"p_rotate_every\":0}", -EBADMSG, 0},
		{"{\"keep\":7,\"other\":[]}", 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct managed_policy p = {1, 2, 3}, before = p;
		struct problem problem = {0};
		json_object *o = json_tokener_parse(cases[i].text);
		bool some;

		ck_assert_int_eq(managed_policy_change(o, "p_", &p, &some, &problem), cases[i].change);
		if (cases[i].change < 0)
			ck_assert_mem_eq(&p, &before, sizeof(p));
		ck_assert_int_eq(managed_policy_load(o, "p_", &p, &problem), cases[i].load);
		ck_assert_int_eq(!problem.text[0], cases[i].load == 0);
		json_object_put(o);
	}
}
END_TEST

START_TEST(members)
{
	struct managed_policy p = {DAY, GIB, 4}, again;
	json_object *o = json_object_new_object();
	struct problem problem = {0};
	bool some;

	ck_assert_int_eq(managed_policy_put(o, "p_", &p), 0);
	ck_assert_int_eq(managed_policy_load(o, "p_", &again, &problem), 0);
	ck_assert_mem_eq(&p, &again, sizeof(p));
	p.rotate_after = 0;
	ck_assert_int_eq(managed_policy_put(o, "p_", &p), 0);
	ck_assert(!json_object_object_get_ex(o, "p_rotate_after", NULL));
	json_object_object_del(o, "p_keep");
	ck_assert_int_eq(put_number(o, "p_rotate_every", 0), 0);
	ck_assert_int_eq(managed_policy_change(o, "p_", &again, &some, &problem), 0);
	ck_assert(some && !again.rotate_every && again.rotate_after == GIB && again.keep == 4);
	ck_assert_int_eq(managed_policy_change(o, "q_", &again, &some, &problem), 0);
	ck_assert(!some && again.keep == 4);
	json_object_put(o);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("managed_policy");

	tcase_add_loop_test(t, the_stricter_age, 0, 4);
	tcase_add_test(t, the_stricter_amount);
	tcase_add_test(t, never_in_a_loop);
	tcase_add_test(t, keeping);
	tcase_add_test(t, what_is_left_alone);
	tcase_add_test(t, scopes);
	tcase_add_test(t, behind);
	tcase_add_test(t, bounds);
	tcase_add_test(t, members);
	return run_suite("managed_policy", t);
}

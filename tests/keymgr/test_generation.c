/* The life of generations: the state machine, what keys do in each state, floors, destruction. */
#include "fixture.h"

#include "keymgr/domain.h"
#include "keymgr/generations.h"

enum { DAY = 24 * 60 * 60 };
static const time_t noon = 1700000000;

struct work {
	struct volume v;
	struct keyring *k;
	struct keyring_change *change;
	struct fault why;
};

static void begin(struct work *w)
{
	w->why = (struct fault){0};
	ck_assert_msg(keyring_change_begin(w->v.s, w->v.dot, w->k, &w->change, &w->why) == 0, "%s", w->why.text);
}

static void commit(struct work *w)
{
	ck_assert_msg(keyring_change_commit(&w->change, &w->why) == 0, "%s", w->why.text);
}

static void start(struct work *w)
{
	*w = (struct work){0};
	volume_make(&w->v);
	w->k = open_volume(&w->v);
	begin(w);
}

static void end(struct work *w)
{
	keyring_change_abort(&w->change);
	keyring_free(&w->k);
	volume_close(&w->v);
}

static enum key_state state_of(struct work *w, uint32_t number)
{
	struct generation *g = generation_find(w->k, number);

	ck_assert_ptr_nonnull(g);
	return g->state;
}

static uint32_t rotate(struct work *w, uint32_t scope)
{
	uint32_t n = 0;

	ck_assert_msg(keyring_rotate(w->k, scope, &n, &w->why) == 0, "%s", w->why.text);
	return n;
}

static int step(struct work *w, uint32_t number, enum key_event e)
{
	struct key_transition t;

	w->why = (struct fault){0};
	return keyring_transition(w->k, number, e, &t, &w->why);
}

static int nobody(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)why;
	if (context)
		*(uint32_t *)context = generation;
	*files = 0;
	return 0;
}

static int three(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)context;
	(void)generation;
	(void)why;
	*files = 3;
	return 0;
}

static int unable(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)context;
	(void)generation;
	(void)files;
	(void)why;
	return -EIO;
}

static int destroy(struct work *w, uint32_t number, bool now,
		   int (*count)(void *, uint32_t, uint64_t *, struct fault *))
{
	struct generation_users users = {count, NULL};
	bool destroyed;

	w->why = (struct fault){0};
	int ret = keyring_destroy(w->k, number, now, &users, &destroyed, &w->why);
	if (ret == 0)
		ck_assert_int_eq(destroyed, state_of(w, number) == KEY_DESTROYED);
	return ret;
}

START_TEST(rotation)
{
	struct work w;
	struct keys *keys;
	int error;

	document_set_clock_for_tests(noon);
	start(&w);
	document_set_clock_for_tests(noon + DAY);
	ck_assert_uint_eq(rotate(&w, SCOPE_DEFAULT), 3);
	ck_assert_uint_eq(rotate(&w, SCOPE_FIELDS), 4);
	ck_assert_uint_eq(rotate(&w, SCOPE_DEFAULT), 5);
	commit(&w);
	keyring_free(&w.k);
	w.k = open_volume(&w.v); /* from the disk */
	ck_assert_int_eq(state_of(&w, 1), KEY_DEACTIVATED);
	ck_assert_int_eq(state_of(&w, 2), KEY_DEACTIVATED);
	ck_assert_int_eq(state_of(&w, 3), KEY_DEACTIVATED);
	ck_assert_int_eq(state_of(&w, 4), KEY_ACTIVE);
	ck_assert_int_eq(state_of(&w, 5), KEY_ACTIVE);
	ck_assert_str_eq(generation_find(w.k, 1)->created, "2023-11-14T22:13:20Z");
	ck_assert_str_eq(generation_find(w.k, 1)->since, "2023-11-15T22:13:20Z");
	keys = keyring_keys(w.k);
	ck_assert_uint_eq(keys_active(keys, SCOPE_DEFAULT)->number, 5);
	ck_assert_uint_eq(keys_active(keys, SCOPE_FIELDS)->number, 4);
	ck_assert_ptr_nonnull(keys_for_open(keys, SCOPE_DEFAULT, 3, &error));
	ck_assert_mem_ne(keys->generations[2].prk->bytes, keys->generations[4].prk->bytes, SHA256_SIZE);
	keys_unref(keys);
	begin(&w);
	ck_assert_int_eq(keyring_rotate(w.k, 2, &(uint32_t){0}, &w.why), -ENOENT);
	end(&w);
}
END_TEST

/* Each state by each event: the state that follows, or a dash.  The order of the columns is that of enum key_event. */
START_TEST(every_step)
{
	static const struct {
		enum key_state from;
		const char *to[KEY_EVENTS];
	} table[] = {
		{KEY_PRE_ACTIVE, {"active", "-", "-", "-", "compromised", "destroyed"}},
		{KEY_ACTIVE, {"-", "suspended", "-", "deactivated", "compromised", "-"}},
		{KEY_SUSPENDED, {"-", "-", "deactivated", "deactivated", "compromised", "-"}},
		{KEY_DEACTIVATED, {"-", "suspended", "-", "-", "compromised", "destroyed"}},
		{KEY_COMPROMISED, {"-", "-", "-", "-", "-", "destroyed"}},
		{KEY_DESTROYED, {"-", "-", "-", "-", "-", "-"}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (int e = 0; e < KEY_EVENTS; e++) {
			_cleanup_json_ json_object *o = json_object_new_object();
			struct generation g = {.number = 7, .state = table[i].from, .json = o};
			struct keyring k = {0};
			struct fault why = {0};
			int ret = generation_step(&k, &g, (enum key_event)e, &why);

			json_object_put(k.notes);

			if (*table[i].to[e] == '-') {
				ck_assert_int_eq(ret, -EPERM);
				ck_assert_int_eq(g.state, table[i].from);
				ck_assert_int_eq(why.status, EXIT_REFUSED);
				ck_assert_ptr_nonnull(strstr(why.text, key_event_name((enum key_event)e)));
				ck_assert_ptr_nonnull(strstr(why.text, ": ")); /* a reason */
			} else {
				ck_assert_int_eq(ret, 0);
				ck_assert_str_eq(key_state_name(g.state), table[i].to[e]);
			}
		}
}
END_TEST

START_TEST(the_active_one_gets_a_successor)
{
	static const enum key_event events[] = {KEY_EVENT_SUSPEND, KEY_EVENT_DEACTIVATE, KEY_EVENT_COMPROMISE};
	struct key_transition t;
	struct work w;

	start(&w);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t active = w.k->active[SCOPE_DEFAULT];

		ck_assert_int_eq(keyring_transition(w.k, active, events[i], &t, &w.why), 0);
		ck_assert_uint_eq(t.generation, active);
		ck_assert_int_eq(t.from, KEY_ACTIVE);
		ck_assert_uint_eq(t.successor, i + 3);
		ck_assert_uint_eq(w.k->active[SCOPE_DEFAULT], i + 3);
		ck_assert_int_eq(state_of(&w, active), t.to);
	}
	ck_assert_int_eq(keyring_transition(w.k, 1, KEY_EVENT_RESUME, &t, &w.why), 0);
	ck_assert(t.to == KEY_DEACTIVATED && t.successor == 0);
	commit(&w);
	end(&w);
}
END_TEST

START_TEST(suspended_opens_nothing)
{
	struct work w;
	struct keys *keys;
	int error;

	start(&w);
	ck_assert_int_eq(step(&w, 1, KEY_EVENT_SUSPEND), 0);
	keys = keyring_keys(w.k);
	ck_assert_ptr_null(keys_for_open(keys, SCOPE_DEFAULT, 1, &error));
	ck_assert_int_eq(error, -ENOKEY);
	ck_assert_ptr_null(keys->generations[0].prk); /* not even in memory */
	keys_unref(keys);
	ck_assert_int_eq(step(&w, 1, KEY_EVENT_RESUME), 0);
	keys = keyring_keys(w.k);
	ck_assert_ptr_nonnull(keys_for_open(keys, SCOPE_DEFAULT, 1, &error));
	keys_unref(keys);
	end(&w);
}
END_TEST

START_TEST(history_is_bounded)
{
	json_object *history;
	struct work w;

	start(&w);
	ck_assert_int_eq(step(&w, 1, KEY_EVENT_DEACTIVATE), 0);
	for (int i = 0; i < HISTORY_MAX; i++)
		ck_assert_int_eq(step(&w, 1, i % 2 ? KEY_EVENT_RESUME : KEY_EVENT_SUSPEND), 0);
	ck_assert(json_object_object_get_ex(generation_find(w.k, 1)->json, "history", &history));
	ck_assert_uint_eq(json_object_array_length(history), HISTORY_MAX);
	commit(&w);
	end(&w);
}
END_TEST

START_TEST(destruction_waits)
{
	struct work w;
	struct keys *keys;
	int error;

	document_set_clock_for_tests(noon);
	start(&w);
	ck_assert_int_eq(destroy(&w, 1, false, nobody), -EPERM); /* active */
	rotate(&w, SCOPE_DEFAULT);
	ck_assert_int_eq(destroy(&w, 1, false, nobody), 0);
	ck_assert_str_eq(generation_find(w.k, 1)->destroy_at, "2023-12-14T22:13:20Z");
	keys = keyring_keys(w.k);
	ck_assert_ptr_null(keys_for_open(keys, SCOPE_DEFAULT, 1, &error));
	ck_assert_int_eq(error, -ENOKEY);
	keys_unref(keys);
	for (int e = 0; e < KEY_EVENT_DESTROY; e++) {
		ck_assert_int_eq(step(&w, 1, (enum key_event)e), -EPERM);
		ck_assert_ptr_nonnull(strstr(w.why.text, "undelete"));
	}
	document_set_clock_for_tests(noon + 30 * DAY - 1);
	ck_assert_int_eq(destroy(&w, 1, false, nobody), -EALREADY);
	w.why = (struct fault){0};
	ck_assert_int_eq(keyring_undelete(w.k, 1, &w.why), 0);
	ck_assert_int_eq(keyring_undelete(w.k, 1, &w.why), -EPERM);
	keys = keyring_keys(w.k);
	ck_assert_ptr_nonnull(keys_for_open(keys, SCOPE_DEFAULT, 1, &error));
	keys_unref(keys);
	document_set_clock_for_tests(noon);
	ck_assert_int_eq(destroy(&w, 1, false, nobody), 0);
	document_set_clock_for_tests(noon + 30 * DAY);
	ck_assert_int_eq(destroy(&w, 1, false, three), -EPERM); /* counted again */
	ck_assert_int_eq(destroy(&w, 1, false, nobody), 0);
	ck_assert_int_eq(state_of(&w, 1), KEY_DESTROYED);
	ck_assert_int_eq(keyring_undelete(w.k, 1, &w.why), -EPERM);
	commit(&w);
	end(&w);
}
END_TEST

START_TEST(what_is_needed_stays)
{
	struct work w;
	uint32_t asked = 0;
	struct generation_users users = {nobody, &asked};
	bool destroyed;

	start(&w);
	rotate(&w, SCOPE_DEFAULT);
	rotate(&w, SCOPE_DEFAULT);
	rotate(&w, SCOPE_FIELDS);
	ck_assert_int_eq(destroy(&w, 1, true, three), -EPERM);
	ck_assert_ptr_nonnull(strstr(w.why.text, "3 files"));
	ck_assert_int_eq(destroy(&w, 1, true, unable), -EIO);
	ck_assert_int_eq(destroy(&w, 1, true, NULL), -EPERM);
	ck_assert_int_eq(destroy(&w, 99, true, nobody), -ENOENT);
	ck_assert_int_eq(step(&w, 1, KEY_EVENT_SUSPEND), 0);
	ck_assert_int_eq(destroy(&w, 1, true, nobody), -EPERM); /* what it holds cannot be counted */
	ck_assert_int_eq(step(&w, 1, KEY_EVENT_RESUME), 0);
	w.why = (struct fault){0};
	ck_assert_int_eq(keyring_destroy(w.k, 1, true, &users, &destroyed, &w.why), 0);
	ck_assert_uint_eq(asked, 1);
	ck_assert_int_eq(destroy(&w, 2, true, NULL), 0); /* fields: the caller's word */
	users.count = three;
	ck_assert_int_eq(keyring_raise_floor(w.k, 4, &users, &w.why), -EPERM); /* 3 is needed */
	users.count = nobody;
	w.why = (struct fault){0};
	ck_assert_int_eq(keyring_raise_floor(w.k, 4, &users, &w.why), 0);
	ck_assert_int_eq(destroy(&w, 3, true, NULL), 0); /* below the floor nothing is needed */
	end(&w);
}
END_TEST

START_TEST(a_domain_keeps_its_generation)
{
	struct work w;

	start(&w);
	ck_assert_int_eq(keyring_domain_pin(w.k, "emails", false, &w.why), 0);
	rotate(&w, SCOPE_FIELDS);
	ck_assert_int_eq(destroy(&w, 2, true, NULL), -EPERM);
	ck_assert_ptr_nonnull(strstr(w.why.text, "emails"));
	ck_assert_int_eq(keyring_domain_pin(w.k, "emails", true, &w.why), 0);
	ck_assert_int_eq(destroy(&w, 2, true, NULL), 0);
	end(&w);
}
END_TEST

START_TEST(floors)
{
	struct generation_users users = {nobody, NULL};
	struct work w;
	struct keys *keys;
	int error;

	start(&w);
	rotate(&w, SCOPE_DEFAULT); /* 3 */
	rotate(&w, SCOPE_FIELDS);  /* 4 */
	ck_assert_int_eq(keyring_raise_floor(w.k, 1, &users, &w.why), -EPERM);
	w.why = (struct fault){0};
	ck_assert_int_eq(keyring_raise_floor(w.k, 5, &users, &w.why), -ENOENT);
	w.why = (struct fault){0};
	ck_assert_int_eq(keyring_raise_floor(w.k, 3, &users, &w.why), 0);
	ck_assert_int_eq(keyring_raise_floor(w.k, 4, NULL, &w.why), 0);
	commit(&w);
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	keys = keyring_keys(w.k);
	ck_assert_ptr_null(keys_for_open(keys, SCOPE_DEFAULT, 1, &error));
	ck_assert_int_eq(error, -EBADMSG);
	ck_assert_ptr_null(keys_for_open(keys, SCOPE_FIELDS, 2, &error));
	ck_assert_ptr_nonnull(keys_for_open(keys, SCOPE_FIELDS, 4, &error));
	keys_unref(keys);
	end(&w);
}
END_TEST

/* The files that held the key are zeros afterwards, as who has them open can see. */
START_TEST(destroyed_is_wiped)
{
	struct work w;
	int old[2];

	start(&w);
	rotate(&w, SCOPE_DEFAULT);
	commit(&w);
	old[0] = open("vol/.coffer/keyring.json", O_RDONLY);
	old[1] = open("vol/.coffer/keyring.json.bak", O_RDONLY);
	begin(&w);
	ck_assert_int_eq(destroy(&w, 1, true, nobody), 0);
	commit(&w);
	for (int i = 0; i < 2; i++) {
		char b[4096];
		ssize_t n = pread(old[i], b, sizeof(b), 0);

		ck_assert_int_gt(n, 1000);
		for (ssize_t j = 0; j < n; j++)
			ck_assert_int_eq(b[j], 0);
		close(old[i]);
	}
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	ck_assert_int_eq(state_of(&w, 1), KEY_DESTROYED);
	ck_assert(!json_object_object_get_ex(generation_find(w.k, 1)->json, "wrapped", NULL));
	ck_assert_uint_eq(log_lines("still be on the disk"), 0);
	end(&w);
}
END_TEST

/* As many as there may be, each with a whole life behind it. */
static void fill(struct keyring *k)
{
	static const char *const states[] = {"pre-active", "active", "suspended", "deactivated"};
	struct fault why = {0};
	json_object *array, *o, *history, *step;

	ck_assert(json_object_object_get_ex(k->doc, "generations", &array));
	for (uint32_t n = k->next_generation; json_object_array_length(array) < GENERATIONS_MAX; n++) {
		o = NULL;
		ck_assert_int_eq(json_object_deep_copy(generation_find(k, 1)->json, &o, NULL), 0);
		history = json_object_new_array();
		for (size_t i = 0; i < 4; i++) {
			step = json_object_new_object();
			ck_assert_int_eq(put_string(step, "state", states[i]), 0);
			ck_assert_int_eq(put_now(step, "at"), 0);
			ck_assert_int_eq(put_element(history, step), 0);
		}
		ck_assert_int_eq(put_value(o, "history", history), 0);
		ck_assert_int_eq(put_string(o, "state", "deactivated"), 0);
		ck_assert_int_eq(put_number(o, "generation", n), 0);
		ck_assert_int_eq(put_element(array, o), 0);
		ck_assert_int_eq(put_number(k->doc, "next_generation", n + 1), 0);
	}
	ck_assert_msg(generation_reload(k, 0, &why) == 0, "%s", why.text);
}

/* A full keyring is written, read and changed like any other; the only thing it refuses is one generation more. */
START_TEST(full)
{
	struct work w;
	uint32_t n;

	start(&w);
	fill(w.k);
	commit(&w);
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	ck_assert_uint_eq(w.k->generation_count, GENERATIONS_MAX);
	begin(&w);
	ck_assert_int_eq(keyring_rotate(w.k, SCOPE_DEFAULT, &n, &w.why), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(w.why.text, "no room for another one"));
	w.why = (struct fault){0};
	ck_assert_int_eq(destroy(&w, GENERATIONS_MAX, true, nobody), 0);
	commit(&w);
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	ck_assert_int_eq(state_of(&w, GENERATIONS_MAX), KEY_DESTROYED);
	ck_assert_int_eq(state_of(&w, GENERATIONS_MAX - 1), KEY_DEACTIVATED);
	end(&w);
}
END_TEST

START_TEST(locked_keyring)
{
	struct work w;

	start(&w);
	secret_free(&w.k->root);
	ck_assert_int_eq(keyring_rotate(w.k, 0, &(uint32_t){0}, &w.why), -ENOKEY);
	ck_assert_int_eq(step(&w, 1, KEY_EVENT_SUSPEND), -ENOKEY);
	end(&w);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("generation");

	tcase_add_test(t, rotation);
	tcase_add_test(t, every_step);
	tcase_add_test(t, the_active_one_gets_a_successor);
	tcase_add_test(t, suspended_opens_nothing);
	tcase_add_test(t, history_is_bounded);
	tcase_add_test(t, destruction_waits);
	tcase_add_test(t, what_is_needed_stays);
	tcase_add_test(t, a_domain_keeps_its_generation);
	tcase_add_test(t, floors);
	tcase_add_test(t, destroyed_is_wiped);
	tcase_add_test(t, full);
	tcase_add_test(t, locked_keyring);
	return run_suite("generation", t);
}

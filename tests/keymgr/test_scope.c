/* Scopes, and the directories where they begin: made, given, taken back; refused where they are malformed.  Numbers are rules of
 * keymgr/scope.c. */
#include "scopes.h"

/* ------------------------------------------------------------------ scopes */

START_TEST(names)
{
	static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa4", "a\n", "a\\"};
	struct scope_info all[SCOPES_MAX];
	char name[SCOPE_NAME_MAX + 2];
	struct work w;
	uint32_t scope;

	start(&w);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(try_create(&w, bad[i]), -EINVAL);
		ck_assert_int_eq(w.why.status, EXIT_USAGE);
	}
	memset(name, 'n', sizeof(name));
	name[SCOPE_NAME_MAX + 1] = '\0';
	ck_assert_int_eq(try_create(&w, name), -EINVAL);
	ck_assert_int_eq(try_create(&w, "default"), -EEXIST);
	ck_assert_int_eq(try_create(&w, "fields"), -EEXIST);
	ck_assert_uint_eq(keyring_scopes(w.k, all), 2);
	ck_assert_int_eq(try_create(&w, name + 1), 0);
	ck_assert_int_eq(try_create(&w, name + 1), -EEXIST);
	ck_assert_int_eq(w.why.status, EXIT_REFUSED);
	rotate(&w, SCOPE_DEFAULT);
	ck_assert_int_eq(try_create(&w, "A-z.0_9"), 0);
	/* Its first generation has a number of its own, and that is the floor. */
	ck_assert_uint_eq(keyring_scopes(w.k, all), 4);
	ck_assert_uint_eq(all[2].active, 3);
	ck_assert_uint_eq(all[2].floor, 3);
	ck_assert_uint_eq(all[3].active, 5);
	ck_assert_uint_eq(all[3].floor, 5);
	ck_assert_str_eq(all[2].name, name + 1);
	ck_assert_int_eq(keyring_scope_named(w.k, "A-z.0_9", &scope, &w.why), 0);
	ck_assert_uint_eq(scope, 3);
	ck_assert_int_eq(keyring_scope_named(w.k, "other", &scope, &w.why), -ENOENT);
	ck_assert_ptr_nonnull(strstr(w.why.text, "default, fields, nnn"));
	ck_assert_str_eq(keyring_scope_name(w.k, 3), "A-z.0_9");
	ck_assert_str_eq(keyring_scope_name(w.k, 4), "?");
	/* The log tells of the number, for whoever loses the keyring. */
	ck_assert(logged("\"event\":\"scope\",\"scope\":\"A-z.0_9\",\"generation\":5,"));
	end(&w);
}
END_TEST

START_TEST(thirty_two_and_no_more)
{
	struct work w;
	char name[16];

	start(&w);
	for (int i = SCOPES_BUILT_IN; i < SCOPES_MAX; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		ck_assert_int_eq(keyring_scope_create(w.k, name, &(uint32_t){0}, &w.why), 0);
	}
	ck_assert_int_eq(keyring_scope_create(w.k, "one.more", &(uint32_t){0}, &w.why), -ENOSPC);
	ck_assert_uint_eq(w.k->scope_count, SCOPES_MAX);
	ck_assert_uint_eq(w.k->active[31], 32);
	end(&w);
}
END_TEST

/* ------------------------------------------------------------------ zones */

START_TEST(given_in_three_steps)
{
	struct reencryption is;
	struct work w;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	ck_assert_uint_eq(keyring_zones(w.k, NULL, 0), 0);
	/* Planned: nothing is sealed otherwise yet. */
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, TAXES), 0);
	ck_assert_uint_eq(zone(&w, 1).scope, SCOPE_DEFAULT);
	ck_assert_uint_eq(zone(&w, 1).to, TAXES);
	ck_assert_uint_eq(zone(&w, 1).from, SCOPE_NONE);
	ck_assert_mem_eq(zone(&w, 1).directory, first, DIRECTORY_ID_SIZE);
	ck_assert(!keyring_reencryption(w.k, &is));
	/* Planned again, after a cut. */
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, TAXES), 0);
	ck_assert_uint_eq(w.k->zone_count, 1);
	/* Assigned. */
	must(&w, (struct edit){do_assign, .directory = first});
	ck_assert_uint_eq(zone(&w, 1).scope, TAXES);
	ck_assert_uint_eq(zone(&w, 1).from, SCOPE_DEFAULT);
	ck_assert_uint_eq(zone(&w, 1).to, SCOPE_NONE);
	ck_assert(keyring_reencryption(w.k, &is) && is.only && is.scope == TAXES);
	/* Settled; the floor of files stays. */
	rotate(&w, TAXES);
	must(&w, (struct edit){do_end, .generations = {[TAXES] = 4}});
	ck_assert_uint_eq(zone(&w, 1).scope, TAXES);
	ck_assert_uint_eq(zone(&w, 1).from, SCOPE_NONE);
	ck_assert_uint_eq(w.k->floor[TAXES], 4);
	ck_assert_uint_eq(w.k->floor[SCOPE_DEFAULT], 1);
	ck_assert(!keyring_reencryption(w.k, &is));
	for (size_t i = 0; i < 3; i++) {
		static const char *const events[] = {"scope-plan", "scope-assign", "scope-abandon"};
		char line[160];

		snprintf(line, sizeof(line),
			 "\"event\":\"%s\",\"scope\":\"taxes\",\"directory\":\"11010000000000000000000000000000\"",
			 events[i]);
		ck_assert_msg(logged(line) == (i < 2), "%s", line);
	}
	/* And back; its number stays. */
	give(&w, second, SCOPE_DEFAULT, TAXES);
	give(&w, first, TAXES, SCOPE_DEFAULT);
	ck_assert_uint_eq(w.k->zone_count, 2);
	ck_assert_uint_eq(zone(&w, 1).scope, SCOPE_DEFAULT);
	ck_assert_uint_eq(zone(&w, 2).scope, TAXES);
	ck_assert_uint_eq(zone(&w, 2).number, 2);
	end(&w);
}
END_TEST

START_TEST(abandoned)
{
	struct work w;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	ck_assert_int_eq(try(&w, (struct edit){do_abandon, .directory = first}), -ENOENT);
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, TAXES), 0);
	ck_assert_int_eq(try(&w, (struct edit){do_abandon, .directory = second}), -ENOENT);
	must(&w, (struct edit){do_abandon, .directory = first});
	ck_assert_uint_eq(zone(&w, 1).scope, SCOPE_DEFAULT);
	ck_assert_uint_eq(zone(&w, 1).to, SCOPE_NONE);
	ck_assert(logged("\"event\":\"scope-abandon\",\"scope\":\"taxes\""));
	ck_assert_int_eq(try(&w, (struct edit){do_assign, .directory = first}), -ENOENT);
	ck_assert_int_eq(try(&w, (struct edit){do_assign, .directory = second}), -ENOENT);
	give(&w, second, SCOPE_DEFAULT, TAXES);
	end(&w);
}
END_TEST

START_TEST(refusals)
{
	struct work w;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	ck_assert_int_eq(try_create(&w, "letters"), 0);
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, SCOPE_FIELDS), -EINVAL);
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, 4), -EINVAL);
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, SCOPE_DEFAULT), -EALREADY);
	ck_assert_int_eq(try_plan(&w, first, TAXES, TAXES), -EALREADY);
	ck_assert_int_eq(w.why.status, EXIT_REFUSED);
	ck_assert_uint_eq(w.k->zone_count, 0);
	/* (2): a second one on its way: planned, */
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, TAXES), 0);
	ck_assert_int_eq(try_plan(&w, second, SCOPE_DEFAULT, TAXES), -EBUSY);
	must(&w, (struct edit){do_assign, .directory = first});
	/* assigned, */
	ck_assert_int_eq(try_plan(&w, second, SCOPE_DEFAULT, TAXES), -EBUSY);
	ck_assert_ptr_nonnull(strstr(w.why.text, "a re-encryption is under way"));
	ck_assert_int_eq(try_plan(&w, first, TAXES, LETTERS), -EBUSY);
	/* and left half done. */
	must(&w, (struct edit){do_stop});
	ck_assert_int_eq(try_plan(&w, second, SCOPE_DEFAULT, TAXES), -EBUSY);
	ck_assert_ptr_nonnull(strstr(w.why.text, "on its way"));
	/* The end of a re-encryption of another scope does not settle it. */
	must(&w, (struct edit){do_reencrypt, .scope = LETTERS});
	must(&w, (struct edit){do_end, .generations = {[LETTERS] = 4}});
	ck_assert_uint_eq(zone(&w, 1).from, SCOPE_DEFAULT);
	/* Nor does the floor of the scope that it comes from rise meanwhile. */
	rotate(&w, SCOPE_DEFAULT);
	ck_assert_int_eq(try(&w, (struct edit){do_end, .generations = {[SCOPE_DEFAULT] = 5}}), -EBUSY);
	ck_assert_uint_eq(w.k->floor[SCOPE_DEFAULT], 1);
	ck_assert_int_eq(try_plan(&w, second, SCOPE_DEFAULT, TAXES), -EBUSY);
	/* That of all does. */
	must(&w, (struct edit){do_reencrypt, .scope = SCOPE_NONE});
	must(&w, (struct edit){do_end, .generations = {5, 0, 3, 4}});
	ck_assert_uint_eq(zone(&w, 1).from, SCOPE_NONE);
	ck_assert_uint_eq(w.k->floor[SCOPE_DEFAULT], 5);
	must(&w, (struct edit){do_reencrypt, .scope = SCOPE_NONE});
	ck_assert_int_eq(try_plan(&w, second, SCOPE_DEFAULT, TAXES), -EBUSY);
	must(&w, (struct edit){do_stop});
	/* One that began after the plan. */
	ck_assert_int_eq(try_plan(&w, second, SCOPE_DEFAULT, LETTERS), 0);
	must(&w, (struct edit){do_reencrypt, .scope = SCOPE_NONE});
	ck_assert_int_eq(try(&w, (struct edit){do_assign, .directory = second}), -EBUSY);
	must(&w, (struct edit){do_abandon, .directory = second});
	must(&w, (struct edit){do_stop});
	give(&w, second, SCOPE_DEFAULT, LETTERS);
	end(&w);
}
END_TEST

START_TEST(two_hundred_and_fifty_six_directories)
{
	uint8_t id[DIRECTORY_ID_SIZE] = {0};
	struct work w;

	start(&w);
	ck_assert_int_eq(keyring_scope_create(w.k, "taxes", &(uint32_t){0}, &w.why), 0);
	for (int i = 0; i <= ZONES_MAX; i++) {
		id[0] = (uint8_t)i;
		id[1] = (uint8_t)(i >> 8);
		ck_assert_int_eq(keyring_zone_plan(w.k, id, SCOPE_DEFAULT, TAXES, &w.why), i < ZONES_MAX ? 0 : -ENOSPC);
		if (i < ZONES_MAX)
			ck_assert_int_eq(keyring_zone_abandon(w.k, id, &w.why), 0);
	}
	ck_assert_uint_eq(keyring_zones(w.k, NULL, 0), ZONES_MAX);
	end(&w);
}
END_TEST

/* ------------------------------------------------------------------ documents */

/* Loads a copy of the keyring's document in which one member is another one; NULL: is not there. */
static int load_with(const struct keyring *k, const char *array, uint32_t at, const char *name, const char *value,
		     struct problem *p)
{
	struct keyring *again = calloc(1, sizeof(*again));
	struct fault ignored = {0};
	json_object *list, *o;
	int ret;

	ck_assert_ptr_nonnull(again);
	ck_assert_int_eq(json_object_deep_copy(k->doc, &again->doc, NULL), 0);
	ck_assert(json_object_object_get_ex(again->doc, array, &list));
	if (name) {
		o = json_object_array_get_idx(list, at);
		ck_assert_ptr_nonnull(o);
		json_object_object_del(o, name);
		if (value)
			json_object_object_add(o, name, json_tokener_parse(value));
	} else if (value) {
		json_object_object_add(again->doc, array, json_tokener_parse(value));
	} else {
		json_object_object_del(again->doc, array);
	}
	*p = (struct problem){0};
	ret = keyring_load(again, p, &ignored);
	keyring_free(&again);
	return ret;
}

START_TEST(malformed)
{
	static const struct {
		const char *array;
		uint32_t at;
		const char *name, *value;
	} bad[] = {
		{"scopes", 0, NULL, NULL},
		{"scopes", 0, NULL, "[]"},
		{"scopes", 0, NULL, "[{\"scope\":0,\"name\":\"default\",\"floor\":1}]"},
		{"scopes", 0, "name", "\"Default\""},
		{"scopes", 1, "name", "\"default\""},
		{"scopes", 2, "scope", "3"},
		{"scopes", 2, "scope", NULL},
		{"scopes", 2, "name", "\"fields\""},
		{"scopes", 2, "name", "\"a b\""},
		{"scopes", 2, "name", "\"\""},
		{"scopes", 2, "name", "7"},
		{"scopes", 2, "floor", "0"},
		{"scopes", 2, "floor", "4"},
		{"scopes", 2, "floor", NULL},
		{"generations", 2, "scope", "3"},
		{"generations", 2, "scope", "1"},
		{"zones", 0, NULL, "{}"},
		{"zones", 0, NULL, "[1]"},
		{"zones", 0, "zone", "0"},
		{"zones", 0, "zone", "2"},
		{"zones", 1, "zone", "1"},
		{"zones", 0, "zone", NULL},
		{"zones", 0, "directory", NULL},
		{"zones", 0, "directory", "\"1101\""},
		{"zones", 0, "directory", "\"1101000000000000000000000000000G\""},
		{"zones", 1, "directory", "\"11010000000000000000000000000000\""},
		{"zones", 0, "scope", NULL},
		{"zones", 0, "scope", "1"},
		{"zones", 0, "scope", "3"},
		{"zones", 0, "scope", "\"taxes\""},
		{"zones", 0, "from", "1"},
		{"zones", 0, "from", "3"},
		{"zones", 0, "to", "1"},
		{"zones", 0, "to", "4294967295"},
	};
	struct problem p;
	struct work w;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	give(&w, first, SCOPE_DEFAULT, TAXES);
	give(&w, second, SCOPE_DEFAULT, TAXES);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int ret = load_with(w.k, bad[i].array, bad[i].at, bad[i].name, bad[i].value, &p);

		ck_assert_msg(ret == -EBADMSG && p.text[0], "%zu: %s of %s: %d", i, bad[i].name, bad[i].array, ret);
	}
	/* What is not malformed. */
	ck_assert_int_eq(load_with(w.k, "zones", 0, "from", "0", &p), 0);
	ck_assert_int_eq(load_with(w.k, "zones", 0, "to", "0", &p), 0);
	ck_assert_int_eq(load_with(w.k, "zones", 0, "scope", "0", &p), 0);
	ck_assert_int_eq(load_with(w.k, "zones", 0, NULL, "[]", &p), 0);
	ck_assert_int_eq(load_with(w.k, "zones", 0, NULL, NULL, &p), 0);
	ck_assert_int_eq(load_with(w.k, "zones", 0, "unknown", "1", &p), 0);
	end(&w);
}
END_TEST

/* ------------------------------------------------------------------ what a mount is given */

START_TEST(keys_know_the_zones)
{
	struct work w;
	struct keys *k;
	int error;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	ck_assert_int_eq(try_plan(&w, first, SCOPE_DEFAULT, TAXES), 0);
	must(&w, (struct edit){do_assign, .directory = first});
	k = keyring_keys(w.k);
	ck_assert_uint_eq(k->scope_count, 3);
	ck_assert_ptr_nonnull(keys_zone_at(k, first));
	ck_assert_ptr_null(keys_zone_at(k, second));
	ck_assert_uint_eq(keys_active_in(k, 1), 3);
	ck_assert_ptr_nonnull(keys_for_open_in(k, 1, 1, &error));
	ck_assert_ptr_null(keys_for_open_in(k, ZONE_DEFAULT, 3, &error));
	keys_unref(k);
	end(&w);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("scopes");

	tcase_add_test(t, names);
	tcase_add_test(t, thirty_two_and_no_more);
	tcase_add_test(t, given_in_three_steps);
	tcase_add_test(t, abandoned);
	tcase_add_test(t, refusals);
	tcase_add_test(t, two_hundred_and_fifty_six_directories);
	tcase_add_test(t, malformed);
	tcase_add_test(t, keys_know_the_zones);
	return run_suite("keymgr scope", t);
}

/* Scopes, and the directories where they begin: made, given, taken back; refused where they are malformed; carried through new roots,
 * policies, backups and the memory of a host.  Numbers are rules of keymgr/scope.c and keymgr/scope_merge.c. */
#include "fixture.h"

#include "keymgr/backup.h"
#include "keymgr/entry.h"
#include "keymgr/reencryption.h"
#include "keymgr/rotate_root.h"

enum { DAY = 24 * 60 * 60, TAXES = 2, LETTERS = 3 };

static const uint8_t first[DIRECTORY_ID_SIZE] = {0x11, 1}, second[DIRECTORY_ID_SIZE] = {0x22, 2},
		     third[DIRECTORY_ID_SIZE] = {0x33, 3};

struct work {
	struct volume v;
	struct keyring *k;
	struct fault why;
	char *text; /* of the last backup */
	size_t n;
};

static int enter(struct work *w)
{
	const struct entry e = {0};

	w->why = (struct fault){0};
	return keyring_enter(w->v.s, w->v.dot, w->k, &e, &w->why);
}

static void start(struct work *w)
{
	char *here = getcwd(NULL, 0), path[4096];

	*w = (struct work){0};
	snprintf(path, sizeof(path), "%s/state", here);
	free(here);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", path, 1), 0);
	volume_make(&w->v);
	w->k = open_volume(&w->v);
	ck_assert_int_eq(enter(w), 0);
}

static void end(struct work *w)
{
	free(w->text);
	keyring_free(&w->k);
	volume_close(&w->v);
}

/* ------------------------------------------------------------------ changes, each as by a command */

struct edit {
	int (*how)(struct keyring *k, const struct edit *e, struct fault *why);
	const char *name;
	const uint8_t *directory;
	uint32_t now, scope;
	uint32_t generations[SCOPES_MAX];
};

static int try(struct work *w, struct edit e)
{
	struct keyring_change *c;
	int ret;

	w->why = (struct fault){0};
	ck_assert_msg(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why) == 0, "%s", w->why.text);
	ret = e.how(w->k, &e, &w->why);
	if (ret == 0)
		return keyring_change_commit(&c, &w->why);
	ck_assert_int_ne(w->why.status, EXIT_OK);
	keyring_change_abort(&c);
	/* As it is on the disk. */
	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &(struct fault){0}), 0);
	keyring_change_abort(&c);
	return ret;
}

static void must(struct work *w, struct edit e)
{
	ck_assert_msg(try(w, e) == 0, "%s", w->why.text);
}

static int do_create(struct keyring *k, const struct edit *e, struct fault *why)
{
	uint32_t scope;

	return keyring_scope_create(k, e->name, &scope, why);
}
static int do_plan(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_zone_plan(k, e->directory, e->now, e->scope, why);
}
static int do_assign(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_zone_assign(k, e->directory, why);
}
static int do_abandon(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_zone_abandon(k, e->directory, why);
}
static int do_end(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_end_reencryption(k, e->generations, why);
}
static int do_rotate(struct keyring *k, const struct edit *e, struct fault *why)
{
	uint32_t n;

	return keyring_rotate(k, e->scope, &n, why);
}
static int do_reencrypt(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_start_reencryption(k, &(struct reencryption){.only = e->scope != SCOPE_NONE, .scope = e->scope},
					  why);
}
static int do_stop(struct keyring *k, const struct edit *e, struct fault *why)
{
	(void)e;
	return keyring_stop_reencryption(k, why);
}

static int try_create(struct work *w, const char *name)
{
	return try(w, (struct edit){do_create, .name = name});
}
static int try_plan(struct work *w, const uint8_t *directory, uint32_t now, uint32_t to)
{
	return try(w, (struct edit){do_plan, .directory = directory, .now = now, .scope = to});
}
static void rotate(struct work *w, uint32_t scope)
{
	must(w, (struct edit){do_rotate, .scope = scope});
}

/* To its end; the scope's active generation is the floor then. */
static void give(struct work *w, const uint8_t *directory, uint32_t now, uint32_t to)
{
	struct edit last = {do_end};

	ck_assert_msg(try_plan(w, directory, now, to) == 0, "%s", w->why.text);
	must(w, (struct edit){do_assign, .directory = directory});
	last.generations[to] = w->k->active[to];
	must(w, last);
}

static struct key_zone zone(const struct work *w, uint32_t number)
{
	struct key_zone all[4] = {{0}};

	ck_assert_uint_ge(keyring_zones(w->k, all, 4), number);
	return all[number - 1];
}

static bool logged(const char *words)
{
	struct text t = slurp("vol/.coffer/audit.log");
	bool found = strstr(t.b, words) != NULL;

	free(t.b);
	return found;
}

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

/* ------------------------------------------------------------------ with the rest */

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

START_TEST(a_new_root_and_policies)
{
	struct unlock_secret s = passphrase(PASSPHRASE);
	const struct policy_facts facts = {.bytes = UINT64_MAX};
	struct root_rotation done;
	struct keyring_change *c;
	struct policy_done ran;
	struct key_zone before, after;
	struct keys *keys;
	struct work w;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	give(&w, first, SCOPE_DEFAULT, TAXES);
	before = zone(&w, 1);
	ck_assert_int_eq(keyring_change_begin(w.v.s, w.v.dot, w.k, &c, &w.why), 0);
	ck_assert_msg(keyring_rotate_root(w.v.s, w.v.dot, w.k, &s, 1, &done, &w.why) == 0, "%s", w.why.text);
	ck_assert_int_eq(keyring_change_commit(&c, &w.why), 0);
	unlock_secret_wipe(&s);
	/* A new generation in each scope, and what was there opens. */
	ck_assert_uint_eq(w.k->active[SCOPE_DEFAULT], 4);
	ck_assert_uint_eq(w.k->active[SCOPE_FIELDS], 5);
	ck_assert_uint_eq(w.k->active[TAXES], 6);
	after = zone(&w, 1);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	keys = keyring_keys(w.k);
	ck_assert_uint_eq(keys->older_count, 1);
	ck_assert_uint_eq(keys->older[0].until, 4);
	keys_unref(keys);
	/* Old records of directories count until the floors of all scopes of files are above them. */
	must(&w, (struct edit){do_end, .generations = {[SCOPE_DEFAULT] = 4}});
	ck_assert_uint_eq(w.k->older_count, 1);
	keys = keyring_keys(w.k);
	ck_assert_uint_eq(keys->older_count, 1);
	keys_unref(keys);
	must(&w, (struct edit){do_end, .generations = {[TAXES] = 6}});
	ck_assert_uint_eq(w.k->older_count, 0);
	/* By age, each scope. */
	ck_assert_int_eq(keyring_set_policy(w.k, &(struct policy){.rotate_every = DAY}, &w.why), 0);
	document_set_clock_for_tests(document_now() + DAY);
	ck_assert_int_eq(keyring_run_policy(w.k, &facts, &ran, &w.why), 0);
	ck_assert_uint_eq(ran.rotated, 3);
	ck_assert_uint_eq(w.k->active[TAXES], 9);
	document_set_clock_for_tests(0);
	end(&w);
}
END_TEST

static void put_back(const struct text *t)
{
	spill("vol/.coffer/keyring.json", t->b, t->n);
	spill("vol/.coffer/keyring.json.bak", t->b, t->n);
}

START_TEST(a_host_remembers_each_floor)
{
	struct text none, old;
	struct host_memory *m;
	struct host_seen seen;
	struct work w;

	start(&w);
	none = slurp("vol/.coffer/keyring.json");
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	old = slurp("vol/.coffer/keyring.json");
	rotate(&w, TAXES);
	must(&w, (struct edit){do_end, .generations = {[TAXES] = 4}});
	ck_assert_int_eq(host_memory_open(w.k->settings.volume_id, &m, &w.why), 0);
	ck_assert(host_memory_seen(m, w.k, &seen));
	ck_assert_uint_eq(seen.floor[SCOPE_DEFAULT], 1);
	ck_assert_uint_eq(seen.floor[TAXES], 4);
	ck_assert_uint_eq(seen.floor[LETTERS], 0);
	/* The floor alone tells. */
	ck_assert_int_eq(host_memory_check(m, w.k, &(struct trust){0}, &(bool){false}, &w.why), 0);
	w.k->floor[TAXES] = 3;
	ck_assert_int_eq(host_memory_check(m, w.k, &(struct trust){0}, &(bool){false}, &w.why), -ESTALE);
	host_memory_close(&m);
	for (int i = 0; i < 2; i++) {
		put_back(i ? &none : &old);
		keyring_free(&w.k);
		w.k = open_volume(&w.v);
		ck_assert_int_eq(enter(&w), -ESTALE);
	}
	free(none.b);
	free(old.b);
	end(&w);
}
END_TEST

/* ------------------------------------------------------------------ backups */

static void make_backup(struct work *w)
{
	struct unlock_secret with = key_file(9);
	struct keyring_change *c;

	free(w->text);
	w->why = (struct fault){0};
	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why), 0);
	ck_assert_msg(backup_make(w->k, &with, &w->text, &w->n, &w->why) == 0, "%s", w->why.text);
	ck_assert_int_eq(keyring_change_commit(&c, &w->why), 0);
	unlock_secret_wipe(&with);
}

static int try_restore(struct work *w)
{
	struct unlock_secret with = key_file(9), new = passphrase("new");
	struct restoring how = {.secret = new};
	struct restored out;
	struct fault ignored;
	int ret, opened;

	w->why = (struct fault){0};
	ck_assert_int_eq(backup_read(w->text, w->n, &how.backup, &w->why), 0);
	ck_assert_int_eq(backup_unlock(how.backup, &with, &w->why), 0);
	ret = restore(w->v.s, w->v.dot, &how, &out, &w->why);
	ck_assert(ret == 0 || w->why.status != EXIT_OK);
	keyring_free(&how.backup);
	if (ret == 0) {
		keyring_free(&out.keyring);
		keyring_free(&w->k);
		w->k = open_with(&w->v, &new, &ignored, &opened);
		ck_assert_ptr_nonnull(w->k);
		ck_assert_int_eq(enter(w), 0); /* the host agrees */
	}
	unlock_secret_wipe(&with);
	unlock_secret_wipe(&new);
	return ret;
}

static void lose(void)
{
	ck_assert_int_eq(unlink("vol/.coffer/keyring.json"), 0);
	ck_assert_int_eq(unlink("vol/.coffer/keyring.json.bak"), 0);
}

/* An older backup beside a keyring that is whole: what it has come to stays. */
START_TEST(an_older_backup)
{
	struct work w;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	give(&w, first, SCOPE_DEFAULT, TAXES);
	make_backup(&w);
	rotate(&w, TAXES);
	must(&w, (struct edit){do_end, .generations = {[TAXES] = 4}});
	ck_assert_int_eq(try_create(&w, "letters"), 0);
	give(&w, first, TAXES, LETTERS);
	give(&w, second, SCOPE_DEFAULT, TAXES);
	ck_assert_msg(try_restore(&w) == 0, "%s", w.why.text);
	ck_assert_uint_eq(w.k->scope_count, 4);
	ck_assert_uint_eq(w.k->floor[TAXES], 4);
	ck_assert_uint_eq(w.k->floor[LETTERS], 5);
	ck_assert_uint_eq(zone(&w, 1).scope, LETTERS);
	ck_assert_uint_eq(zone(&w, 2).scope, TAXES);
	end(&w);
}
END_TEST

/* A newer backup beside an old keyring that was put back. */
START_TEST(a_newer_backup)
{
	struct work w;
	struct text old;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	give(&w, first, SCOPE_DEFAULT, TAXES);
	old = slurp("vol/.coffer/keyring.json");
	rotate(&w, TAXES);
	must(&w, (struct edit){do_end, .generations = {[TAXES] = 4}});
	ck_assert_int_eq(try_create(&w, "letters"), 0);
	give(&w, first, TAXES, LETTERS);
	ck_assert_int_eq(try_plan(&w, second, SCOPE_DEFAULT, TAXES), 0);
	must(&w, (struct edit){do_assign, .directory = second});
	make_backup(&w);
	put_back(&old);
	ck_assert_msg(try_restore(&w) == 0, "%s", w.why.text);
	ck_assert_uint_eq(w.k->scope_count, 4);
	ck_assert_str_eq(w.k->scopes[LETTERS].name, "letters");
	ck_assert_uint_eq(w.k->floor[TAXES], 4);
	ck_assert_uint_eq(w.k->floor[LETTERS], 5);
	ck_assert_uint_eq(zone(&w, 1).scope, LETTERS);
	ck_assert_uint_eq(zone(&w, 2).scope, TAXES);
	ck_assert_uint_eq(zone(&w, 2).from, SCOPE_DEFAULT);
	free(old.b);
	end(&w);
}
END_TEST

/* The keyring is lost, and with it a scope that the backup lacks: floors of the others do not fall, and numbers that the log tells of are not given
 * again, also where the host remembers nothing.  Then a newer backup turns up (1, 2). */
START_TEST(lost_and_found)
{
	char *older;
	struct work w;
	size_t n;

	start(&w);
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	give(&w, first, SCOPE_DEFAULT, TAXES);
	make_backup(&w);
	older = w.text;
	n = w.n;
	w.text = NULL;
	rotate(&w, TAXES);
	must(&w, (struct edit){do_end, .generations = {[TAXES] = 4}});
	ck_assert_int_eq(try_create(&w, "letters"), 0); /* generation 5 */
	give(&w, second, SCOPE_DEFAULT, LETTERS);
	make_backup(&w);

	char *newer = w.text;
	size_t newer_n = w.n;
	w.text = older;
	w.n = n;
	lose();
	if (_i)
		remove_tree("state");
	ck_assert_msg(try_restore(&w) == 0, "%s", w.why.text);
	ck_assert_uint_eq(w.k->scope_count, 3);
	if (_i == 0)
		ck_assert_uint_eq(w.k->floor[TAXES], 4);
	ck_assert_uint_eq(w.k->zone_count, 1);
	for (uint32_t i = 0; i < w.k->generation_count; i++)
		ck_assert_int_eq(w.k->generations[i].state == KEY_ACTIVE, w.k->generations[i].number > 5);

	free(w.text);
	w.text = newer;
	w.n = newer_n;
	give(&w, third, SCOPE_DEFAULT, TAXES);
	ck_assert_msg(try_restore(&w) == 0, "%s", w.why.text);
	ck_assert_uint_eq(w.k->scope_count, 4);
	ck_assert_str_eq(w.k->scopes[LETTERS].name, "letters");
	ck_assert_uint_ge(w.k->floor[TAXES], 4);
	ck_assert_uint_eq(w.k->floor[LETTERS], 5);
	ck_assert_uint_eq(w.k->zone_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		struct key_zone z = w.k->zones[i];

		ck_assert_uint_eq(z.scope, memcmp(z.directory, second, DIRECTORY_ID_SIZE) == 0 ? LETTERS : TAXES);
		ck_assert_uint_eq(z.number, i + 1);
	}
	ck_assert_ptr_nonnull(generation_find(w.k, 5));
	end(&w);
}
END_TEST

/* (1) */
START_TEST(separate_ways)
{
	struct work w;
	struct text old;

	start(&w);
	old = slurp("vol/.coffer/keyring.json");
	ck_assert_int_eq(try_create(&w, "taxes"), 0);
	make_backup(&w);
	put_back(&old);
	remove_tree("state");
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	ck_assert_int_eq(try_create(&w, "other"), 0);
	ck_assert_int_eq(try_restore(&w), -EPERM);
	ck_assert_ptr_nonnull(strstr(w.why.text, "scope 2 is other in the volume and taxes in the backup"));
	ck_assert_int_eq(w.why.status, EXIT_REFUSED);
	free(old.b);
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
	tcase_add_test(t, a_new_root_and_policies);
	tcase_add_test(t, a_host_remembers_each_floor);
	tcase_add_test(t, an_older_backup);
	tcase_add_test(t, a_newer_backup);
	tcase_add_loop_test(t, lost_and_found, 0, 2);
	tcase_add_test(t, separate_ways);
	return run_suite("keymgr scope", t);
}

/* Scopes and their directories, carried through new roots, policies, the memory of a host and backups.  Numbers are rules of
 * keymgr/scope_merge.c. */
#include "scopes.h"

#include "keymgr/backup.h"
#include "keymgr/rotate_root.h"

enum { DAY = 24 * 60 * 60 };

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

	tcase_add_test(t, a_new_root_and_policies);
	tcase_add_test(t, a_host_remembers_each_floor);
	tcase_add_test(t, an_older_backup);
	tcase_add_test(t, a_newer_backup);
	tcase_add_loop_test(t, lost_and_found, 0, 2);
	tcase_add_test(t, separate_ways);
	return run_suite("keymgr scope carried", t);
}

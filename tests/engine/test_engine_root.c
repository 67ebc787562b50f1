/* A new root under a volume: id records and the journal go on, and who knew the old root plants neither. */
#include "fixture.h"

#include "fs/rekey.h"
#include "fs/worker.h"
#include "keymgr/generations.h"
#include "keymgr/reencryption.h"
#include "keymgr/rotate_root.h"

static struct vol v;
static struct keys *old; /* what the attacker knows */

static void setup(void)
{
	vol_default(&v);
	put(&v, make(&v, make_dir(&v, make_dir(&v, ROOT_NODE, "outer"), "inner"), "file"), "content", 7, 0);
	make_dir(&v, ROOT_NODE, "victim");
	vol_stop(&v);
	old = keys_ref(v.keys);
}

static void teardown(void)
{
	keys_unref(old);
	vol_free(&v);
}

static void take_keys(void)
{
	keys_unref(v.keys);
	v.keys = keyring_keys(v.keyring);
	ck_assert_ptr_nonnull(v.keys);
}

static void change_root(void)
{
	struct unlock_secret s = passphrase(PASSPHRASE);
	struct root_rotation done;
	struct keyring_change *c;
	struct fault why = {0};

	ck_assert_msg(keyring_change_begin(v.store, v.dot, v.keyring, &c, &why) == 0, "%s", why.text);
	ck_assert_msg(keyring_rotate_root(v.store, v.dot, v.keyring, &s, 1, &done, &why) == 0, "%s", why.text);
	ck_assert_msg(keyring_change_commit(&c, &why) == 0, "%s", why.text);
	unlock_secret_wipe(&s);
	take_keys();
}

static void end_new_root(void)
{
	struct fault why = {0};

	ck_assert_msg(journal_end_new_root(v.store, v.dot, v.keyring, &why) == 0, "%s", why.text);
	ck_assert(!keyring_journal_is_old(v.keyring));
	take_keys();
	ck_assert_ptr_null(v.keys->journal_before);
}

static void all_is_there(void)
{
	vol_start(&v);
	ck_assert_uint_ne(walk(&v, "outer/inner/file"), 0);
	assert_content(&v, walk(&v, "outer/inner/file"), "content", 7);
}

/* Until nothing is older; then the keyring says so. */
static void reencrypt(void)
{
	struct rekey k = {.e = v.e};
	struct keyring_change *c;
	struct fault why = {0};

	ck_assert_int_eq(rekey_aim(&k, REKEY_ALL), 0);
	do {
		k.objects = 0;
		ck_assert_int_eq(rekey_pass(&k), 0);
		ck_assert_uint_eq(k.failed, 0);
	} while (k.objects);
	ck_assert_int_eq(engine_checkpoint(v.e), 0);
	ck_assert_int_eq(keyring_change_begin(v.store, v.dot, v.keyring, &c, &why), 0);
	ck_assert_msg(keyring_end_reencryption(v.keyring, k.targets, &why) == 0, "%s", why.text);
	ck_assert_int_eq(keyring_change_commit(&c, &why), 0);
	take_keys();
	ck_assert_int_eq(engine_take_keys(v.e, v.keys, 10), 0);
}

/* --- id records */

static void record_path(const char *name, char out[600])
{
	char dir[512];

	worker_enter(v.e);
	root_path(&v, name, dir);
	worker_leave();
	snprintf(out, 600, "%s/.coffer-dir", dir);
}

static struct directory_record read_record(const char *path, struct keys *keys)
{
	char text[DIRECTORY_RECORD_TEXT + 1] = "";
	struct directory_record r;

	ck_assert_int_eq(readlink(path, text, sizeof(text)), DIRECTORY_RECORD_TEXT);
	ck_assert_msg(directory_record_open(keys->directory_key, text, DIRECTORY_RECORD_TEXT, &r) == 0, "%s", path);
	return r;
}

static void plant_record(const char *path, uint32_t generation)
{
	struct directory_record r = {generation, 0, {1, 2, 3}};
	char text[DIRECTORY_RECORD_TEXT + 1];

	ck_assert_int_eq(directory_record_seal(old->directory_key, &r, text), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink(text, path), 0);
}

static int use_victim(void)
{
	struct node_attr a;
	uint64_t dir;
	int r;

	vol_start(&v);
	dir = walk(&v, "victim");
	ck_assert_uint_ne(dir, 0);
	r = fs_lookup(v.e, dir, "anything", &a);
	vol_stop(&v);
	return r;
}

START_TEST(records_move_to_the_new_key)
{
	char path[600], text[DIRECTORY_RECORD_TEXT + 1] = "";
	struct directory_record r;

	setup();
	change_root();
	end_new_root();
	all_is_there();
	record_path("outer", path);
	read_record(path, old); /* accepted as it is */
	make_dir(&v, ROOT_NODE, "newer");
	record_path("newer", path);
	read_record(path, v.keys);
	reencrypt();
	ck_assert_uint_eq(v.keys->older_count, 0);
	record_path("outer", path);
	ck_assert_int_eq(readlink(path, text, sizeof(text)), DIRECTORY_RECORD_TEXT);
	ck_assert_int_eq(directory_record_open(old->directory_key, text, DIRECTORY_RECORD_TEXT, &r), -EBADMSG);
	ck_assert_uint_eq(read_record(path, v.keys).generation, v.keys->active[SCOPE_DEFAULT]);
	vol_stop(&v);
	all_is_there();
	teardown();
}
END_TEST

START_TEST(planted_records)
{
	char path[600];

	setup();
	change_root();
	end_new_root();
	vol_start(&v);
	record_path("victim", path);
	vol_stop(&v);
	/* Of a generation that came with the new root: never. */
	plant_record(path, v.keys->active[SCOPE_DEFAULT]);
	ck_assert_int_eq(use_victim(), -EIO);
	/* Of one that he knows anyway: until the re-encryption has ended. */
	plant_record(path, 1);
	ck_assert_int_eq(use_victim(), -ENOENT);
	vol_start(&v);
	reencrypt();
	record_path("victim", path);
	vol_stop(&v);
	ck_assert_int_eq(use_victim(), -ENOENT);
	plant_record(path, 1);
	ck_assert_int_eq(use_victim(), -EIO);
	teardown();
}
END_TEST

/* --- the journal */

static int start_result(void)
{
	struct fault why = {0};

	return engine_start(v.store, v.dot, v.data, &v.settings, keyring_root_directory(v.keyring), v.keys, &v.options,
			    &v.e, &why);
}

/* What the attacker puts in place of the journal: clean, or with a state of his own. */
static void plant_journal(bool clean)
{
	struct keys *mine = v.keys;
	struct journal_state state;
	struct journal *j;
	struct fault why = {0};

	ck_assert_int_eq(unlink("vol/.coffer/journal"), 0);
	ck_assert_int_eq(journal_make(v.store, v.dot, &v.settings, old, JOURNAL_MIN, &why), 0);
	ck_assert_int_eq(journal_open(v.store, v.dot, &v.settings, old, false, &j), 0);
	state = *journal_state(j);
	state.clean = clean;
	for (int i = 0; i < 2; i++) {
		struct journal_mark start = journal_start(j);

		ck_assert_int_eq(journal_superblock(j, &start, &state, true), 0);
	}
	journal_close(&j);
	v.keys = mine;
}

START_TEST(the_journal_takes_its_key)
{
	struct journal *j;

	setup();
	change_root();
	/* Cut short here: it still opens, and the next mount ends it. */
	ck_assert_int_eq(journal_open(v.store, v.dot, &v.settings, v.keys, true, &j), 0);
	journal_close(&j);
	end_new_root();
	ck_assert_int_eq(journal_open(v.store, v.dot, &v.settings, old, true, &j), -EBADMSG);
	ck_assert_int_eq(journal_take_new_key(v.store, v.dot, &v.settings, v.keys), 0); /* again: no harm */
	all_is_there();
	vol_stop(&v);
	all_is_there();
	teardown();
}
END_TEST

START_TEST(a_cut_between)
{
	setup();
	change_root();
	all_is_there(); /* an engine that is started so goes on under the new key */
	put(&v, walk(&v, "outer/inner/file"), "changed", 7, 0);
	vol_stop(&v);
	end_new_root();
	vol_start(&v);
	assert_content(&v, walk(&v, "outer/inner/file"), "changed", 7);
	teardown();
}
END_TEST

START_TEST(planted_journals)
{
	struct text copy;

	setup();
	copy = slurp("vol/.coffer/journal");
	change_root();
	plant_journal(false); /* while the old key is still known: what is not clean is refused */
	ck_assert_int_eq(start_result(), -EBADMSG);
	spill("vol/.coffer/journal", copy.b, copy.n);
	end_new_root();
	for (int i = 0; i < 3; i++) { /* afterwards all of them, the old one put back included */
		if (i < 2)
			plant_journal(i);
		else
			spill("vol/.coffer/journal", copy.b, copy.n);
		ck_assert_int_eq(start_result(), -EBADMSG);
	}
	free(copy.b);
	teardown();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("root");

	tcase_add_test(t, records_move_to_the_new_key);
	tcase_add_test(t, planted_records);
	if (getenv("COFFER_TEST_JOURNAL")) {
		tcase_add_test(t, the_journal_takes_its_key);
		tcase_add_test(t, a_cut_between);
		tcase_add_test(t, planted_journals);
	}
	return run_engine_suite("root", t);
}

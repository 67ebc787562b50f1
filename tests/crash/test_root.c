/* A new root while the power goes: whatever is left, the keyring opens, the journal opens with it, and the files are there. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/internal.h"
#include "keymgr/internal.h"
#include "keymgr/rotate_root.h"
#include "survive.h"
#include "volume.h"

#define PASSPHRASE "correct horse battery staple" /* as in volume.c */

enum { DRAWS = 3 };

static const struct caller nobody = {.umask = 022};
static struct base base;

static struct unlock_secret secret(void)
{
	struct unlock_secret s = {.kind = SECRET_PASSPHRASE, .bytes = secret_new(strlen(PASSPHRASE))};

	memcpy(s.bytes->bytes, PASSPHRASE, s.bytes->size);
	return s;
}

static void start_with(struct mounted *m, const struct base *b, struct crash_store *cs, const char *where)
{
	struct fault why = {0};

	ck_assert_msg(mounted_start(m, b, cs, &why) == 0, "%s: %s", where, why.text);
}

/* The base has the last of its generations in memory only. */
static void write_keyring(void)
{
	struct crash_store *cs = crash_store_new(&base.image);
	struct store *s = crash_store_ops(cs);
	struct fault why = {0};
	int dot, data;
	bool first;

	ck_assert_int_eq(volume_open_dir(s, BASE_VOLUME, &dot, &data, &why), 0);
	ck_assert_int_eq(keyring_file_write(s, dot, base.keyring, &first), 0);
	store_close(s, dot);
	store_close(s, data);
	image_free(&base.image);
	image_copy(&base.image, crash_store_image(cs));
	crash_store_free(cs);
	keys_unref(base.keys);
	base.keys = keyring_keys(base.keyring);
}

/* A volume with a file in a directory, all in place. */
static void setup(void)
{
	struct mounted m;
	struct node_attr a;

	ck_assert_int_eq(setenv("COFFER_STATE_DIR", "", 1), 0);
	base_prepare();
	base_make(&base, true, false);
	write_keyring();
	start_with(&m, &base, crash_store_new(&base.image), "base");
	ck_assert_int_eq(fs_mkdir(m.e, &nobody, ROOT_NODE, "dir", 0755, &a), 0);
	ck_assert_int_eq(fs_mknod(m.e, &nobody, a.node, "file", S_IFREG | 0644, 0, &a), 0);
	ck_assert_int_eq(fs_write(m.e, a.node, "content", 7, 0, false), 7);
	ck_assert_int_eq(mounted_stop(&m), 0);
	image_free(&base.image);
	image_copy(&base.image, crash_store_image(m.cs));
	crash_store_free(m.cs);
}

static void teardown(void)
{
	base_free(&base);
}

static int open_keyring(struct store *s, int dot, struct keyring **k, struct fault *why)
{
	struct unlock_secret with = secret();
	int r = keyring_read(s, dot, k, why);

	if (r == 0)
		r = keyring_unlock(*k, &with, why);
	unlock_secret_wipe(&with);
	return r;
}

/* All that `key rotate --root` does below. */
static void new_root(struct store *s)
{
	struct unlock_secret with = secret();
	struct root_rotation done;
	struct keyring_change *c;
	struct keyring *k;
	struct fault why = {0};
	int dot, data;

	ck_assert_int_eq(volume_open_dir(s, BASE_VOLUME, &dot, &data, &why), 0);
	ck_assert_msg(open_keyring(s, dot, &k, &why) == 0, "%s", why.text);
	ck_assert_int_eq(keyring_change_begin(s, dot, k, &c, &why), 0);
	ck_assert_msg(keyring_rotate_root(s, dot, k, &with, 1, &done, &why) == 0, "%s", why.text);
	ck_assert_msg(keyring_change_commit(&c, &why) == 0, "%s", why.text);
	ck_assert_msg(journal_end_new_root(s, dot, k, &why) == 0, "%s", why.text);
	ck_assert(!keyring_journal_is_old(k));
	unlock_secret_wipe(&with);
	keyring_free(&k);
	store_close(s, dot);
	store_close(s, data);
}

/* The next mount: `finish` as one that may write, else as one that looks only. */
static void must_go_on(const struct image *left, bool finish, const char *where)
{
	struct base now = {.journal = true};
	struct crash_store *cs = crash_store_new(left);
	struct store *s = crash_store_ops(cs);
	struct mounted m;
	struct node_attr a;
	struct fault why = {0};
	char buf[8] = "";
	int dot, data;

	ck_assert_int_eq(volume_open_dir(s, BASE_VOLUME, &dot, &data, &why), 0);
	ck_assert_msg(open_keyring(s, dot, &now.keyring, &why) == 0, "%s: %s", where, why.text);
	if (finish)
		ck_assert_msg(journal_end_new_root(s, dot, now.keyring, &why) == 0, "%s: %s", where, why.text);
	now.keys = keyring_keys(now.keyring);
	now.settings = *keyring_settings(now.keyring);
	ck_assert(!finish || !now.keys->journal_before);
	store_close(s, dot);
	store_close(s, data);
	const struct engine_options o = {.journal = true, .commit_seconds = UINT32_MAX, .read_only = !finish};
	ck_assert_msg(mounted_start_with(&m, &now, cs, &o, &why) == 0, "%s: %s", where, why.text);
	ck_assert_int_eq(fs_lookup(m.e, ROOT_NODE, "dir", &a), 0);
	ck_assert_int_eq(fs_lookup(m.e, a.node, "file", &a), 0);
	ck_assert_msg(fs_read(m.e, a.node, buf, 7, 0) == 7 && strcmp(buf, "content") == 0, "%s: content", where);
	if (finish) /* it may be written, too */
		ck_assert_int_eq(fs_mkdir(m.e, &nobody, ROOT_NODE, "new", 0755, &a), 0);
	ck_assert_int_eq(mounted_stop(&m), 0);
	keys_unref(now.keys);
	keyring_free(&now.keyring);
	crash_store_free(cs);
}

static void cut(struct crash_store *cs, struct cut *c)
{
	struct image left;
	char where[120];

	snprintf(where, sizeof(where), "%s behind call %zu, %s, seed %ju", crash_model_names[c->model], c->calls,
		 crash_choice_names[c->choice], (uintmax_t)c->seed);
	survive(&base.image, crash_store_record(cs), c, &left, NULL);
	must_go_on(&left, true, where);
	must_go_on(&left, false, where);
	image_free(&left);
}

START_TEST(at_every_call)
{
	struct crash_store *cs = crash_store_new(&base.image);
	int draws = getenv("COFFER_TEST_SCALE") ? 1 : DRAWS;

	new_root(crash_store_ops(cs));
	for (size_t n = 0; n <= crash_store_count(cs); n++)
		for (int model = 0; model < MODELS; model++)
			for (int i = 0; i < (model == MODEL_KILL ? 1 : 2 + draws); i++) {
				struct cut c = {
					.model = (enum crash_model)model, .calls = n, .seed = mix(n, (uint64_t)i)};

				c.choice = i == 0 ? CHOICE_ALL : i == 1 ? CHOICE_NONE : CHOICE_RANDOM;
				cut(cs, &c);
			}
	crash_store_free(cs);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("new root");
	TCase *t = tcase_create("crash");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, at_every_call);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

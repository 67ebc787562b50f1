/* A new root, and the attacker whom it is for: he once knew a passphrase that was removed since, and kept a copy of the keyring. */
#include "fixture.h"

#include "keymgr/audit.h"
#include "keymgr/entry.h"
#include "keymgr/generations.h"
#include "keymgr/rotate_root.h"
#include "util/base/kdf_labels.h"

struct work {
	struct volume v;
	struct keyring *k;
	struct fault why;
	struct root_rotation done;
};

static void start(struct work *w)
{
	char *here = getcwd(NULL, 0), path[4096];
	const struct entry e = {0};

	*w = (struct work){0};
	snprintf(path, sizeof(path), "%s/state", here);
	free(here);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", path, 1), 0);
	volume_make(&w->v);
	w->k = open_volume(&w->v);
	ck_assert_int_eq(keyring_enter(w->v.s, w->v.dot, w->k, &e, &w->why), 0);
}

static void end(struct work *w)
{
	keyring_free(&w->k);
	volume_close(&w->v);
}

static int rotate_root(struct work *w, struct unlock_secret *secrets, uint32_t n)
{
	struct keyring_change *c;
	int ret;

	w->why = (struct fault){0};
	ck_assert_msg(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why) == 0, "%s", w->why.text);
	ret = keyring_rotate_root(w->v.s, w->v.dot, w->k, secrets, n, &w->done, &w->why);
	if (ret == 0)
		ret = keyring_change_commit(&c, &w->why);
	else
		keyring_change_abort(&c);
	for (uint32_t i = 0; i < n; i++)
		unlock_secret_wipe(&secrets[i]);
	return ret;
}

/* Nothing here has a journal. */
static void end_rotation(struct work *w)
{
	struct keyring_change *c;

	ck_assert(keyring_journal_is_old(w->k));
	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why), 0);
	ck_assert_int_eq(keyring_journal_is_new(w->k, &w->why), 0);
	ck_assert_int_eq(keyring_change_commit(&c, &w->why), 0);
	ck_assert(!keyring_journal_is_old(w->k));
}

static void must_rotate(struct work *w)
{
	struct unlock_secret s[] = {passphrase(PASSPHRASE)}, t[] = {passphrase(PASSPHRASE)};

	ck_assert_msg(rotate_root(w, s, 1) == 0, "%s", w->why.text);
	ck_assert_int_eq(rotate_root(w, t, 1), -EBUSY); /* not before the last one has ended */
	keyring_free(&w->k);
	w->k = open_volume(&w->v);
	w->k->remembered = true;
	end_rotation(w);
}

static void put_back(const struct text *t)
{
	spill("vol/.coffer/keyring.json", t->b, t->n);
	spill("vol/.coffer/keyring.json.bak", t->b, t->n);
}

static int enter_again(struct work *w)
{
	const struct entry e = {0};

	w->why = (struct fault){0};
	keyring_free(&w->k);
	w->k = open_volume(&w->v);
	return keyring_enter(w->v.s, w->v.dot, w->k, &e, &w->why);
}

START_TEST(what_changes)
{
	struct keys *before, *after;
	struct audit_report report;
	uint8_t old_root[KEY_SIZE], fingerprint[FINGERPRINT_SIZE];
	struct work w;

	start(&w);
	before = keyring_keys(w.k);
	memcpy(old_root, w.k->root->bytes, KEY_SIZE);
	memcpy(fingerprint, w.k->fingerprint, FINGERPRINT_SIZE);
	must_rotate(&w);
	ck_assert(w.done.kept == 1 && w.done.dropped == 1);
	ck_assert_str_eq(w.done.dropped_protectors[0].type, "recovery-key");
	ck_assert_int_eq(enter_again(&w), 0);
	ck_assert_mem_ne(w.k->root->bytes, old_root, KEY_SIZE);
	ck_assert_int_eq(keyring_root_succeeds(w.k, fingerprint), 0);
	after = keyring_keys(w.k);
	ck_assert_uint_eq(after->count, 4);
	ck_assert_uint_eq(after->active[0], 3);
	ck_assert_uint_eq(after->active[1], 4);
	for (int i = 0; i < 2; i++) /* what is under the old ones is still read */
		ck_assert_mem_eq(after->generations[i].prk->bytes, before->generations[i].prk->bytes, SHA256_SIZE);
	keys_unref(before);
	keys_unref(after);
	/* The log goes on under a new key, and all of it verifies; also once more. */
	ck_assert_int_eq(audit_verify(w.v.s, w.v.dot, w.k, NULL, NULL, NULL, &report, &w.why), 0);
	must_rotate(&w);
	ck_assert_int_eq(enter_again(&w), 0);
	ck_assert_msg(audit_verify(w.v.s, w.v.dot, w.k, NULL, NULL, NULL, &report, &w.why) == 0, "%s", w.why.text);
	ck_assert_uint_eq(report.problems, 0);
	ck_assert_int_eq(keyring_root_succeeds(w.k, fingerprint), 0);
	end(&w);
}
END_TEST

START_TEST(protectors_stay_for_whom_shows_a_secret)
{
	struct unlock_secret recovery = {.kind = SECRET_PASSPHRASE, .bytes = secret_new(RECOVERY_TEXT)}, again;
	struct work w;
	struct fault why;
	int ret;

	start(&w);
	memcpy(recovery.bytes->bytes, w.v.recovery.bytes->bytes, RECOVERY_TEXT);
	struct unlock_secret s[] = {passphrase(PASSPHRASE), recovery};
	ck_assert_msg(rotate_root(&w, s, 2) == 0, "%s", w.why.text);
	ck_assert(w.done.kept == 2 && w.done.dropped == 0);
	keyring_free(&w.k);
	again = (struct unlock_secret){.kind = SECRET_RECOVERY_KEY, .bytes = w.v.recovery.bytes};
	w.k = open_with(&w.v, &again, &why, &ret);
	ck_assert_ptr_nonnull(w.k);
	ck_assert_uint_eq(keyring_opened_by(w.k), 2);
	end(&w);
}
END_TEST

START_TEST(a_secret_that_opens_nothing)
{
	struct text before, after;
	struct work w;

	start(&w);
	before = slurp("vol/.coffer/keyring.json");
	struct unlock_secret s[] = {passphrase(PASSPHRASE), key_file(3)};
	ck_assert_int_eq(rotate_root(&w, s, 2), -EKEYREJECTED);
	ck_assert_int_eq(w.why.status, EXIT_WRONG_SECRET);
	after = slurp("vol/.coffer/keyring.json");
	ck_assert(before.n == after.n && memcmp(before.b, after.b, before.n) == 0);
	free(before.b);
	free(after.b);
	end(&w);
}
END_TEST

/* --- id records */

static int nobody(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)context;
	(void)generation;
	(void)why;
	*files = 0;
	return 0;
}

static void raise_floor(struct work *w, uint32_t generation)
{
	const struct generation_users users = {nobody, NULL};
	struct keyring_change *c;

	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why), 0);
	ck_assert_msg(keyring_raise_floor(w->k, generation, &users, &w->why) == 0, "%s", w->why.text);
	ck_assert_int_eq(keyring_change_commit(&c, &w->why), 0);
}

static bool accepts(const struct work *w, const struct secret *key, uint32_t generation, uint32_t next)
{
	struct directory_record record = {generation, next, {7}}, out;
	char text[DIRECTORY_RECORD_TEXT + 1];
	struct keys *keys = keyring_keys(w->k), *locked = keys_locked(keys);
	int ret, behind_a_lock;

	ck_assert_int_eq(directory_record_seal(key, &record, text), 0);
	ret = directory_record_accept(keys, text, DIRECTORY_RECORD_TEXT, &out);
	behind_a_lock = directory_record_accept(locked, text, DIRECTORY_RECORD_TEXT, &out);
	ck_assert_int_eq(ret, behind_a_lock);
	ck_assert(ret == 0 || ret == -EBADMSG);
	ck_assert(ret == 0 ? out.generation == generation && out.id[0] == 7 : out.generation == 0 && out.id[0] == 0);
	keys_unref(keys);
	keys_unref(locked);
	return ret == 0;
}

/* Those under a directory key of before count for generations of before, until these are below the floor. */
START_TEST(older_directory_keys)
{
	struct keys *first, *second, *third;
	struct work w;

	start(&w);
	first = keyring_keys(w.k);
	must_rotate(&w); /* 3 and 4 */
	second = keyring_keys(w.k);
	ck_assert_mem_ne(first->directory_key->bytes, second->directory_key->bytes, KEY_SIZE);
	ck_assert_mem_ne(first->journal_prk->bytes, second->journal_prk->bytes, SHA256_SIZE);
	ck_assert(accepts(&w, second->directory_key, 3, 0) && accepts(&w, second->directory_key, 1, 3));
	ck_assert(accepts(&w, first->directory_key, 1, 0));
	ck_assert(!accepts(&w, first->directory_key, 3, 0));
	ck_assert(!accepts(&w, first->directory_key, 1, 3));
	ck_assert(!accepts(&w, first->directory_key, UINT32_MAX, 0));
	must_rotate(&w); /* 5 and 6 */
	third = keyring_keys(w.k);
	ck_assert(accepts(&w, first->directory_key, 1, 0) && accepts(&w, second->directory_key, 3, 0));
	ck_assert(!accepts(&w, first->directory_key, 3, 0) && !accepts(&w, second->directory_key, 5, 0));
	raise_floor(&w, 3);
	ck_assert(!accepts(&w, first->directory_key, 1, 0) && accepts(&w, second->directory_key, 3, 0));
	ck_assert_int_eq(enter_again(&w), 0);
	ck_assert_uint_eq(w.k->older_count, 1);
	raise_floor(&w, 5);
	ck_assert(!accepts(&w, second->directory_key, 3, 0) && accepts(&w, third->directory_key, 5, 0));
	ck_assert_int_eq(enter_again(&w), 0);
	ck_assert_uint_eq(w.k->older_count, 0);
	keys_unref(first);
	keys_unref(second);
	keys_unref(third);
	end(&w);
}
END_TEST

/* --- the attacker */

static void add_old_passphrase(struct work *w)
{
	struct unlock_secret s = passphrase("known to the attacker");
	struct keyring_change *c;
	uint32_t id;

	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why), 0);
	ck_assert_int_eq(keyring_add_protector(w->k, &s, &id, &w->why), 0);
	ck_assert_int_eq(keyring_change_commit(&c, &w->why), 0);
	unlock_secret_wipe(&s);
}

static void remove_old_passphrase(struct work *w)
{
	struct keyring_change *c;

	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why), 0);
	ck_assert_int_eq(keyring_remove_protector(w->k, 3, &w->why), 0);
	ck_assert_int_eq(keyring_change_commit(&c, &w->why), 0);
}

START_TEST(the_attacker_opens_no_later_generation)
{
	_cleanup_stack_key_ struct stack_key prk, key;
	struct wrapping old = {prk.b, NULL, NULL};
	struct work w;

	start(&w);
	old.volume_id = w.k->settings.volume_id;
	ck_assert_int_eq(keyring_root_prk(w.k, &prk), 0); /* what he has */
	must_rotate(&w);
	old.volume_id = w.k->settings.volume_id;
	for (uint32_t i = 0; i < w.k->generation_count; i++)
		ck_assert_int_eq(wrapping_open(&old, LABEL_ROOT_WRAP, w.k->generations[i].wrapped, key.b), -EBADMSG);
	for (int i = 0; i < VOLUME_KEYS; i++)
		ck_assert_int_eq(wrapping_open(&old, LABEL_ROOT_WRAP, w.k->wrapped_keys[i], key.b), -EBADMSG);
	end(&w);
}
END_TEST

START_TEST(the_attacker_puts_his_copy_back)
{
	struct work w;
	struct text copy;

	start(&w);
	add_old_passphrase(&w);
	copy = slurp("vol/.coffer/keyring.json");
	remove_old_passphrase(&w);
	must_rotate(&w);
	ck_assert_int_eq(enter_again(&w), 0);
	put_back(&copy); /* the victim's passphrase opens it as well */
	ck_assert_int_eq(enter_again(&w), -ESTALE);
	ck_assert_ptr_nonnull(strstr(w.why.text, "replaced since"));
	free(copy.b);
	end(&w);
}
END_TEST

/* He makes a successor of the root that he knows, with every sequence number as high as he likes. */
START_TEST(the_attacker_makes_a_root_of_his_own)
{
	struct work w;
	struct text copy, right;

	start(&w);
	copy = slurp("vol/.coffer/keyring.json");
	must_rotate(&w);
	ck_assert_int_eq(enter_again(&w), 0);
	right = slurp("vol/.coffer/keyring.json");
	put_back(&copy);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", "", 1), 0); /* at home */
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	ck_assert_int_eq(put_number(w.k->doc, "sequence", 1000), 0);
	must_rotate(&w);
	must_rotate(&w);
	char *here = getcwd(NULL, 0), path[4096];
	snprintf(path, sizeof(path), "%s/state", here);
	free(here);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", path, 1), 0); /* and put into the victim's volume */
	ck_assert_int_eq(enter_again(&w), -EKEYREJECTED);
	ck_assert_ptr_nonnull(strstr(w.why.text, "foreign root"));
	put_back(&right);
	free(copy.b);
	free(right.b);
	end(&w);
}
END_TEST

/* Another host, which has not seen the new root yet, follows the chain. */
START_TEST(a_host_that_was_away)
{
	struct work w;

	start(&w);
	ck_assert_int_eq(rename("state", "away"), 0);
	ck_assert_int_eq(mkdir("state", 0700), 0);
	must_rotate(&w);
	must_rotate(&w);
	remove_tree("state");
	ck_assert_int_eq(rename("away", "state"), 0);
	ck_assert_msg(enter_again(&w) == 0, "%s", w.why.text);
	end(&w);
}
END_TEST

/* Two commands at once, one of which makes a new root: the other one has the old root, and says so. */
START_TEST(a_root_that_changes_meanwhile)
{
	struct keyring_change *c;
	struct keyring *other;
	struct fault why = {0};
	const struct entry e = {0};
	struct work w;

	start(&w);
	other = open_volume(&w.v);
	must_rotate(&w);
	ck_assert_int_eq(keyring_enter(w.v.s, w.v.dot, other, &e, &why), -EKEYREJECTED);
	ck_assert(why.status == EXIT_REFUSED && strstr(why.text, "run this again"));
	why = (struct fault){0};
	ck_assert_int_eq(keyring_change_begin(w.v.s, w.v.dot, other, &c, &why), -EKEYREJECTED);
	ck_assert_int_eq(why.status, EXIT_REFUSED);
	keyring_free(&other);
	end(&w);
}
END_TEST

/* At every write that fails the volume opens with the old root or the new one. */
START_TEST(a_rotation_that_fails)
{
	bool done = false;
	struct work w;

	start(&w);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", "", 1), 0);
	for (long n = 0; !done; n++) {
		struct unlock_secret s = passphrase(PASSPHRASE);
		struct keyring_change *c;
		struct failing_store f;

		failing_store_init(&f, n, EIO, false);
		w.why = (struct fault){0};
		if (keyring_change_begin(&f.store, w.v.dot, w.k, &c, &w.why) == 0) {
			if (keyring_rotate_root(&f.store, w.v.dot, w.k, &s, 1, &w.done, &w.why) == 0)
				(void)!keyring_change_commit(&c, &w.why);
			else
				keyring_change_abort(&c);
		}
		done = f.allowed >= 0;
		unlock_secret_wipe(&s);
		keyring_free(&w.k);
		w.k = open_volume(&w.v);
		f.real->ops->destroy(f.real);
	}
	end(&w);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("root");

	tcase_add_test(t, what_changes);
	tcase_add_test(t, protectors_stay_for_whom_shows_a_secret);
	tcase_add_test(t, a_secret_that_opens_nothing);
	tcase_add_test(t, older_directory_keys);
	tcase_add_test(t, the_attacker_opens_no_later_generation);
	tcase_add_test(t, the_attacker_puts_his_copy_back);
	tcase_add_test(t, the_attacker_makes_a_root_of_his_own);
	tcase_add_test(t, a_host_that_was_away);
	tcase_add_test(t, a_root_that_changes_meanwhile);
	tcase_add_test(t, a_rotation_that_fails);
	return run_suite("root", t);
}

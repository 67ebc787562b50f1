/* Backups: what opens them, what they hold; and restoring, which never goes back. */
#include "scopes.h"

#include "keymgr/backup.h"

static struct keyring_change *begin(struct work *w)
{
	struct keyring_change *c;

	w->why = (struct fault){0};
	ck_assert_msg(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why) == 0, "%s", w->why.text);
	return c;
}

static void commit(struct work *w, struct keyring_change *c)
{
	ck_assert_msg(keyring_change_commit(&c, &w->why) == 0, "%s", w->why.text);
}

static void destroy_fields(struct work *w, uint32_t generation)
{
	struct keyring_change *c = begin(w);
	bool gone;

	ck_assert_int_eq(keyring_destroy(w->k, generation, true, NULL, &gone, &w->why), 0);
	commit(w, c);
}

static void make(struct work *w, struct unlock_secret with)
{
	struct keyring_change *c = begin(w);

	free(w->text);
	ck_assert_msg(backup_make(w->k, &with, &w->text, &w->n, &w->why) == 0, "%s", w->why.text);
	commit(w, c);
	unlock_secret_wipe(&with);
}

/* The backup, opened. */
static struct keyring *open_backup(struct work *w, struct unlock_secret with)
{
	struct keyring *b;

	w->why = (struct fault){0};
	ck_assert_msg(backup_read(w->text, w->n, &b, &w->why) == 0, "%s", w->why.text);
	ck_assert_msg(backup_unlock(b, &with, &w->why) == 0, "%s", w->why.text);
	unlock_secret_wipe(&with);
	return b;
}

static int try_restore(struct work *w, struct trust trust, struct restored *out)
{
	struct restoring how = {.backup = open_backup(w, key_file(9)), .secret = passphrase("new"), .trust = trust};
	int ret = restore(w->v.s, w->v.dot, &how, out, &w->why);

	keyring_free(&how.backup);
	unlock_secret_wipe(&how.secret);
	ck_assert(ret == 0 || w->why.status != EXIT_OK);
	return ret;
}

/* Restores; what is then on the disk is opened with the new secret. */
static struct restored restored(struct work *w)
{
	struct unlock_secret new = passphrase("new");
	struct restored r;
	struct fault why;
	int ret;

	ck_assert_msg(try_restore(w, (struct trust){0}, &r) == 0, "%s", w->why.text);
	keyring_free(&r.keyring);
	keyring_free(&w->k);
	w->k = open_with(&w->v, &new, &why, &ret);
	ck_assert_msg(w->k != NULL, "%s", why.text);
	unlock_secret_wipe(&new);
	ck_assert_int_eq(enter(w), 0); /* the host agrees */
	return r;
}

static enum key_state state_of(struct work *w, uint32_t number)
{
	struct generation *g = generation_find(w->k, number);

	ck_assert_ptr_nonnull(g);
	return g->state;
}

static void lose_keyring(void)
{
	ck_assert_int_eq(unlink("vol/.coffer/keyring.json"), 0);
	ck_assert_int_eq(unlink("vol/.coffer/keyring.json.bak"), 0);
}

static void put_back(const struct text *t)
{
	spill("vol/.coffer/keyring.json", t->b, t->n);
	spill("vol/.coffer/keyring.json.bak", t->b, t->n);
}

START_TEST(made_and_opened)
{
	uint32_t missing[4], unbacked[8];
	struct backup_info info[BACKUPS_MAX];
	struct unlock_secret wrong = key_file(8), volume = passphrase(PASSPHRASE);
	struct keyring_change *c;
	struct keyring *b;
	struct work w;

	start_unseen(&w);
	ck_assert_uint_eq(keyring_unbacked(w.k, unbacked, 8), 2);
	make(&w, passphrase("for the backup"));
	ck_assert_ptr_null(strstr(w.text, "recovery-key")); /* the volume's protectors are not in it */
	b = open_backup(&w, passphrase("for the backup"));
	ck_assert_str_eq(backup_type(b), "passphrase");
	ck_assert_int_eq(backup_missing(b, w.k, missing, 4, &w.why), 0);
	ck_assert_uint_eq(keyring_unbacked(w.k, unbacked, 8), 2); /* nobody has shown yet that it opens */
	c = begin(&w);
	ck_assert_int_eq(backup_mark_verified(w.k, b, &w.why), 0);
	commit(&w, c);
	ck_assert_uint_eq(keyring_unbacked(w.k, unbacked, 8), 0);
	ck_assert_uint_eq(keyring_backups(w.k, info), 1);
	ck_assert(info[0].generations == 2 && *info[0].verified);
	rotate(&w, SCOPE_DEFAULT);
	ck_assert_uint_eq(keyring_unbacked(w.k, unbacked, 8), 1);
	ck_assert_uint_eq(unbacked[0], 3);
	ck_assert_int_eq(backup_missing(b, w.k, missing, 4, &w.why), 1);
	ck_assert_uint_eq(missing[0], 3);
	keyring_free(&b);

	ck_assert_int_eq(backup_read(w.text, w.n, &b, &w.why), 0);
	ck_assert_int_eq(backup_unlock(b, &wrong, &w.why), -EKEYREJECTED);
	ck_assert(w.why.status == EXIT_WRONG_SECRET && strstr(w.why.text, "passphrase"));
	w.why = (struct fault){0};
	ck_assert_int_eq(backup_unlock(b, &volume, &w.why), -EKEYREJECTED);
	keyring_free(&b);
	unlock_secret_wipe(&wrong);
	unlock_secret_wipe(&volume);
	end(&w);
}
END_TEST

START_TEST(the_root_of_the_backup_opens_the_volume)
{
	struct keyring *b, *k;
	struct work w;

	start_unseen(&w);
	make(&w, key_file(9));
	b = open_backup(&w, key_file(9));
	ck_assert_int_eq(keyring_read(w.v.s, w.v.dot, &k, &w.why), 0);
	ck_assert_int_eq(backup_unlock_volume(b, k, &w.why), 0);
	ck_assert_ptr_nonnull(k->root);
	keyring_free(&k);
	keyring_free(&b);
	end(&w);
}
END_TEST

START_TEST(damaged_backup)
{
	struct unlock_secret right = key_file(9);
	struct keyring *b;
	struct work w;
	struct text t;

	start_unseen(&w);
	make(&w, key_file(9));
	for (size_t i = 0; i < w.n; i += 1 + w.n / 200) {
		struct fault why = {0};

		w.text[i] ^= 1;
		ck_assert_int_eq(backup_read(w.text, w.n, &b, &why), -EBADMSG);
		ck_assert_int_eq(why.status, EXIT_DAMAGED);
		w.text[i] ^= 1;
	}
	ck_assert_int_eq(backup_read(w.text, w.n - 1, &b, &w.why), -EBADMSG);
	/* Edited, with a right hash. */
	t = (struct text){strdup(w.text), w.n};
	replace(&t, "\"state\": \"active\"", "\"state\": \"active\" ");
	rehash(&t);
	w.why = (struct fault){0};
	ck_assert_int_eq(backup_read(t.b, t.n, &b, &w.why), 0);
	ck_assert_int_eq(backup_unlock(b, &right, &w.why), -EBADMSG);
	keyring_free(&b);
	free(t.b);
	/* A keyring is none. */
	t = slurp("vol/.coffer/keyring.json");
	w.why = (struct fault){0};
	ck_assert_int_eq(backup_read(t.b, t.n, &b, &w.why), -EBADMSG);
	free(t.b);
	unlock_secret_wipe(&right);
	end(&w);
}
END_TEST

START_TEST(lost_keyring)
{
	struct restored r;
	struct work w;
	struct keys *before, *after;
	uint64_t sequence;

	start(&w);
	make(&w, key_file(9));
	before = keyring_keys(w.k);
	sequence = keyring_sequence(w.k);
	lose_keyring();
	r = restored(&w);
	ck_assert(!r.merged && r.seen == 0);
	ck_assert_uint_gt(keyring_sequence(w.k), sequence);
	after = keyring_keys(w.k);
	ck_assert_uint_eq(after->count, before->count);
	for (uint32_t i = 0; i < after->count; i++)
		ck_assert_mem_eq(after->generations[i].prk->bytes, before->generations[i].prk->bytes, SHA256_SIZE);
	ck_assert_mem_eq(after->directory_key->bytes, before->directory_key->bytes, KEY_SIZE);
	keys_unref(before);
	keys_unref(after);
	end(&w);
}
END_TEST

START_TEST(lost_settings_too)
{
	struct settings before;
	struct work w;

	start_unseen(&w);
	make(&w, key_file(9));
	before = *keyring_settings(w.k);
	lose_keyring();
	ck_assert_int_eq(unlink("vol/.coffer/volume.json"), 0);
	ck_assert_int_eq(unlink("vol/.coffer/volume.json.bak"), 0);
	restored(&w);
	ck_assert_mem_eq(keyring_settings(w.k)->volume_id, before.volume_id, VOLUME_ID_SIZE);
	ck_assert_mem_eq(keyring_settings(w.k)->instance_id, before.instance_id, INSTANCE_ID_SIZE);
	end(&w);
}
END_TEST

/* The host has seen more than the backup holds: numbers and floors go on above that. */
START_TEST(older_than_the_host)
{
	struct restored r;
	struct work w;
	struct keyring_change *c;
	uint64_t sequence;

	start(&w);
	make(&w, key_file(9));
	rotate(&w, SCOPE_FIELDS); /* 3 */
	c = begin(&w);
	ck_assert_int_eq(keyring_raise_floor(w.k, 3, NULL, &w.why), 0);
	commit(&w, c);
	sequence = keyring_sequence(w.k);
	lose_keyring();
	r = restored(&w);
	ck_assert_uint_eq(r.seen, 3);
	ck_assert_uint_gt(keyring_sequence(w.k), sequence);
	ck_assert_ptr_null(generation_find(w.k, 3)); /* lost; its number is not given again */
	ck_assert_uint_gt(w.k->active[SCOPE_FIELDS], 3);
	ck_assert_uint_gt(w.k->active[SCOPE_DEFAULT], 3);
	ck_assert_uint_eq(w.k->floor[SCOPE_FIELDS], 3);
	ck_assert_int_eq(state_of(&w, 1), KEY_DEACTIVATED);
	end(&w);
}
END_TEST

/* The volume's keyring is newer than the backup: nothing of it is lost. */
START_TEST(forgotten_passphrase)
{
	struct restored r;
	struct work w;

	start_unseen(&w);
	make(&w, key_file(9));
	rotate(&w, SCOPE_DEFAULT);
	rotate(&w, SCOPE_FIELDS);
	destroy_fields(&w, 2);
	r = restored(&w);
	ck_assert(r.merged && r.added == 0);
	ck_assert_uint_eq(w.k->generation_count, 4);
	ck_assert_int_eq(state_of(&w, 2), KEY_DESTROYED); /* although the backup has it */
	ck_assert_uint_eq(w.k->active[SCOPE_DEFAULT], 3);
	ck_assert_uint_eq(w.k->protector_count, 3); /* the old ones stay */
	end(&w);
}
END_TEST

/* An old keyring lies in place, the backup is newer. */
START_TEST(older_keyring_in_place)
{
	struct restored r;
	struct work w;
	struct text old;

	start_unseen(&w);
	old = slurp("vol/.coffer/keyring.json");
	rotate(&w, SCOPE_DEFAULT); /* 3 */
	rotate(&w, SCOPE_FIELDS);  /* 4 */
	destroy_fields(&w, 2);
	make(&w, key_file(9));
	put_back(&old);
	r = restored(&w);
	ck_assert(r.merged && r.added == 2);
	ck_assert_int_eq(state_of(&w, 1), KEY_DEACTIVATED);
	ck_assert_int_eq(state_of(&w, 2), KEY_DESTROYED);
	ck_assert_uint_eq(w.k->active[SCOPE_DEFAULT], 3);
	ck_assert_uint_eq(w.k->active[SCOPE_FIELDS], 4);
	free(old.b);
	end(&w);
}
END_TEST

/* Both went on from one point, each for itself: the same number names two keys. */
START_TEST(separate_ways)
{
	struct restored r;
	struct work w;
	struct text old;

	start_unseen(&w);
	old = slurp("vol/.coffer/keyring.json");
	rotate(&w, SCOPE_DEFAULT);
	make(&w, key_file(9));
	put_back(&old);
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	rotate(&w, SCOPE_DEFAULT);
	ck_assert_int_eq(try_restore(&w, (struct trust){0}, &r), -EPERM);
	ck_assert_ptr_nonnull(strstr(w.why.text, "separate ways"));
	free(old.b);
	end(&w);
}
END_TEST

START_TEST(other_volume_other_root)
{
	struct restored r;
	struct work w;
	struct text keyring, settings;

	start_unseen(&w);
	keyring = slurp("vol/.coffer/keyring.json");
	settings = slurp("vol/.coffer/volume.json");
	make(&w, key_file(9));
	end(&w);
	/* Another volume in its place. */
	remove_tree("vol");
	struct work other;
	start(&other);
	make(&other, key_file(9));
	lose_keyring();
	put_back(&keyring);
	spill("vol/.coffer/volume.json", settings.b, settings.n);
	ck_assert_int_eq(try_restore(&other, (struct trust){0}, &r), -EXDEV);
	free(keyring.b);
	free(settings.b);
	end(&other);
}
END_TEST

/* At every write that fails: the volume opens with its old secret or the new one. */
START_TEST(restore_that_fails)
{
	bool done = false;
	struct work w;

	start_unseen(&w);
	make(&w, key_file(9));
	for (long n = 0; !done; n++) {
		struct restoring how = {.backup = open_backup(&w, key_file(9)), .secret = passphrase("new")};
		struct unlock_secret old = passphrase(PASSPHRASE);
		struct restored r;
		struct fault why = {0};
		struct failing_store f;
		int ret, opened;
		struct keyring *k;

		failing_store_init(&f, n, EIO, false);
		ret = restore(&f.store, w.v.dot, &how, &r, &why);
		done = f.allowed >= 0;
		ck_assert(ret == 0 || why.status != EXIT_OK);
		if (ret == 0)
			keyring_free(&r.keyring);
		k = open_with(&w.v, &old, &why, &opened);
		ck_assert_ptr_nonnull(k);
		keyring_free(&k);
		keyring_free(&how.backup);
		unlock_secret_wipe(&how.secret);
		unlock_secret_wipe(&old);
		f.real->ops->destroy(f.real);
	}
	end(&w);
}
END_TEST

START_TEST(shares_protect_a_backup)
{
	struct unlock_secret x = {.kind = SECRET_SHARES,
				  .bytes = secret_new(32),
				  .share_threshold = 2,
				  .share_count = 3},
			     again = {.kind = SECRET_SHARES, .bytes = secret_new(32)};
	struct protector_info info[PROTECTORS_MAX];
	struct keyring *b;
	struct work w;

	start_unseen(&w);
	memset(x.bytes->bytes, 7, 32);
	memset(again.bytes->bytes, 7, 32);
	make(&w, x);
	b = open_backup(&w, again);
	ck_assert_str_eq(backup_type(b), "shares");
	ck_assert_uint_eq(keyring_protectors(b, info), 1);
	ck_assert_str_eq(info[0].detail, "2 of 3 shares");
	keyring_free(&b);
	end(&w);
}
END_TEST

START_TEST(the_list_is_bounded)
{
	struct backup_info info[BACKUPS_MAX];
	struct work w;

	start_unseen(&w);
	for (int i = 0; i < BACKUPS_MAX + 2; i++)
		make(&w, key_file(9));
	ck_assert_uint_eq(keyring_backups(w.k, info), BACKUPS_MAX);
	end(&w);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("backup");

	tcase_add_test(t, made_and_opened);
	tcase_add_test(t, the_root_of_the_backup_opens_the_volume);
	tcase_add_test(t, damaged_backup);
	tcase_add_test(t, lost_keyring);
	tcase_add_test(t, lost_settings_too);
	tcase_add_test(t, older_than_the_host);
	tcase_add_test(t, forgotten_passphrase);
	tcase_add_test(t, older_keyring_in_place);
	tcase_add_test(t, separate_ways);
	tcase_add_test(t, other_volume_other_root);
	tcase_add_test(t, restore_that_fails);
	tcase_add_test(t, shares_protect_a_backup);
	tcase_add_test(t, the_list_is_bounded);
	return run_suite("backup", t);
}

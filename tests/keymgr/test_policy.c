/* Policies: what is due when, and what is left alone. */
#include "policies.h"

#include "keymgr/backup.h"

static void set(struct work *w, struct policy p)
{
	struct policy again;

	ck_assert_int_eq(keyring_set_policy(w->k, &p, &w->why), 0);
	keyring_policy(w->k, &again);
	ck_assert_mem_eq(&again, &p, sizeof(p));
}

static void run(struct work *w, uint32_t rotated, uint32_t retired, uint32_t destroyed, uint32_t kept)
{
	ck_assert_msg(keyring_run_policy(w->k, &w->facts, &w->done, &w->why) == 0, "%s", w->why.text);
	ck_assert_uint_eq(w->done.rotated, rotated);
	ck_assert_uint_eq(w->done.retired, retired);
	ck_assert_uint_eq(w->done.destroyed, destroyed);
	ck_assert_uint_eq(w->done.kept, kept);
}

START_TEST(by_age)
{
	struct work w;

	start(&w);
	run(&w, 0, 0, 0, 0);
	set(&w, (struct policy){.rotate_every = 90 * DAY});
	document_set_clock_for_tests(noon + 90 * DAY - 1);
	run(&w, 0, 0, 0, 0);
	document_set_clock_for_tests(noon + 90 * DAY);
	run(&w, 2, 0, 0, 0); /* each scope */
	run(&w, 0, 0, 0, 0);
	ck_assert_uint_eq(w.k->active[SCOPE_DEFAULT], 3);
	document_set_clock_for_tests(noon); /* a clock that was set back */
	run(&w, 0, 0, 0, 0);
	end(&w);
}
END_TEST

START_TEST(by_bytes)
{
	struct work w;

	start(&w);
	set(&w, (struct policy){.rotate_after = 1000});
	run(&w, 0, 0, 0, 0); /* not known */
	w.facts.bytes = 999;
	run(&w, 0, 0, 0, 0);
	w.facts.bytes = 1000;
	run(&w, 1, 0, 0, 0);
	ck_assert_uint_eq(w.k->active[SCOPE_FIELDS], 2);
	end(&w);
}
END_TEST

START_TEST(retiring)
{
	struct work w;
	uint32_t n;

	start(&w);
	set(&w, (struct policy){.retire_after = 10 * DAY});
	ck_assert_int_eq(keyring_rotate(w.k, SCOPE_FIELDS, &n, &w.why), 0);
	ck_assert_int_eq(keyring_rotate(w.k, SCOPE_DEFAULT, &n, &w.why), 0);
	document_set_clock_for_tests(noon + 10 * DAY);
	run(&w, 0, 0, 0, 0); /* above the floor nothing is retired */
	ck_assert_int_eq(keyring_raise_floor(w.k, 3, NULL, &w.why), 0);
	run(&w, 0, 1, 0, 0);
	run(&w, 0, 0, 0, 0);
	document_set_clock_for_tests(noon + 39 * DAY);
	run(&w, 0, 0, 0, 0);
	document_set_clock_for_tests(noon + 40 * DAY);
	run(&w, 0, 0, 1, 0);
	ck_assert_int_eq(generation_find(w.k, 2)->state, KEY_DESTROYED);
	end(&w);
}
END_TEST

static int some(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)generation;
	(void)why;
	*files = *(uint64_t *)context;
	return 0;
}

/* Its files came back meanwhile, out of a backup. */
START_TEST(needed_again)
{
	uint64_t files = 0;
	struct generation_users users = {some, &files};
	struct work w;
	bool gone;
	uint32_t n;

	start(&w);
	w.facts.users = &users;
	ck_assert_int_eq(keyring_rotate(w.k, SCOPE_DEFAULT, &n, &w.why), 0);
	ck_assert_int_eq(keyring_destroy(w.k, 1, false, &users, &gone, &w.why), 0);
	document_set_clock_for_tests(noon + 30 * DAY);
	files = 1;
	run(&w, 0, 0, 0, 1);
	files = 0;
	run(&w, 0, 0, 1, 0);
	end(&w);
}
END_TEST

START_TEST(backup_age)
{
	struct unlock_secret s = key_file(1);
	struct keyring *b;
	struct work w;
	char *text;
	size_t n;

	start(&w);
	ck_assert(!keyring_backup_too_old(w.k));
	set(&w, (struct policy){.warn_backup_age = 30 * DAY});
	ck_assert(keyring_backup_too_old(w.k));
	ck_assert_int_eq(backup_make(w.k, &s, &text, &n, &w.why), 0);
	ck_assert(keyring_backup_too_old(w.k)); /* not verified */
	ck_assert_int_eq(backup_read(text, n, &b, &w.why), 0);
	ck_assert_int_eq(backup_unlock(b, &s, &w.why), 0);
	ck_assert_int_eq(backup_mark_verified(w.k, b, &w.why), 0);
	ck_assert(!keyring_backup_too_old(w.k));
	document_set_clock_for_tests(noon + 30 * DAY);
	ck_assert(keyring_backup_too_old(w.k));
	keyring_free(&b);
	free(text);
	unlock_secret_wipe(&s);
	end(&w);
}
END_TEST

START_TEST(gcm_has_one)
{
	struct unlock_secret s = passphrase(PASSPHRASE);
	struct new_volume how = {.cipher = CIPHER_AES_256_GCM, .secrets = &s, .secret_count = 1};
	struct fault why = {0};
	struct keyring *k;
	struct policy p;

	ck_assert_int_eq(volume_init("gcm", &how, &k, &why), 0);
	keyring_policy(k, &p);
	ck_assert_uint_eq(p.rotate_after, UINT64_C(8) << 40);
	ck_assert_uint_eq(p.rotate_every, 0);
	keyring_free(&k);
	unlock_secret_wipe(&s);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("policy");

	tcase_add_test(t, by_age);
	tcase_add_test(t, by_bytes);
	tcase_add_test(t, retiring);
	tcase_add_test(t, needed_again);
	tcase_add_test(t, backup_age);
	tcase_add_test(t, gcm_has_one);
	return run_suite("policy", t);
}

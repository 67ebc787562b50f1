/* Keyrings: who opens them, protectors, changes, versions and flags. */
#include "fixture.h"

#include <sys/wait.h>
#include <unistd.h>

static void refused(struct volume *v, struct unlock_secret with, int error, enum exit_status status, const char *words)
{
	struct fault why;
	int ret;

	ck_assert_ptr_null(open_with(v, &with, &why, &ret));
	ck_assert_msg(ret == error && why.status == status && strstr(why.text, words), "%d %d %s", ret, why.status,
		      why.text);
	unlock_secret_wipe(&with);
}

static uint32_t opened_by(struct volume *v, struct unlock_secret with)
{
	struct fault why;
	int ret;
	struct keyring *k = open_with(v, &with, &why, &ret);
	uint32_t id;

	ck_assert_msg(k != NULL, "%s", why.text);
	id = keyring_opened_by(k);
	keyring_free(&k);
	unlock_secret_wipe(&with);
	return id;
}

static struct unlock_secret recovery_text(struct volume *v, enum secret_kind kind)
{
	struct unlock_secret u = {.kind = kind, .bytes = secret_new(RECOVERY_TEXT)};

	memcpy(u.bytes->bytes, v->recovery.bytes->bytes, RECOVERY_TEXT);
	return u;
}

START_TEST(round_trip)
{
	struct protector_info protectors[PROTECTORS_MAX];
	struct generation_info generations[4];
	char fingerprint[2 * FINGERPRINT_SIZE + 8];
	struct volume v;
	struct keyring *k;
	struct keys *keys;
	struct directory_record record;
	char text[100];
	ssize_t n;

	volume_make(&v);
	k = open_volume(&v);
	ck_assert_uint_eq(keyring_opened_by(k), 1);
	ck_assert_uint_eq(keyring_sequence(k), 1);
	ck_assert(!keyring_read_only(k));
	ck_assert_uint_eq(keyring_settings(k)->name_max, 255);
	ck_assert_uint_eq(keyring_protectors(k, protectors), 2);
	ck_assert_str_eq(protectors[0].type, "passphrase");
	ck_assert_str_eq(protectors[0].detail, "argon2id t=1 m=0MiB p=1");
	ck_assert_str_eq(protectors[1].type, "recovery-key");
	ck_assert_uint_eq(strlen(protectors[1].created), 20);
	ck_assert_uint_eq(keyring_generations(k, generations, 4), 2);
	ck_assert(generations[0].number == 1 && generations[0].scope == 0 && generations[0].state == KEY_ACTIVE);
	ck_assert(generations[1].number == 2 && generations[1].scope == 1 && generations[1].state == KEY_ACTIVE);
	keyring_fingerprint(k, fingerprint);
	ck_assert_uint_eq(strlen(fingerprint), 35);
	/* The root directory's record is the one that the keyring names. */
	keys = keyring_keys(k);
	n = v.s->ops->readlink(v.s, v.data, ".coffer-dir", text, sizeof(text));
	ck_assert_int_eq(directory_record_open(keys->directory_key, text, (size_t)n, &record), 0);
	ck_assert_mem_eq(record.id, keyring_root_directory(k), DIRECTORY_ID_SIZE);
	ck_assert_uint_eq(record.generation, 1);
	keys_unref(keys);
	keyring_free(&k);
	volume_close(&v);
	ck_assert_uint_eq(log_lines("damaged"), 0);
}
END_TEST

START_TEST(who_opens)
{
	struct volume v;

	volume_make(&v);
	ck_assert_uint_eq(opened_by(&v, passphrase(PASSPHRASE)), 1);
	ck_assert_uint_eq(opened_by(&v, recovery_text(&v, SECRET_RECOVERY_KEY)), 2);
	/* A recovery key where a passphrase is asked for: found before any passphrase is tried. */
	unsigned before = keyring_kdf_runs();
	ck_assert_uint_eq(opened_by(&v, recovery_text(&v, SECRET_PASSPHRASE)), 2);
	ck_assert_uint_eq(keyring_kdf_runs(), before);
	volume_close(&v);
}
END_TEST

START_TEST(wrong_secrets)
{
	struct unlock_secret typo, other;
	struct volume v;
	unsigned before;

	volume_make(&v);
	before = keyring_kdf_runs();
	refused(&v, passphrase("wrong"), -EKEYREJECTED, EXIT_WRONG_SECRET,
		"wrong passphrase, key file or recovery key");
	ck_assert_uint_eq(keyring_kdf_runs(), before + 1);
	refused(&v, passphrase(PASSPHRASE " "), -EKEYREJECTED, EXIT_WRONG_SECRET, "wrong passphrase");
	refused(&v, key_file(1), -EKEYREJECTED, EXIT_WRONG_SECRET, "wrong passphrase");
	ck_assert_int_eq(recovery_key_new(&other), 0);
	refused(&v, other, -EKEYREJECTED, EXIT_WRONG_SECRET, "wrong passphrase");
	typo = recovery_text(&v, SECRET_PASSPHRASE);
	typo.bytes->bytes[17] = typo.bytes->bytes[17] == '7' ? '8' : '7';
	refused(&v, typo, -EKEYREJECTED, EXIT_WRONG_SECRET, "group 3 ");
	refused(&v, (struct unlock_secret){SECRET_RECOVERY_KEY, secret_text("ABC")}, -EKEYREJECTED, EXIT_WRONG_SECRET,
		"8 groups of 7");
	ck_assert_uint_eq(log_lines("second copy"), 0); /* a wrong secret never falls through */
	volume_close(&v);
}
END_TEST

static uint32_t add(struct keyring *k, struct unlock_secret s)
{
	struct fault why = {0};
	uint32_t id = 0;

	ck_assert_msg(keyring_add_protector(k, &s, &id, &why) == 0, "%s", why.text);
	unlock_secret_wipe(&s);
	return id;
}

static void commit(struct volume *v, struct keyring *k, void (*edit)(struct keyring *k))
{
	struct keyring_change *c;
	struct fault why = {0};

	ck_assert_msg(keyring_change_begin(v->s, v->dot, k, &c, &why) == 0, "%s", why.text);
	edit(k);
	ck_assert_msg(keyring_change_commit(&c, &why) == 0, "%s", why.text);
	ck_assert_ptr_null(c);
}

static void add_two(struct keyring *k)
{
	ck_assert_uint_eq(add(k, passphrase("second")), 3);
	ck_assert_uint_eq(add(k, key_file(7)), 4);
}

static void remove_first(struct keyring *k)
{
	struct fault why = {0};

	ck_assert_int_eq(keyring_remove_protector(k, 1, &why), 0);
}

static void remove_rest(struct keyring *k)
{
	struct fault why = {0};

	ck_assert_int_eq(keyring_remove_protector(k, 99, &why), -ENOENT);
	why = (struct fault){0};
	ck_assert_int_eq(keyring_remove_protector(k, 4, &why), 0);
	ck_assert_int_eq(keyring_remove_protector(k, 2, &why), 0);
	ck_assert_int_eq(keyring_remove_protector(k, 3, &why), -EPERM); /* the last one */
	ck_assert_int_eq(why.status, EXIT_REFUSED);
}

static void add_again(struct keyring *k)
{
	ck_assert_uint_eq(add(k, passphrase("third")), 5); /* ids are not used twice */
}

static void assert_copies_equal(void)
{
	struct text a = slurp("vol/.coffer/keyring.json"), b = slurp("vol/.coffer/keyring.json.bak");

	ck_assert_uint_eq(a.n, b.n);
	ck_assert_mem_eq(a.b, b.b, a.n);
	free(a.b);
	free(b.b);
}

START_TEST(protectors)
{
	struct volume v;
	struct keyring *k;

	volume_make(&v);
	k = open_volume(&v);
	commit(&v, k, add_two);
	ck_assert_uint_eq(keyring_sequence(k), 2);
	assert_copies_equal();
	ck_assert_uint_eq(opened_by(&v, passphrase(PASSPHRASE)), 1);
	ck_assert_uint_eq(opened_by(&v, passphrase("second")), 3);
	ck_assert_uint_eq(opened_by(&v, key_file(7)), 4);
	commit(&v, k, remove_first);
	refused(&v, passphrase(PASSPHRASE), -EKEYREJECTED, EXIT_WRONG_SECRET, "wrong passphrase");
	commit(&v, k, remove_rest);
	commit(&v, k, add_again);
	ck_assert_uint_eq(keyring_sequence(k), 5);
	ck_assert_uint_eq(opened_by(&v, passphrase("second")), 3);
	ck_assert_uint_eq(opened_by(&v, passphrase("third")), 5);
	refused(&v, key_file(7), -EKEYREJECTED, EXIT_WRONG_SECRET, "wrong passphrase");
	assert_copies_equal();
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

static void fill_up(struct keyring *k)
{
	struct unlock_secret s = key_file(1);
	struct fault why = {0};
	uint32_t id;

	for (uint32_t i = 2; i < PROTECTORS_MAX; i++)
		add(k, key_file((uint8_t)i));
	ck_assert_int_eq(keyring_add_protector(k, &s, &id, &why), -ENOSPC);
	ck_assert_int_eq(why.status, EXIT_REFUSED);
	unlock_secret_wipe(&s);
}

START_TEST(at_most_32)
{
	struct volume v;
	struct keyring *k;

	volume_make(&v);
	k = open_volume(&v);
	commit(&v, k, fill_up);
	ck_assert_uint_eq(opened_by(&v, key_file(31)), 32);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

START_TEST(cost_has_a_floor)
{
	static const struct argon2_cost low = {.t = 3, .m_kib = 65535, .p = 4},
					wild = {.t = 65, .m_kib = 65536, .p = 4},
					least = {.t = 3, .m_kib = 65536, .p = 4};
	struct unlock_secret s = passphrase("x");
	struct protector_info all[PROTECTORS_MAX];
	struct fault why = {0};
	struct volume v;
	struct keyring *k;
	uint32_t id;

	volume_make(&v);
	k = open_volume(&v);
	keyring_set_argon2_for_tests(NULL);
	s.cost = &low;
	ck_assert_int_eq(keyring_add_protector(k, &s, &id, &why), -EINVAL);
	ck_assert_int_eq(why.status, EXIT_USAGE);
	s.cost = &wild;
	ck_assert_int_eq(keyring_add_protector(k, &s, &id, &why), -EINVAL);
	s.cost = &least;
	ck_assert_int_eq(keyring_add_protector(k, &s, &id, &why), 0);
	ck_assert_uint_eq(keyring_protectors(k, all), 3);
	ck_assert_str_eq(all[2].detail, "argon2id t=3 m=64MiB p=4");
	unlock_secret_wipe(&s);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

/* Each process adds protectors of its own: none is lost, none gets an id twice. */
START_TEST(two_processes)
{
	enum { EACH = 12 };
	struct protector_info all[PROTECTORS_MAX];
	struct volume v;
	struct keyring *k;
	uint32_t n;

	volume_make(&v);
	/* Locked memory is not inherited, so each process makes its own, as two commands would. */
	unlock_secret_wipe(&v.recovery);
	secret_stop();
	for (int child = 0; child < 2; child++) {
		if (fork() > 0)
			continue;
		ck_assert_int_eq(secret_start(1 << 18), 0);
		k = open_volume(&v);
		for (int i = 0; i < EACH; i++) {
			struct keyring_change *c;
			struct fault why = {0};

			if (keyring_change_begin(v.s, v.dot, k, &c, &why) < 0)
				_exit(1);
			add(k, key_file((uint8_t)(100 * child + i)));
			if (keyring_change_commit(&c, &why) < 0)
				_exit(2);
		}
		_exit(0);
	}
	for (int child = 0; child < 2; child++) {
		int status;

		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(secret_start(1 << 20), 0);
	k = open_volume(&v);
	n = keyring_protectors(k, all);
	ck_assert_uint_eq(n, 2 + 2 * EACH);
	for (uint32_t i = 0; i < n; i++)
		ck_assert_uint_eq(all[i].id, i + 1);
	ck_assert_uint_eq(keyring_sequence(k), 1 + 2 * EACH);
	for (int child = 0; child < 2; child++)
		for (int i = 0; i < EACH; i++)
			ck_assert_uint_gt(opened_by(&v, key_file((uint8_t)(100 * child + i))), 2);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

/* Whichever call of a change fails, what is there afterwards opens, with the old or the new state; and the next change makes both
 * copies equal. */
START_TEST(change_that_fails)
{
	struct failing_store f;
	struct volume v;
	struct keyring *k;
	bool done = false;
	uint64_t sequence;

	volume_make(&v);
	for (long n = 0; !done; n++) {
		struct keyring_change *c;
		struct fault why = {0};
		int ret;

		ck_assert_int_lt(n, 40);
		failing_store_init(&f, n, n % 2 ? ENOSPC : EIO, n % 3 == 0);
		k = open_volume(&v);
		sequence = keyring_sequence(k);
		ret = keyring_change_begin(&f.store, v.dot, k, &c, &why);
		if (ret == 0) {
			add(k, key_file((uint8_t)n));
			ret = keyring_change_commit(&c, &why);
			done = f.allowed >= 0;
		}
		if (ret < 0)
			ck_assert_int_eq(why.status, EXIT_STORE);
		keyring_free(&k);
		k = open_volume(&v);
		ck_assert_uint_ge(keyring_sequence(k), ret == 0 ? sequence + 1 : sequence);
		keyring_free(&k);
	}
	ck_assert_uint_ge(log_lines("keyring.json.bak could not be written"), 1);
	assert_copies_equal();
	volume_close(&v);
}
END_TEST

START_TEST(another_root)
{
	struct keyring_change *c;
	struct fault why = {0};
	struct volume v;
	struct keyring *k;

	volume_make(&v);
	k = open_volume(&v);
	volume_close(&v);
	ck_assert_int_eq(rename("vol", "old"), 0);
	volume_make(&v);
	ck_assert_int_eq(keyring_change_begin(v.s, v.dot, k, &c, &why), -EKEYREJECTED);
	ck_assert_ptr_null(c);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

START_TEST(locked_keyring)
{
	struct keyring_change *c;
	struct unlock_secret s = key_file(1);
	struct fault why = {0};
	struct volume v;
	struct keyring *k;
	uint32_t id;

	volume_make(&v);
	ck_assert_int_eq(keyring_read(v.s, v.dot, &k, &why), 0);
	ck_assert_ptr_null(keyring_keys(k));
	ck_assert_int_eq(keyring_change_begin(v.s, v.dot, k, &c, &why), -ENOKEY);
	ck_assert_int_eq(keyring_add_protector(k, &s, &id, &why), -ENOKEY);
	unlock_secret_wipe(&s);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

static void leave(struct keyring *k)
{
	(void)k;
}

/* Members and protectors of a newer program are kept as they are. */
START_TEST(unknown_is_kept)
{
	struct protector_info all[PROTECTORS_MAX];
	json_object *from_future;
	struct volume v;
	struct keyring *k;
	struct text t;
	bool first;

	volume_make(&v);
	k = open_volume(&v);
	from_future = json_tokener_parse(
		"{\"id\": 3, \"type\": \"tpm\", \"created\": \"2030-01-01T00:00:00Z\", \"pcrs\": [7]}");
	ck_assert_int_eq(put_element(json_object_object_get(k->doc, "protectors"), from_future), 0);
	ck_assert_int_eq(put_number(k->doc, "next_protector", 4), 0);
	ck_assert_int_eq(put_string(k->doc, "policy", "of tomorrow"), 0);
	ck_assert_int_eq(keyring_file_write(v.s, v.dot, k, &first), 0);
	commit(&v, k, leave);
	ck_assert_uint_eq(keyring_protectors(k, all), 3);
	ck_assert_str_eq(all[2].type, "tpm");
	t = slurp("vol/.coffer/keyring.json");
	ck_assert_ptr_nonnull(strstr(t.b, "of tomorrow"));
	ck_assert_ptr_nonnull(strstr(t.b, "pcrs"));
	free(t.b);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

/* Writes both files of the volume with `settings` edited, properly sealed. */
static void reseal(struct volume *v, struct keyring *k, const char *array, const char *flag)
{
	json_object *settings = json_object_object_get(k->doc, "settings"), *volume;
	struct sealed_text t;
	bool first;

	if (flag)
		ck_assert_int_eq(
			put_element(json_object_object_get(json_object_object_get(settings, "features"), array),
				    json_object_new_string(flag)),
			0);
	else
		ck_assert_int_eq(put_number(k->doc, "version", 2), 0);
	volume = json_object_new_object();
	ck_assert_int_eq(document_put_format(volume, DOCUMENT_VOLUME), 0);
	if (!flag)
		ck_assert_int_eq(put_number(volume, "version", 2), 0);
	ck_assert_int_eq(put_value(volume, "settings", json_object_get(settings)), 0);
	ck_assert_int_eq(seal_make(volume, SEAL_HASH, NULL, &t), 0);
	ck_assert_int_eq(sealed_file_write(v->s, v->dot, SETTINGS_FILE, &t, &first), 0);
	sealed_text_free(&t);
	json_object_put(volume);
	/* keyring_file_write() reads back and refuses what this program does not know, so seal by hand. */
	struct stack_key prk, key;
	struct wrapping w = {prk.b, k->settings.volume_id, NULL};
	ck_assert_int_eq(keyring_root_prk(k, &prk), 0);
	ck_assert_int_eq(wrapping_derive(&w, "coffer keyring mac", key.b, sizeof(key.b)), 0);
	ck_assert_int_eq(seal_make(k->doc, SEAL_MAC_HASH, key.b, &t), 0);
	ck_assert_int_eq(sealed_file_write(v->s, v->dot, KEYRING_FILE, &t, &first), 0);
	sealed_text_free(&t);
}

START_TEST(versions_and_flags)
{
	struct keyring_change *c;
	struct fault why = {0};
	struct volume v;
	struct keyring *k;

	volume_make(&v);
	k = open_volume(&v);
	reseal(&v, k, "compatible", "x-a");
	keyring_free(&k);
	k = open_volume(&v);
	ck_assert(!keyring_read_only(k));
	commit(&v, k, leave);
	reseal(&v, k, "read_only_compatible", "x-b");
	keyring_free(&k);
	k = open_volume(&v);
	ck_assert(keyring_read_only(k));
	ck_assert_int_eq(keyring_change_begin(v.s, v.dot, k, &c, &why), -EROFS);
	ck_assert_int_eq(why.status, EXIT_UNSUPPORTED);
	reseal(&v, k, "incompatible", "x-c");
	refused(&v, passphrase(PASSPHRASE), -ENOTSUP, EXIT_UNSUPPORTED, "x-c");
	reseal(&v, k, NULL, NULL);
	refused(&v, passphrase(PASSPHRASE), -ENOTSUP, EXIT_UNSUPPORTED, "version 2");
	ck_assert_uint_eq(log_lines("second copy"), 0);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

START_TEST(settings_disagree)
{
	struct volume v;
	struct text t;

	volume_make(&v);
	volume_close(&v);
	t = slurp("vol/.coffer/volume.json");
	ck_assert_int_eq(rename("vol", "old"), 0);
	volume_make(&v);
	spill("vol/.coffer/volume.json", t.b, t.n);
	refused(&v, passphrase(PASSPHRASE), -EBADMSG, EXIT_DAMAGED, "do not belong together");
	free(t.b);
	/* Changed by somebody who knows how to hash. */
	t = slurp("vol/.coffer/volume.json.bak");
	replace(&t, "\"portable\": false", "\"portable\": true");
	rehash(&t);
	spill("vol/.coffer/volume.json", t.b, t.n);
	refused(&v, passphrase(PASSPHRASE), -EBADMSG, EXIT_DAMAGED, "do not belong together");
	free(t.b);
	volume_close(&v);
}
END_TEST

START_TEST(erased)
{
	struct fault why = {0};
	struct volume v;

	volume_make(&v);
	spill("vol/.coffer/.coffer-tmp-0123456789abcdef", "old keys", 8);
	ck_assert_int_eq(volume_erase(v.s, v.dot, &why), 0);
	ck_assert_int_eq(access("vol/.coffer/keyring.json", F_OK), -1);
	ck_assert_int_eq(access("vol/.coffer/keyring.json.bak", F_OK), -1);
	ck_assert_int_eq(access("vol/.coffer/.coffer-tmp-0123456789abcdef", F_OK), -1);
	refused(&v, passphrase(PASSPHRASE), -EBADMSG, EXIT_DAMAGED, "missing");
	ck_assert_int_eq(volume_erase(v.s, v.dot, &why), 0);
	volume_close(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("keyring");

	tcase_add_test(t, round_trip);
	tcase_add_test(t, who_opens);
	tcase_add_test(t, wrong_secrets);
	tcase_add_test(t, protectors);
	tcase_add_test(t, at_most_32);
	tcase_add_test(t, cost_has_a_floor);
	tcase_add_test(t, two_processes);
	tcase_add_test(t, change_that_fails);
	tcase_add_test(t, another_root);
	tcase_add_test(t, locked_keyring);
	tcase_add_test(t, unknown_is_kept);
	tcase_add_test(t, versions_and_flags);
	tcase_add_test(t, settings_disagree);
	tcase_add_test(t, erased);
	return run_suite("keyring", t);
}

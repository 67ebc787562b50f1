/* Damage and tampering: every byte, every length, absurd parameters.  In both copies it is refused, after at most one key derivation;
 * in one copy the other serves, and that is said. */
#include "fixture.h"

#define FIRST(name)  "vol/.coffer/" name
#define SECOND(name) "vol/.coffer/" name ".bak"

static const struct {
	const char *first, *second;
} files[] = {
	{FIRST("keyring.json"), SECOND("keyring.json")},
	{FIRST("volume.json"), SECOND("volume.json")},
};

/* Must be refused, as damage where the hash tells, and with at most one derivation. */
static void assert_refused(struct volume *v, bool hash_tells, const char *what, size_t at)
{
	struct unlock_secret s = passphrase(PASSPHRASE);
	unsigned before = keyring_kdf_runs();
	struct fault why;
	int ret;

	ck_assert_msg(open_with(v, &s, &why, &ret) == NULL, "%s at %zu accepted", what, at);
	ck_assert_uint_le(keyring_kdf_runs(), before + (hash_tells ? 0 : 1));
	if (hash_tells)
		ck_assert_msg(ret == -EBADMSG && why.status == EXIT_DAMAGED, "%s at %zu: %s", what, at, why.text);
	else
		ck_assert_msg(why.status == EXIT_DAMAGED || why.status == EXIT_WRONG_SECRET ||
				      why.status == EXIT_UNSUPPORTED,
			      "%s at %zu: %s", what, at, why.text);
	unlock_secret_wipe(&s);
}

START_TEST(each_byte_in_both_copies)
{
	struct volume v;
	struct text t;

	volume_make(&v);
	t = slurp(files[_i].first);
	for (size_t i = 0; i < t.n; i++) {
		char was = t.b[i];

		t.b[i] = (char)(was ^ 1 << i % 8);
		spill(files[_i].first, t.b, t.n);
		t.b[i] = (char)(was ^ (i % 3 ? 0x20 : 0x01)); /* also another case of the letter */
		spill(files[_i].second, t.b, t.n);
		t.b[i] = was;
		assert_refused(&v, true, files[_i].first, i);
	}
	free(t.b);
	volume_close(&v);
}
END_TEST

/* By somebody who hashes again what he changed. */
START_TEST(each_byte_hashed_again)
{
	struct volume v;
	struct text t;

	volume_make(&v);
	t = slurp(files[_i].first);
	for (size_t i = 0; i < t.n - 65; i++)
		for (int bit = 0; bit < 8; bit += 1 + (int)(i % 3)) {
			t.b[i] ^= (char)(1 << bit);
			rehash(&t);
			spill(files[_i].first, t.b, t.n);
			spill(files[_i].second, t.b, t.n);
			t.b[i] ^= (char)(1 << bit);
			assert_refused(&v, false, files[_i].first, i);
		}
	free(t.b);
	volume_close(&v);
}
END_TEST

START_TEST(each_byte_in_one_copy)
{
	struct volume v;
	struct keyring *k;
	struct text t;

	volume_make(&v);
	t = slurp(files[_i].first);
	for (size_t i = 0; i < t.n; i++) {
		log_clear();
		t.b[i] ^= 1;
		spill(files[_i].first, t.b, t.n);
		k = open_volume(&v);
		keyring_free(&k);
		ck_assert_uint_eq(log_lines("using its second copy"), 1);
		/* Damage of the second copy alone is not even looked at. */
		spill(files[_i].second, t.b, t.n);
		t.b[i] ^= 1;
		spill(files[_i].first, t.b, t.n);
		k = open_volume(&v);
		keyring_free(&k);
		ck_assert_uint_eq(log_lines("using its second copy"), 1);
		spill(files[_i].second, t.b, t.n);
	}
	free(t.b);
	volume_close(&v);
}
END_TEST

START_TEST(each_length)
{
	struct volume v;
	struct text t;

	volume_make(&v);
	t = slurp(files[_i].first);
	t.b = realloc(t.b, t.n + 2);
	ck_assert_ptr_nonnull(t.b);
	t.b[t.n] = '\n';
	for (size_t n = 0; n <= t.n + 1; n++) {
		if (n == t.n)
			continue;
		spill(files[_i].first, t.b, n);
		spill(files[_i].second, t.b, n);
		assert_refused(&v, true, "length", n);
	}
	free(t.b);
	volume_close(&v);
}
END_TEST

/* Random cuts, insertions and repetitions, hashed again half of the time. */
START_TEST(random_edits)
{
	struct volume v;
	struct text t;
	unsigned seed = 1;

	volume_make(&v);
	t = slurp(files[0].first);
	for (int i = 0; i < 3000; i++) {
		size_t from = (size_t)rand_r(&seed) % t.n, to = (size_t)rand_r(&seed) % t.n;
		size_t n = (size_t)rand_r(&seed) % 40 + 1;
		struct text e = {malloc(t.n + 64), t.n};

		ck_assert_ptr_nonnull(e.b);
		memcpy(e.b, t.b, t.n + 1);
		n = from + n > t.n ? t.n - from : n;
		n = to + n > t.n ? t.n - to : n;
		switch (i % 3) {
		case 0: /* cut out */
			memmove(e.b + from, e.b + from + n, t.n - from - n + 1);
			e.n -= n;
			break;
		case 1: /* put in again elsewhere */
			memmove(e.b + to + n, e.b + to, t.n - to + 1);
			memcpy(e.b + to, t.b + from, n);
			e.n += n;
			break;
		case 2: /* write over */
			memcpy(e.b + to, t.b + from, n);
			break;
		}
		if (i % 2)
			rehash(&e);
		if (e.n != t.n || memcmp(e.b, t.b, t.n) != 0) {
			spill(files[0].first, e.b, e.n);
			spill(files[0].second, e.b, e.n);
			assert_refused(&v, false, "edit", (size_t)i);
		}
		free(e.b);
	}
	free(t.b);
	volume_close(&v);
}
END_TEST

/* What MUST be rejected, each as its own file with a right hash.  No derivation happens: bounds come first. */
START_TEST(must_reject)
{
	static const struct {
		const char *from, *to;
	} edits[] = {
		{"\"t\": 1", "\"t\": 0"},
		{"\"t\": 1", "\"t\": 65"},
		{"\"t\": 1", "\"t\": -1"},
		{"\"t\": 1", "\"t\": 1.0"},
		{"\"t\": 1", "\"t\": \"1\""},
		{"\"t\": 1", "\"t\": 4294967297"},
		{"\"t\": 1", "\"t\": 18446744073709551617"},
		{"\"m_kib\": 8", "\"m_kib\": 7"},
		{"\"m_kib\": 8", "\"m_kib\": 1048577"},
		{"\"m_kib\": 8", "\"m_kib\": 4194320"},
		{"\"p\": 1", "\"p\": 0"},
		{"\"p\": 1", "\"p\": 2"}, /* m below 8 p */
		{"\"p\": 1", "\"p\": 1073741824"},
		{"\"kdf\": \"argon2id\"", "\"kdf\": \"argon2i\""},
		{"\"salt\": \"", "\"salt\": \"="},
		{"\"salt\": \"", "\"salty\": \""},
		{"\"sequence\": 1", "\"sequence\": 0"},
		{"\"sequence\": 1", "\"sequence\": 9007199254740992"},
		{"\"sequence\": 1", "\"sequence\": 1, \"sequence\": 1"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": {\"y\": 1, \"y\": 2}"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": \"\\u0041\""},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": \"\t\""},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": \"\n\""},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": \"\xc3\xa9\""},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": [1,]"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": NaN"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": -Infinity"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": True"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": 01"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": +1"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": .5"},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": 1."},
		{"\"sequence\": 1", "\"sequence\": 1, \"x\": 1e"},
		{"\"sequence\": 1", "\"sequence\": -0"},
		{"\"sequence\": 1", "\"sequence\": 1e0"},
		{"\"sequence\": 1", "\"sequence\": 1 /* x */"},
		{"\"sequence\": 1", "\"sequence\": 1, 'x': 1"},
		{"\"sequence\": 1",
		 "\"sequence\": 1, \"x\": "
		 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"},
		{"\"format\": \"coffer keyring\"", "\"format\": \"coffer volume\""},
		{"\"version\": 1", "\"version\": \"1\""},
		{"\"written\": \"2", "\"written\": \"x"},
		{"\"cipher\": \"aes-256-", "\"cipher\": \"aes-128-"},
		{"\"name_max\": 255", "\"name_max\": 200"},
		{"\"portable\": false", "\"portable\": 0"},
		{"\"features\"", "\"feature\""},
		{"\"next_protector\": 3", "\"next_protector\": 2"},
		{"\"id\": 2", "\"id\": 1"},
		{"\"type\": \"passphrase\"", "\"type\": \"PASSPHRASE\""},
		{"\"type\": \"passphrase\"", "\"type\": \"\""},
		{"\"next_generation\": 3", "\"next_generation\": 2"},
		{"\"generation\": 2", "\"generation\": 1"},
		{"\"generation\": 1", "\"generation\": 0"},
		{"\"state\": \"active\"", "\"state\": \"deactivated\""},
		{"\"state\": \"active\"", "\"state\": \"destroyed\""},
		{"\"state\": \"active\"", "\"state\": \"activ\""},
		{"\"scope\": 1", "\"scope\": 2"},
		{"\"scope\": 1", "\"scope\": 0"},
		{"\"name\": \"fields\"", "\"name\": \"default\""},
		{"\"floor\": 1", "\"floor\": 0"},
		{"\"floor\": 1", "\"floor\": 2"},
		{"\"audit\": \"", "\"audits\": \""},
		{"\"directory\": \"", "\"directory\": \"A"},
		{"\n#coffer-seal", "#coffer-seal"},
		{"#coffer-seal", "#coffer-sea1"},
		{"}\n#coffer-seal", "} x\n#coffer-seal"},
		{"}\n#coffer-seal", "}\n{}\n#coffer-seal"},
		{"{\n", "[{\n"},
	};
	struct unlock_secret s = passphrase(PASSPHRASE);
	struct volume v;
	struct text whole;

	volume_make(&v);
	whole = slurp(files[0].first);
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		struct text t = {malloc(whole.n + 1), whole.n};
		unsigned before = keyring_kdf_runs();
		struct fault why;
		int ret;

		ck_assert_ptr_nonnull(t.b);
		memcpy(t.b, whole.b, whole.n + 1);
		/* Whatever cipher this host chose. */
		if (strstr(edits[i].from, "cipher") && !strstr(t.b, edits[i].from)) {
			free(t.b);
			continue;
		}
		replace(&t, edits[i].from, edits[i].to);
		rehash(&t);
		spill(files[0].first, t.b, t.n);
		spill(files[0].second, t.b, t.n);
		ck_assert_msg(open_with(&v, &s, &why, &ret) == NULL, "%s", edits[i].to);
		ck_assert_msg(ret == -EBADMSG && why.status == EXIT_DAMAGED, "%s: %d %s", edits[i].to, ret, why.text);
		ck_assert_msg(keyring_kdf_runs() == before, "%s", edits[i].to);
		free(t.b);
	}
	free(whole.b);
	unlock_secret_wipe(&s);
	volume_close(&v);
}
END_TEST

/* A MAC that is wrong is no reason to take the other copy: an older keyring could be put there. */
START_TEST(wrong_mac_does_not_fall_through)
{
	struct unlock_secret s = passphrase(PASSPHRASE);
	struct volume v;
	struct fault why;
	struct text t;
	int ret;

	volume_make(&v);
	t = slurp(files[0].first);
	replace(&t, "\"written\": \"2", "\"written\": \"3");
	rehash(&t);
	spill(files[0].first, t.b, t.n);
	ck_assert_ptr_null(open_with(&v, &s, &why, &ret));
	ck_assert(ret == -EBADMSG && why.status == EXIT_DAMAGED);
	ck_assert_uint_eq(log_lines("second copy"), 0);
	unlock_secret_wipe(&s);
	free(t.b);
	volume_close(&v);
}
END_TEST

/* Things that are no files, and files that are too large. */
START_TEST(strange_objects)
{
	struct volume v;
	struct keyring *k;

	volume_make(&v);
	for (int i = 0; i < 6; i++) {
		ck_assert_int_eq(remove(files[0].first), 0);
		switch (i) {
		case 0:
			break;
		case 1:
			ck_assert_int_eq(mkdir(files[0].first, 0700), 0);
			break;
		case 2:
			ck_assert_int_eq(mkfifo(files[0].first, 0600), 0);
			break;
		case 3:
			ck_assert_int_eq(symlink("keyring.json.bak", files[0].first), 0);
			break;
		case 4:
			spill(files[0].first, "", 0);
			ck_assert_int_eq(truncate(files[0].first, KEYRING_MAX + 1), 0);
			break;
		case 5:
			spill(files[0].first, "", 0);
			ck_assert_int_eq(truncate(files[0].first, KEYRING_MAX), 0);
			break;
		}
		log_clear();
		k = open_volume(&v);
		keyring_free(&k);
		ck_assert_uint_eq(log_lines("using its second copy"), 1);
		if (i == 0)
			spill(files[0].first, "", 0);
	}
	volume_close(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("damage");

	tcase_add_loop_test(t, each_byte_in_both_copies, 0, 2);
	tcase_add_loop_test(t, each_byte_hashed_again, 0, 2);
	tcase_add_loop_test(t, each_byte_in_one_copy, 0, 2);
	tcase_add_loop_test(t, each_length, 0, 2);
	tcase_add_test(t, random_edits);
	tcase_add_test(t, must_reject);
	tcase_add_test(t, wrong_mac_does_not_fall_through);
	tcase_add_test(t, strange_objects);
	return run_suite("keyring damage", t);
}

/* Shares: the published vectors of SLIP-0039, and what people do with paper.
 *
 * The vectors are looked for in $COFFER_TEST_DATA/slip39, or ../shared/data/slip39 beside the source tree; without them their test
 * passes unseen and says so. */
#include "fixture.h"

#include "keymgr/shares.h"
#include "util/base/encode.h"

static const char secret[32] = "0123456789abcdefghijklmnopqrstuv";

static void must_split(unsigned k, unsigned n, struct share_set *out)
{
	ck_assert_int_eq(shares_split((const uint8_t *)secret, sizeof(secret), k, n, out), 0);
}

static void refused(const struct share_set *s, const char *words)
{
	uint8_t out[SHARE_VALUE_MAX];
	struct fault why = {0};
	size_t n;

	ck_assert_int_eq(shares_combine(s, "", out, &n, &why), -EINVAL);
	ck_assert_int_eq(why.status, EXIT_WRONG_SECRET);
	ck_assert_msg(strstr(why.text, words), "%s", why.text);
	for (size_t i = 0; i < sizeof(out); i++)
		ck_assert_uint_eq(out[i], 0);
}

static void gives_back(const struct share_set *s)
{
	uint8_t out[SHARE_VALUE_MAX];
	struct fault why = {0};
	size_t n;

	ck_assert_msg(shares_combine(s, "", out, &n, &why) == 0, "%s", why.text);
	ck_assert_uint_eq(n, sizeof(secret));
	ck_assert_mem_eq(out, secret, n);
}

static bool one_vector(json_object *vector)
{
	json_object *list = json_object_array_get_idx(vector, 1);
	const char *name = json_object_get_string(json_object_array_get_idx(vector, 0)),
		   *expected = json_object_get_string(json_object_array_get_idx(vector, 2));
	_cleanup_shares_ struct share_set s = {0};
	uint8_t out[SHARE_VALUE_MAX];
	char hex[2 * SHARE_VALUE_MAX + 1] = "";
	struct fault why = {0};
	size_t n;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < json_object_array_length(list); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(list, i));

		ret = share_parse(text, strlen(text), &s.at[s.count++], &why);
		if (ret == 0) { /* and back */
			char again[SHARE_TEXT_MAX];

			share_text(&s.at[s.count - 1], again);
			ck_assert_str_eq(again, text);
		}
	}
	if (ret == 0)
		ret = shares_combine(&s, "TREZOR", out, &n, &why);
	if (ret == 0)
		hex_encode(out, n, hex);
	if (!*expected)
		ck_assert_msg(ret == -EINVAL && why.status == EXIT_WRONG_SECRET, "%s", name);
	else
		ck_assert_msg(strcmp(hex, expected) == 0, "%s: %s", name, why.text);
	return *expected;
}

START_TEST(published_vectors)
{
	const char *data = getenv("COFFER_TEST_DATA");
	char path[4200];
	json_object *all;
	unsigned good = 0;

	snprintf(path, sizeof(path), "%s/slip39/vectors.json", data && *data ? data : SOURCE_ROOT "/../shared/data");
	if (access(path, R_OK) < 0) {
		printf("no %s: the vectors were not tried\n", path);
		return;
	}
	all = json_object_from_file(path);
	ck_assert_uint_ge(json_object_array_length(all), 45);
	for (size_t i = 0; i < json_object_array_length(all); i++)
		good += one_vector(json_object_array_get_idx(all, i));
	ck_assert_uint_eq(good, 15);
	json_object_put(all);
}
END_TEST

/* A vector that needs no file: 2 of 3. */
START_TEST(one_published_vector)
{
	static const char *const texts[] = {
		"shadow pistol academic always adequate wildlife fancy gross oasis cylinder mustang wrist rescue view "
		"short "
		"owner flip making coding armed",
		"shadow pistol academic acid actress prayer class unknown daughter sweater depict flip twice unkind "
		"craft "
		"early superior advocate guest smoking",
	};
	struct share_set s = {.count = 2};
	uint8_t out[SHARE_VALUE_MAX];
	char hex[2 * SHARE_VALUE_MAX + 1];
	struct fault why = {0};
	size_t n;

	for (int i = 0; i < 2; i++)
		ck_assert_msg(share_parse(texts[i], strlen(texts[i]), &s.at[i], &why) == 0, "%s", why.text);
	ck_assert_int_eq(shares_combine(&s, "TREZOR", out, &n, &why), 0);
	hex_encode(out, n, hex);
	ck_assert_str_eq(hex, "b43ceb7e57a0ea8766221624d01b0864");
}
END_TEST

/* Every choice of enough shares gives the secret back; one fewer never does. */
START_TEST(every_choice)
{
	struct share_set all, some;

	for (unsigned k = 2; k <= 5; k++) {
		must_split(k, 5, &all);
		for (unsigned mask = 1; mask < 32; mask++) {
			some.count = 0;
			for (unsigned i = 0; i < 5; i++)
				if (mask >> i & 1)
					some.at[some.count++] = all.at[i];
			if (some.count >= k)
				gives_back(&some);
			else
				refused(&some, "are needed");
		}
	}
	must_split(1, 1, &all);
	gives_back(&all);
	must_split(16, 16, &all);
	gives_back(&all);
}
END_TEST

START_TEST(impossible_splits)
{
	static const struct {
		size_t n;
		unsigned k, count;
	} bad[] = {{32, 0, 1}, {32, 3, 2}, {32, 2, 17}, {32, 1, 2}, {15, 2, 3}, {34, 2, 3}, {17, 2, 3}};
	struct share_set s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(shares_split((const uint8_t *)secret, bad[i].n, bad[i].k, bad[i].count, &s), -EINVAL);
}
END_TEST

START_TEST(wrong_duplicate_or_foreign)
{
	struct share_set a, b, s;

	must_split(3, 5, &a);
	must_split(3, 5, &b);
	s = a;
	s.count = 3;
	s.at[2] = s.at[0];
	refused(&s, "twice");
	s.at[2] = b.at[2];
	refused(&s, "not of one backup");
	s.at[2].id = s.at[0].id; /* as a forger would, or by a rare chance */
	refused(&s, "do not fit");
	s = a; /* more than needed, and one of them is wrong */
	s.at[4].value[7] ^= 1;
	refused(&s, "do not fit");
	s = a;
	s.at[1].threshold = 2;
	refused(&s, "contradict");
	s.count = 0;
	refused(&s, "no share");
}
END_TEST

START_TEST(typing)
{
	char text[SHARE_TEXT_MAX], typed[2 * SHARE_TEXT_MAX + 100];
	struct share_set all;
	struct share one;
	struct fault why = {0};
	size_t n = 0;

	must_split(2, 3, &all);
	share_text(&all.at[0], text);
	n += (size_t)sprintf(typed, "# share 1\r\n\t ");
	for (const char *at = text; *at; at++)
		n += (size_t)sprintf(typed + n, *at == ' ' ? "\n  " : "%c", *at - 32);
	ck_assert_int_eq(share_parse(typed, n, &one, &why), 0);
	ck_assert_mem_eq(one.value, all.at[0].value, 32);
	/* One word too many, too few, unknown, exchanged. */
	n = (size_t)sprintf(typed, "%s academic", text);
	ck_assert_int_eq(share_parse(typed, n, &one, &why), -EINVAL);
	n = (size_t)(strrchr(text, ' ') - text);
	why = (struct fault){0};
	ck_assert_int_eq(share_parse(text, n, &one, &why), -EINVAL);
	why = (struct fault){0};
	n = (size_t)sprintf(typed, "%.*s zzzz", (int)(strrchr(text, ' ') - text), text);
	ck_assert_int_eq(share_parse(typed, n, &one, &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why.text, "word 33"));
	why = (struct fault){0};
	n = (size_t)sprintf(typed, "%.*s academic", (int)(strrchr(text, ' ') - text), text);
	if (strcmp(typed, text) != 0) {
		ck_assert_int_eq(share_parse(typed, n, &one, &why), -EINVAL);
		ck_assert_ptr_nonnull(strstr(why.text, "checksum"));
	}
	ck_assert_int_eq(share_parse("", 0, &one, &why), -EINVAL);
	ck_assert_int_eq(share_parse("acid; rm", 8, &one, &why), -EINVAL);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("shares");

	tcase_add_test(t, published_vectors);
	tcase_add_test(t, one_published_vector);
	tcase_add_test(t, every_choice);
	tcase_add_test(t, impossible_splits);
	tcase_add_test(t, wrong_duplicate_or_foreign);
	tcase_add_test(t, typing);
	return run_suite("shares", t);
}

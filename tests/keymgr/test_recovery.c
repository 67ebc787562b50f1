/* Recovery keys: every typo is found and its group named. */
#include "fixture.h"

/* The bytes 3, 11, 19, ... 235, by an implementation of docs/format-keyring.md section 8 in another language. */
#define VECTOR_TEXT "0C5H66P-S35CSKR-PGTBADF-DP6TVKC-FE1RQ4G-WVMENVX-7EY3SFN-9XQRZB0"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int parse(const char *text, struct secret **raw, struct fault *why)
{
	struct secret *s = secret_text(text);
	bool looks_like;
	int ret;

	*why = (struct fault){0};
	ret = recovery_key_parse(s, raw, &looks_like, why);
	secret_free(&s);
	return ret;
}

static void new_text(char out[RECOVERY_TEXT + 1])
{
	struct unlock_secret u;

	ck_assert_int_eq(recovery_key_new(&u), 0);
	ck_assert_int_eq(u.kind, SECRET_RECOVERY_KEY);
	ck_assert_uint_eq(u.bytes->size, RECOVERY_TEXT);
	memcpy(out, u.bytes->bytes, RECOVERY_TEXT);
	out[RECOVERY_TEXT] = '\0';
	unlock_secret_wipe(&u);
}

/* The text must be refused, naming the group of this place (or the one after it, where `also` is set). */
static void assert_typo(const char *text, size_t place, bool also)
{
	struct secret *raw;
	struct fault why;
	char name[16], next[16];

	ck_assert_int_eq(parse(text, &raw, &why), -EINVAL);
	ck_assert_ptr_null(raw);
	ck_assert_int_eq(why.status, EXIT_WRONG_SECRET);
	snprintf(name, sizeof(name), "group %zu ", place / 8 + 1);
	snprintf(next, sizeof(next), "group %zu ", place / 8 + 2);
	ck_assert_msg(strstr(why.text, name) || (also && strstr(why.text, next)), "%zu: %s", place, why.text);
	ck_assert_ptr_null(strstr(why.text, text)); /* no part of the key in a message */
}

START_TEST(vector)
{
	static const char text[] = VECTOR_TEXT;
	struct secret *raw;
	struct fault why;

	ck_assert_int_eq(parse(text, &raw, &why), 0);
	ck_assert_uint_eq(raw->size, 30);
	for (int i = 0; i < 30; i++)
		ck_assert_uint_eq(raw->bytes[i], i * 8 + 3);
	secret_free(&raw);
}
END_TEST

START_TEST(forgiving)
{
	char text[RECOVERY_TEXT + 1], other[2 * RECOVERY_TEXT + 1], *at = other;
	struct secret *a, *b;
	struct fault why;

	new_text(text);
	ck_assert_int_eq(parse(text, &a, &why), 0);
	for (const char *c = text; *c; c++) {
		if (*c == '-')
			continue;
		*at++ = *c == '0' ? 'o' : *c == '1' ? "iLlI"[(c - text) & 3] : *c >= 'A' ? *c + 32 : *c;
		*at++ = ' ';
	}
	*at = '\0';
	ck_assert_int_eq(parse(other, &b, &why), 0);
	ck_assert_mem_eq(a->bytes, b->bytes, 30);
	secret_free(&a);
	secret_free(&b);
}
END_TEST

START_TEST(substitutions)
{
	char text[RECOVERY_TEXT + 1];

	new_text(text);
	for (size_t i = 0; i < RECOVERY_TEXT; i++) {
		char was = text[i];

		if (was == '-')
			continue;
		for (const char *c = alphabet; *c; c++) {
			text[i] = *c;
			if (*c != was)
				assert_typo(text, i, false);
		}
		text[i] = 'U'; /* not in the alphabet at all */
		assert_typo(text, i, false);
		text[i] = '!';
		assert_typo(text, i, false);
		text[i] = was;
	}
}
END_TEST

START_TEST(transpositions)
{
	char text[RECOVERY_TEXT + 1];

	new_text(text);
	for (size_t i = 0; i + 1 < RECOVERY_TEXT; i++) {
		size_t j = text[i + 1] == '-' ? i + 2 : i + 1;
		char was = text[i];

		if (was == '-' || text[i] == text[j])
			continue;
		text[i] = text[j];
		text[j] = was;
		assert_typo(text, i, j == i + 2);
		text[j] = text[i];
		text[i] = was;
	}
}
END_TEST

/* Also two characters of one group that are not neighbours. */
START_TEST(exchanges_in_a_group)
{
	char text[RECOVERY_TEXT + 1];

	new_text(text);
	for (size_t g = 0; g < RECOVERY_TEXT; g += 8)
		for (size_t i = g; i < g + 7; i++)
			for (size_t j = i + 1; j < g + 7; j++) {
				char was = text[i];

				if (text[i] == text[j])
					continue;
				text[i] = text[j];
				text[j] = was;
				assert_typo(text, i, false);
				text[j] = text[i];
				text[i] = was;
			}
}
END_TEST

START_TEST(group_swaps)
{
	char text[RECOVERY_TEXT + 1], swapped[RECOVERY_TEXT + 1];

	new_text(text);
	for (size_t i = 0; i < RECOVERY_GROUPS; i++)
		for (size_t j = i + 1; j < RECOVERY_GROUPS; j++) {
			memcpy(swapped, text, sizeof(text));
			memcpy(swapped + 8 * i, text + 8 * j, 7);
			memcpy(swapped + 8 * j, text + 8 * i, 7);
			if (strcmp(text, swapped) != 0)
				assert_typo(swapped, 8 * i, false);
		}
}
END_TEST

START_TEST(lengths)
{
	char text[RECOVERY_TEXT + 1], longer[2 * RECOVERY_TEXT + 1];
	struct secret *raw;
	struct fault why;

	new_text(text);
	for (size_t n = 1; n < RECOVERY_TEXT; n++) {
		memcpy(longer, text, n);
		longer[n] = '\0';
		ck_assert_int_eq(parse(longer, &raw, &why), -EINVAL);
	}
	snprintf(longer, sizeof(longer), "%s0", text);
	ck_assert_int_eq(parse(longer, &raw, &why), -EINVAL);
	snprintf(longer, sizeof(longer), "%s%s", text, text);
	ck_assert_int_eq(parse(longer, &raw, &why), -EINVAL);
}
END_TEST

START_TEST(shape)
{
	static const struct {
		const char *text;
		bool looks_like;
	} cases[] = {
		{"", false},
		{"correct horse battery staple", false},
		{"correct horse battery staple correct horse battery staple correct horse", false},
		{VECTOR_TEXT, true},
		{"0123456-0123456-0123456-0123456-0123456-0123456-0123456-012345", true},
	};
	struct secret *raw;
	struct fault why;
	bool looks_like;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret *s = secret_text(cases[i].text[0] ? cases[i].text : "-");

		why = (struct fault){0};
		if (recovery_key_parse(s, &raw, &looks_like, &why) == 0)
			secret_free(&raw);
		ck_assert_msg(looks_like == cases[i].looks_like, "%s", cases[i].text);
		secret_free(&s);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("recovery keys");

	tcase_add_test(t, vector);
	tcase_add_test(t, forgiving);
	tcase_add_test(t, substitutions);
	tcase_add_test(t, transpositions);
	tcase_add_test(t, exchanges_in_a_group);
	tcase_add_test(t, group_swaps);
	tcase_add_test(t, lengths);
	tcase_add_test(t, shape);
	return run_suite("recovery keys", t);
}

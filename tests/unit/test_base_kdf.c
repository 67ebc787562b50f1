/* The derivation of docs/format-volume.md section 2, against info strings put together by hand. */
#include <errno.h>

#include "util/base/bytes.h"
#include "util/base/kdf.h"
#include "util/base/kdf_labels.h"
#include "vectors.h"

static const uint8_t volume[VOLUME_ID_SIZE] = "0123456789abcdef";

static void setup(void)
{
	ck_assert_int_eq(crypto_start(), 0);
}

static void end(void)
{
	crypto_thread_end();
}

START_TEST(info_by_hand)
{
	static const char content[] = "\x0e\0coffer content\x10\0"
				      "0123456789abcdef\x0b\0aes-256-ocb\x04\0"
				      "file";
	static const char names[] = "\x0c\0coffer names\x10\0"
				    "0123456789abcdef\0\0";
	uint8_t prk[SHA256_SIZE], prk2[SHA256_SIZE], wanted[64], out[64];

	ck_assert_int_eq(kdf_extract("a generation key", 16, prk), 0);
	ck_assert_int_eq(hkdf_extract(NULL, 0, "a generation key", 16, prk2), 0);
	ck_assert_mem_eq(prk, prk2, sizeof(prk));

	ck_assert_int_eq(hkdf_expand(prk, content, sizeof(content) - 1, wanted, 32), 0);
	ck_assert_int_eq(kdf_expand(prk, LABEL_CONTENT, volume, "aes-256-ocb", "file", 4, out, 32), 0);
	ck_assert_mem_eq(out, wanted, 32);

	ck_assert_int_eq(hkdf_expand(prk, names, sizeof(names) - 1, wanted, 64), 0);
	ck_assert_int_eq(kdf_expand(prk, LABEL_NAMES, volume, "", NULL, 0, out, 64), 0);
	ck_assert_mem_eq(out, wanted, 64);
}
END_TEST

/* "Left out" and "empty" are two things. */
START_TEST(extra_absent_or_empty)
{
	const uint8_t prk[SHA256_SIZE] = {1};
	uint8_t absent[32], empty[32];

	ck_assert_int_eq(kdf_expand(prk, LABEL_CONTENT, volume, "", NULL, 0, absent, 32), 0);
	ck_assert_int_eq(kdf_expand(prk, LABEL_CONTENT, volume, "", "", 0, empty, 32), 0);
	ck_assert_mem_ne(absent, empty, 32);
}
END_TEST

START_TEST(info_too_long)
{
	const uint8_t prk[SHA256_SIZE] = {1};
	uint8_t out[32] = {1}, extra[300] = {0};

	ck_assert_int_eq(kdf_expand(prk, LABEL_CONTENT, volume, "", extra, sizeof(extra), out, 32), -EINVAL);
	ck_assert(bytes_all_zero(out, 32));
}
END_TEST

START_TEST(labels_distinct)
{
	static const char *const labels[] = {
		LABEL_CONTENT,
		LABEL_NAMES,
		LABEL_LONG_NAMES,
		LABEL_SYMLINKS,
		LABEL_XATTR_NAMES,
		LABEL_LONG_XATTR_NAMES,
		LABEL_XATTR_VALUES,
		LABEL_ROOT_WRAP,
		LABEL_ROOT_COMMITMENT,
		LABEL_KEYRING_MAC,
		LABEL_ROOT_FINGERPRINT,
		LABEL_PROTECTOR_WRAP,
		LABEL_PROTECTOR_COMMITMENT,
	};
	const size_t count = sizeof(labels) / sizeof(labels[0]);

	for (size_t i = 0; i < count; i++)
		for (size_t j = i + 1; j < count; j++)
			ck_assert_str_ne(labels[i], labels[j]);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("kdf");

	tcase_add_checked_fixture(t, setup, end);
	tcase_add_test(t, info_by_hand);
	tcase_add_test(t, extra_absent_or_empty);
	tcase_add_test(t, info_too_long);
	tcase_add_test(t, labels_distinct);
	return run_tests(t, "kdf");
}

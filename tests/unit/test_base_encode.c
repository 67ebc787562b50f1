/* base64url and hexadecimal: RFC 4648, and every second spelling refused. */
#include <errno.h>

#include "util/base/bytes.h"
#include "vectors.h"

/* RFC 4648, section 10, without padding. */
static const struct {
	const char *bytes, *text;
} published[] = {
	{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
	{"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"},
};

START_TEST(base64url_published)
{
	for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
		size_t n = strlen(published[i].bytes), size = strlen(published[i].text);
		char text[16], bytes[16];

		ck_assert_uint_eq(base64url_size(n), size);
		ck_assert_uint_eq(base64url_decoded_size(size), n);
		ck_assert_uint_eq(base64url_encode(published[i].bytes, n, text), size);
		ck_assert_str_eq(text, published[i].text);
		ck_assert_int_eq(base64url_decode(text, size, bytes, n), (ssize_t)n);
		ck_assert_mem_eq(bytes, published[i].bytes, n);
	}
}
END_TEST

/* One text: refused, or the one that encoding what came out gives back.  Returns whether it was accepted. */
static bool only_spelling(const char *text, size_t n)
{
	uint8_t bytes[3];
	char back[8];
	ssize_t r = base64url_decode(text, n, bytes, sizeof(bytes));

	if (r < 0) {
		if (r != -EINVAL)
			ck_abort_msg("%.*s: %d", (int)n, text, (int)r);
		return false;
	}
	if ((size_t)r != n - 1 || base64url_encode(bytes, (size_t)r, back) != n || memcmp(back, text, n) != 0)
		ck_abort_msg("%.*s is a second spelling of %s", (int)n, text, back);
	return true;
}

/* All texts of 2 characters, and many of 3. */
START_TEST(base64url_canonical)
{
	unsigned twos = 0, threes = 0;

	for (int a = 0; a < 256; a++)
		for (int b = 0; b < 256; b++) {
			twos += only_spelling((const char[]){(char)a, (char)b}, 2);
			for (int c = 0; c < 256 && a % 5 == 0; c++)
				threes += only_spelling((const char[]){(char)a, (char)b, (char)c}, 3);
		}
	ck_assert_uint_eq(twos, 256);
	ck_assert_uint_eq(threes % (64 * 16), 0);
	ck_assert_uint_gt(threes, 64 * 16);
}
END_TEST

START_TEST(base64url_refused)
{
	static const char *const bad[] = {
		"A",    "AAAAA", "Zg==", "Zg=", "Zm8=",   "Zh",    "Zm9",      "Zm9v\n", " Zg",
		"Zm+v", "Zm/v",  "Zm.v", "Z g", "Zm9vYh", "____A", "\xc3\xa9", "Zm9vZ",
	};
	uint8_t out[16];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(base64url_decode(bad[i], strlen(bad[i]), out, sizeof(out)) == -EINVAL, "%s accepted",
			      bad[i]);
	ck_assert_int_eq(base64url_decode("Zm\0v", 4, out, sizeof(out)), -EINVAL);
	ck_assert_int_eq(base64url_decode("Zm9v", 4, out, 2), -ENOSPC);
	ck_assert_int_eq(base64url_decode("Zm9v", 4, out, 3), 3);
	ck_assert_int_eq(base64url_decode("_-8", 3, out, 3), 2);
	ck_assert_uint_eq(out[0], 0xff);
	ck_assert_uint_eq(out[1], 0xef);
}
END_TEST

START_TEST(base64url_round_trip)
{
	uint8_t bytes[300], back[300];
	char text[401];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 131 + (i >> 3));
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		size_t size = base64url_encode(bytes, n, text);

		ck_assert_uint_eq(size, base64url_size(n));
		ck_assert_uint_eq(text[size], 0);
		ck_assert_int_eq(base64url_decode(text, size, back, n), (ssize_t)n);
		ck_assert_mem_eq(back, bytes, n);
	}
}
END_TEST

START_TEST(hexadecimal)
{
	uint8_t bytes[4];
	char text[9];

	hex_encode("\x00\x7f\x80\xff", 4, text);
	ck_assert_str_eq(text, "007f80ff");
	ck_assert_int_eq(hex_decode("007F80fF", 8, bytes, 4), 0);
	ck_assert_mem_eq(bytes, "\x00\x7f\x80\xff", 4);
	ck_assert_int_eq(hex_decode("", 0, bytes, 0), 0);
	ck_assert_int_eq(hex_decode("007f80f", 7, bytes, 4), -EINVAL);
	ck_assert_int_eq(hex_decode("007f80f", 7, bytes, 3), -EINVAL);
	ck_assert_int_eq(hex_decode("007f80ff", 8, bytes, 3), -EINVAL);
	ck_assert_int_eq(hex_decode("007f80fg", 8, bytes, 4), -EINVAL);
	ck_assert_int_eq(hex_decode("007f80f ", 8, bytes, 4), -EINVAL);
	ck_assert_int_eq(hex_decode("0x7f80ff", 8, bytes, 4), -EINVAL);
}
END_TEST

START_TEST(little_endian)
{
	uint8_t b[8];

	put_le64(b, UINT64_C(0x0807060504030281));
	ck_assert_mem_eq(b, "\x81\x02\x03\x04\x05\x06\x07\x08", 8);
	ck_assert_uint_eq(get_le64(b), UINT64_C(0x0807060504030281));
	ck_assert_uint_eq(get_le32(b), 0x04030281);
	ck_assert_uint_eq(get_le16(b), 0x0281);
	memset(b, 0xff, sizeof(b));
	ck_assert_uint_eq(get_le64(b), UINT64_MAX);
	put_le32(b, 0x80000001);
	ck_assert_uint_eq(get_le32(b), 0x80000001);
	put_le16(b, 0x8001);
	ck_assert_uint_eq(get_le16(b), 0x8001);
	ck_assert(!bytes_all_zero(b, 1));
	ck_assert(bytes_all_zero("\0\0\0\1", 3));
	ck_assert(!bytes_all_zero("\0\0\0\1", 4));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("encode");

	tcase_add_test(t, base64url_published);
	tcase_add_test(t, base64url_canonical);
	tcase_add_test(t, base64url_refused);
	tcase_add_test(t, base64url_round_trip);
	tcase_add_test(t, hexadecimal);
	tcase_add_test(t, little_endian);
	return run_tests(t, "encode");
}

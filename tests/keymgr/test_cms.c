/* What of CMS is accepted (keymgr/cms_profile.c).  two_recipients.cms was made by `openssl cms`, for an RSA and an EC certificate. */
#include <check.h>

#include "keymgr/cms_profile.h"
#include "tests/keymgr/fixture.h"

/* Where what lies in it; `openssl asn1parse` shows it. */
enum {
	SIZE = 658,
	RSA_ALGORITHM = 63,
	RSA_KEY = 123,
	RSA_KEY_END = 379,
	EC_ALGORITHM = 470,
	CIPHER = 576,
	NONCE = 591,
	ICV_LENGTH = 605,
	CIPHERTEXT = 608,
	TAG = 642,
};

static struct text sample(void)
{
	struct text t = slurp(VECTORS "/two_recipients.cms");

	ck_assert_uint_eq(t.n, SIZE);
	return t;
}

static const char *check(const struct text *t)
{
	return cms_profile_check((const uint8_t *)t->b, t->n);
}

static void wrong(const struct text *t, const char *says)
{
	const char *said = check(t);

	ck_assert_msg(said && strstr(said, says), "\"%s\" instead of \"%s\"", said ? said : "", says);
}

START_TEST(what_openssl_makes)
{
	struct text t = sample();

	ck_assert_ptr_null(check(&t));
	free(t.b);
}
END_TEST

/* A tag of another announced size: OpenSSL would go by it. */
START_TEST(short_tags)
{
	struct text t = sample();

	for (int size = 0; size < 256; size++) {
		if (size == 16)
			continue;
		t.b[ICV_LENGTH] = (char)size;
		wrong(&t, "announced with another size");
	}
	free(t.b);
}
END_TEST

static void shorten(struct text *t, size_t by)
{
	static const size_t lengths[] = {2, 19, 23}; /* of the three outer values, 2 bytes each */

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint8_t *p = (uint8_t *)t->b + lengths[i];
		size_t n = ((size_t)p[0] << 8 | p[1]) - by;

		p[0] = (uint8_t)(n >> 8);
		p[1] = (uint8_t)n;
	}
	t->n -= by;
}

/* A tag that is shorter, whatever is announced. */
START_TEST(cut_tags)
{
	for (size_t left = 0; left < 16; left++) {
		struct text t = sample();

		t.b[TAG - 1] = (char)left;
		shorten(&t, 16 - left);
		wrong(&t, "its tag has not 16 bytes");
		free(t.b);
	}
}
END_TEST

START_TEST(other_algorithms)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *says;
	} cases[] = {
		{CIPHER + 10, 0x06, "AES-256-GCM"}, /* aes128-GCM */
		{CIPHER + 10, 0x2a, "AES-256-GCM"}, /* aes256-CBC */
		{16, 0x03, "AuthEnvelopedData"},
		{RSA_ALGORITHM + 10, 0x01, "RSAES-OAEP"}, /* PKCS #1 v1.5 */
		{90, 0x02, "RSAES-OAEP"},                 /* OAEP with SHA-384 */
		{118, 0x02, "RSAES-OAEP"},                /* its mask by SHA-384 */
		{EC_ALGORITHM + 7, 0x00, "ECDH"},         /* the KDF of SHA-224 */
		{490, 0x05, "ECDH"},                      /* AES-128 key wrap */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct text t = sample();

		ck_assert_uint_ne((uint8_t)t.b[cases[i].at], cases[i].value);
		t.b[cases[i].at] = (char)cases[i].value;
		wrong(&t, cases[i].says);
		free(t.b);
	}
}
END_TEST

START_TEST(cut_anywhere)
{
	struct text t = sample();

	for (size_t n = 0; n < SIZE; n++)
		ck_assert_ptr_nonnull(cms_profile_check((const uint8_t *)t.b, n));
	t.b = realloc(t.b, SIZE + 1);
	t.b[SIZE] = 0;
	t.n = SIZE + 1;
	wrong(&t, "not DER");
	free(t.b);
}
END_TEST

static bool may_be_anything(size_t at)
{
	return (at >= 41 && at < 61) || (at >= RSA_KEY && at < RSA_KEY_END) || (at >= 387 && at < 468) ||
	       (at >= 497 && at < 519) || (at >= 521 && at < 561) || (at >= NONCE && at < 603) ||
	       (at >= CIPHERTEXT && at < 640) || at >= TAG;
}

/* Whoever each bit belongs to: only who the recipients are, keys, nonce, ciphertext and tag are free. */
START_TEST(every_bit)
{
	struct text t = sample();

	for (size_t at = 0; at < SIZE; at++)
		for (int bit = 0; bit < 8; bit++) {
			t.b[at] = (char)(t.b[at] ^ 1 << bit);
			ck_assert_msg((check(&t) == NULL) == may_be_anything(at), "byte %zu, bit %d", at, bit);
			t.b[at] = (char)(t.b[at] ^ 1 << bit);
		}
	free(t.b);
}
END_TEST

/* Lengths in a longer form than needed, or none: BER. */
START_TEST(ber)
{
	static const uint8_t indefinite[] = {0x30, 0x80, 0x06, 0x00, 0x00, 0x00},
			     longer[] = {0x30, 0x81, 0x02, 0x05, 0x00}, zeros[] = {0x30, 0x82, 0x00, 0x80};

	ck_assert_str_eq(cms_profile_check(indefinite, sizeof(indefinite)), "it is not DER");
	ck_assert_str_eq(cms_profile_check(longer, sizeof(longer)), "it is not DER");
	ck_assert_str_eq(cms_profile_check(zeros, sizeof(zeros)), "it is not DER");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("cms");

	tcase_add_test(t, what_openssl_makes);
	tcase_add_test(t, short_tags);
	tcase_add_test(t, cut_tags);
	tcase_add_test(t, other_algorithms);
	tcase_add_test(t, cut_anywhere);
	tcase_add_test(t, every_bit);
	tcase_add_test(t, ber);
	return run_suite("cms", t);
}

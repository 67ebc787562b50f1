/* What is left where the library runs in FIPS mode: everything that a volume with aes-256-ocb needs. */
#include <errno.h>

#include "util/base/bytes.h"
#include "util/base/kdf.h"
#include "util/base/kdf_labels.h"
#include "vectors.h"

static void setup(void)
{
	ck_assert_int_eq(setenv("LIBGCRYPT_FORCE_FIPS_MODE", "1", 1), 0);
	ck_assert_int_eq(crypto_start(), 0);
}

static void end(void)
{
	crypto_thread_end();
}

START_TEST(ciphers)
{
	uint8_t key[AEAD_KEY] = {1}, nonce[AEAD_NONCE] = {0}, text[5] = "text", tag[AEAD_TAG];
	struct aead *a;

	ck_assert(cipher_usable(CIPHER_AES_256_OCB));
	ck_assert(!cipher_usable(CIPHER_AES_256_GCM));
	ck_assert(!cipher_usable(CIPHER_CHACHA20_POLY1305));
	ck_assert_int_eq(aead_new(CIPHER_CHACHA20_POLY1305, &a), -ENOTSUP);
	ck_assert_ptr_null(a);
	ck_assert_int_eq(aead_new(CIPHER_AES_256_GCM, &a), 0);
	ck_assert_int_eq(aead_set_key(a, key), 0);
	ck_assert_int_eq(aead_seal(a, nonce, NULL, 0, text, sizeof(text), text, tag), -ENOTSUP);
	ck_assert(bytes_all_zero(text, sizeof(text)));
	aead_free(&a);
}
END_TEST

START_TEST(keys)
{
	const struct argon2_cost cost = {1, 64, 2};
	const uint8_t id[16] = {7};
	uint8_t prk[SHA256_SIZE], key[SIV_KEY], wrapped[SIV_KEY + KEY_WRAP_OVERHEAD], sealed[SIV_TAG + 4];
	struct siv *s;

	ck_assert_int_eq(argon2id("passphrase", 10, id, sizeof(id), &cost, key, 32), 0);
	ck_assert_int_eq(kdf_extract(key, 32, prk), 0);
	ck_assert_int_eq(kdf_expand(prk, LABEL_NAMES, id, "", NULL, 0, key, SIV_KEY), 0);
	ck_assert_int_eq(key_wrap(prk, key, SIV_KEY, wrapped), 0);
	ck_assert_int_eq(siv_new(&s), 0);
	ck_assert_int_eq(siv_set_key(s, key), 0);
	ck_assert_int_eq(siv_seal(s, id, sizeof(id), NULL, "name", 4, sealed), 0);
	siv_free(&s);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("fips");

	tcase_add_checked_fixture(t, setup, end);
	tcase_add_test(t, ciphers);
	tcase_add_test(t, keys);
	return run_tests(t, "fips");
}

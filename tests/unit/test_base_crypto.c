/* Every primitive against published vectors, and the traps of the library
 * beneath (crypto.c, 1 to 4). */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "util/base/bytes.h"
#include "util/base/crypto.h"
#include "vectors.h"
#include "vectors_crypto.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void setup(void)
{
	ck_assert_int_eq(crypto_start(), 0);
}

static void end(void)
{
	crypto_thread_end();
}

static struct aead *keyed(enum cipher c, const uint8_t key[AEAD_KEY])
{
	struct aead *a;

	ck_assert_int_eq(aead_new(c, &a), 0);
	ck_assert_int_eq(aead_set_key(a, key), 0);
	return a;
}

START_TEST(aead_published)
{
	const struct aead_vector *v = &aead_vectors[_i];
	struct hex key = hex(v->key), nonce = hex(v->nonce), ad = hex(v->ad), plain = hex(v->plain), tag = hex(v->tag);
	struct aead *a = keyed(v->cipher, key.b);
	uint8_t out[512], made[AEAD_TAG];

	ck_assert_int_eq(aead_seal(a, nonce.b, ad.b, ad.n, plain.b, plain.n, out, made), 0);
	assert_hex(out, plain.n, v->sealed);
	ck_assert_mem_eq(made, tag.b, AEAD_TAG);
	ck_assert_int_eq(aead_open(a, nonce.b, ad.b, ad.n, out, plain.n, out, tag.b), 0);
	ck_assert_mem_eq(out, plain.b, plain.n);
	aead_free(&a);
	ck_assert_ptr_null(a);
}
END_TEST

/* RFC 7253, appendix A: the iterated check of AEAD_AES_256_OCB_TAGLEN128, 384
 * messages of 0 to 127 bytes. */
START_TEST(ocb_iterated)
{
	static uint8_t all[24 * 1024], zeros[128];
	uint8_t key[AEAD_KEY] = {[31] = 128}, nonce[AEAD_NONCE] = {0}, tag[AEAD_TAG];
	struct aead *a = keyed(CIPHER_AES_256_OCB, key);
	size_t used = 0;

	for (unsigned i = 0; i < 128; i++)
		for (unsigned kind = 1; kind <= 3; kind++) {
			size_t ad = kind == 2 ? 0 : i, n = kind == 3 ? 0 : i;

			/* The order of RFC 7253: (S, S), (empty, S), (S, empty), as associated
       * data and text. */
			nonce[10] = (uint8_t)((3 * i + kind) >> 8);
			nonce[11] = (uint8_t)(3 * i + kind);
			ck_assert_uint_le(used + n + AEAD_TAG, sizeof(all));
			ck_assert_int_eq(aead_seal(a, nonce, zeros, ad, zeros, n, all + used, all + used + n), 0);
			used += n + AEAD_TAG;
		}
	nonce[10] = 385 >> 8;
	nonce[11] = 385 & 255;
	ck_assert_int_eq(aead_seal(a, nonce, all, used, NULL, 0, NULL, tag), 0);
	assert_hex(tag, sizeof(tag), "d90eb8e9c977c88b79dd793d7ffa161c");
	aead_free(&a);
}
END_TEST

/* Wrong bits anywhere: -EBADMSG and no plaintext (crypto.c, 2); the handle
 * stays good. */
START_TEST(aead_tampered)
{
	enum cipher c = (enum cipher)_i;
	const uint8_t key[AEAD_KEY] = {1, 2, 3}, nonce[AEAD_NONCE] = {9};
	uint8_t ad[26] = {7}, plain[100], sealed[100], out[100], tag[AEAD_TAG], wrong[AEAD_NONCE] = {8};
	const struct {
		uint8_t *bytes;
		size_t n;
	} parts[] = {{sealed, sizeof(sealed)}, {tag, sizeof(tag)}, {ad, sizeof(ad)}};
	struct aead *a = keyed(c, key);

	memset(plain, 'p', sizeof(plain));
	ck_assert_int_eq(aead_seal(a, nonce, ad, sizeof(ad), plain, sizeof(plain), sealed, tag), 0);
	for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++)
		for (size_t bit = 0; bit < 8 * parts[p].n; bit++) {
			parts[p].bytes[bit / 8] ^= 1 << bit % 8;
			memset(out, 'o', sizeof(out));
			ck_assert_int_eq(aead_open(a, nonce, ad, sizeof(ad), sealed, sizeof(sealed), out, tag),
					 -EBADMSG);
			ck_assert(bytes_all_zero(out, sizeof(out)));
			parts[p].bytes[bit / 8] ^= 1 << bit % 8;
		}
	ck_assert_int_eq(aead_open(a, wrong, ad, sizeof(ad), sealed, sizeof(sealed), out, tag), -EBADMSG);
	ck_assert_int_eq(aead_open(a, nonce, ad, sizeof(ad) - 1, sealed, sizeof(sealed), out, tag), -EBADMSG);
	ck_assert_int_eq(aead_open(a, nonce, ad, sizeof(ad), sealed, sizeof(sealed) - 1, out, tag), -EBADMSG);
	ck_assert_int_eq(aead_open(a, nonce, ad, sizeof(ad), sealed, sizeof(sealed), out, tag), 0);
	ck_assert_mem_eq(out, plain, sizeof(plain));
	aead_free(&a);
}
END_TEST

/* One handle for many keys and lengths gives what a fresh handle gives for
 * each. */
START_TEST(aead_rekeyed)
{
	enum cipher c = (enum cipher)_i;
	uint8_t key[AEAD_KEY] = {0}, nonce[AEAD_NONCE] = {0}, in[300] = {5}, one[300], two[300], tag1[AEAD_TAG],
		tag2[AEAD_TAG];
	struct aead *used = keyed(c, key), *fresh;

	for (size_t n = 0; n <= sizeof(in); n += 7) {
		key[0] = nonce[3] = (uint8_t)n;
		fresh = keyed(c, key);
		ck_assert_int_eq(aead_set_key(used, key), 0);
		ck_assert_int_eq(aead_seal(used, nonce, in, n / 2, in, n, one, tag1), 0);
		ck_assert_int_eq(aead_seal(fresh, nonce, in, n / 2, in, n, two, tag2), 0);
		ck_assert_mem_eq(one, two, n);
		ck_assert_mem_eq(tag1, tag2, AEAD_TAG);
		aead_free(&fresh);
	}
	aead_free(&used);
}
END_TEST

START_TEST(aead_unkeyed)
{
	uint8_t nonce[AEAD_NONCE] = {0}, text[16] = "do not show this", tag[AEAD_TAG] = {1};
	struct aead *a;

	ck_assert_int_eq(aead_new((enum cipher)_i, &a), 0);
	ck_assert_int_eq(aead_seal(a, nonce, NULL, 0, text, sizeof(text), text, tag), -EINVAL);
	ck_assert(bytes_all_zero(text, sizeof(text)));
	ck_assert(bytes_all_zero(tag, sizeof(tag)));
	aead_free(&a);
	ck_assert_int_eq(aead_new(CIPHER_NONE, &a), -EINVAL);
	ck_assert_ptr_null(a);
}
END_TEST

START_TEST(cipher_names)
{
	for (int c = CIPHER_AES_256_OCB; c <= CIPHER_CHACHA20_POLY1305; c++) {
		ck_assert_int_eq(cipher_from_name(cipher_name((enum cipher)c)), c);
		ck_assert(cipher_usable((enum cipher)c));
	}
	ck_assert_ptr_null(cipher_name(CIPHER_NONE));
	ck_assert_ptr_null(cipher_name((enum cipher)99));
	ck_assert(!cipher_usable(CIPHER_NONE));
	ck_assert_int_eq(cipher_from_name("aes-256-xts"), CIPHER_NONE);
	ck_assert_int_eq(cipher_from_name(""), CIPHER_NONE);
}
END_TEST

START_TEST(siv_published)
{
	const struct siv_vector *v = &siv_vectors[_i];
	struct hex key = hex(v->key), ad = hex(v->ad), nonce = hex(v->nonce ? v->nonce : ""), plain = hex(v->plain);
	const uint8_t *n = v->nonce ? nonce.b : NULL;
	uint8_t out[512], back[512];
	struct siv *s;

	ck_assert_int_eq(siv_new(&s), 0);
	ck_assert_int_eq(siv_set_key(s, key.b), 0);
	ck_assert_int_eq(siv_seal(s, ad.b, ad.n, n, plain.b, plain.n, out), 0);
	assert_hex(out, SIV_TAG + plain.n, v->sealed);
	ck_assert_int_eq(siv_open(s, ad.b, ad.n, n, out, SIV_TAG + plain.n, back), 0);
	ck_assert_mem_eq(back, plain.b, plain.n);
	siv_free(&s);
	ck_assert_ptr_null(s);
}
END_TEST

static struct siv *siv_keyed(const uint8_t key[SIV_KEY])
{
	struct siv *s;

	ck_assert_int_eq(siv_new(&s), 0);
	ck_assert_int_eq(siv_set_key(s, key), 0);
	return s;
}

/* crypto.c (3): after a message that is no multiple of 16, another and another
 * key must give what a fresh handle gives. */
START_TEST(siv_no_stale_state)
{
	uint8_t key[SIV_KEY] = {0}, in[64] = "a name", one[SIV_TAG + 64], two[SIV_TAG + 64], back[64];
	struct siv *used = siv_keyed(key), *fresh;

	for (size_t n = 1; n <= sizeof(in); n += 5) {
		key[1] = (uint8_t)n;
		fresh = siv_keyed(key);
		ck_assert_int_eq(siv_set_key(used, key), 0);
		ck_assert_int_eq(siv_seal(used, in, 16, NULL, in, n, one), 0);
		ck_assert_int_eq(siv_seal(used, in, 16, NULL, in, n, one), 0);
		ck_assert_int_eq(siv_seal(fresh, in, 16, NULL, in, n, two), 0);
		ck_assert_mem_eq(one, two, SIV_TAG + n);
		ck_assert_int_eq(siv_open(fresh, in, 16, NULL, one, SIV_TAG + n, back), 0);
		ck_assert_mem_eq(back, in, n);
		siv_free(&fresh);
	}
	siv_free(&used);
}
END_TEST

START_TEST(siv_tampered)
{
	const uint8_t key[SIV_KEY] = {3}, nonce[16] = {1};
	uint8_t in[40] = "plain", ad[16] = {2}, sealed[SIV_TAG + 40], out[40];
	struct siv *s = siv_keyed(key);

	ck_assert_int_eq(siv_seal(s, ad, sizeof(ad), nonce, in, sizeof(in), sealed), 0);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= 1 << bit % 8;
		memset(out, 'o', sizeof(out));
		ck_assert_int_eq(siv_open(s, ad, sizeof(ad), nonce, sealed, sizeof(sealed), out), -EBADMSG);
		ck_assert(bytes_all_zero(out, sizeof(out)));
		sealed[bit / 8] ^= 1 << bit % 8;
	}
	ck_assert_int_eq(siv_open(s, ad, sizeof(ad), NULL, sealed, sizeof(sealed), out), -EBADMSG);
	ck_assert_int_eq(siv_open(s, ad, sizeof(ad) - 1, nonce, sealed, sizeof(sealed), out), -EBADMSG);
	ck_assert_int_eq(siv_open(s, ad, sizeof(ad), nonce, sealed, SIV_TAG - 1, out), -EBADMSG);
	ck_assert_int_eq(siv_open(s, ad, sizeof(ad), nonce, sealed, sizeof(sealed), out), 0);
	ck_assert_mem_eq(out, in, sizeof(in));
	siv_free(&s);
	ck_assert_int_eq(siv_new(&s), 0);
	ck_assert_int_eq(siv_seal(s, ad, sizeof(ad), NULL, in, sizeof(in), sealed), -EINVAL);
	ck_assert(bytes_all_zero(sealed, sizeof(sealed)));
	siv_free(&s);
}
END_TEST

START_TEST(sha256_published)
{
	uint8_t out[SHA256_SIZE];

	ck_assert_int_eq(sha256(sha256_vectors[_i].text, strlen(sha256_vectors[_i].text), out), 0);
	assert_hex(out, sizeof(out), sha256_vectors[_i].hash);
}
END_TEST

START_TEST(hmac_published)
{
	struct hex key = hex(hmac_vectors[_i].key), data = hex(hmac_vectors[_i].data);
	uint8_t out[SHA256_SIZE];

	ck_assert_int_eq(hmac_sha256(key.b, key.n, data.b, data.n, out), 0);
	assert_hex(out, sizeof(out), hmac_vectors[_i].mac);
}
END_TEST

START_TEST(hkdf_published)
{
	const struct hkdf_vector *v = &hkdf_vectors[_i];
	struct hex ikm = hex(v->ikm), salt = hex(v->salt), info = hex(v->info), okm = hex(v->okm);
	uint8_t prk[SHA256_SIZE], out[512];

	ck_assert_int_eq(hkdf_extract(salt.n ? salt.b : NULL, salt.n, ikm.b, ikm.n, prk), 0);
	assert_hex(prk, sizeof(prk), v->prk);
	ck_assert_int_eq(hkdf_expand(prk, info.b, info.n, out, okm.n), 0);
	ck_assert_mem_eq(out, okm.b, okm.n);
}
END_TEST

START_TEST(hkdf_bounds)
{
	static uint8_t out[255 * 32 + 1];
	const uint8_t prk[SHA256_SIZE] = {1};

	ck_assert_int_eq(hkdf_expand(prk, NULL, 0, out, sizeof(out) - 1), 0);
	memset(out, 1, sizeof(out));
	ck_assert_int_eq(hkdf_expand(prk, NULL, 0, out, sizeof(out)), -EINVAL);
	ck_assert(bytes_all_zero(out, sizeof(out)));
}
END_TEST

/* Each thread has a handle of its own: all must derive what one alone derives.
 */
static void *derive_many(void *failed)
{
	uint8_t prk[SHA256_SIZE] = {0}, out[42];
	struct hex okm = hex(hkdf_vectors[0].okm), info = hex(hkdf_vectors[0].info), good = hex(hkdf_vectors[0].prk);

	for (int i = 0; i < 500; i++) {
		memcpy(prk, good.b, sizeof(prk));
		if (hkdf_expand(prk, info.b, info.n, out, sizeof(out)) < 0 || memcmp(out, okm.b, sizeof(out)) != 0)
			__atomic_store_n((int *)failed, 1, __ATOMIC_RELAXED);
		prk[0] ^= 1;
		if (hkdf_expand(prk, info.b, info.n, out, sizeof(out)) < 0 || memcmp(out, okm.b, sizeof(out)) == 0)
			__atomic_store_n((int *)failed, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

START_TEST(hkdf_threads)
{
	pthread_t threads[8];
	int failed = 0;

	/* More threads than the locked pool has room for: their handles must be
   * closed as they end. */
	for (int round = 0; round < 150; round++) {
		for (size_t i = 0; i < 8; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, derive_many, &failed), 0);
		for (size_t i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
	}
	ck_assert_int_eq(failed, 0);
}
END_TEST

/* RFC 3394, 4.6: 256 bits of key data with a 256-bit key. */
START_TEST(key_wrap_published)
{
	struct hex kek = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
	struct hex key = hex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
	uint8_t wrapped[40], out[32];

	ck_assert_int_eq(key_wrap(kek.b, key.b, key.n, wrapped), 0);
	assert_hex(wrapped, sizeof(wrapped),
		   "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bf"
		   "b988b9b7a02dd21");
	ck_assert_int_eq(key_unwrap(kek.b, wrapped, sizeof(wrapped), out), 0);
	ck_assert_mem_eq(out, key.b, key.n);
	for (size_t bit = 0; bit < 8 * sizeof(wrapped); bit++) {
		wrapped[bit / 8] ^= 1 << bit % 8;
		memset(out, 'o', sizeof(out));
		ck_assert_int_eq(key_unwrap(kek.b, wrapped, sizeof(wrapped), out), -EBADMSG);
		ck_assert(bytes_all_zero(out, sizeof(out)));
		wrapped[bit / 8] ^= 1 << bit % 8;
	}
	ck_assert_int_eq(key_wrap(kek.b, key.b, 8, wrapped), -EINVAL);
	ck_assert_int_eq(key_wrap(kek.b, key.b, 20, wrapped), -EINVAL);
	ck_assert_int_eq(key_unwrap(kek.b, wrapped, 16, out), -EINVAL);
	ck_assert_int_eq(key_unwrap(kek.b, wrapped, 39, out), -EINVAL);
	ck_assert_int_eq(key_unwrap(kek.b, wrapped, 0, out), -EINVAL);
}
END_TEST

START_TEST(argon2_published)
{
	const struct argon2_vector *v = &argon2_vectors[_i];
	struct hex passphrase = hex(v->passphrase), salt = hex(v->salt), wanted = hex(v->out);
	uint8_t out[64];

	ck_assert_int_eq(argon2id(passphrase.b, passphrase.n, salt.b, salt.n, &v->cost, out, wanted.n), 0);
	ck_assert_mem_eq(out, wanted.b, wanted.n);
}
END_TEST

/* Outside these bounds the library ignores the passphrase (t = 0), overflows
 * (m) or divides by zero (p). */
START_TEST(argon2_bounds)
{
	static const struct argon2_cost bad[] = {
		{0, 64, 1},        {65, 64, 1},           {1, 64, 0},         {1, 128, 17},        {1, 7, 1},
		{1, 31, 4},        {1, (1 << 20) + 1, 1}, {1, UINT32_MAX, 1}, {1, 64, UINT32_MAX}, {1, 64, 1U << 30},
		{1, 64, 1U << 29},
	};
	const struct argon2_cost good = {1, 8, 1};
	uint8_t salt[16] = {1}, out[32];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(out, 'o', sizeof(out));
		ck_assert(!argon2_cost_valid(&bad[i]));
		ck_assert_int_eq(argon2id("p", 1, salt, sizeof(salt), &bad[i], out, sizeof(out)), -EINVAL);
		ck_assert(bytes_all_zero(out, sizeof(out)));
	}
	ck_assert(argon2_cost_valid(&good));
	ck_assert_int_eq(argon2id("p", 1, salt, sizeof(salt), &good, out, sizeof(out)), 0);
	ck_assert_int_eq(argon2id("p", 1, salt, 15, &good, out, sizeof(out)), -EINVAL);
	ck_assert_int_eq(argon2id("p", 1, salt, sizeof(salt), &good, out, 15), -EINVAL);
	ck_assert_int_eq(argon2id("", 0, salt, sizeof(salt), &good, out, sizeof(out)), -EINVAL);
}
END_TEST

START_TEST(random_and_equal)
{
	static uint8_t a[1000], b[1000];

	ck_assert_int_eq(crypto_random(a, sizeof(a)), 0);
	ck_assert_int_eq(crypto_random(b, sizeof(b)), 0);
	ck_assert(!crypto_equal(a, b, sizeof(a)));
	ck_assert(!bytes_all_zero(a + sizeof(a) - 16, 16));
	memcpy(b, a, sizeof(a));
	ck_assert(crypto_equal(a, b, sizeof(a)));
	for (size_t bit = 0; bit < 8 * 64; bit++) {
		b[bit / 8] ^= 1 << bit % 8;
		ck_assert(!crypto_equal(a, b, 64));
		b[bit / 8] ^= 1 << bit % 8;
	}
	ck_assert(crypto_equal(a, b, 0));
}
END_TEST

/* crypto.c (4): with the locked pool full a handle is refused, not put
 * elsewhere. */
START_TEST(pool_exhausted)
{
	static struct aead *held[4096];
	int n = 0, r = 0;

	while (n < 4096 && r == 0) {
		r = aead_new(CIPHER_AES_256_OCB, &held[n]);
		n += r == 0;
	}
	ck_assert_int_eq(r, -ENOMEM);
	ck_assert_int_gt(n, 300);
	while (n > 0)
		aead_free(&held[--n]);
	ck_assert_int_eq(aead_new(CIPHER_AES_256_OCB, &held[0]), 0);
	aead_free(&held[0]);
}
END_TEST

int main(void)
{
	const int first = CIPHER_AES_256_OCB, after = CIPHER_CHACHA20_POLY1305 + 1;
	TCase *t = tcase_create("crypto");

	tcase_add_checked_fixture(t, setup, end);
	tcase_add_loop_test(t, aead_published, 0, COUNT(aead_vectors));
	tcase_add_test(t, ocb_iterated);
	tcase_add_loop_test(t, aead_tampered, first, after);
	tcase_add_loop_test(t, aead_rekeyed, first, after);
	tcase_add_loop_test(t, aead_unkeyed, first, after);
	tcase_add_test(t, cipher_names);
	tcase_add_loop_test(t, siv_published, 0, COUNT(siv_vectors));
	tcase_add_test(t, siv_no_stale_state);
	tcase_add_test(t, siv_tampered);
	tcase_add_loop_test(t, sha256_published, 0, COUNT(sha256_vectors));
	tcase_add_loop_test(t, hmac_published, 0, COUNT(hmac_vectors));
	tcase_add_loop_test(t, hkdf_published, 0, COUNT(hkdf_vectors));
	tcase_add_test(t, hkdf_bounds);
	tcase_add_test(t, hkdf_threads);
	tcase_add_test(t, key_wrap_published);
	tcase_add_loop_test(t, argon2_published, 0, COUNT(argon2_vectors));
	tcase_add_test(t, argon2_bounds);
	tcase_add_test(t, random_and_equal);
	tcase_add_test(t, pool_exhausted);
	return run_tests(t, "crypto");
}

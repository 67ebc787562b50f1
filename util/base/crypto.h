/* Every cryptographic primitive that coffer uses, over libgcrypt.  crypto.c is the only file that includes gcrypt.h.
 *
 * Errors: 0, or -EBADMSG (does not authenticate), -ENOTSUP (refused, e.g. under FIPS mode), -EINVAL, -ENOMEM, -EIO (the library
 * failed).  On every error all output is zeroed.  Handles belong to one thread at a time (libgcrypt handles are not
 * thread-safe and corrupt data silently); the one-shot functions are thread-safe. */
#ifndef COFFER_BASE_CRYPTO_H
#define COFFER_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/base/cleanup.h"

enum {
	AEAD_KEY = 32,
	AEAD_NONCE = 12,
	AEAD_TAG = 16,
	SIV_KEY = 64,
	SIV_TAG = 16,
	SHA256_SIZE = 32,
	KEY_WRAP_OVERHEAD = 8,
};

/* The content ciphers.  Values are internal; files hold names. */
enum cipher {
	CIPHER_NONE = 0,
	CIPHER_AES_256_OCB,       /* RFC 7253 */
	CIPHER_AES_256_GCM,       /* NIST SP 800-38D */
	CIPHER_CHACHA20_POLY1305, /* RFC 8439 */
};

const char *cipher_name(enum cipher c);         /* "aes-256-ocb" ...; NULL if unknown */
enum cipher cipher_from_name(const char *name); /* CIPHER_NONE if unknown */
bool cipher_usable(enum cipher c);              /* false where FIPS mode refuses it */

/* Initialises the library; once, after the last fork, before threads.  Locks a pool for the key schedules of handles. */
int crypto_start(void) MUST_CHECK;
bool crypto_has_aes(void); /* AES instructions: decides between OCB and ChaCha20 for "auto" */

/* getrandom(2).  Never returns short. */
int crypto_random(void *out, size_t n) MUST_CHECK;
/* Constant-time comparison. */
bool crypto_equal(const void *a, const void *b, size_t n);

/* --- AEAD.  Nonce 12, tag 16, always.  in == out works. */
struct aead;
int aead_new(enum cipher c, struct aead **out) MUST_CHECK;
void aead_free(struct aead **a);
int aead_set_key(struct aead *a, const uint8_t key[AEAD_KEY]) MUST_CHECK;
int aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *in, size_t n,
	      void *out, uint8_t tag[AEAD_TAG]) MUST_CHECK;
int aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *in, size_t n,
	      void *out, const uint8_t tag[AEAD_TAG]) MUST_CHECK;
/* The same with a second part of associated data behind the first; both together stay below 1 MiB (libgcrypt 1.10 aborts above). */
int aead_seal_with(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *more,
		   size_t more_size, const void *in, size_t n, void *out, uint8_t tag[AEAD_TAG]) MUST_CHECK;
int aead_open_with(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *more,
		   size_t more_size, const void *in, size_t n, void *out, const uint8_t tag[AEAD_TAG]) MUST_CHECK;

/* --- AES-SIV, RFC 5297, 64-byte key.  S2V components: ad, then the nonce (16 bytes) unless NULL, then the text.
 * seal: out has SIV_TAG + n bytes.  open: n includes the tag, out has n - SIV_TAG bytes.  in and out must not overlap. */
struct siv;
int siv_new(struct siv **out) MUST_CHECK;
void siv_free(struct siv **s);
int siv_set_key(struct siv *s, const uint8_t key[SIV_KEY]) MUST_CHECK;
int siv_seal(struct siv *s, const void *ad, size_t ad_size, const uint8_t *nonce, const void *in, size_t n,
	     uint8_t *out) MUST_CHECK;
int siv_open(struct siv *s, const void *ad, size_t ad_size, const uint8_t *nonce, const uint8_t *in, size_t n,
	     void *out) MUST_CHECK;

/* --- One-shot functions.  HMAC and HKDF keep a handle for each thread, in locked memory.  It is closed when the thread ends, or by
 * this call (the main thread's, before memory is looked over for leaks; the next use opens another). */
void crypto_thread_end(void);

int sha256(const void *in, size_t n, uint8_t out[SHA256_SIZE]) MUST_CHECK;
int hmac_sha256(const void *key, size_t key_size, const void *in, size_t n, uint8_t out[SHA256_SIZE]) MUST_CHECK;

/* HKDF with SHA-256, RFC 5869; salt may be NULL (empty).  out_size at most 255 * 32. */
int hkdf_extract(const void *salt, size_t salt_size, const void *ikm, size_t n, uint8_t prk[SHA256_SIZE]) MUST_CHECK;
int hkdf_expand(const uint8_t prk[SHA256_SIZE], const void *info, size_t info_size, void *out,
		size_t out_size) MUST_CHECK;

/* X25519, RFC 7748 section 5.  `point` NULL: the base point, so that out is the public key of the scalar.  -EBADMSG where the shared secret is
 * all zero (section 6.1: a point of low order); -ENOTSUP under FIPS mode. */
int x25519(const uint8_t scalar[32], const uint8_t *point, uint8_t out[32]) MUST_CHECK;

/* AES-256 key wrap, RFC 3394.  n a multiple of 8, at least 16; out has n + 8 (wrap) or n - 8 (unwrap) bytes. */
int key_wrap(const uint8_t kek[32], const void *in, size_t n, uint8_t *out) MUST_CHECK;
int key_unwrap(const uint8_t kek[32], const uint8_t *in, size_t n, void *out) MUST_CHECK;

/* PBKDF2 with HMAC-SHA-256, RFC 8018; for formats of others (SLIP-0039).  Nothing empty. */
int pbkdf2_sha256(const void *password, size_t n, const void *salt, size_t salt_size, unsigned long iterations,
		  void *out, size_t out_size) MUST_CHECK;

/* Argon2id, RFC 9106.  Bounds are checked before anything is computed: 1 <= t <= 64, 8 p <= m_kib <= 1 GiB, 1 <= p <= 16, salt
 * at least 16 bytes, out at least 16; outside: -EINVAL.  An empty passphrase: -EINVAL. */
struct argon2_cost {
	uint32_t t, m_kib, p;
};
bool argon2_cost_valid(const struct argon2_cost *c);
int argon2id(const void *passphrase, size_t n, const void *salt, size_t salt_size, const struct argon2_cost *cost,
	     void *out, size_t out_size) MUST_CHECK;

#endif

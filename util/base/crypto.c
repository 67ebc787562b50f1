/* The primitives, over libgcrypt (crypto.h).
 *
 * 1. Lengths of keys, nonces and tags are constants here: the library takes shorter ones and computes something weaker.
 * 2. Every open, decrypt and unwrap wipes its output on failure: the library releases plaintext before it has checked the tag.
 * 3. Every SIV message starts from a reset: the state of the message before survives both its end and a new key.
 * 4. Everything that holds a key lives in the library's locked pool; with the pool full, opening fails. */
#include "util/base/crypto.h"

#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "util/base/log.h"
#include "util/base/secret.h"

enum {
	POOL_SIZE = 1 << 20, /* some 500 handles */
	HKDF_MAX = 255 * SHA256_SIZE,
	ARGON2_T_MAX = 64,
	ARGON2_P_MAX = 16,
	ARGON2_M_MAX = 1 << 20, /* KiB: 1 GiB.  From 4 GiB on the library computes sizes that overflow */
};

static const struct {
	const char *name;
	int algo, mode;
} ciphers[] = {
	[CIPHER_AES_256_OCB] = {"aes-256-ocb", GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_OCB},
	[CIPHER_AES_256_GCM] = {"aes-256-gcm", GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM},
	[CIPHER_CHACHA20_POLY1305] = {"chacha20-poly1305", GCRY_CIPHER_CHACHA20, GCRY_CIPHER_MODE_POLY1305},
};
static const unsigned cipher_end = sizeof(ciphers) / sizeof(ciphers[0]);

static int to_errno(gcry_error_t e)
{
	switch (gcry_err_code(e)) {
	case GPG_ERR_NO_ERROR:
		return 0;
	case GPG_ERR_CHECKSUM:
		return -EBADMSG;
	case GPG_ERR_ENOMEM:
		return -ENOMEM;
	case GPG_ERR_CIPHER_ALGO:
	case GPG_ERR_DIGEST_ALGO:
	case GPG_ERR_MAC_ALGO:
	case GPG_ERR_NOT_SUPPORTED:
	case GPG_ERR_UNKNOWN_ALGORITHM:
		return -ENOTSUP;
	case GPG_ERR_INV_STATE: /* what FIPS mode answers to a nonce that the caller chose */
		return gcry_fips_mode_active() ? -ENOTSUP : -EIO;
	case GPG_ERR_INV_ARG:
	case GPG_ERR_INV_LENGTH:
	case GPG_ERR_INV_KEYLEN:
	case GPG_ERR_INV_VALUE:
		return -EINVAL;
	default:
		return -EIO;
	}
}

const char *cipher_name(enum cipher c)
{
	return c > CIPHER_NONE && c < cipher_end ? ciphers[c].name : NULL;
}

enum cipher cipher_from_name(const char *name)
{
	for (unsigned c = CIPHER_NONE + 1; c < cipher_end; c++)
		if (strcmp(name, ciphers[c].name) == 0)
			return (enum cipher)c;
	return CIPHER_NONE;
}

bool cipher_usable(enum cipher c)
{
	static const uint8_t key[AEAD_KEY], nonce[AEAD_NONCE];
	uint8_t byte = 0, tag[AEAD_TAG];
	struct aead *a;
	bool ok;

	if (!cipher_name(c) || aead_new(c, &a) < 0)
		return false;
	/* FIPS mode refuses some ciphers at open, others only when they encrypt. */
	ok = aead_set_key(a, key) == 0 && aead_seal(a, nonce, NULL, 0, &byte, 1, &byte, tag) == 0;
	aead_free(&a);
	return ok;
}

/* The library's own complaints, one line each like all others. */
PRINTF_LIKE(3, 0) static void log_library(void *unused, int level, const char *format, va_list args)
{
	char line[256];

	(void)unused;
	if (level == GCRY_LOG_CONT || level <= GCRY_LOG_INFO || level == GCRY_LOG_DEBUG)
		return;
	if (vsnprintf(line, sizeof(line), format, args) > 0)
		log_warning("libgcrypt: %.*s", (int)strcspn(line, "\n"), line);
}

/* The library answers a plain error where its pool could not be locked, and would go on unlocked. */
static int start_pool(void)
{
	struct rlimit limit;

	gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
	gcry_control(GCRYCTL_DISABLE_PRIV_DROP); /* or it would set our user ids */
	if (!gcry_control(GCRYCTL_INIT_SECMEM, (size_t)POOL_SIZE, 0))
		return 0;
	gcry_control(GCRYCTL_TERM_SECMEM);
	return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == 0 ? -EPERM : -ENOMEM;
}

int crypto_start(void)
{
	int r;

	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return 0;
	/* These two count only before the version check.  With the default generator, once used, every open of a handle
	 * would take two microseconds under a global lock. */
	gcry_set_log_handler(log_library, NULL);
	gcry_control(GCRYCTL_SET_PREFERRED_RNG_TYPE, GCRY_RNG_TYPE_SYSTEM);
	if (!gcry_check_version("1.10.0"))
		return -ENOTSUP;
	r = start_pool();
	if (r < 0)
		return r;
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	return gcry_control(GCRYCTL_OPERATIONAL_P) ? 0 : -EIO;
}

bool crypto_has_aes(void)
{
	char *list = gcry_get_config(0, "hwflist");
	bool found = list && (strstr(list, "intel-aesni") || strstr(list, "arm-aes") || strstr(list, "ppc-vcrypto"));

	gcry_free(list);
	return found;
}

int crypto_random(void *out, size_t n)
{
	uint8_t *p = out;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			int r = got < 0 ? -errno : -EIO;

			wipe(out, (size_t)(p - (uint8_t *)out) + n);
			return r;
		}
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t differ = 0;

	for (size_t i = 0; i < n; i++)
		differ |= x[i] ^ y[i];
	return differ == 0;
}

/* --- AEAD */

enum { AD_SIZE_MAX = (1 << 20) - 4096 };

struct aead {
	gcry_cipher_hd_t handle;
	enum cipher cipher;
	bool keyed;
};

int aead_new(enum cipher c, struct aead **out)
{
	struct aead *a;
	int r;

	*out = NULL;
	if (!cipher_name(c))
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->cipher = c;
	r = to_errno(gcry_cipher_open(&a->handle, ciphers[c].algo, ciphers[c].mode, GCRY_CIPHER_SECURE));
	if (r < 0) {
		free(a);
		return r;
	}
	*out = a;
	return 0;
}

void aead_free(struct aead **a)
{
	if (!*a)
		return;
	gcry_cipher_close((*a)->handle);
	free(*a);
	*a = NULL;
}

int aead_set_key(struct aead *a, const uint8_t key[AEAD_KEY])
{
	int r = to_errno(gcry_cipher_setkey(a->handle, key, AEAD_KEY));

	a->keyed = r == 0;
	return r;
}

/* What comes before the text of a message; clears the state of the one before. */
static gcry_error_t aead_begin(struct aead *a, const uint8_t *nonce, const void *ad, size_t ad_size, const void *more,
			       size_t more_size)
{
	gcry_error_t e;

	if (!a->keyed || more_size > AD_SIZE_MAX || ad_size > AD_SIZE_MAX - more_size)
		return gcry_error(GPG_ERR_INV_ARG);
	e = gcry_cipher_setiv(a->handle, nonce, AEAD_NONCE);
	if (!e && ad_size > 0)
		e = gcry_cipher_authenticate(a->handle, ad, ad_size);
	if (!e && more_size > 0)
		e = gcry_cipher_authenticate(a->handle, more, more_size);
	if (!e && a->cipher == CIPHER_AES_256_OCB)
		e = gcry_cipher_final(a->handle); /* the one call for the text is the last */
	return e;
}

int aead_seal_with(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *more,
		   size_t more_size, const void *in, size_t n, void *out, uint8_t tag[AEAD_TAG])
{
	gcry_error_t e = aead_begin(a, nonce, ad, ad_size, more, more_size);
	uint8_t none;

	if (!e && n > 0)
		e = gcry_cipher_encrypt(a->handle, out, n, in, n);
	else if (!e)
		e = gcry_cipher_encrypt(a->handle, &none, 0, &none, 0);
	if (!e)
		e = gcry_cipher_gettag(a->handle, tag, AEAD_TAG);
	if (!e)
		return 0;
	wipe(out, n);
	wipe(tag, AEAD_TAG);
	return to_errno(e);
}

int aead_open_with(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *more,
		   size_t more_size, const void *in, size_t n, void *out, const uint8_t tag[AEAD_TAG])
{
	gcry_error_t e = aead_begin(a, nonce, ad, ad_size, more, more_size);
	uint8_t none;

	if (!e && n > 0)
		e = gcry_cipher_decrypt(a->handle, out, n, in, n);
	else if (!e)
		e = gcry_cipher_decrypt(a->handle, &none, 0, &none, 0);
	if (!e)
		e = gcry_cipher_checktag(a->handle, tag, AEAD_TAG);
	if (!e)
		return 0;
	wipe(out, n);
	return to_errno(e);
}

int aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *in, size_t n,
	      void *out, uint8_t tag[AEAD_TAG])
{
	return aead_seal_with(a, nonce, ad, ad_size, NULL, 0, in, n, out, tag);
}

int aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size, const void *in, size_t n,
	      void *out, const uint8_t tag[AEAD_TAG])
{
	return aead_open_with(a, nonce, ad, ad_size, NULL, 0, in, n, out, tag);
}

/* --- AES-SIV */

struct siv {
	gcry_cipher_hd_t handle;
	bool keyed;
};

int siv_new(struct siv **out)
{
	struct siv *s = calloc(1, sizeof(*s));
	int r;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	r = to_errno(gcry_cipher_open(&s->handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_SIV, GCRY_CIPHER_SECURE));
	if (r < 0) {
		free(s);
		return r;
	}
	*out = s;
	return 0;
}

void siv_free(struct siv **s)
{
	if (!*s)
		return;
	gcry_cipher_close((*s)->handle);
	free(*s);
	*s = NULL;
}

int siv_set_key(struct siv *s, const uint8_t key[SIV_KEY])
{
	int r = to_errno(gcry_cipher_setkey(s->handle, key, SIV_KEY));

	s->keyed = r == 0;
	return r;
}

/* Each authenticate is one component of S2V, empty ones included. */
static gcry_error_t siv_begin(struct siv *s, const void *ad, size_t ad_size, const uint8_t *nonce)
{
	gcry_error_t e;

	if (!s->keyed)
		return gcry_error(GPG_ERR_INV_ARG);
	e = gcry_cipher_reset(s->handle);
	if (!e)
		e = gcry_cipher_authenticate(s->handle, ad_size > 0 ? ad : "", ad_size);
	if (!e && nonce)
		e = gcry_cipher_authenticate(s->handle, nonce, 16);
	return e;
}

int siv_seal(struct siv *s, const void *ad, size_t ad_size, const uint8_t *nonce, const void *in, size_t n,
	     uint8_t *out)
{
	gcry_error_t e = siv_begin(s, ad, ad_size, nonce);

	if (!e)
		e = gcry_cipher_encrypt(s->handle, out + SIV_TAG, n, n > 0 ? in : "", n);
	if (!e)
		e = gcry_cipher_gettag(s->handle, out, SIV_TAG);
	if (!e)
		return 0;
	wipe(out, SIV_TAG + n);
	return to_errno(e);
}

int siv_open(struct siv *s, const void *ad, size_t ad_size, const uint8_t *nonce, const uint8_t *in, size_t n,
	     void *out)
{
	uint8_t none;
	gcry_error_t e;

	if (n < SIV_TAG)
		return -EBADMSG;
	n -= SIV_TAG;
	e = siv_begin(s, ad, ad_size, nonce);
	if (!e)
		e = gcry_cipher_set_decryption_tag(s->handle, in, SIV_TAG);
	if (!e)
		e = gcry_cipher_decrypt(s->handle, n > 0 ? out : &none, n, in + SIV_TAG, n);
	if (!e)
		return 0;
	wipe(out, n);
	return to_errno(e);
}

/* --- Hashes.  Opening a handle costs more than hashing a few blocks: each thread keeps one, closed when it ends. */

static pthread_once_t mac_once = PTHREAD_ONCE_INIT;
static pthread_key_t mac_key;
static _Thread_local gcry_mac_hd_t thread_mac;

static void close_mac(void *handle)
{
	gcry_mac_close(handle);
	thread_mac = NULL;
}

static void make_mac_key(void)
{
	if (pthread_key_create(&mac_key, close_mac) != 0)
		abort(); /* all 1024 keys in use: not in this program */
}

void crypto_thread_end(void)
{
	if (!thread_mac)
		return;
	pthread_setspecific(mac_key, NULL);
	close_mac(thread_mac);
}

/* This thread's handle, with the key set. */
static int hmac_begin(const void *key, size_t n, gcry_mac_hd_t *out)
{
	static const uint8_t empty[SHA256_SIZE]; /* HMAC pads keys with zeros; FIPS mode refuses short ones */
	int r;

	if (!thread_mac) {
		pthread_once(&mac_once, make_mac_key);
		r = to_errno(gcry_mac_open(&thread_mac, GCRY_MAC_HMAC_SHA256, GCRY_MAC_FLAG_SECURE, NULL));
		if (r == 0 && pthread_setspecific(mac_key, thread_mac) != 0)
			r = -ENOMEM;
		if (r < 0) {
			gcry_mac_close(thread_mac);
			thread_mac = NULL;
			return r;
		}
	}
	*out = thread_mac;
	return to_errno(gcry_mac_setkey(thread_mac, n > 0 ? key : empty, n > 0 ? n : sizeof(empty)));
}

static int hmac_end(gcry_mac_hd_t h, uint8_t out[SHA256_SIZE])
{
	size_t n = SHA256_SIZE;

	return to_errno(gcry_mac_read(h, out, &n));
}

int sha256(const void *in, size_t n, uint8_t out[SHA256_SIZE])
{
	gcry_md_hash_buffer(GCRY_MD_SHA256, out, n > 0 ? in : "", n);
	return 0;
}

int hmac_sha256(const void *key, size_t key_size, const void *in, size_t n, uint8_t out[SHA256_SIZE])
{
	gcry_mac_hd_t h;
	int r = hmac_begin(key, key_size, &h);

	if (r == 0 && n > 0)
		r = to_errno(gcry_mac_write(h, in, n));
	if (r == 0)
		r = hmac_end(h, out);
	if (r < 0)
		wipe(out, SHA256_SIZE);
	return r;
}

int hkdf_extract(const void *salt, size_t salt_size, const void *ikm, size_t n, uint8_t prk[SHA256_SIZE])
{
	return hmac_sha256(salt, salt ? salt_size : 0, ikm, n, prk);
}

int hkdf_expand(const uint8_t prk[SHA256_SIZE], const void *info, size_t info_size, void *out, size_t out_size)
{
	uint8_t t[SHA256_SIZE], counter = 1, *p = out;
	gcry_mac_hd_t h = NULL;
	size_t left = out_size, part;
	int r = out_size > HKDF_MAX ? -EINVAL : hmac_begin(prk, SHA256_SIZE, &h);

	for (; r == 0 && left > 0; left -= part, p += part, counter++) {
		part = left < sizeof(t) ? left : sizeof(t);
		if (counter > 1)
			r = to_errno(gcry_mac_reset(h));
		if (r == 0 && counter > 1)
			r = to_errno(gcry_mac_write(h, t, sizeof(t)));
		if (r == 0 && info_size > 0)
			r = to_errno(gcry_mac_write(h, info, info_size));
		if (r == 0)
			r = to_errno(gcry_mac_write(h, &counter, 1));
		if (r == 0)
			r = hmac_end(h, t);
		if (r == 0)
			memcpy(p, t, part);
	}
	wipe(t, sizeof(t));
	if (r < 0)
		wipe(out, out_size);
	return r;
}

/* --- Key wrap */

int x25519(const uint8_t scalar[32], const uint8_t *point, uint8_t out[32])
{
	static const uint8_t zero[32];
	gcry_error_t e = gcry_fips_mode_active() ? gcry_error(GPG_ERR_NOT_SUPPORTED)
						 : gcry_ecc_mul_point(GCRY_ECC_CURVE25519, out, scalar, point);

	/* The library lets points of low order pass. */
	if (!e && crypto_equal(out, zero, sizeof(zero)))
		e = gcry_error(GPG_ERR_CHECKSUM);
	if (e)
		wipe(out, 32);
	return to_errno(e);
}

static int key_wrap_begin(const uint8_t kek[32], gcry_cipher_hd_t *out)
{
	int r = to_errno(gcry_cipher_open(out, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_AESWRAP, GCRY_CIPHER_SECURE));

	return r < 0 ? r : to_errno(gcry_cipher_setkey(*out, kek, 32));
}

int key_wrap(const uint8_t kek[32], const void *in, size_t n, uint8_t *out)
{
	gcry_cipher_hd_t h = NULL;
	int r = n < 16 || n % 8 != 0 ? -EINVAL : key_wrap_begin(kek, &h);

	if (r == 0)
		r = to_errno(gcry_cipher_encrypt(h, out, n + KEY_WRAP_OVERHEAD, in, n));
	gcry_cipher_close(h);
	if (r < 0)
		wipe(out, n + KEY_WRAP_OVERHEAD);
	return r;
}

int key_unwrap(const uint8_t kek[32], const uint8_t *in, size_t n, void *out)
{
	gcry_cipher_hd_t h = NULL;
	int r;

	if (n < 16 + KEY_WRAP_OVERHEAD || n % 8 != 0) {
		wipe(out, n > KEY_WRAP_OVERHEAD ? n - KEY_WRAP_OVERHEAD : 0);
		return -EINVAL;
	}
	r = key_wrap_begin(kek, &h);
	if (r == 0)
		r = to_errno(gcry_cipher_decrypt(h, out, n - KEY_WRAP_OVERHEAD, in, n));
	gcry_cipher_close(h);
	if (r < 0)
		wipe(out, n - KEY_WRAP_OVERHEAD);
	return r;
}

/* --- Argon2id.  The library hands out one job for each lane and waits four times a pass. */

struct lanes {
	pthread_t threads[ARGON2_P_MAX];
	unsigned running;
	struct lane {
		gcry_kdf_job_fn_t job;
		void *data;
	} lane[ARGON2_P_MAX];
};

static void *run_lane(void *lane)
{
	const struct lane *l = lane;

	l->job(l->data);
	return NULL;
}

/* Never fails: without a thread the job runs here. */
static int dispatch_lane(void *context, gcry_kdf_job_fn_t job, void *data)
{
	struct lanes *l = context;
	struct lane *lane = &l->lane[l->running];

	if (l->running < ARGON2_P_MAX) {
		*lane = (struct lane){job, data};
		if (pthread_create(&l->threads[l->running], NULL, run_lane, lane) == 0) {
			l->running++;
			return 0;
		}
	}
	job(data);
	return 0;
}

static int wait_lanes(void *context)
{
	struct lanes *l = context;

	while (l->running > 0)
		pthread_join(l->threads[--l->running], NULL);
	return 0;
}

bool argon2_cost_valid(const struct argon2_cost *c)
{
	return c->t >= 1 && c->t <= ARGON2_T_MAX && c->p >= 1 && c->p <= ARGON2_P_MAX && c->m_kib >= 8 * c->p &&
	       c->m_kib <= ARGON2_M_MAX;
}

int pbkdf2_sha256(const void *password, size_t n, const void *salt, size_t salt_size, unsigned long iterations,
		  void *out, size_t out_size)
{
	gcry_error_t e;

	e = n && salt_size && iterations ? gcry_kdf_derive(password, n, GCRY_KDF_PBKDF2, GCRY_MD_SHA256, salt,
							   salt_size, iterations, out_size, out)
					 : gcry_error(GPG_ERR_INV_VALUE);
	if (e)
		wipe(out, out_size);
	return to_errno(e);
}

int argon2id(const void *passphrase, size_t n, const void *salt, size_t salt_size, const struct argon2_cost *cost,
	     void *out, size_t out_size)
{
	struct lanes lanes = {.running = 0};
	const gcry_kdf_thread_ops_t ops = {
		.jobs_context = &lanes, .dispatch_job = dispatch_lane, .wait_all_jobs = wait_lanes};
	unsigned long param[4];
	gcry_kdf_hd_t h = NULL;
	gcry_error_t e;

	if (!argon2_cost_valid(cost) || n == 0 || salt_size < 16 || out_size < 16 || out_size > 1024) {
		wipe(out, out_size);
		return -EINVAL;
	}
	param[0] = out_size, param[1] = cost->t, param[2] = cost->m_kib, param[3] = cost->p;
	e = gcry_kdf_open(&h, GCRY_KDF_ARGON2, GCRY_KDF_ARGON2ID, param, 4, passphrase, n, salt, salt_size, NULL, 0,
			  NULL, 0);
	if (!e)
		e = gcry_kdf_compute(h, cost->p > 1 ? &ops : NULL);
	if (!e)
		e = gcry_kdf_final(h, out_size, out);
	if (h)
		gcry_kdf_close(h);
	if (e)
		wipe(out, out_size);
	return to_errno(e);
}

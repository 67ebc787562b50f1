/* Project Wycheproof's vectors: those of the sizes that coffer uses.
 *
 * The files are looked for in $COFFER_TEST_DATA/wycheproof, or ../shared/data/wycheproof beside the source tree; without them the test
 * is skipped.  Every valid case must give the stated output and open again, every invalid one must fail and leave zeros. */
#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/base/bytes.h"
#include "util/base/crypto.h"
#include "util/base/encode.h"

enum { TEST_SKIPPED = 77, BYTES_MAX = 70000 };

struct bytes {
	size_t n;
	uint8_t *b;
};

/* One case.  "acceptable" ones are treated as invalid: they are outside our limits. */
struct vector {
	struct json_object *test;
	bool valid;
	struct bytes key, iv, ad, msg, ct, tag;
	uint8_t *out; /* room for all of it, with other bytes than zero */
};

/* Runs a case: 0 passed, 1 failed, -1 not for us. */
typedef int run_vector(const struct vector *v);

static struct bytes get_bytes(struct json_object *o, const char *name)
{
	struct bytes b = {0, NULL};
	struct json_object *value;
	const char *text;

	b.b = calloc(1, BYTES_MAX);
	if (!b.b)
		abort();
	if (!json_object_object_get_ex(o, name, &value))
		return b;
	text = json_object_get_string(value);
	b.n = strlen(text) / 2;
	if (b.n > BYTES_MAX || hex_decode(text, strlen(text), b.b, b.n) < 0)
		abort();
	return b;
}

static size_t get_size(struct json_object *o, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(o, name, &value) ? (size_t)json_object_get_int64(value) : 0;
}

static bool same(const void *a, struct bytes b)
{
	return memcmp(a, b.b, b.n) == 0;
}

static int run_aead(const struct vector *v, enum cipher c)
{
	uint8_t tag[AEAD_TAG];
	struct aead *a;
	bool ok;
	int r;

	if (v->key.n != AEAD_KEY || v->iv.n != AEAD_NONCE || v->tag.n != AEAD_TAG)
		return -1;
	if (aead_new(c, &a) < 0)
		return 1;
	ok = aead_set_key(a, v->key.b) == 0;
	r = aead_open(a, v->iv.b, v->ad.b, v->ad.n, v->ct.b, v->ct.n, v->out, v->tag.b);
	if (v->valid)
		ok = ok && r == 0 && same(v->out, v->msg) &&
		     aead_seal(a, v->iv.b, v->ad.b, v->ad.n, v->msg.b, v->msg.n, v->out, tag) == 0 &&
		     same(v->out, v->ct) && same(tag, v->tag);
	else
		ok = ok && r == -EBADMSG && bytes_all_zero(v->out, v->ct.n);
	aead_free(&a);
	return ok ? 0 : 1;
}

static int run_gcm(const struct vector *v)
{
	return run_aead(v, CIPHER_AES_256_GCM);
}

static int run_chacha(const struct vector *v)
{
	return run_aead(v, CIPHER_CHACHA20_POLY1305);
}

/* sealed: the tag, then the text. */
static int run_siv(const struct vector *v, struct bytes sealed, const uint8_t *nonce)
{
	struct siv *s;
	bool ok;
	int r;

	if (siv_new(&s) < 0)
		return 1;
	ok = siv_set_key(s, v->key.b) == 0;
	r = siv_open(s, v->ad.b, v->ad.n, nonce, sealed.b, sealed.n, v->out);
	if (v->valid)
		ok = ok && r == 0 && same(v->out, v->msg) &&
		     siv_seal(s, v->ad.b, v->ad.n, nonce, v->msg.b, v->msg.n, v->out) == 0 && same(v->out, sealed);
	else
		ok = ok && r == -EBADMSG && (sealed.n < SIV_TAG || bytes_all_zero(v->out, sealed.n - SIV_TAG));
	siv_free(&s);
	return ok ? 0 : 1;
}

static int run_siv_plain(const struct vector *v)
{
	return v->key.n == SIV_KEY ? run_siv(v, v->ct, NULL) : -1;
}

static int run_siv_nonce(const struct vector *v)
{
	static uint8_t sealed[BYTES_MAX + SIV_TAG];
	struct bytes all = {SIV_TAG + v->ct.n, sealed};

	if (v->key.n != SIV_KEY || v->iv.n != 16 || v->tag.n != SIV_TAG)
		return -1;
	memcpy(sealed, v->tag.b, SIV_TAG);
	memcpy(sealed + SIV_TAG, v->ct.b, v->ct.n);
	return run_siv(v, all, v->iv.b);
}

/* Keys of 8 bytes ("acceptable") are refused here. */
static int run_key_wrap(const struct vector *v)
{
	size_t n = v->ct.n > KEY_WRAP_OVERHEAD ? v->ct.n - KEY_WRAP_OVERHEAD : 0;
	int r;

	if (v->key.n != 32)
		return -1;
	r = key_unwrap(v->key.b, v->ct.b, v->ct.n, v->out);
	if (!v->valid)
		return r < 0 && bytes_all_zero(v->out, n) ? 0 : 1;
	if (r < 0 || !same(v->out, v->msg))
		return 1;
	return key_wrap(v->key.b, v->msg.b, v->msg.n, v->out) == 0 && same(v->out, v->ct) ? 0 : 1;
}

static int run_hmac(const struct vector *v)
{
	uint8_t mac[SHA256_SIZE];

	if (hmac_sha256(v->key.b, v->key.n, v->msg.b, v->msg.n, mac) < 0)
		return 1;
	return crypto_equal(mac, v->tag.b, v->tag.n) == v->valid ? 0 : 1;
}

static int run_hkdf(const struct vector *v)
{
	struct bytes ikm = get_bytes(v->test, "ikm"), salt = get_bytes(v->test, "salt"),
		     info = get_bytes(v->test, "info"), okm = get_bytes(v->test, "okm");
	size_t size = get_size(v->test, "size");
	uint8_t prk[SHA256_SIZE];
	int r = hkdf_extract(salt.b, salt.n, ikm.b, ikm.n, prk);

	if (r == 0)
		r = hkdf_expand(prk, info.b, info.n, v->out, size);
	if (v->valid)
		r = r == 0 && okm.n == size && same(v->out, okm) ? 0 : 1;
	else
		r = r == -EINVAL && bytes_all_zero(v->out, size) ? 0 : 1;
	free(ikm.b);
	free(salt.b);
	free(info.b);
	free(okm.b);
	return r;
}

/* "acceptable": points that RFC 7748 lets pass.  What gives zero is refused, everything else is computed. */
static int run_x25519(const struct vector *v)
{
	struct bytes point = get_bytes(v->test, "public"), scalar = get_bytes(v->test, "private"),
		     shared = get_bytes(v->test, "shared");
	int r = x25519(scalar.b, point.b, v->out);

	if (bytes_all_zero(shared.b, shared.n))
		r = r == -EBADMSG && bytes_all_zero(v->out, 32) ? 0 : 1;
	else
		r = r == 0 && same(v->out, shared) ? 0 : 1;
	free(point.b);
	free(scalar.b);
	free(shared.b);
	return r;
}

static int run_test(struct json_object *test, run_vector *run)
{
	const char *result = json_object_get_string(json_object_object_get(test, "result"));
	struct vector v = {
		.test = test,
		.valid = strcmp(result, "valid") == 0,
		.key = get_bytes(test, "key"),
		.iv = get_bytes(test, "iv"),
		.ad = get_bytes(test, "aad"),
		.msg = get_bytes(test, "msg"),
		.ct = get_bytes(test, "ct"),
		.tag = get_bytes(test, "tag"),
		.out = malloc(BYTES_MAX),
	};
	int r;

	if (!v.out)
		abort();
	memset(v.out, 0x5a, BYTES_MAX);
	r = run(&v);
	if (r > 0)
		printf("  tcId %d: %s: failed\n", (int)get_size(test, "tcId"),
		       json_object_get_string(json_object_object_get(test, "comment")));
	free(v.key.b);
	free(v.iv.b);
	free(v.ad.b);
	free(v.msg.b);
	free(v.ct.b);
	free(v.tag.b);
	free(v.out);
	return r;
}

/* Returns false if anything failed, or if nothing ran. */
static bool run_file(const char *dir, const char *name, run_vector *run)
{
	unsigned passed = 0, failed = 0, skipped = 0;
	struct json_object *root, *groups, *tests;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	root = json_object_from_file(path);
	if (!root) {
		printf("%s: %s\n", name, json_util_get_last_err());
		return false;
	}
	groups = json_object_object_get(root, "testGroups");
	for (size_t g = 0; g < json_object_array_length(groups); g++) {
		tests = json_object_object_get(json_object_array_get_idx(groups, g), "tests");
		for (size_t t = 0; t < json_object_array_length(tests); t++) {
			int r = run_test(json_object_array_get_idx(tests, t), run);

			passed += r == 0;
			failed += r > 0;
			skipped += r < 0;
		}
	}
	json_object_put(root);
	printf("%s: %u passed, %u failed, %u skipped (other sizes)\n", name, passed, failed, skipped);
	return failed == 0 && passed > 0;
}

int main(void)
{
	static const struct {
		const char *name;
		run_vector *run;
	} files[] = {
		{"aes_gcm_test.json", run_gcm},
		{"chacha20_poly1305_test.json", run_chacha},
		{"aes_siv_cmac_test.json", run_siv_plain},
		{"aead_aes_siv_cmac_test.json", run_siv_nonce},
		{"aes_wrap_test.json", run_key_wrap},
		{"hmac_sha256_test.json", run_hmac},
		{"hkdf_sha256_test.json", run_hkdf},
		{"x25519_test.json", run_x25519},
	};
	const char *data = getenv("COFFER_TEST_DATA");
	char dir[2048];
	bool ok = true;

	snprintf(dir, sizeof(dir), "%s/wycheproof", data && *data ? data : SOURCE_ROOT "/../shared/data");
	if (access(dir, R_OK) < 0) {
		printf("no %s: skipped\n", dir);
		return TEST_SKIPPED;
	}
	if (crypto_start() < 0)
		return EXIT_FAILURE;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		ok = run_file(dir, files[i].name, files[i].run) && ok;
	crypto_thread_end();
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Splitting and combining (SLIP-0039).
 *
 * 1. The secret is encrypted with a four-round Feistel cipher first, so that a wrong passphrase gives another secret, not an error.
 * 2. A polynomial over GF(256) for each byte: the shares at x = 0 to 15, a digest of the secret at 254, the secret at 255.
 * 3. Multiplication looks nothing up in a table: its time tells nothing about the bytes. */
#include "keymgr/shares.h"

#include <errno.h>
#include <string.h>

#include "util/base/crypto.h"

enum { ROUNDS = 4, BASE_ITERATIONS = 10000, DIGEST_X = 254, SECRET_X = 255, DIGEST_SIZE = 4, EXPONENT = 0 };

/* --- the field of AES */

static uint8_t multiply(uint8_t a, uint8_t b)
{
	uint8_t product = 0;

	for (int i = 0; i < 8; i++) {
		product ^= (uint8_t)(-(b & 1) & a);
		a = (uint8_t)((a << 1) ^ (-(a >> 7) & 0x1b));
		b >>= 1;
	}
	return product;
}

/* a^254 */
static uint8_t inverse(uint8_t a)
{
	uint8_t square = a, result = 1;

	for (int i = 0; i < 7; i++) {
		square = multiply(square, square);
		result = multiply(result, square);
	}
	return result;
}

struct point {
	uint8_t x;
	const uint8_t *y;
};

/* The value at x of the polynomials through the points. */
static void interpolate(const struct point *p, size_t count, uint8_t x, uint8_t *out, size_t n)
{
	memset(out, 0, n);
	for (size_t i = 0; i < count; i++) {
		uint8_t factor = 1;

		for (size_t j = 0; j < count; j++)
			if (j != i)
				factor = multiply(factor, multiply(x ^ p[j].x, inverse(p[i].x ^ p[j].x)));
		for (size_t b = 0; b < n; b++)
			out[b] ^= multiply(factor, p[i].y[b]);
	}
}

/* --- the passphrase */

/* One half from the other. */
static int round_function(unsigned i, const struct share *s, const char *passphrase, const uint8_t *half, size_t n,
			  uint8_t *out)
{
	uint8_t salt[8 + SHARE_VALUE_MAX / 2], password[1 + 256];
	size_t prefix = 0, length = strlen(passphrase);
	int ret;

	if (length > sizeof(password) - 1)
		return -EINVAL;
	if (!s->extendable) {
		memcpy(salt, "shamir", 6);
		salt[6] = (uint8_t)(s->id >> 8);
		salt[7] = (uint8_t)s->id;
		prefix = 8;
	}
	memcpy(salt + prefix, half, n);
	password[0] = (uint8_t)i;
	memcpy(password + 1, passphrase, length);
	ret = pbkdf2_sha256(password, length + 1, salt, prefix + n, (BASE_ITERATIONS / ROUNDS) << s->exponent, out, n);
	wipe(salt, sizeof(salt));
	wipe(password, sizeof(password));
	return ret;
}

static int feistel(bool decrypt, const struct share *s, const char *passphrase, const uint8_t *in, uint8_t *out)
{
	uint8_t left[SHARE_VALUE_MAX / 2], right[SHARE_VALUE_MAX / 2], f[SHARE_VALUE_MAX / 2] = {0};
	size_t half = s->size / 2;
	int ret = 0;

	memcpy(left, in, half);
	memcpy(right, in + half, half);
	for (unsigned i = 0; ret == 0 && i < ROUNDS; i++) {
		ret = round_function(decrypt ? ROUNDS - 1 - i : i, s, passphrase, right, half, f);
		for (size_t b = 0; b < half; b++) {
			uint8_t next = left[b] ^ f[b];

			left[b] = right[b];
			right[b] = next;
		}
	}
	memcpy(out, right, half);
	memcpy(out + half, left, half);
	wipe(left, sizeof(left));
	wipe(right, sizeof(right));
	wipe(f, sizeof(f));
	if (ret < 0)
		wipe(out, s->size);
	return ret;
}

/* --- splitting */

/* The first bytes of an HMAC under the rest of the digest share. */
static int digest(const uint8_t *rest, const uint8_t *secret, size_t n, uint8_t out[DIGEST_SIZE])
{
	uint8_t mac[SHA256_SIZE];
	int ret = hmac_sha256(rest, n - DIGEST_SIZE, secret, n, mac);

	memcpy(out, mac, DIGEST_SIZE);
	return ret;
}

static int split_value(const uint8_t *secret, size_t n, unsigned threshold, unsigned count, struct share_set *out)
{
	uint8_t digest_share[SHARE_VALUE_MAX];
	struct point base[SHARE_COUNT_MAX];
	unsigned random = threshold - 2;
	int ret;

	if (threshold == 1) {
		for (unsigned i = 0; i < count; i++)
			memcpy(out->at[i].value, secret, n);
		return 0;
	}
	ret = crypto_random(digest_share + DIGEST_SIZE, n - DIGEST_SIZE);
	if (ret == 0)
		ret = digest(digest_share + DIGEST_SIZE, secret, n, digest_share);
	for (unsigned i = 0; ret == 0 && i < random; i++) {
		ret = crypto_random(out->at[i].value, n);
		base[i] = (struct point){(uint8_t)i, out->at[i].value};
	}
	base[random] = (struct point){DIGEST_X, digest_share};
	base[random + 1] = (struct point){SECRET_X, secret};
	for (unsigned i = random; ret == 0 && i < count; i++)
		interpolate(base, threshold, (uint8_t)i, out->at[i].value, n);
	wipe(digest_share, sizeof(digest_share));
	return ret;
}

int shares_split(const uint8_t *secret, size_t n, unsigned threshold, unsigned count, struct share_set *out)
{
	struct share common = {.extendable = true, .exponent = EXPONENT, .group_threshold = 1, .group_count = 1};
	uint8_t encrypted[SHARE_VALUE_MAX];
	int ret;

	*out = (struct share_set){0};
	if (n < SHARE_VALUE_MIN || n > SHARE_VALUE_MAX || n % 2 || threshold < 1 || threshold > count ||
	    count > SHARE_COUNT_MAX || (threshold == 1 && count > 1))
		return -EINVAL;
	common.size = n;
	common.threshold = (uint8_t)threshold;
	ret = crypto_random(&common.id, sizeof(common.id));
	common.id &= 0x7fff;
	if (ret == 0)
		ret = feistel(false, &common, "", secret, encrypted);
	for (unsigned i = 0; i < count; i++) {
		out->at[i] = common;
		out->at[i].member = (uint8_t)i;
	}
	out->count = count;
	if (ret == 0)
		ret = split_value(encrypted, n, threshold, count, out);
	wipe(encrypted, sizeof(encrypted));
	if (ret < 0)
		share_set_wipe(out);
	return ret;
}

/* --- combining */

static int refuse(struct fault *why, const char *text)
{
	return fault_set(why, EXIT_WRONG_SECRET, EINVAL, "%s", text);
}

static int recover(const struct point *p, size_t threshold, uint8_t *out, size_t n, struct fault *why)
{
	uint8_t digest_share[SHARE_VALUE_MAX], expected[DIGEST_SIZE];
	int ret;

	if (threshold == 1) {
		memcpy(out, p[0].y, n);
		return 0;
	}
	interpolate(p, threshold, SECRET_X, out, n);
	interpolate(p, threshold, DIGEST_X, digest_share, n);
	ret = digest(digest_share + DIGEST_SIZE, out, n, expected);
	if (ret == 0 && !crypto_equal(digest_share, expected, DIGEST_SIZE))
		ret = refuse(why, "the shares do not fit together: one of them is of another backup, or was forged");
	wipe(digest_share, sizeof(digest_share));
	return ret;
}

static bool same_secret(const struct share *a, const struct share *b)
{
	return a->id == b->id && a->extendable == b->extendable && a->exponent == b->exponent && a->size == b->size &&
	       a->group_threshold == b->group_threshold && a->group_count == b->group_count;
}

static int check_set(const struct share_set *s, struct fault *why)
{
	if (s->count == 0)
		return refuse(why, "no share was given");
	for (size_t i = 1; i < s->count; i++) {
		const struct share *a = &s->at[i];

		if (!same_secret(a, &s->at[0]))
			return refuse(why, "the shares are not of one backup; sort them by their first two words");
		for (size_t j = 0; j < i; j++) {
			if (a->group != s->at[j].group)
				continue;
			if (a->threshold != s->at[j].threshold)
				return refuse(why, "the shares contradict each other; one of them was forged");
			if (a->member == s->at[j].member)
				return refuse(why, "a share was given twice; another one is needed");
		}
	}
	return 0;
}

/* The shares of one group; those beyond its threshold have to fit as well. */
static int recover_group(const struct share_set *s, uint8_t group, uint8_t *out, struct fault *why)
{
	struct point p[SHARE_COUNT_MAX];
	uint8_t value[SHARE_VALUE_MAX];
	size_t n = 0, threshold = 0;
	int ret = 0;

	for (size_t i = 0; i < s->count; i++)
		if (s->at[i].group == group) {
			threshold = s->at[i].threshold;
			p[n++] = (struct point){s->at[i].member, s->at[i].value};
		}
	if (n < threshold)
		return fault_set(why, EXIT_WRONG_SECRET, EINVAL, "%zu shares were given, and %zu are needed", n,
				 threshold);
	ret = recover(p, threshold, out, s->at[0].size, why);
	for (size_t i = threshold; ret == 0 && i < n; i++) {
		interpolate(p, threshold, p[i].x, value, s->at[0].size);
		if (!crypto_equal(value, p[i].y, s->at[0].size))
			ret = refuse(why,
				     "the shares do not fit together: one of them is of another backup, or was forged");
	}
	wipe(value, sizeof(value));
	return ret;
}

static int recover_all(const struct share_set *s, uint8_t *out, struct fault *why)
{
	uint8_t values[SHARE_COUNT_MAX][SHARE_VALUE_MAX];
	struct point p[SHARE_COUNT_MAX];
	size_t groups = 0, needed = s->at[0].group_threshold;
	int ret = 0;

	for (unsigned g = 0; ret == 0 && g < SHARE_COUNT_MAX; g++) {
		bool there = false;

		for (size_t i = 0; i < s->count; i++)
			there |= s->at[i].group == g;
		if (!there)
			continue;
		ret = recover_group(s, (uint8_t)g, values[groups], why);
		p[groups] = (struct point){(uint8_t)g, values[groups]};
		groups++;
	}
	if (ret == 0 && groups < needed)
		ret = fault_set(why, EXIT_WRONG_SECRET, EINVAL, "shares of %zu groups were given, and %zu are needed",
				groups, needed);
	if (ret == 0)
		ret = recover(p, needed, out, s->at[0].size, why);
	wipe(values, sizeof(values));
	return ret;
}

int shares_combine(const struct share_set *s, const char *passphrase, uint8_t out[SHARE_VALUE_MAX], size_t *n,
		   struct fault *why)
{
	uint8_t encrypted[SHARE_VALUE_MAX];
	int ret = check_set(s, why);

	*n = s->count ? s->at[0].size : 0;
	if (ret == 0)
		ret = recover_all(s, encrypted, why);
	if (ret == 0)
		ret = feistel(true, &s->at[0], passphrase, encrypted, out);
	wipe(encrypted, sizeof(encrypted));
	if (ret < 0)
		wipe(out, SHARE_VALUE_MAX);
	return ret;
}

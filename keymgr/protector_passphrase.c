/* The passphrase protector: X is Argon2id of the passphrase.
 *
 * The cost of a new one is chosen so that opening takes about a second on this host: memory first (that is what makes guessing
 * dear), passes when the memory is at its limit. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keymgr/protector.h"
#include "keymgr/testing.h"

enum {
	SALT_SIZE = 16,
	SALT_MAX = 64,
	COST_MS = 1000,
	KIB_MAX = 1 << 20, /* 1 GiB */
};

/* RFC 9106, section 4, second recommended option. */
static const struct argon2_cost least = {.t = 3, .m_kib = 64 << 10, .p = 4};

static struct argon2_cost test_cost;
static bool testing;
static unsigned runs;

void keyring_set_argon2_for_tests(const struct argon2_cost *cost)
{
	testing = cost != NULL;
	if (cost)
		test_cost = *cost;
}

unsigned keyring_kdf_runs(void)
{
	return __atomic_load_n(&runs, __ATOMIC_RELAXED);
}

static int64_t elapsed_ms(const struct argon2_cost *cost)
{
	static const uint8_t salt[SALT_SIZE];
	_cleanup_stack_key_ struct stack_key out;
	struct timespec a, b;
	int ret;

	clock_gettime(CLOCK_MONOTONIC, &a);
	ret = argon2id("calibration", 11, salt, sizeof(salt), cost, out.b, sizeof(out.b));
	if (ret < 0)
		return ret;
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
}

/* At most a quarter of the memory, or the host could not open its own volume under load. */
static uint32_t memory_limit_kib(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t kib = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 4 / 1024 : least.m_kib;

	if (kib > KIB_MAX)
		kib = KIB_MAX;
	return kib < least.m_kib ? least.m_kib : (uint32_t)kib;
}

static int calibrate(struct argon2_cost *out)
{
	uint32_t limit = memory_limit_kib();
	uint64_t kib, passes;
	int64_t ms;

	*out = least;
	ms = elapsed_ms(&least);
	if (ms < 0)
		return (int)ms;
	if (ms == 0)
		ms = 1;
	kib = (uint64_t)least.m_kib * COST_MS / (uint64_t)ms;
	if (kib > limit) {
		passes = least.t * kib / limit;
		out->t = passes > 64 ? 64 : (uint32_t)passes;
		kib = limit;
	}
	if (kib > least.m_kib)
		out->m_kib = (uint32_t)kib / 1024 * 1024;
	return 0;
}

static int choose_cost(const struct argon2_cost *asked, struct argon2_cost *out, struct fault *why)
{
	if (!asked && testing) {
		*out = test_cost;
		return 0;
	}
	if (!asked)
		return calibrate(out);
	*out = *asked;
	if (!argon2_cost_valid(out) || (!testing && (out->t < least.t || out->m_kib < least.m_kib || out->p < least.p)))
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "a cost of t=%" PRIu32 ", %" PRIu32 " KiB, p=%" PRIu32
				 " is out of bounds: at least 3,65536,4 and at most 64,1048576,16",
				 out->t, out->m_kib, out->p);
	return 0;
}

struct parameters {
	struct argon2_cost cost;
	uint8_t salt[SALT_MAX];
	size_t salt_size;
};

static int load(json_object *o, struct parameters *out, struct problem *p)
{
	const char *kdf;
	int ret;

	ret = member_string(o, "kdf", &kdf, p);
	if (ret == 0 && strcmp(kdf, "argon2id") != 0)
		ret = problem_set(p, "\"kdf\" is not argon2id");
	if (ret == 0)
		ret = member_u32(o, "t", 1, &out->cost.t, p);
	if (ret == 0)
		ret = member_u32(o, "m_kib", 8, &out->cost.m_kib, p);
	if (ret == 0)
		ret = member_u32(o, "p", 1, &out->cost.p, p);
	if (ret == 0 && !argon2_cost_valid(&out->cost))
		ret = problem_set(p, "the cost of a passphrase is out of bounds");
	if (ret == 0)
		ret = member_bytes_between(o, "salt", out->salt, SALT_SIZE, SALT_MAX, &out->salt_size, p);
	return ret;
}

static int passphrase_validate(json_object *o, struct problem *p)
{
	struct parameters ignored;

	return load(o, &ignored, p);
}

static int passphrase_open(json_object *o, const struct unlock_secret *s, const struct protected *what,
			   uint8_t prk[SHA256_SIZE], struct fault *why)
{
	_cleanup_stack_key_ struct stack_key x;
	struct problem p = {0};
	struct parameters with = {0};
	int ret;

	(void)what;
	(void)why;
	ret = load(o, &with, &p);
	if (ret < 0)
		return ret;
	__atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED);
	ret = argon2id(s->bytes->bytes, s->bytes->size, with.salt, with.salt_size, &with.cost, x.b, sizeof(x.b));
	return ret < 0 ? ret : kdf_extract(x.b, sizeof(x.b), prk);
}

static int passphrase_make(json_object *o, const struct unlock_secret *s, const struct protected *what,
			   uint8_t prk[SHA256_SIZE], struct fault *why)
{
	struct argon2_cost cost;
	uint8_t salt[SALT_SIZE];
	int ret;

	ret = choose_cost(s->cost, &cost, why);
	if (ret == 0)
		ret = crypto_random(salt, sizeof(salt));
	if (ret == 0)
		ret = put_string(o, "kdf", "argon2id");
	if (ret == 0)
		ret = put_number(o, "t", cost.t);
	if (ret == 0)
		ret = put_number(o, "m_kib", cost.m_kib);
	if (ret == 0)
		ret = put_number(o, "p", cost.p);
	if (ret == 0)
		ret = put_bytes(o, "salt", salt, sizeof(salt));
	return ret < 0 ? ret : passphrase_open(o, s, what, prk, why);
}

static void passphrase_describe(json_object *o, char *out, size_t n)
{
	struct problem p = {0};
	struct parameters with = {0};

	out[0] = '\0';
	if (load(o, &with, &p) == 0)
		snprintf(out, n, "argon2id t=%" PRIu32 " m=%" PRIu32 "MiB p=%" PRIu32, with.cost.t,
			 with.cost.m_kib >> 10, with.cost.p);
}

const struct protector_type protector_passphrase = {
	.name = "passphrase",
	.kind = SECRET_PASSPHRASE,
	.made_of = SECRET_PASSPHRASE,
	.validate = passphrase_validate,
	.make = passphrase_make,
	.open = passphrase_open,
	.describe = passphrase_describe,
};

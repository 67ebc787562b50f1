/* The arena of secrets (secret.c, 1 to 4). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/base/bytes.h"
#include "util/base/secret.h"
#include "vectors.h"

enum { ARENA = 64 * 1024 };

static void setup(void)
{
	ck_assert_int_eq(secret_start(ARENA), 0);
}

static void end(void)
{
	secret_stop();
}

static struct secret *made(size_t n, int fill)
{
	struct secret *s = secret_new(n);

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->size, n);
	ck_assert(bytes_all_zero(s->bytes, n));
	memset(s->bytes, fill, n);
	return s;
}

START_TEST(wiped_when_freed)
{
	struct secret *s = made(100, 'x'), *other = made(1, 'y');
	const volatile uint8_t *was = s->bytes;

	secret_free(&s);
	ck_assert_ptr_null(s);
	for (size_t i = 0; i < 100; i++)
		ck_assert_uint_eq(was[i], 0);
	ck_assert_uint_eq(other->bytes[0], 'y');
	secret_free(&s); /* NULL: nothing */
	secret_free(&other);
}
END_TEST

START_TEST(shrunk)
{
	struct secret *s = made(100, 'x');
	const volatile uint8_t *was = s->bytes;

	secret_shrink(s, 10);
	ck_assert_uint_eq(s->size, 10);
	ck_assert_uint_eq(s->bytes[9], 'x');
	for (size_t i = 10; i < 100; i++)
		ck_assert_uint_eq(was[i], 0);
	secret_shrink(s, 50); /* never longer */
	ck_assert_uint_eq(s->size, 10);
	memset(s->bytes + 10, 'z', 90); /* a careless owner: all of the block is wiped nevertheless */
	secret_free(&s);
	for (size_t i = 0; i < 100; i++)
		ck_assert_uint_eq(was[i], 0);
}
END_TEST

START_TEST(moved)
{
	struct secret *s = made(5, 'x'), *old = s, *to = secret_move(&s);

	ck_assert_ptr_null(s);
	ck_assert_ptr_eq(to, old);
	ck_assert_ptr_null(secret_move(&s));
	secret_free(&to);
}
END_TEST

START_TEST(exhausted)
{
	struct secret *held[ARENA / 32], *s;
	size_t n = 0;

	while ((s = secret_new(32)))
		held[n++] = s;
	ck_assert_uint_ge(n, ARENA / 96);
	ck_assert_ptr_null(secret_new(1000));
	for (size_t i = 1; i < n; i += 2)
		secret_free(&held[i]);
	ck_assert_ptr_null(secret_new(1000)); /* holes of one secret each */
	for (size_t i = 0; i < n; i += 2)
		secret_free(&held[i]);
	s = secret_new(ARENA - 32); /* merged to one hole again */
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->size, ARENA - 32);
	ck_assert(bytes_all_zero(s->bytes, s->size));
	secret_free(&s);
	ck_assert_ptr_null(secret_new(ARENA));
	ck_assert_ptr_null(secret_new(SIZE_MAX));
	ck_assert_ptr_null(secret_new(SIZE_MAX - 40));
}
END_TEST

/* Random sizes and order; neighbours stay whole, memory comes zeroed. */
static void *churn(void *seed)
{
	struct secret *held[64] = {NULL};
	unsigned x = *(unsigned *)seed;

	for (int i = 0; i < 20000; i++) {
		unsigned at = (x = x * 1103515245 + 12345) >> 16 & 63;
		size_t n = x >> 8 & 127;

		if (held[at]) {
			for (size_t k = 0; k < held[at]->size; k++)
				if (held[at]->bytes[k] != (uint8_t)at)
					return seed;
			secret_free(&held[at]);
		} else if ((held[at] = secret_new(n))) {
			if (!bytes_all_zero(held[at]->bytes, n))
				return seed;
			memset(held[at]->bytes, (int)at, n);
		}
	}
	for (size_t i = 0; i < 64; i++)
		secret_free(&held[i]);
	return NULL;
}

START_TEST(threads)
{
	unsigned seeds[4] = {1, 22, 333, 4444};
	pthread_t t[4];
	struct secret *all;
	void *failed;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, churn, &seeds[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &failed);
		ck_assert_ptr_null(failed);
	}
	all = secret_new(ARENA - 32);
	ck_assert_ptr_nonnull(all);
	secret_free(&all);
}
END_TEST

/* The value of a line like "VmLck:  64 kB" of /proc/self/status. */
static long status_of(const char *field)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long value = -1;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtol(line + strlen(field), NULL, 10);
	fclose(f);
	return value;
}

START_TEST(locked_and_not_dumped)
{
	struct rlimit core;

	if (!SANITIZED) /* sanitizers make mlock do nothing */
		ck_assert_int_ge(status_of("VmLck:"), ARENA / 1024);
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
	ck_assert_uint_eq(core.rlim_cur, 0);
	ck_assert_uint_eq(core.rlim_max, 0);
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}
END_TEST

/* A child finds zeros, or no memory at all; never the secret. */
START_TEST(not_in_children)
{
	struct secret *s = made(32, 'x');
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(((volatile uint8_t *)s->bytes)[5] == 'x' ? 42 : 0);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(!(WIFEXITED(status) && WEXITSTATUS(status) == 42));
	secret_free(&s);
}
END_TEST

/* secret.c (4): a byte behind the end is no memory.  Ends by SIGSEGV. */
START_TEST(guard_page)
{
	struct secret *s = secret_new(ARENA - 32);

	ck_assert_ptr_nonnull(s);
	s->bytes[ARENA - 33] = 1;
	s->bytes[ARENA - 32] = 1;
}
END_TEST

START_TEST(start_twice)
{
	ck_assert_int_eq(secret_start(ARENA), -EINVAL);
	secret_stop();
	ck_assert_ptr_null(secret_new(1));
	secret_stop();
	ck_assert_int_eq(secret_start(0), -EINVAL);
	ck_assert_int_eq(secret_start(1), 0);
}
END_TEST

/* secret.c (2): what cannot be locked is refused. */
START_TEST(no_lock_no_secrets)
{
	const struct rlimit none = {0, 0};

	if (SANITIZED)
		return;
	secret_stop();
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(setuid(65534), 0);
	ck_assert_int_eq(secret_start(ARENA), -EPERM);
	ck_assert_ptr_null(secret_new(1));
}
END_TEST

START_TEST(wiping)
{
	uint8_t b[3] = {1, 2, 3};

	wipe(b, 2);
	ck_assert_mem_eq(b, "\0\0\3", 3);
	wipe(NULL, 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("secret");

	tcase_add_checked_fixture(t, setup, end);
	tcase_add_test(t, wiped_when_freed);
	tcase_add_test(t, shrunk);
	tcase_add_test(t, moved);
	tcase_add_test(t, exhausted);
	tcase_add_test(t, threads);
	tcase_add_test(t, locked_and_not_dumped);
	tcase_add_test(t, not_in_children);
	if (!SANITIZED) /* they turn the signal into an exit */
		tcase_add_test_raise_signal(t, guard_page, SIGSEGV);
	tcase_add_test(t, start_twice);
	tcase_add_test(t, no_lock_no_secrets);
	tcase_add_test(t, wiping);
	return run_tests(t, "secret");
}

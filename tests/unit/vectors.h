/* For the unit tests: bytes from hexadecimal, comparisons that say what
 * differed, and the program around a suite. */
#ifndef COFFER_TESTS_UNIT_VECTORS_H
#define COFFER_TESTS_UNIT_VECTORS_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/base/encode.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct hex {
	size_t n;
	uint8_t b[512];
};

static inline struct hex hex(const char *text)
{
	struct hex h = {.n = strlen(text) / 2};

	ck_assert_uint_le(h.n, sizeof(h.b));
	ck_assert_int_eq(hex_decode(text, strlen(text), h.b, h.n), 0);
	return h;
}

#define assert_hex(bytes, size, text)                                                                                  \
	do {                                                                                                           \
		struct hex wanted_ = hex(text);                                                                        \
		ck_assert_uint_eq((size_t)(size), wanted_.n);                                                          \
		ck_assert_mem_eq(bytes, wanted_.b, wanted_.n);                                                         \
	} while (0)

static inline int run_tests(TCase *tests, const char *name)
{
	Suite *suite = suite_create(name);
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif

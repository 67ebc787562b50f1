/* Requests of a client in a second (rates.h). */
#include <check.h>

#include "keymgr/service/rates.h"

static int take(struct rates *r, const char *client, uint64_t now, int n)
{
	struct rate_refusal refusal;
	int served = 0;

	for (int i = 0; i < n; i++)
		served += rate_take(r, client, now, &refusal);
	return served;
}

START_TEST(test_each_has_its_own)
{
	struct rates r = {.per_second = 10};

	ck_assert_int_eq(take(&r, "a", 1000, 100), 20);
	ck_assert_int_eq(take(&r, "b", 1000, 5), 5);
	ck_assert_int_eq(take(&r, "a", 1099, 100), 0);
	ck_assert_int_eq(take(&r, "a", 1100, 100), 1);
	ck_assert_int_eq(take(&r, "a", 1600, 100), 5);
	ck_assert_int_eq(take(&r, "b", 1600, 100), 20); /* never more than full */
	ck_assert_int_eq(take(&r, "a", 1600 + (UINT64_C(1) << 40), 100), 20);
	rates_free(&r);
}
END_TEST

START_TEST(test_a_steady_one_is_served)
{
	struct rates r = {.per_second = 1 << 20};

	for (uint64_t now = 0; now < 5000; now++)
		ck_assert_int_eq(take(&r, "a", now, 1000), 1000);
	rates_free(&r);
}
END_TEST

START_TEST(test_what_costs_more)
{
	_cleanup_(rates_free) struct rates r = {.per_second = 10};

	rate_charge(&r, "a", 5); /* nobody yet */
	ck_assert_int_eq(take(&r, "a", 0, 5), 5);
	rate_charge(&r, "a", 7);
	ck_assert_int_eq(take(&r, "a", 0, 100), 8);
	ck_assert_int_eq(take(&r, "a", 1000, 3), 3);
	rate_charge(&r, "a", 100);
	ck_assert_int_eq(take(&r, "a", 1000, 1), 0);
	ck_assert_int_eq(take(&r, "a", 1100, 2), 1);
}
END_TEST

START_TEST(test_told_once_a_minute)
{
	struct rates r = {.per_second = 1};
	struct rate_refusal refusal;

	ck_assert_int_eq(take(&r, "a", 0, 2), 2);
	ck_assert_int_eq(rate_take(&r, "a", 0, &refusal), 0);
	ck_assert(refusal.tell && refusal.untold == 0 && refusal.retry_after == 1);
	for (int i = 0; i < 7; i++) {
		ck_assert_int_eq(rate_take(&r, "a", 10, &refusal), 0);
		ck_assert(!refusal.tell);
	}
	ck_assert_int_eq(take(&r, "a", RATE_TOLD_MS, 2), 2);
	ck_assert_int_eq(rate_take(&r, "a", RATE_TOLD_MS, &refusal), 0);
	ck_assert(refusal.tell && refusal.untold == 7);
	ck_assert_int_eq(rate_take(&r, "a", RATE_TOLD_MS + 1, &refusal), 0);
	ck_assert(!refusal.tell);
	rates_free(&r);
}
END_TEST

START_TEST(test_no_limit)
{
	struct rates r = {0};

	ck_assert_int_eq(take(&r, "a", 0, 100000), 100000);
	ck_assert_ptr_null(r.index);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rates");
	TCase *c = tcase_create("rates");
	SRunner *runner;
	int failed;

	tcase_add_test(c, test_each_has_its_own);
	tcase_add_test(c, test_a_steady_one_is_served);
	tcase_add_test(c, test_what_costs_more);
	tcase_add_test(c, test_told_once_a_minute);
	tcase_add_test(c, test_no_limit);
	suite_add_tcase(s, c);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

/* The life of a key, with a clock of the test's own: kek.h's diagram, kek.c (1) to (3). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "keymgr/service/due.h"
#include "keymgr/service/kek.h"
#include "keymgr/testing.h"

enum { DAY = 24 * 60 * 60, NOW = 1800000000 };

static struct ledger *l;

static void set_up(void)
{
	struct fault why = {0};
	struct backend *b;

	fixture_set_up();
	document_set_clock_for_tests(NOW);
	ck_assert_int_eq(backend_sqlite_open(fixture_path("db"), BACKEND_MAKE, &b, &why), 0);
	ck_assert_int_eq(ledger_open(b, &fixture_keys, fixture_path("anchor"), true, &l, &why), 0);
}

static void tear_down(void)
{
	ledger_close(&l);
	fixture_tear_down();
}

static void commit(void)
{
	_cleanup_json_ json_object *o = json_object_new_object();

	ck_assert_int_eq(put_string(o, "event", "test"), 0);
	ck_assert_int_eq(ledger_note(l, o), 0);
	ck_assert_int_eq(ledger_commit(l), 0);
}

static void make(const char *name)
{
	_cleanup_(kek_free) struct kek k = {0};

	ck_assert_int_eq(kek_create(l, &fixture_keys, name, &k), 0);
	ck_assert_int_eq(k.state, KEK_ENABLED);
	commit();
}

static enum kek_state state(const char *name)
{
	_cleanup_(kek_free) struct kek k = {0};

	ck_assert_int_eq(kek_get(l, name, &k), 0);
	return k.state;
}

enum step { ENABLE, DISABLE, DELETE, RECOVER, PURGE, ROTATE, LOWEST, PROTECT, STEPS };

static int step(const char *name, enum step s)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret = kek_get(l, name, &k);

	ck_assert_int_eq(ret, 0);
	ret = s == ENABLE    ? kek_enable(l, &k, true)
	      : s == DISABLE ? kek_enable(l, &k, false)
	      : s == DELETE  ? kek_delete(l, &k, 7)
	      : s == RECOVER ? kek_recover(l, &k)
	      : s == PURGE   ? kek_purge(l, &k)
	      : s == ROTATE  ? kek_rotate(l, &fixture_keys, &k)
	      : s == LOWEST  ? kek_set_lowest(l, &k, 1)
			     : kek_protect(l, &k);
	if (ret == 0)
		commit();
	return ret;
}

/* Every step from every state. */
START_TEST(every_step)
{
	static const enum step into[][3] = {[KEK_ENABLED] = {ENABLE},
					    [KEK_DISABLED] = {DISABLE},
					    [KEK_DELETED] = {DELETE},
					    [KEK_PURGED] = {DELETE, PURGE}};
	static const struct {
		int result;
		enum kek_state state;
	} wanted[][STEPS] = {
		[KEK_ENABLED] = {{0, KEK_ENABLED},
				 {0, KEK_DISABLED},
				 {0, KEK_DELETED},
				 {-EINVAL, KEK_ENABLED},
				 {-EINVAL, KEK_ENABLED},
				 {0, KEK_ENABLED},
				 {0, KEK_ENABLED},
				 {0, KEK_ENABLED}},
		[KEK_DISABLED] = {{0, KEK_ENABLED},
				  {0, KEK_DISABLED},
				  {0, KEK_DELETED},
				  {-EINVAL, KEK_DISABLED},
				  {-EINVAL, KEK_DISABLED},
				  {0, KEK_DISABLED},
				  {0, KEK_DISABLED},
				  {0, KEK_DISABLED}},
		[KEK_DELETED] = {{-EIDRM, KEK_DELETED},
				 {-EIDRM, KEK_DELETED},
				 {-EIDRM, KEK_DELETED},
				 {0, KEK_ENABLED},
				 {0, KEK_PURGED},
				 {-EIDRM, KEK_DELETED},
				 {-EIDRM, KEK_DELETED},
				 {-EIDRM, KEK_DELETED}},
		[KEK_PURGED] = {{-EIDRM, KEK_PURGED},
				{-EIDRM, KEK_PURGED},
				{-EIDRM, KEK_PURGED},
				{-EINVAL, KEK_PURGED},
				{-EINVAL, KEK_PURGED},
				{-EIDRM, KEK_PURGED},
				{-EIDRM, KEK_PURGED},
				{-EIDRM, KEK_PURGED}},
	};
	static const int use[] = {
		[KEK_ENABLED] = 0, [KEK_DISABLED] = -EKEYREVOKED, [KEK_DELETED] = -EIDRM, [KEK_PURGED] = -EIDRM};
	char name[32];

	for (enum kek_state from = KEK_ENABLED; from <= KEK_PURGED; from++)
		for (enum step s = ENABLE; s < STEPS; s++) {
			_cleanup_(kek_free) struct kek k = {0};

			snprintf(name, sizeof(name), "k%d-%d", from, s);
			make(name);
			ck_assert_int_eq(step(name, into[from][0]), 0);
			if (from == KEK_PURGED)
				ck_assert_int_eq(step(name, into[from][1]), 0);
			ck_assert_int_eq(state(name), from);
			ck_assert_int_eq(kek_get(l, name, &k), 0);
			ck_assert_int_eq(kek_usable(&k), use[from]);
			if (step(name, s) != wanted[from][s].result || state(name) != wanted[from][s].state)
				ck_abort_msg("state %d, step %d: now %d", from, s, state(name));
		}
}
END_TEST

/* What was wrapped opens after recover, and never after purge, whatever is put back of the other rows. */
START_TEST(use_over_a_life)
{
	static const uint8_t value[32] = "the root of some volume, or such";
	static struct kek_wrapped w;
	_cleanup_(kek_free) struct kek k = {0}, other = {0};
	uint8_t plain[32];

	make("k");
	make("other");
	ck_assert_int_eq(kek_get(l, "k", &k), 0);
	ck_assert_int_eq(kek_get(l, "other", &other), 0);
	ck_assert_int_eq(kek_wrap(l, &fixture_keys, &k, value, sizeof(value), &w), 0);
	ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, &w, plain), 0);
	ck_assert_mem_eq(plain, value, sizeof(value));
	ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &other, &w, plain), -EBADMSG);
	ck_assert_int_eq(kek_delete(l, &k, 90), 0);
	ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, &w, plain), -EIDRM);
	ck_assert_int_eq(kek_recover(l, &k), 0);
	ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, &w, plain), 0);
	ck_assert_int_eq(kek_delete(l, &k, 90), 0);
	ck_assert_int_eq(kek_purge(l, &k), 0);
	ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, &w, plain), -EIDRM);
	/* Not for want of a state alone: the version's row still is there, what opens it is not. */
	k.state = KEK_ENABLED;
	ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, &w, plain), -EIO);
	ck_assert(!json_object_object_get_ex(k.row, "wrapped", NULL));
}
END_TEST

/* At their time, not before; a protected one too. */
START_TEST(purged_in_time)
{
	_cleanup_(kek_free) struct kek k = {0};

	make("short");
	make("long");
	make("protected");
	make("kept");
	ck_assert_int_eq(step("protected", PROTECT), 0);
	ck_assert_int_eq(step("short", DELETE), 0);
	ck_assert_int_eq(step("protected", DELETE), 0);
	ck_assert_int_eq(step("protected", PURGE), -EPERM);
	ck_assert_int_eq(kek_get(l, "long", &k), 0);
	ck_assert_int_eq(kek_delete(l, &k, 6), -ERANGE);
	ck_assert_int_eq(kek_delete(l, &k, 91), -ERANGE);
	ck_assert_int_eq(kek_delete(l, &k, 90), 0);
	commit();

	document_set_clock_for_tests(NOW + 7 * DAY - 1);
	due_run(l, &fixture_keys);
	ck_assert_int_eq(state("short"), KEK_DELETED);
	document_set_clock_for_tests(NOW + 7 * DAY);
	due_run(l, &fixture_keys);
	ck_assert_int_eq(state("short"), KEK_PURGED);
	ck_assert_int_eq(state("protected"), KEK_PURGED);
	ck_assert_int_eq(state("long"), KEK_DELETED);
	ck_assert_int_eq(state("kept"), KEK_ENABLED);
	ck_assert(!ledger_staged(l));
	ck_assert_int_eq(step("long", RECOVER), 0);
	document_set_clock_for_tests(NOW + 1000 * DAY);
	due_run(l, &fixture_keys);
	ck_assert_int_eq(state("long"), KEK_ENABLED);
}
END_TEST

static uint32_t latest(const char *name)
{
	_cleanup_(kek_free) struct kek k = {0};

	ck_assert_int_eq(kek_get(l, name, &k), 0);
	return k.latest;
}

static void rotate_every(const char *name, uint64_t days)
{
	_cleanup_(kek_free) struct kek k = {0};

	ck_assert_int_eq(kek_get(l, name, &k), 0);
	ck_assert_int_eq(kek_set_rotation(l, &k, days), 0);
	commit();
}

/* Each in its time, more of them than share a commit; what was missed while nothing ran is done once. */
START_TEST(rotated_in_time)
{
	_cleanup_(kek_free) struct kek k = {0};
	char name[16];

	make("by-hand");
	make("weekly");
	make("disabled");
	make("deleted");
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "daily-%d", i);
		make(name);
		rotate_every(name, 1);
	}
	rotate_every("weekly", 7);
	rotate_every("disabled", 1);
	rotate_every("deleted", 1);
	ck_assert_int_eq(step("disabled", DISABLE), 0);
	ck_assert_int_eq(step("deleted", DELETE), 0);
	ck_assert_int_eq(kek_get(l, "weekly", &k), 0);
	ck_assert_int_eq(kek_set_rotation(l, &k, 3651), -ERANGE);

	document_set_clock_for_tests(NOW + DAY - 1);
	due_run(l, &fixture_keys);
	ck_assert_uint_eq(latest("daily-0"), 1);
	document_set_clock_for_tests(NOW + DAY);
	due_run(l, &fixture_keys);
	due_run(l, &fixture_keys);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "daily-%d", i);
		ck_assert_uint_eq(latest(name), 2);
	}
	ck_assert_uint_eq(latest("weekly"), 1);
	ck_assert_uint_eq(latest("disabled"), 2);
	ck_assert_uint_eq(latest("deleted"), 1);
	rotate_every("daily-1", 0);
	document_set_clock_for_tests(NOW + 30 * DAY);
	due_run(l, &fixture_keys);
	ck_assert_uint_eq(latest("daily-0"), 3);
	ck_assert_uint_eq(latest("daily-1"), 2);
	ck_assert_uint_eq(latest("weekly"), 2);
	ck_assert_uint_eq(latest("by-hand"), 1);
	ck_assert_int_eq(state("deleted"), KEK_PURGED);
	ck_assert_int_eq(state("disabled"), KEK_DISABLED);
}
END_TEST

static int wrap(const char *name)
{
	static const uint8_t value[32] = {1};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w = {0};
	uint8_t out[sizeof(value)];
	int ret = kek_look(l, name, &k);

	ck_assert_int_eq(ret, 0);
	ret = kek_wrap(l, &fixture_keys, &k, value, sizeof(value), &w);
	if (ret == 0) {
		ck_assert_uint_eq(w.version, k.latest);
		ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, &w, out), 0);
		ck_assert_mem_eq(out, value, sizeof(value));
	}
	return ret;
}

/* kek.c (3): what was opened is wiped by the commit of whatever changes the key; then the new state counts. */
START_TEST(wiped_with_its_state)
{
	static const enum step steps[] = {DISABLE, ENABLE, ROTATE, LOWEST, DELETE, RECOVER, DELETE, PURGE};
	static const int use[] = {
		[KEK_ENABLED] = 0, [KEK_DISABLED] = -EKEYREVOKED, [KEK_DELETED] = -EIDRM, [KEK_PURGED] = -EIDRM};

	make("k");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool usable = state("k") == KEK_ENABLED;

		ck_assert_int_eq(wrap("k"), use[state("k")]);
		ck_assert(usable == (ledger_made(l, "key/k") != NULL));
		ck_assert_int_eq(step("k", steps[i]), 0);
		ck_assert_ptr_null(ledger_made(l, "key/k"));
	}
	ck_assert_int_eq(wrap("k"), -EIDRM);
}
END_TEST

/* More versions than stay opened, each one by its own key. */
START_TEST(many_versions)
{
	static const uint8_t value[32] = {2};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w[7] = {0};
	uint8_t out[sizeof(value)];

	make("k");
	for (int i = 0; i < 7; i++) {
		kek_free(&k);
		ck_assert_int_eq(kek_look(l, "k", &k), 0);
		ck_assert_int_eq(kek_wrap(l, &fixture_keys, &k, value, sizeof(value), &w[i]), 0);
		ck_assert_int_eq(step("k", ROTATE), 0);
	}
	kek_free(&k);
	ck_assert_int_eq(kek_look(l, "k", &k), 0);
	for (int i = 0; i < 21; i++) {
		const struct kek_wrapped *one = &w[i * 5 % 7];

		ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, one, out), 0);
		ck_assert_mem_eq(out, value, sizeof(value));
	}
	w[0].version = 2;
	ck_assert_int_eq(kek_unwrap(l, &fixture_keys, &k, &w[0], out), -EBADMSG);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("kek");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, every_step);
	tcase_add_test(c, use_over_a_life);
	tcase_add_test(c, purged_in_time);
	tcase_add_test(c, rotated_in_time);
	tcase_add_test(c, wiped_with_its_state);
	tcase_add_test(c, many_versions);
	return fixture_run("service kek", c);
}

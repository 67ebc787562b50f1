/* Reading ahead from file to file: what is fetched below, when, and how much at most. */
#include "fixture.h"

#include <time.h>

enum { FILES = 400, GUESS = 8, WINDOW = 64, PATIENCE_MS = 10000, MOMENT_MS = 60 };

static struct vol v;
static uint64_t order[FILES + 10]; /* node ids, as they were listed */
static unsigned listed;
static atomic_uint fetched, unopenable;

static void count_will_need(struct store *s, int fd, uint64_t off, uint64_t n)
{
	struct stat st;

	(void)s;
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert(S_ISREG(st.st_mode) && off == 0 && n > 0);
	if ((st.st_mode & 0600) != 0600)
		atomic_fetch_add(&unopenable, 1);
	atomic_fetch_add(&fetched, 1);
}

static bool emit(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next, const struct node_attr *attr)
{
	(void)data;
	(void)name;
	(void)ino;
	(void)type;
	(void)next;
	if (attr && S_ISREG(attr->st.mode))
		order[listed++] = attr->node;
	return true;
}

static void list(bool plus)
{
	listed = 0;
	ck_assert_int_eq(fs_readdir(v.e, walk(&v, "d"), 0, plus, emit, NULL), 0);
}

/* FILES files in d; the mount is new. */
static void start(void)
{
	uint8_t content[100];
	uint64_t d;

	vol_new(&v, "vol", CIPHER_NONE, false);
	v.quick_ops.will_need = count_will_need;
	vol_start(&v);
	fill(content, sizeof(content), 3);
	d = make_dir(&v, ROOT_NODE, "d");
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		put(&v, make(&v, d, name), content, sizeof(content), 0);
	}
	vol_restart(&v);
	atomic_store(&fetched, 0);
}

static void read_one(unsigned i)
{
	uint8_t buf[100];

	ck_assert_int_eq(fs_read(v.e, order[i], buf, sizeof(buf), 0), sizeof(buf));
}

static void pause_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void wait_for(unsigned n)
{
	for (unsigned ms = 0; atomic_load(&fetched) < n; ms++) {
		ck_assert_msg(ms < PATIENCE_MS, "%u files were fetched, %u were expected", atomic_load(&fetched), n);
		pause_ms(1);
	}
}

/* Exactly so many: what comes too late would come within a moment. */
static void assert_stays(unsigned n)
{
	wait_for(n);
	pause_ms(MOMENT_MS);
	ck_assert_uint_eq(atomic_load(&fetched), n);
}

START_TEST(what_is_read_in_order_is_fetched_before)
{
	start();
	list(true);
	ck_assert_uint_eq(listed, FILES);
	read_one(0);
	assert_stays(0);
	read_one(1);
	assert_stays(GUESS);
	/* One more is allowed with each that was of use, and one takes its place, until the window is full. */
	for (unsigned i = 2; i < 2 + WINDOW; i++) {
		unsigned used = i - 1, most = GUESS + used < WINDOW ? GUESS + used : WINDOW;

		read_one(i);
		wait_for(used + most);
	}
	for (unsigned i = 2 + WINDOW; i < FILES; i++)
		read_one(i);
	vol_free(&v);
	ck_assert_uint_le(atomic_load(&fetched), FILES);
}
END_TEST

START_TEST(a_guess_that_was_wrong_is_not_repeated)
{
	start();
	list(true);
	read_one(0);
	read_one(1);
	wait_for(GUESS);
	/* None of 2 to 9 is read; who goes on behind them leaves files out. */
	for (unsigned i = 2 + GUESS; i < 2 + GUESS + 40; i++)
		read_one(i);
	assert_stays(GUESS);
	vol_free(&v);
}
END_TEST

START_TEST(files_far_from_each_other_are_no_order)
{
	start();
	list(true);
	for (unsigned i = 0; i < FILES; i += 100)
		read_one(i);
	assert_stays(0);
	vol_free(&v);
}
END_TEST

START_TEST(a_listing_of_names_is_no_order)
{
	uint64_t d;

	start();
	list(false);
	ck_assert_uint_eq(listed, 0);
	d = walk(&v, "d");
	for (unsigned i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		order[i] = look(&v, d, name);
		read_one(i);
	}
	assert_stays(0);
	vol_free(&v);
}
END_TEST

START_TEST(two_readers_have_an_order_each)
{
	start();
	list(true);
	for (unsigned i = 0; i < 20; i++) {
		read_one(i);
		read_one(200 + i);
		wait_for(i ? 2 * (GUESS + 2 * (i - 1)) : 0);
	}
	vol_free(&v);
}
END_TEST

START_TEST(what_was_forgotten_or_may_not_be_opened_is_left_alone)
{
	uint64_t d, f;

	start();
	d = walk(&v, "d");
	for (unsigned i = 0; i < FILES; i += 2) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		f = look(&v, d, name);
		ck_assert_int_eq(chmod_node(&v, f, 0444), 0);
		fs_forget(v.e, f, 1);
	}
	vol_restart(&v);
	atomic_store(&fetched, 0);
	list(true);
	for (unsigned i = 0; i < FILES; i++)
		if (i > 1 && i % 3 == 0)
			fs_forget(v.e, order[i], 1);
	/* What may be opened is every second one, and a third of that was forgotten: the thread keeps up with who waits for it. */
	for (unsigned i = 0; i < FILES; i++) {
		if (i > 1 && i % 3 == 0)
			continue;
		read_one(i);
		if (i == 20)
			wait_for(1);
		if (i % 50 == 49)
			pause_ms(1);
	}
	vol_free(&v);
	ck_assert_uint_eq(atomic_load(&unopenable), 0);
	ck_assert_uint_le(atomic_load(&fetched), FILES / 2);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ahead");

	tcase_add_test(t, what_is_read_in_order_is_fetched_before);
	tcase_add_test(t, a_guess_that_was_wrong_is_not_repeated);
	tcase_add_test(t, files_far_from_each_other_are_no_order);
	tcase_add_test(t, a_listing_of_names_is_no_order);
	tcase_add_test(t, two_readers_have_an_order_each);
	tcase_add_test(t, what_was_forgotten_or_may_not_be_opened_is_left_alone);
	return run_engine_suite("engine_ahead", t);
}

/* Directed crashes: a volume in a crash store, cut or killed behind a chosen call, and what the next mount makes of it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/internal.h"
#include "fs/sweep.h"
#include "survive.h"
#include "volume.h"

static struct base base;
static const struct caller nobody = {.umask = 022};

static void setup(void)
{
	base_prepare();
	base_make(&base, true, false);
}

static void teardown(void)
{
	base_free(&base);
}

/* ------------------------------------------------------------------ short forms */

static void start(struct mounted *m, const struct image *image)
{
	struct fault why = {0};
	struct crash_store *cs = crash_store_new(image);

	ck_assert_msg(mounted_start(m, &base, cs, &why) == 0, "start: %s", why.text);
}

static void stop(struct mounted *m)
{
	ck_assert_int_eq(mounted_stop(m), 0);
	crash_store_free(m->cs);
}

static uint64_t make(struct mounted *m, const char *name)
{
	struct node_attr a;

	ck_assert_int_eq(fs_mknod(m->e, &nobody, ROOT_NODE, name, S_IFREG | 0644, 0, &a), 0);
	return a.node;
}

static void put(struct mounted *m, uint64_t node, const char *text, uint64_t off)
{
	ck_assert_int_eq(fs_write(m->e, node, text, strlen(text), off, false), (ssize_t)strlen(text));
}

static void assert_text(struct mounted *m, const char *name, const char *text)
{
	char buf[64] = {0};
	struct node_attr a;

	ck_assert_int_eq(fs_lookup(m->e, ROOT_NODE, name, &a), 0);
	ck_assert_int_ne(a.node, 0);
	ck_assert_int_eq(fs_read(m->e, a.node, buf, sizeof(buf) - 1, 0), (ssize_t)strlen(text));
	ck_assert_str_eq(buf, text);
}

/* ------------------------------------------------------------------ the journal file */

static int open_dot(struct store *s, int *data)
{
	struct fault why = {0};
	int dot;

	ck_assert_int_eq(volume_open_dir(s, BASE_VOLUME, &dot, data, &why), 0);
	return dot;
}

static void close_both(struct store *s, int dot, int data)
{
	store_close(s, dot);
	store_close(s, data);
}

/* What its superblock says; -ENOENT and so on. */
static int look_at_journal(struct store *s, struct journal_state *state, uint64_t *size)
{
	struct journal *j;
	int data, dot = open_dot(s, &data);
	int r = journal_open(s, dot, &base.settings, base.keys, true, &j);

	if (r == 0) {
		*state = *journal_state(j);
		*size = journal_size(j);
		journal_close(&j);
	}
	close_both(s, dot, data);
	return r;
}

static int renew(struct store *s, uint64_t size)
{
	struct fault why = {0};
	int data, dot = open_dot(s, &data);
	int r = journal_renew(s, dot, &base.settings, base.keys, size, &why);

	close_both(s, dot, data);
	return r;
}

/* A volume that a clean unmount left, with a file and epochs of its own. */
static void make_used(struct image *out)
{
	struct mounted m;

	start(&m, &base.image);
	put(&m, make(&m, "file"), "content", 0);
	ck_assert_int_eq(mounted_tick(&m), 0);
	ck_assert_int_eq(mounted_stop(&m), 0);
	image_copy(out, crash_store_image(m.cs));
	crash_store_free(m.cs);
}

/* A new journal of another size takes over what the old one's superblock says, and a cut or a kill at any call leaves one of the two. */
START_TEST(test_renew)
{
	enum { OTHER = 5 << 20 };
	struct journal_state before, after;
	struct crash_store *cs;
	struct image used, left;
	const struct record *r;
	unsigned old = 0, new = 0;
	uint64_t was, is;

	make_used(&used);
	cs = crash_store_new(&used);
	ck_assert_int_eq(look_at_journal(crash_store_ops(cs), &before, &was), 0);
	ck_assert_int_gt(before.durable, 0);
	ck_assert_int_eq(renew(crash_store_ops(cs), OTHER), 0);
	r = crash_store_record(cs);
	for (size_t calls = 0; calls <= r->count; calls++) {
		for (unsigned i = 0; i < MODELS * CHOICES; i++) {
			struct cut cut = {(enum crash_model)(i % MODELS), (enum crash_choice)(i / MODELS), calls, 0, i};
			struct crash_store *next;
			struct mounted m;

			survive(&used, r, &cut, &left, NULL);
			next = crash_store_new(&left);
			ck_assert_int_eq(look_at_journal(crash_store_ops(next), &after, &is), 0);
			ck_assert(is == was || is == OTHER - 8192);
			ck_assert(calls < r->count || is != was);
			ck_assert(after.clean && after.durable == before.durable && after.range_count == 0);
			old += is == was;
			new += is != was;
			crash_store_free(next);
			start(&m, &left);
			assert_text(&m, "file", "content");
			stop(&m);
			image_free(&left);
		}
	}
	ck_assert(old > 0 && new > 0);
	crash_store_free(cs);
	image_free(&used);
}
END_TEST

static void damage_journal(struct store *s)
{
	char zeros[8192] = {0};
	int data, dot = open_dot(s, &data), fd = store_open(s, dot, "journal", O_RDWR, 0);

	ck_assert_int_eq(store_pwrite(s, fd, zeros, sizeof(zeros), 0), sizeof(zeros));
	store_close(s, fd);
	close_both(s, dot, data);
}

static void remove_journal(struct store *s)
{
	int data, dot = open_dot(s, &data);

	ck_assert_int_eq(s->ops->unlink(s, dot, "journal"), 0);
	close_both(s, dot, data);
}

/* Without its journal, or with a damaged one, a volume is not mounted, and the reason says what to do.  The new one begins above all epochs, and
 * counts everything as possibly cut short. */
START_TEST(test_renew_nothing)
{
	struct journal_state before, after;
	struct crash_store *cs;
	struct fault why = {0};
	struct image used;
	struct mounted m;
	struct store *s;
	uint64_t size;

	make_used(&used);
	cs = crash_store_new(&used);
	s = crash_store_ops(cs);
	ck_assert_int_eq(look_at_journal(s, &before, &size), 0);
	if (_i == 0)
		remove_journal(s);
	else
		damage_journal(s);
	ck_assert_int_lt(mounted_start(&m, &base, cs, &why), 0);
	ck_assert_msg(strstr(why.text, "coffer check --repair"), "%s", why.text);
	ck_assert_int_eq(renew(s, CRASH_JOURNAL_SIZE), 0);
	ck_assert_int_eq(look_at_journal(s, &after, &size), 0);
	ck_assert(after.clean && after.durable > before.durable + 1000000);
	ck_assert_int_eq(after.range_count, 1);
	ck_assert(after.ranges[0].first <= before.durable && after.ranges[0].last == after.durable);
	ck_assert(after.ranges[0].from == INT64_MIN && after.ranges[0].to >= time(NULL));
	why = (struct fault){0};
	ck_assert_msg(mounted_start(&m, &base, cs, &why) == 0, "%s", why.text);
	assert_text(&m, "file", "content");
	stop(&m);
	image_free(&used);
}
END_TEST

/* ------------------------------------------------------------------ what recovery may write */

/* What a kill leaves: a file with a version in place and records that continue it, a directory, a long name. */
static struct crash_store *killed(void)
{
	struct crash_store *left;
	struct node_attr a;
	struct mounted m;
	char name[200];
	uint64_t file;

	start(&m, &base.image);
	file = make(&m, "file");
	put(&m, file, "old", 0);
	ck_assert_int_eq(mounted_tick(&m), 0);
	put(&m, file, "new content", 0);
	ck_assert_int_eq(fs_mkdir(m.e, &nobody, ROOT_NODE, "directory", 0755, &a), 0);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	make(&m, name);
	left = crash_store_after_kill(crash_store_image(m.cs), crash_store_record(m.cs),
				      crash_store_record(m.cs)->count, NULL);
	stop(&m);
	return left;
}

/* Nothing but the names with which a mount tries out what the store can do. */
static void assert_untouched(struct crash_store *cs, size_t calls, size_t inodes)
{
	const struct record *r = crash_store_record(cs);

	for (size_t i = calls; i < r->count; i++) {
		const struct call *c = &r->calls[i];
		bool ours = c->ino >= inodes || (c->name && strncmp(c->name, ".coffer-probe-", 14) == 0);

		if (!ours)
			call_print(stderr, c);
		ck_assert(ours);
	}
}

static void start_other(struct mounted *m, struct crash_store *cs, bool read_only)
{
	const struct engine_options o = {.journal = true, .commit_seconds = UINT32_MAX, .read_only = read_only};
	struct fault why = {0};

	ck_assert_msg(mounted_start_with(m, &base, cs, &o, &why) == 0, "start: %s", why.text);
}

/* A read-only mount shows what the journal says, as long as it lives, and writes nothing. */
START_TEST(test_read_only)
{
	struct crash_store *cs = killed();
	size_t calls = crash_store_record(cs)->count, inodes = crash_store_image(cs)->count;
	struct node_attr a;
	struct mounted m;

	start_other(&m, cs, true);
	for (int i = 0; i < 3; i++) {
		assert_text(&m, "file", "new content");
		ck_assert_int_eq(fs_lookup(m.e, ROOT_NODE, "file", &a), 0);
		ck_assert_uint_eq(a.st.size, strlen("new content"));
		fs_forget(m.e, a.node, 2);
	}
	ck_assert_int_eq(mounted_stop(&m), 0);
	assert_untouched(cs, calls, inodes);
	start_other(&m, cs, false);
	assert_text(&m, "file", "new content");
	stop(&m);
}
END_TEST

/* From now on content is sealed under a generation of its own; names in the root stay as they are. */
static void add_generation(void)
{
	struct keys *k = base.keys;
	struct generation_key *g = realloc(k->generations, 2 * sizeof(*g));

	ck_assert_ptr_nonnull(g);
	k->generations = g;
	g[1] = (struct generation_key){.number = 2, .scope = SCOPE_DEFAULT, .state = KEY_ACTIVE, .prk = secret_new(32)};
	ck_assert_int_eq(crypto_random(g[1].prk->bytes, 32), 0);
	k->count = 2;
	k->active[SCOPE_DEFAULT] = 2;
}

static void suspend(bool so)
{
	base.keys->generations[1].state = so ? KEY_SUSPENDED : KEY_ACTIVE;
	base.keys->active[SCOPE_DEFAULT] = so ? 1 : 2;
}

/* Records under a key that is suspended: nothing changes, what they belong to is refused, and all of it is there when the key is. */
START_TEST(test_no_key)
{
	struct engine_counts counts;
	size_t calls, inodes;
	struct crash_store *cs;
	struct node_attr a;
	struct mounted m;
	char buf[64];

	add_generation();
	cs = killed();
	calls = crash_store_record(cs)->count;
	inodes = crash_store_image(cs)->count;
	suspend(true);
	start_other(&m, cs, false);
	engine_counts(m.e, &counts);
	ck_assert(counts.read_only);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fs_lookup(m.e, ROOT_NODE, "file", &a), 0);
		ck_assert_int_eq(fs_read(m.e, a.node, buf, sizeof(buf), 0), -ENOKEY);
		fs_forget(m.e, a.node, 1);
	}
	ck_assert_int_eq(mounted_stop(&m), 0);
	assert_untouched(cs, calls, inodes);
	suspend(false);
	start_other(&m, cs, false);
	assert_text(&m, "file", "new content");
	stop(&m);
}
END_TEST

/* A mount that asks for another size: of a volume that was left cleanly or not, cut or killed at each call, and again with the size that it has. */
START_TEST(test_journal_size)
{
	enum { OTHER = 5 << 20 };
	const struct engine_options o = {.journal = true, .commit_seconds = UINT32_MAX, .journal_size = OTHER};
	struct crash_store *cs = killed(), *next;
	struct image before, left;
	struct fault why = {0};
	struct mounted m;
	size_t end;

	image_copy(&before, crash_store_image(cs));
	crash_store_free(cs);
	cs = crash_store_new(&before);
	ck_assert_msg(mounted_start_with(&m, &base, cs, &o, &why) == 0, "%s", why.text);
	ck_assert_uint_eq(journal_file_size(m.e->journal), OTHER);
	end = crash_store_count(cs);
	assert_text(&m, "file", "new content");
	for (size_t calls = 0; calls <= end; calls += 3) {
		struct cut cut = {(enum crash_model)(calls % MODELS), CHOICE_RANDOM, calls, 0, calls};

		survive(&before, crash_store_record(cs), &cut, &left, NULL);
		next = crash_store_new(&left);
		struct mounted n;
		ck_assert_msg(mounted_start_with(&n, &base, next, &o, &why) == 0, "behind %zu: %s", calls, why.text);
		ck_assert_uint_eq(journal_file_size(n.e->journal), OTHER);
		assert_text(&n, "file", "new content");
		stop(&n);
		image_free(&left);
	}
	put(&m, make(&m, "more"), "more", 0);
	ck_assert_int_eq(mounted_stop(&m), 0);
	start_other(&m, cs, false);
	ck_assert_uint_eq(journal_file_size(m.e->journal), OTHER);
	assert_text(&m, "more", "more");
	stop(&m);
	image_free(&before);
}
END_TEST

/* ------------------------------------------------------------------ a journal that failed */

static int fail_journal(void *data, uint32_t ino)
{
	return ino == *(const uint32_t *)data ? -EIO : 0;
}

/* journal (W6): then nothing is changed any more, names and attributes included; what is there can be read. */
START_TEST(test_failed_journal)
{
	uint32_t journal = base_journal_ino(&base);
	const struct setattr_request mode = {.mode_set = true, .mode = 0600};
	struct engine_counts counts;
	struct node_attr a;
	struct mounted m;
	uint64_t file;

	start(&m, &base.image);
	file = make(&m, "file");
	put(&m, file, "content", 0);
	ck_assert_int_eq(fs_mkdir(m.e, &nobody, ROOT_NODE, "directory", 0755, &a), 0);
	ck_assert_int_eq(mounted_tick(&m), 0);
	put(&m, file, "C", 0);
	crash_store_on_sync(m.cs, fail_journal, &journal);
	ck_assert_int_lt(fs_fsync(m.e, file, true), 0);
	crash_store_on_sync(m.cs, NULL, NULL);
	ck_assert_int_eq(fs_write(m.e, file, "x", 1, 0, false), -EROFS);
	ck_assert_int_eq(fs_mknod(m.e, &nobody, ROOT_NODE, "other", S_IFREG | 0644, 0, &a), -EROFS);
	ck_assert_int_eq(fs_tmpfile(m.e, &nobody, ROOT_NODE, 0644, &a), -EROFS);
	ck_assert_int_eq(fs_mkdir(m.e, &nobody, ROOT_NODE, "other", 0755, &a), -EROFS);
	ck_assert_int_eq(fs_symlink(m.e, &nobody, "target", ROOT_NODE, "other", &a), -EROFS);
	ck_assert_int_eq(fs_link(m.e, &nobody, file, ROOT_NODE, "other", &a), -EROFS);
	ck_assert_int_eq(fs_rename(m.e, ROOT_NODE, "file", ROOT_NODE, "other", 0), -EROFS);
	ck_assert_int_eq(fs_unlink(m.e, ROOT_NODE, "file"), -EROFS);
	ck_assert_int_eq(fs_rmdir(m.e, ROOT_NODE, "directory"), -EROFS);
	ck_assert_int_eq(fs_setattr(m.e, file, &mode, &a), -EROFS);
	ck_assert_int_eq(fs_setxattr(m.e, file, "user.a", "b", 1, 0, false), -EROFS);
	ck_assert_int_eq(fs_removexattr(m.e, file, "user.a"), -EROFS);
	ck_assert_int_eq(fs_fallocate(m.e, file, 0, 0, 100000), -EROFS);
	ck_assert_int_eq(fs_fsync(m.e, file, false), -EIO);
	ck_assert_int_eq(fs_fsyncdir(m.e, ROOT_NODE), -EIO);
	assert_text(&m, "file", "Content");
	ck_assert_int_eq(fs_getattr(m.e, file, &a), 0);
	engine_counts(m.e, &counts);
	ck_assert(counts.read_only);
	ck_assert_int_lt(mounted_stop(&m), 0);
	start_other(&m, m.cs, false);
	assert_text(&m, "file", "Content");
	make(&m, "other");
	stop(&m);
}
END_TEST

/* ------------------------------------------------------------------ looks that nobody asks for */

static uint32_t range_count(struct mounted *m)
{
	return journal_state(m->e->journal)->range_count;
}

/* journal (F6): a file that a power cut left torn is cut, and then the lost range is dropped, durably, though nobody has looked at anything. */
START_TEST(test_sweep)
{
	const struct caller c = nobody;
	uint8_t data[5 * CRASH_PAGE];
	struct cut cut = {.model = MODEL_STRICT, .choice = CHOICE_RANDOM};
	struct image left, dropped;
	unsigned torn = 0;
	int r;
	struct node_attr a;
	struct mounted m, live;
	uint64_t file;

	memset(data, 'x', sizeof(data));
	start(&live, &base.image);
	ck_assert_int_eq(fs_mkdir(live.e, &c, ROOT_NODE, "directory", 0755, &a), 0);
	ck_assert_int_eq(fs_fsyncdir(live.e, ROOT_NODE), 0);
	ck_assert_int_eq(fs_mknod(live.e, &c, a.node, "young", S_IFREG | 0644, 0, &a), 0);
	file = a.node;
	ck_assert_int_eq(fs_write(live.e, file, data, sizeof(data), 0, false), sizeof(data));
	for (cut.seed = 1; cut.seed < 40; cut.seed++) {
		struct engine_counts counts;
		uint64_t size, young;

		cut.calls = crash_store_count(live.cs);
		survive(&base.image, crash_store_record(live.cs), &cut, &left, NULL);
		start(&m, &left);
		ck_assert_uint_eq(range_count(&m), 1);
		ck_assert_int_eq(sweep_run(m.e, false), 0);
		ck_assert_uint_eq(range_count(&m), 0);
		engine_counts(m.e, &counts);
		ck_assert_uint_eq(counts.damaged_pages, 0);
		torn += counts.lost > 0;
		/* The power goes again, and takes what was not synced. */
		struct cut again = {.model = MODEL_STRICT, .choice = CHOICE_NONE, .calls = crash_store_count(m.cs)};

		survive(&left, crash_store_record(m.cs), &again, &dropped, NULL);
		stop(&m);
		start(&m, &dropped);
		ck_assert_int_eq(fs_lookup(m.e, ROOT_NODE, "directory", &a), 0);
		r = fs_lookup(m.e, a.node, "young", &a);
		ck_assert(r == 0 || r == -ENOENT);
		if (r == 0) {
			young = a.node;
			size = a.st.size;
			ck_assert_int_eq(fs_read(m.e, young, data, sizeof(data), 0), (ssize_t)size);
		}
		engine_counts(m.e, &counts);
		ck_assert_uint_eq(counts.damaged_pages, 0);
		stop(&m);
		image_free(&left);
		image_free(&dropped);
	}
	ck_assert_uint_gt(torn, 0);
	stop(&live);
}
END_TEST

/* The same behind a kill, which leaves all of it, but only in the store's memory: it is synced before the range goes. */
START_TEST(test_sweep_syncs)
{
	struct cut cut = {.model = MODEL_STRICT, .choice = CHOICE_NONE};
	struct crash_store *killed_store;
	struct engine_counts counts;
	struct image left, before;
	struct mounted m;
	uint64_t file;

	start(&m, &base.image);
	file = make(&m, "young");
	put(&m, file, "young", 0);
	image_copy(&before, crash_store_image(m.cs));
	killed_store = crash_store_after_kill(&before, crash_store_record(m.cs), crash_store_count(m.cs), NULL);
	stop(&m);
	start_other(&m, killed_store, false);
	ck_assert_uint_eq(range_count(&m), 1);
	ck_assert_int_eq(sweep_run(m.e, false), 0);
	ck_assert_uint_eq(range_count(&m), 0);
	cut.calls = crash_store_count(m.cs);
	survive(&base.image, crash_store_record(m.cs), &cut, &left, NULL);
	stop(&m);
	start(&m, &left);
	assert_text(&m, "young", "young");
	engine_counts(m.e, &counts);
	ck_assert_uint_eq(counts.damaged_pages, 0);
	stop(&m);
	image_free(&left);
	image_free(&before);
}
END_TEST

/* ------------------------------------------------------------------ ticks */

static void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* What was written twice as long ago as a tick takes is there after a power cut that loses everything that was not synced, without any fsync: files
 * new and old, a directory, a rename.  0: the default, of 5 seconds. */
START_TEST(test_ticks)
{
	const unsigned seconds = _i == 0 ? 0 : 1;
	const struct engine_options o = {.journal = true, .commit_seconds = seconds};
	struct crash_store *cs = crash_store_new(&base.image);
	struct fault why = {0};
	struct node_attr a;
	struct mounted m;
	uint64_t old;

	ck_assert_msg(mounted_start_with(&m, &base, cs, &o, &why) == 0, "%s", why.text);
	old = make(&m, "old");
	put(&m, old, "before", 0);
	ck_assert_int_eq(fs_fsync(m.e, old, false), 0);
	put(&m, old, "behind", 0);
	put(&m, make(&m, "new"), "new", 0);
	put(&m, make(&m, "from"), "moved", 0);
	ck_assert_int_eq(fs_rename(m.e, ROOT_NODE, "from", ROOT_NODE, "to", 0), 0);
	ck_assert_int_eq(fs_mkdir(m.e, &nobody, ROOT_NODE, "directory", 0755, &a), 0);
	sleep_ms(seconds ? 2500 : 10000);
	for (unsigned i = 0; i < 2; i++) {
		struct cut cut = {.model = i ? MODEL_ORDERED : MODEL_STRICT, .choice = CHOICE_NONE};
		struct image left;
		struct mounted next;

		cut.calls = crash_store_count(cs);
		survive(&base.image, crash_store_record(cs), &cut, &left, NULL);
		start(&next, &left);
		assert_text(&next, "old", "behind");
		assert_text(&next, "new", "new");
		assert_text(&next, "to", "moved");
		ck_assert_int_eq(fs_lookup(next.e, ROOT_NODE, "directory", &a), 0);
		ck_assert_int_eq(fs_lookup(next.e, ROOT_NODE, "from", &a), -ENOENT);
		stop(&next);
		image_free(&left);
	}
	stop(&m);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recover");
	TCase *t = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_renew);
	tcase_add_loop_test(t, test_renew_nothing, 0, 2);
	tcase_add_test(t, test_journal_size);
	tcase_add_test(t, test_read_only);
	tcase_add_test(t, test_no_key);
	tcase_add_test(t, test_failed_journal);
	tcase_add_test(t, test_sweep);
	tcase_add_test(t, test_sweep_syncs);
	tcase_add_loop_test(t, test_ticks, 0, 2);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

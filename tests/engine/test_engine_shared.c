/* What others change below, and this engine meanwhile: one story each. */
#include "shared_engines.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "fs/node.h"

static uint64_t at(struct vol *x, const char *path)
{
	struct node_attr a;
	int r = find(x, path, &a);

	ck_assert_msg(r == 0, "%s: %s", path, strerror(-r));
	return a.node;
}

static void evict(struct vol *x)
{
	char name[32];

	for (unsigned i = 0; i < 2 * LIMIT; i++) {
		struct node_attr a;
		uint8_t byte;

		snprintf(name, sizeof(name), "evict%u", i);
		if (find(x, name, &a) < 0)
			put(x, make(x, ROOT_NODE, name), "x", 1, 0);
		else
			HOLD(fs_read(x->e, a.node, &byte, 1, 0) == 1);
	}
}

/* ------------------------------------------------------------------ by others */

START_TEST(replaced_and_removed)
{
	uint64_t mine, theirs, other;
	struct node_attr a;
	bool as_read, held;
	uint8_t buf[16];

	two_engines(true);
	mine = make(&v, ROOT_NODE, "file");
	put(&v, mine, "old", 3, 0);
	ck_assert_int_eq(fs_open_shared(v.e, mine, &as_read, &held), 0);
	ck_assert(!as_read && held);
	ck_assert_int_eq(fs_open_shared(v.e, mine, &as_read, &held), 0);
	ck_assert(as_read && held);

	/* In place. */
	theirs = at(&w, "file");
	put(&w, theirs, "new", 3, 0);
	assert_content(&v, mine, "new", 3);
	ck_assert_int_eq(fs_open_shared(v.e, mine, &as_read, &held), 0);
	ck_assert(!as_read && held);
	fs_release(v.e, mine);
	fs_release(v.e, mine);
	put(&v, mine, "N", 1, 0);
	assert_content(&w, theirs, "New", 3);

	/* Its end is where they put it. */
	put(&w, theirs, "new and longer", 14, 0);
	ck_assert_int_eq(fs_append(v.e, mine, "!", 1, false), 1);
	assert_content(&w, theirs, "new and longer!", 15);
	ck_assert_int_eq(resize(&w, theirs, 3), 0);
	put(&w, theirs, "New", 3, 0);
	ck_assert_int_eq(fs_append(v.e, mine, "", 0, false), 0);

	/* Another file under its name: who has it open reads what it opened. */
	other = make(&w, ROOT_NODE, "other");
	put(&w, other, "other", 5, 0);
	ck_assert_int_eq(fs_rename(w.e, ROOT_NODE, "other", ROOT_NODE, "file", 0), 0);
	ck_assert_int_eq(fs_open_shared(v.e, mine, &as_read, &held), -ESTALE);
	ck_assert_int_eq(fs_write(v.e, mine, "x", 1, 0, false), -ESTALE);
	ck_assert_int_eq(resize(&v, mine, 1), -ESTALE);
	ck_assert_int_eq(chmod_node(&v, mine, 0600), -ESTALE);
	ck_assert_int_eq(fs_setxattr(v.e, mine, "user.a", "x", 1, 0, false), -ESTALE);
	ck_assert_int_eq(fs_fallocate(v.e, mine, 0, 0, 10), -ESTALE);
	ck_assert_int_eq(fs_copy_range(v.e, at(&v, "file"), 0, mine, 0, 1), -ESTALE);
	ck_assert_int_eq(fs_fsync(v.e, mine, false), -ESTALE);
	ck_assert_int_eq(fs_link(v.e, &me, mine, ROOT_NODE, "link", &a), -ESTALE);
	evict(&v);
	assert_content(&v, mine, "New", 3);
	ck_assert_uint_ne(at(&v, "file"), mine);
	assert_content(&v, at(&v, "file"), "other", 5);
	/* Also now that it is known to have no name. */
	ck_assert_int_eq(fs_write(v.e, mine, "x", 1, 0, false), -ESTALE);
	fs_release(v.e, mine);
	evict(&v);
	ck_assert_int_eq(fs_read(v.e, mine, buf, 3, 0), -ESTALE);

	/* Removed, and made anew. */
	mine = at(&v, "file");
	ck_assert_int_eq(fs_unlink(w.e, ROOT_NODE, "file"), 0);
	ck_assert_int_eq(fs_write(v.e, mine, "x", 1, 0, false), -ESTALE);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "file"), 0);
	ck_assert_int_eq(fs_write(v.e, mine, "x", 1, 0, false), -ESTALE);
	put(&v, make(&v, ROOT_NODE, "file"), "again", 5, 0);
	assert_content(&w, at(&w, "file"), "again", 5);

	/* What is removed or replaced here stays its openers'. */
	mine = at(&v, "file");
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "file"), 0);
	put(&v, mine, "A", 1, 0);
	assert_content(&v, mine, "Again", 5);
	mine = make(&v, ROOT_NODE, "file");
	make(&v, ROOT_NODE, "over");
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "over", ROOT_NODE, "file", 0), 0);
	put(&v, mine, "mine", 4, 0);
	ck_assert_int_eq(fs_fsync(v.e, mine, false), 0);
	two_engines_end();
}
END_TEST

/* What is removed here by a name that others have given to another file: that one goes, and nobody's descriptor is kept for it. */
START_TEST(removed_here_after_them)
{
	uint64_t mine;

	two_engines(true);
	mine = make(&v, ROOT_NODE, "file");
	put(&v, mine, "mine", 4, 0);
	make(&w, ROOT_NODE, "theirs");
	ck_assert_int_eq(fs_rename(w.e, ROOT_NODE, "theirs", ROOT_NODE, "file", 0), 0);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "file"), 0);
	ck_assert_int_eq(fs_write(v.e, mine, "x", 1, 0, false), -ESTALE);

	mine = make(&v, ROOT_NODE, "file");
	make(&w, ROOT_NODE, "theirs");
	ck_assert_int_eq(fs_rename(w.e, ROOT_NODE, "theirs", ROOT_NODE, "file", 0), 0);
	make(&v, ROOT_NODE, "over");
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "over", ROOT_NODE, "file", 0), 0);
	ck_assert_int_eq(fs_write(v.e, mine, "x", 1, 0, false), -ESTALE);
	ck_assert_uint_eq(look(&w, ROOT_NODE, "over"), 0);
	two_engines_end();
}
END_TEST

START_TEST(renamed_below)
{
	uint64_t dir, file, deep, inner;
	struct node_attr a;

	two_engines(true);
	dir = make_dir(&v, ROOT_NODE, "dir");
	deep = make_dir(&v, dir, "deep");
	file = make(&v, dir, "file");
	inner = make(&v, deep, "inner");
	put(&v, inner, "inner", 5, 0);
	make_dir(&w, ROOT_NODE, "to");
	ck_assert_int_eq(fs_rename(w.e, at(&w, "dir"), "file", at(&w, "to"), "file2", 0), 0);
	ck_assert_int_eq(fs_rename(w.e, at(&w, "dir"), "deep", at(&w, "to"), "deep2", 0), 0);
	ck_assert_int_eq(fs_write(v.e, file, "x", 1, 0, false), -ESTALE);
	ck_assert_int_eq(fs_link(v.e, &me, file, ROOT_NODE, "wrong", &a), -ESTALE);
	ck_assert_uint_eq(at(&v, "to/file2"), file);
	ck_assert_uint_eq(at(&v, "to/deep2"), deep);
	put(&v, file, "x", 1, 0);
	evict(&v);
	put(&v, inner, "I", 1, 0);
	assert_content(&w, at(&w, "to/deep2/inner"), "Inner", 5);
	ck_assert_uint_eq(at(&v, "to/deep2/inner"), inner);
	make(&v, deep, "more");
	at(&w, "to/deep2/more");
	/* One more name of a file, in two directories, and less of them. */
	ck_assert_int_eq(fs_link(w.e, &me, at(&w, "to/file2"), ROOT_NODE, "link", &a), 0);
	ck_assert_uint_eq(at(&v, "link"), file);
	ck_assert_int_eq(fs_unlink(w.e, at(&w, "to"), "file2"), 0);
	put(&v, file, "y", 1, 0);
	evict(&v);
	put(&v, file, "z", 1, 0);
	assert_content(&w, at(&w, "link"), "z", 1);
	two_engines_end();
}
END_TEST

/* Of two names others take one away, with the directory that held it: the file has the other one. */
START_TEST(one_name_less)
{
	uint64_t dir, file;
	struct node_attr a;

	two_engines(true);
	file = make(&v, ROOT_NODE, "file");
	dir = make_dir(&v, ROOT_NODE, "dir");
	ck_assert_int_eq(fs_link(v.e, &me, file, dir, "link", &a), 0);
	ck_assert_int_eq(fs_unlink(w.e, at(&w, "dir"), "link"), 0);
	ck_assert_int_eq(fs_rmdir(w.e, ROOT_NODE, "dir"), 0);
	make_dir(&w, ROOT_NODE, "dir");
	ck_assert_uint_ne(at(&v, "dir"), dir);
	put(&v, file, "x", 1, 0);
	evict(&v);
	put(&v, at(&v, "file"), "y", 1, 0);
	ck_assert_uint_eq(at(&v, "file"), file);
	ck_assert_int_eq(fs_unlink(w.e, ROOT_NODE, "file"), 0);
	ck_assert_int_eq(fs_write(v.e, file, "z", 1, 0, false), -ESTALE);
	two_engines_end();
}
END_TEST

/* A name that others have taken away is given to another file here: each keeps what it has, in whatever order names go
 * (node_names.c (3)). */
START_TEST(name_given_anew)
{
	bool renamed = _i;
	uint64_t old, new;
	struct node_attr a;

	two_engines(true);
	old = make(&v, ROOT_NODE, "a");
	put(&v, old, "old", 3, 0);
	if (renamed) {
		ck_assert_int_eq(fs_rename(w.e, ROOT_NODE, "a", ROOT_NODE, "b", 0), 0);
	} else {
		ck_assert_int_eq(fs_link(v.e, &me, old, ROOT_NODE, "b", &a), 0);
		ck_assert_int_eq(fs_unlink(w.e, ROOT_NODE, "a"), 0);
	}
	new = make(&v, ROOT_NODE, "n");
	put(&v, new, "new", 3, 0);
	ck_assert_int_eq(fs_link(v.e, &me, new, ROOT_NODE, "a", &a), 0);
	if (renamed) {
		ck_assert_uint_eq(at(&v, "b"), old);
		ck_assert_int_eq(fs_unlink(w.e, ROOT_NODE, "n"), 0);
	} else {
		ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "b"), 0);
	}
	evict(&v);
	assert_content(&v, old, "old", 3);
	assert_content(&v, new, "new", 3);
	put(&v, new, "N", 1, 0);
	two_engines_end();
}
END_TEST

/* Each below the other, one after the other, for who sees only the second. */
START_TEST(no_circle)
{
	uint64_t x, y;
	struct node_attr a;

	two_engines(true);
	x = make_dir(&v, ROOT_NODE, "x");
	y = make_dir(&v, x, "y");
	ck_assert_int_eq(fs_rename(w.e, at(&w, "x"), "y", ROOT_NODE, "y", 0), 0);
	ck_assert_int_eq(fs_rename(w.e, ROOT_NODE, "x", at(&w, "y"), "x", 0), 0);
	evict(&v);
	/* By ids, as a program does that has its working directory there. */
	ck_assert_int_eq(fs_lookup(v.e, y, "x", &a), -ESTALE);
	/* And as if it had come between looking at the name and at what is in it. */
	struct node *parent = node_get(v.e, y), *n;
	char name[NAME_MAX + 1];
	struct stat st;
	char path[2048];

	backing(&w, at(&w, "y"), "x", name);
	char top[512];

	root_path(&w, "y", top);
	snprintf(path, sizeof(path), "%s/%s", top, name);
	ck_assert_int_eq(stat(path, &st), 0);

	struct node *known = node_get(v.e, x);
	struct store_stat as = {
		.dev = known->dev, .ino = known->ino, .btime_ns = known->btime_ns, .mode = st.st_mode, .nlink = 2};

	node_unref(v.e, known);
	n = node_enter(v.e, parent, name, &as, true);
	ck_assert_ptr_nonnull(n);
	ck_assert_uint_eq(n->id, x);
	node_unref(v.e, n);
	node_unref(v.e, parent);
	evict(&v);
	ck_assert_int_eq(fs_lookup(v.e, x, "none", &a), -ESTALE);
	ck_assert_uint_eq(at(&v, "y"), y);
	ck_assert_uint_eq(at(&v, "y/x"), x);
	make(&v, x, "file");
	at(&w, "y/x/file");
	two_engines_end();
}
END_TEST

/* rsync renames a directory by making it anew, with the same id in it, before or after the old one goes. */
START_TEST(copied_and_made_anew)
{
	char path[512], command[4096];
	uint64_t old, fresh, file;
	struct node_attr a;

	two_engines(true);
	old = make_dir(&v, ROOT_NODE, "dir");
	file = make(&v, old, "file");
	put(&v, file, "file", 4, 0);
	root_path(&v, "dir", path);
	make_dir(&w, ROOT_NODE, "copy");
	char copy[512];

	root_path(&w, "copy", copy);
	snprintf(command, sizeof(command), "rm -r %s && cp -a %s %s", copy, path, copy);
	ck_assert_int_eq(system(command), 0);
	/* Both are there: one of them can be read only. */
	ck_assert_int_eq(fs_lookup(v.e, at(&v, "copy"), "file", &a), 0);
	ck_assert_int_eq(fs_mknod(v.e, &me, at(&v, "copy"), "new", S_IFREG | 0644, 0, &a), -EROFS);
	make(&v, old, "known");
	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
	/* Of the one that was told so it is known at the next look. */
	ck_assert_int_eq(fs_mknod(v.e, &me, at(&v, "copy"), "new", S_IFREG | 0644, 0, &a), -ESTALE);
	make(&v, at(&v, "copy"), "new");
	at(&v, "copy/new");
	ck_assert_int_eq(fs_mknod(v.e, &me, old, "new", S_IFREG | 0644, 0, &a), -ESTALE);
	/* The other engine has looked at neither of them since. */
	make(&w, at(&w, "copy"), "theirs");
	/* Renamed the other way: the old one goes first. */
	snprintf(command, sizeof(command), "cp -a %s aside && rm -r %s && mv aside %s", copy, copy, path);
	ck_assert_int_eq(system(command), 0);
	make(&v, at(&v, "dir"), "at once");
	make(&w, at(&w, "dir"), "at once, too");
	snprintf(command, sizeof(command), "mv %s %s", path, copy);
	ck_assert_int_eq(system(command), 0);
	assert_content(&w, at(&w, "copy/file"), "file", 4);

	/* With another id in it, it is another directory. */
	fresh = at(&v, "copy");
	make_dir(&w, ROOT_NODE, "model");
	root_path(&w, "model", path);
	snprintf(command, sizeof(command), "rm -r %s/* && rm %s/.coffer-dir && mv %s/.coffer-dir %s", copy, copy, path,
		 copy);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(fs_lookup(v.e, fresh, "file", &a), -ESTALE);
	ck_assert_uint_ne(at(&v, "copy"), fresh);
	make(&v, at(&v, "copy"), "mine");
	at(&w, "copy/mine");

	/* Without one it is an error, until it comes. */
	snprintf(command, sizeof(command), "mv %s/.coffer-dir .", copy);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(fs_lookup(v.e, at(&v, "copy"), "mine", &a), -EIO);
	ck_assert_int_eq(fs_mknod(v.e, &me, at(&v, "copy"), "new", S_IFREG | 0644, 0, &a), -EIO);
	snprintf(command, sizeof(command), "mv .coffer-dir %s", copy);
	ck_assert_int_eq(system(command), 0);
	at(&v, "copy/mine");
	two_engines_end();
}
END_TEST

/* ------------------------------------------------------------------ by this engine itself, meanwhile */

static struct {
	uint64_t dirs[2], file, moving, inner;
	atomic_bool stop;
	atomic_uint wrong, done;
} busy;

static void note(ssize_t result)
{
	if (result < 0 && atomic_fetch_add(&busy.wrong, 1) == 0)
		fprintf(stderr, "%s\n", strerror((int)-result));
	atomic_fetch_add(&busy.done, 1);
}

static void *write_on(void *data)
{
	(void)data;
	worker_enter(v.e);
	for (unsigned i = 0; !atomic_load(&busy.stop); i++) {
		struct setattr_request r = {.mode_set = true, .mode = 0600 + i % 2};
		struct node_attr a;

		note(fs_write(v.e, busy.file, "x", 1, i % 5000, false));
		note(fs_setattr(v.e, busy.file, &r, &a));
		note(fs_write(v.e, busy.inner, "x", 1, 0, false));
		note(fs_lookup(v.e, busy.moving, "inner", &a));
		note(fs_fsync(v.e, busy.file, true));
	}
	worker_leave();
	fs_thread_end();
	return NULL;
}

static void *rename_on(void *data)
{
	(void)data;
	worker_enter(v.e);
	for (unsigned i = 0; !atomic_load(&busy.stop); i++) {
		uint64_t from = busy.dirs[i % 2], to = busy.dirs[(i + 1) % 2];
		struct node_attr a;

		note(fs_rename(v.e, from, "file", to, "file", 0));
		note(fs_rename(v.e, from, "moving", to, "moving", 0));
		note(fs_link(v.e, &me, busy.file, from, "file", &a));
		note(fs_unlink(v.e, from, "file"));
		note(fs_rename(v.e, to, "file", to, "other", 0));
		note(fs_rename(v.e, to, "other", to, "file", 0));
	}
	worker_leave();
	fs_thread_end();
	return NULL;
}

/* What is renamed and removed here is not taken for what others did. */
START_TEST(no_false_alarm)
{
	void *(*const threads[])(void *) = {write_on, write_on, rename_on};
	const struct timespec while_ = {0, 150 * 1000 * 1000};
	pthread_t ids[3];

	two_engines(true);
	busy.dirs[0] = make_dir(&v, ROOT_NODE, "one");
	busy.dirs[1] = make_dir(&v, ROOT_NODE, "two");
	busy.file = make(&v, busy.dirs[0], "file");
	busy.moving = make_dir(&v, busy.dirs[0], "moving");
	busy.inner = make(&v, busy.moving, "inner");
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&ids[i], NULL, threads[i], NULL), 0);
	nanosleep(&while_, NULL);
	atomic_store(&busy.stop, true);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(ids[i], NULL), 0);
	ck_assert_uint_eq(atomic_load(&busy.wrong), 0);
	ck_assert_uint_gt(atomic_load(&busy.done), 100);
	two_engines_end();
}
END_TEST

static void *remove_it(void *data)
{
	(void)data;
	worker_enter(v.e);
	note(fs_unlink(v.e, ROOT_NODE, "file"));
	atomic_store(&busy.stop, true);
	worker_leave();
	fs_thread_end();
	return NULL;
}

START_TEST(no_false_alarm_at_removal)
{
	uint64_t dir;

	two_engines(true);
	dir = make_dir(&v, ROOT_NODE, "dir");
	for (unsigned i = 0; i < scaled(100); i++) {
		pthread_t id;
		uint64_t file = make(&v, ROOT_NODE, "file");
		struct node_attr a;

		/* Of two names others have taken one. */
		if (_i) {
			ck_assert_int_eq(fs_link(v.e, &me, file, dir, "link", &a), 0);
			fs_forget(v.e, file, 1);
			ck_assert_int_eq(fs_unlink(w.e, at(&w, "dir"), "link"), 0);
		}
		atomic_store(&busy.stop, false);
		ck_assert_int_eq(pthread_create(&id, NULL, remove_it, NULL), 0);
		while (!atomic_load(&busy.stop))
			HOLD(fs_write(v.e, file, "x", 1, 0, false) == 1);
		ck_assert_int_eq(pthread_join(id, NULL), 0);
		HOLD(fs_write(v.e, file, "x", 1, 0, false) == 1);
		fs_forget(v.e, file, 1);
	}
	ck_assert_uint_eq(atomic_load(&busy.wrong), 0);
	two_engines_end();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("shared");

	tcase_add_test(t, replaced_and_removed);
	tcase_add_test(t, removed_here_after_them);
	tcase_add_test(t, renamed_below);
	tcase_add_test(t, one_name_less);
	tcase_add_loop_test(t, name_given_anew, 0, 2);
	tcase_add_test(t, no_circle);
	tcase_add_test(t, copied_and_made_anew);
	tcase_add_test(t, no_false_alarm);
	tcase_add_loop_test(t, no_false_alarm_at_removal, 0, 2);
	return run_engine_suite("engine_shared", t);
}

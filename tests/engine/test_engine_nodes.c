/* Nodes and their descriptors: what lives on when names go, when descriptors are short, when things are swapped below, and when
 * modes forbid a plain user to open again. */
#include "fixture.h"

#include "fs/file.h"

#include <dirent.h>
#include <grp.h>
#include <linux/fs.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

static struct vol v;

enum { LIMIT = 128, RESERVE = 64 }; /* descriptors of the engine, and those it leaves for the rest (fs/descriptor.c) */

/* From here on the engine has so many descriptors. */
static void few_descriptors(void)
{
	struct rlimit few = {LIMIT + RESERVE, LIMIT + RESERVE};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static uint64_t nodes(void)
{
	struct engine_counts c;

	/* What is not durable yet is kept until a tick. */
	ck_assert_int_eq(engine_checkpoint(v.e), 0);
	engine_counts(v.e, &c);
	return c.nodes;
}

static uint64_t descriptors(void)
{
	struct engine_counts c;

	engine_counts(v.e, &c);
	return c.descriptors;
}

static char *number(const char *prefix, unsigned i)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s%u", prefix, i);
	return name;
}

/* Uses so many other nodes that nothing else keeps an unpinned descriptor. */
static void evict_others(void)
{
	uint64_t node;

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 2 * LIMIT; i++) {
			node = look(&v, ROOT_NODE, number("evict", i));
			if (!node)
				node = make(&v, ROOT_NODE, number("evict", i));
			put(&v, node, "x", 1, 0);
			fs_forget(v.e, node, 1);
			/* A forgotten one has no descriptor; these stay known. */
			look(&v, ROOT_NODE, number("evict", i));
			put(&v, look(&v, ROOT_NODE, number("evict", i)), "x", 1, 0);
		}
}

static unsigned count_in(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

/* ------------------------------------------------------------------ life and death */

START_TEST(forgetting_frees)
{
	unsigned count = scaled(10000);
	uint64_t *ids = calloc(count, sizeof(*ids)), before, dir;
	uint8_t content[300];

	few_descriptors();
	vol_default(&v);
	before = nodes();
	dir = make_dir(&v, ROOT_NODE, "dir");
	for (unsigned i = 0; i < count; i++) {
		ids[i] = make(&v, dir, number("file", i));
		fill(content, sizeof(content), i);
		put(&v, ids[i], content, 100 + i % 200, 0);
		HOLD(descriptors() <= LIMIT);
	}
	ck_assert_uint_eq(nodes(), before + 1 + count);
	for (unsigned i = 0; i < count; i++) {
		uint8_t got[300];

		fill(content, sizeof(content), i);
		HOLD(fs_read(v.e, ids[i], got, 300, 0) == 100 + i % 200);
		HOLD(memcmp(got, content, 100 + i % 200) == 0);
		HOLD(descriptors() <= LIMIT);
	}
	ck_assert_int_eq(engine_checkpoint(v.e), 0);
	/* The parent forgotten first lives as long as its children do. */
	fs_forget(v.e, dir, 1);
	for (unsigned i = 0; i < count; i++) {
		struct node_attr a;

		HOLD(fs_getattr(v.e, ids[i], &a) == 0);
		fs_forget(v.e, ids[i], 1);
		HOLD(fs_getattr(v.e, ids[i], &a) == -ESTALE);
	}
	ck_assert_uint_eq(nodes(), before);
	free(ids);
	vol_free(&v);
}
END_TEST

START_TEST(lookups_are_counted)
{
	uint64_t before, node;

	vol_default(&v);
	before = nodes();
	node = make(&v, ROOT_NODE, "file");
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(look(&v, ROOT_NODE, "file"), node);
	fs_forget(v.e, node, 4);
	ck_assert_uint_eq(nodes(), before + 1);
	fs_forget(v.e, node, 1);
	ck_assert_uint_eq(nodes(), before);
	fs_forget(v.e, node, 1);
	/* Never the same number again. */
	ck_assert_uint_ne(look(&v, ROOT_NODE, "file"), node);
	fs_forget(v.e, ROOT_NODE, 100);
	ck_assert_uint_ne(look(&v, ROOT_NODE, "file"), 0);
	vol_free(&v);
}
END_TEST

START_TEST(unlinked_but_open)
{
	uint8_t content[10000];
	uint64_t before, node, open_before;

	vol_default(&v);
	before = nodes();
	open_before = descriptors();
	fill(content, sizeof(content), 1);
	node = make(&v, ROOT_NODE, "file");
	put(&v, node, content, 5000, 0);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "file"), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "file"), 0);
	ck_assert_uint_eq(attr(&v, node).nlink, 0);
	assert_content(&v, node, content, 5000);
	put(&v, node, content, 10000, 0);
	assert_content(&v, node, content, 10000);
	ck_assert_int_eq(resize(&v, node, 77), 0);
	assert_content(&v, node, content, 77);
	ck_assert_int_eq(chmod_node(&v, node, 0600), 0);
	ck_assert_int_eq(fs_fsync(v.e, node, false), 0);
	/* Another one of its name is another one. */
	ck_assert_uint_ne(make(&v, ROOT_NODE, "file"), node);
	assert_content(&v, node, content, 77);
	fs_forget(v.e, node, 1);
	fs_forget(v.e, look(&v, ROOT_NODE, "file"), 2);
	ck_assert_uint_eq(nodes(), before);
	ck_assert_uint_eq(descriptors(), open_before);
	vol_free(&v);
}
END_TEST

/* A file without a name: written and read, given a name, there after a restart; or forgotten, and nothing is left. */
START_TEST(nameless)
{
	struct node_attr made, linked;
	uint8_t content[10000];
	uint64_t before;
	struct shown s;

	vol_default(&v);
	before = nodes();
	fill(content, sizeof(content), 2);
	ck_assert_int_eq(fs_tmpfile(v.e, &me, ROOT_NODE, 0640, &made), 0);
	ck_assert_uint_eq(made.st.nlink, 0);
	put(&v, made.node, content, sizeof(content), 0);
	assert_content(&v, made.node, content, sizeof(content));
	s = list_dir(&v, ROOT_NODE);
	ck_assert_uint_eq(s.count, 0);
	shown_free(&s);
	ck_assert_int_eq(fs_link(v.e, &me, made.node, ROOT_NODE, "named", &linked), 0);
	ck_assert_uint_eq(linked.node, made.node);
	ck_assert_uint_eq(linked.st.nlink, 1);

	ck_assert_int_eq(fs_tmpfile(v.e, &me, ROOT_NODE, 0600, &made), 0);
	put(&v, made.node, content, 10, 0);
	fs_forget(v.e, made.node, 1);
	fs_forget(v.e, linked.node, 2);
	ck_assert_uint_eq(nodes(), before);
	vol_restart(&v);
	assert_content(&v, look(&v, ROOT_NODE, "named"), content, sizeof(content));
	vol_free(&v);
}
END_TEST

/* Replaced by a rename: the same. */
START_TEST(replaced_but_open)
{
	uint64_t one, two;

	vol_default(&v);
	one = make(&v, ROOT_NODE, "one");
	two = make(&v, ROOT_NODE, "two");
	put(&v, one, "one", 3, 0);
	put(&v, two, "two!", 4, 0);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "one", ROOT_NODE, "two", 0), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "two"), one);
	assert_content(&v, one, "one", 3);
	assert_content(&v, two, "two!", 4);
	ck_assert_uint_eq(attr(&v, two).nlink, 0);
	vol_free(&v);
}
END_TEST

/* More files are unlinked while they are open than there are descriptors: they are parked. */
START_TEST(many_unlinked_but_open)
{
	enum { COUNT = 3 * LIMIT };
	uint64_t ids[COUNT], fresh;

	few_descriptors();
	vol_default(&v);
	for (unsigned i = 0; i < COUNT; i++) {
		ids[i] = make(&v, ROOT_NODE, number("file", i));
		put(&v, ids[i], &i, sizeof(i), 0);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		unsigned k = i % 2 ? i : COUNT - 2 - i; /* some of them have a descriptor, others not */
		int r;

		if (_i) /* the second time all of them have one */
			assert_content(&v, ids[k], &k, sizeof(k));
		r = fs_unlink(v.e, ROOT_NODE, number("file", k));

		ck_assert_msg(r == 0, "unlink %u: %s", k, strerror(-r));
	}
	ck_assert_uint_gt(count_in("vol/.coffer/open"), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		ck_assert_uint_eq(attr(&v, ids[i]).nlink, 0);
		assert_content(&v, ids[i], &i, sizeof(i));
		put(&v, ids[i], "more", 4, sizeof(i));
	}
	/* Everything else goes on. */
	fresh = make(&v, make_dir(&v, ROOT_NODE, "dir"), "fresh");
	put(&v, fresh, "fresh", 5, 0);
	assert_content(&v, fresh, "fresh", 5);
	for (unsigned i = 0; i < COUNT; i++)
		fs_forget(v.e, ids[i], 1);
	ck_assert_uint_eq(count_in("vol/.coffer/open"), 0);
	vol_free(&v);
}
END_TEST

/* Replaced while open, more of them than there are descriptors. */
START_TEST(many_replaced_but_open)
{
	enum { COUNT = 3 * LIMIT };
	uint64_t ids[COUNT];

	few_descriptors();
	vol_default(&v);
	for (unsigned i = 0; i < COUNT; i++) {
		ids[i] = make(&v, ROOT_NODE, "new");
		put(&v, ids[i], &i, sizeof(i), 0);
		ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "new", ROOT_NODE, "file", 0), 0);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		assert_content(&v, ids[i], &i, sizeof(i));
		ck_assert_uint_eq(attr(&v, ids[i]).nlink, i == COUNT - 1);
	}
	vol_free(&v);
}
END_TEST

/* What was unlinked when the process ended is swept at the next start. */
START_TEST(swept_at_the_start)
{
	vol_default(&v);
	vol_stop(&v);
	spill("vol/.coffer/open/.coffer-open-1", "x", 1);
	vol_start(&v);
	ck_assert_uint_eq(count_in("vol/.coffer/open"), 0);
	vol_free(&v);
}
END_TEST

/* Ids of removed directories wait in gone/ for a while, and no longer. */
START_TEST(ids_go)
{
	vol_default(&v);
	for (int i = 0; i < 3; i++) {
		make_dir(&v, ROOT_NODE, "dir");
		ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "dir"), 0);
		ck_assert_uint_eq(count_in("vol/.coffer/gone"), (unsigned)i + 1);
	}
	for (int seconds = 0; seconds < 20 && count_in("vol/.coffer/gone"); seconds++)
		sleep(1);
	ck_assert_uint_eq(count_in("vol/.coffer/gone"), 0);
	make_dir(&v, ROOT_NODE, "dir");
	ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "dir"), 0);
	vol_stop(&v);
	ck_assert_uint_eq(count_in("vol/.coffer/gone"), 0);
	vol_free(&v);
}
END_TEST

START_TEST(removed_directory_still_held)
{
	struct node_attr a;
	struct shown s = {0};
	uint64_t dir;

	vol_default(&v);
	dir = make_dir(&v, ROOT_NODE, "dir");
	ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "dir"), 0);
	ck_assert_int_eq(fs_getattr(v.e, dir, &a), 0);
	ck_assert_uint_eq(a.st.nlink, 0);
	ck_assert_int_eq(fs_mknod(v.e, &me, dir, "x", S_IFREG | 0600, 0, &a), -ENOENT);
	ck_assert_int_eq(fs_mkdir(v.e, &me, dir, "x", 0700, &a), -ENOENT);
	ck_assert_int_eq(fs_lookup(v.e, dir, "x", &a), -ENOENT);
	shown_free(&s);
	ck_assert_uint_ne(make_dir(&v, ROOT_NODE, "dir"), dir);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ moving */

START_TEST(directories_move_under_open_files)
{
	uint64_t a, b, c, file;

	few_descriptors();
	vol_default(&v);
	a = make_dir(&v, ROOT_NODE, "a");
	b = make_dir(&v, a, "b");
	c = make_dir(&v, b, "c");
	file = make(&v, c, "file");
	put(&v, file, "content", 7, 0);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "a", ROOT_NODE, "z", 0), 0);
	evict_others();
	assert_content(&v, file, "content", 7);
	ck_assert_int_eq(fs_rename(v.e, a, "b", ROOT_NODE, "b", 0), 0);
	evict_others();
	put(&v, file, "CONTENT!", 8, 0);
	ck_assert_uint_eq(walk(&v, "b/c/file"), file);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "b", ROOT_NODE, "z", RENAME_EXCHANGE), 0);
	evict_others();
	assert_content(&v, file, "CONTENT!", 8);
	ck_assert_uint_eq(walk(&v, "z/c/file"), file);
	ck_assert_uint_eq(walk(&v, "b"), a);
	vol_free(&v);
}
END_TEST

START_TEST(renaming)
{
	uint64_t file, dir, full;
	struct node_attr x;

	vol_default(&v);
	file = make(&v, ROOT_NODE, "file");
	dir = make_dir(&v, ROOT_NODE, "dir");
	full = make_dir(&v, ROOT_NODE, "full");
	make(&v, full, "x");
#define RENAME(a, b, flags) fs_rename(v.e, ROOT_NODE, a, ROOT_NODE, b, flags)
	ck_assert_int_eq(RENAME("none", "other", 0), -ENOENT);
	ck_assert_int_eq(RENAME("file", "dir", 0), -EISDIR);
	ck_assert_int_eq(RENAME("dir", "file", 0), -ENOTDIR);
	ck_assert_int_eq(RENAME("dir", "full", 0), -ENOTEMPTY);
	ck_assert_int_eq(RENAME("file", "full", RENAME_NOREPLACE), -EEXIST);
	ck_assert_int_eq(RENAME("file", "none", RENAME_EXCHANGE), -ENOENT);
	ck_assert_int_eq(RENAME("file", "file", 0), 0);
	ck_assert_int_eq(RENAME("file", "file", RENAME_NOREPLACE), -EEXIST);
	ck_assert_int_eq(RENAME("file", "dir", 8), -EINVAL);
	ck_assert_int_eq(RENAME("file", "dir", RENAME_EXCHANGE | RENAME_NOREPLACE), -EINVAL);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "file", file, "x", 0), -ENOTDIR);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "dir", dir, "x", 0), -EINVAL);
	ck_assert_int_eq(RENAME("file", "moved", RENAME_NOREPLACE), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "moved"), file);
	ck_assert_int_eq(RENAME("full", "dir", 0), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "dir"), full);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "full"), 0);
	ck_assert_int_eq(fs_getattr(v.e, dir, &x), 0);
	ck_assert_int_eq(RENAME("moved", "dir", RENAME_EXCHANGE), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "dir"), file);
	ck_assert_uint_ne(look(&v, full, "x"), 0);
	/* Two names of one file stay two. */
	ck_assert_int_eq(fs_link(v.e, &me, file, ROOT_NODE, "twin", &x), 0);
	ck_assert_int_eq(RENAME("dir", "twin", 0), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "dir"), file);
	ck_assert_uint_eq(look(&v, ROOT_NODE, "twin"), file);
	ck_assert_uint_eq(count_in("vol/.coffer/gone"), 1); /* the id of what was replaced, for a while */
	vol_free(&v);
}
END_TEST

START_TEST(hard_links)
{
	struct node_attr a;
	uint64_t node, dir;

	few_descriptors();
	vol_default(&v);
	dir = make_dir(&v, ROOT_NODE, "dir");
	node = make(&v, ROOT_NODE, "one");
	put(&v, node, "linked", 6, 0);
	ck_assert_int_eq(fs_link(v.e, &me, node, dir, "two", &a), 0);
	ck_assert_uint_eq(a.node, node);
	ck_assert_uint_eq(a.st.nlink, 2);
	ck_assert_uint_eq(a.st.size, 6);
	ck_assert_int_eq(fs_link(v.e, &me, node, dir, "two", &a), -EEXIST);
	vol_restart(&v);
	/* Either name gives the same node, whichever comes first. */
	node = walk(&v, "dir/two");
	ck_assert_uint_eq(walk(&v, "one"), node);
	ck_assert_int_eq(fs_unlink(v.e, walk(&v, "dir"), "two"), 0);
	evict_others();
	assert_content(&v, node, "linked", 6);
	ck_assert_uint_eq(attr(&v, node).nlink, 1);
	ck_assert_int_eq(fs_link(v.e, &me, node, ROOT_NODE, "three", &a), 0);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "one"), 0);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "three"), 0);
	evict_others();
	assert_content(&v, node, "linked", 6);
	ck_assert_uint_eq(attr(&v, node).nlink, 0);
	vol_free(&v);
}
END_TEST

/* A tree deeper than any stack should have to follow it. */
START_TEST(deep_tree)
{
	unsigned depth = scaled(8000) > 3000 ? scaled(8000) : 3000;
	uint64_t at = ROOT_NODE, file, *ids = calloc(depth, sizeof(*ids));

	few_descriptors();
	vol_default(&v);
	for (unsigned i = 0; i < depth; i++)
		at = ids[i] = make_dir(&v, at, "d");
	file = make(&v, at, "file");
	put(&v, file, "deep", 4, 0);
	evict_others();
	/* Nothing on the way has a descriptor now. */
	assert_content(&v, file, "deep", 4);
	ck_assert_int_eq(fs_unlink(v.e, at, "file"), 0);
	fs_forget(v.e, file, 1);
	/* Forgotten from the top, all go with the last. */
	for (unsigned i = 0; i + 1 < depth; i++)
		fs_forget(v.e, ids[i], 1);
	fs_forget(v.e, at, 1);
	/* Found again, and taken away from the bottom. */
	for (at = ROOT_NODE; (at = look(&v, at, "d"));)
		ids[--depth] = at;
	for (unsigned i = 0; ids[i] != look(&v, ROOT_NODE, "d"); i++)
		ck_assert_int_eq(fs_rmdir(v.e, ids[i + 1], "d"), 0);
	ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "d"), 0);
	free(ids);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ swapped below */

static void assert_stale(uint64_t node)
{
	struct node_attr a;
	uint8_t b;

	ck_assert_int_eq(fs_read(v.e, node, &b, 1, 0), -ESTALE);
	ck_assert_int_eq(fs_write(v.e, node, &b, 1, 0, false), -ESTALE);
	ck_assert_int_eq(fs_getattr(v.e, node, &a), -ESTALE);
	ck_assert_int_eq(fs_getxattr(v.e, node, "user.x", &b, 1), -ESTALE);
}

START_TEST(swapped_below)
{
	char path[512], other[512], aside[600];
	uint64_t node, dir, in_dir;
	struct stat st;

	few_descriptors();
	vol_default(&v);
	node = make(&v, ROOT_NODE, "file");
	put(&v, node, "mine", 4, 0);
	put(&v, make(&v, ROOT_NODE, "other"), "theirs", 6, 0);
	dir = make_dir(&v, ROOT_NODE, "dir");
	in_dir = make(&v, dir, "inside");
	put(&v, in_dir, "in", 2, 0);
	root_path(&v, "file", path);
	root_path(&v, "other", other);
	snprintf(aside, sizeof(aside), "%s.aside", path);
	evict_others();

	ck_assert_int_eq(rename(path, aside), 0);
	assert_stale(node);
	ck_assert_int_eq(link(other, path), 0); /* another file */
	assert_stale(node);
	ck_assert_int_eq(unlink(path), 0);
	spill("victim", "outside", 7);
	ck_assert_int_eq(symlink("../../victim", path), 0);
	assert_stale(node);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0666), 0);
	assert_stale(node);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0777), 0);
	assert_stale(node);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(rename(aside, path), 0);
	assert_content(&v, node, "mine", 4);

	/* A directory on the way. */
	root_path(&v, "dir", path);
	evict_others();
	ck_assert_int_eq(rename(path, "outside"), 0);
	assert_stale(in_dir);
	ck_assert_int_eq(symlink("../../outside", path), 0);
	assert_stale(in_dir);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rename("outside", path), 0);
	assert_content(&v, in_dir, "in", 2);

	ck_assert_int_eq(stat("victim", &st), 0);
	ck_assert_int_eq(st.st_size, 7);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ a plain user */

enum { SOMEBODY = 4711 };

/* The rest of the test as a user without privileges; false if that cannot be. */
static bool become_somebody(void)
{
	if (geteuid() != 0)
		return true;
	if (chown(".", SOMEBODY, SOMEBODY) < 0 || setgroups(0, NULL) < 0 || setegid(SOMEBODY) < 0)
		return false;
	return seteuid(SOMEBODY) == 0;
}

static void become_root(void)
{
	ck_assert(seteuid(getuid()) == 0 && setegid(getgid()) == 0);
}

static uint64_t make_mode(uint64_t dir, const char *name, mode_t mode)
{
	struct node_attr a;
	int r = S_ISDIR(mode) ? fs_mkdir(v.e, &me, dir, name, mode & 07777, &a)
			      : fs_mknod(v.e, &me, dir, name, mode, 0, &a);

	ck_assert_msg(r == 0, "making %s with mode %o: %s", name, mode, strerror(-r));
	return a.node;
}

START_TEST(files_that_may_not_be_opened_again)
{
	static const mode_t modes[] = {0444, 0000, 0200, 0555};
	uint64_t node;

	few_descriptors();
	if (!become_somebody())
		return;
	vol_default(&v);
	for (unsigned i = 0; i < 4; i++) {
		node = make_mode(ROOT_NODE, number("file", i), S_IFREG | modes[i]);
		put(&v, node, "one", 3, 0);
		evict_others();
		put(&v, node, "two", 3, 3);
		evict_others();
		assert_content(&v, node, "onetwo", 6);
		ck_assert_uint_eq(attr(&v, node).mode & 07777, modes[i]);
		ck_assert_int_eq(chmod_node(&v, node, 0644), 0);
		ck_assert_int_eq(chmod_node(&v, node, modes[i]), 0);
		evict_others();
		ck_assert_int_eq(resize(&v, node, 3), 0);
		if (fs_setxattr(v.e, node, "user.x", "y", 1, 0, false) == 0)
			ck_assert_uint_eq(attr(&v, node).mode & 07777, modes[i]);
		ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, number("file", i)), 0);
		assert_content(&v, node, "one", 3);
	}
	vol_free(&v);
	become_root();
}
END_TEST

START_TEST(directories_that_may_not_be_opened_again)
{
	static const mode_t modes[] = {0555, 0000, 0300, 0400, 0111};
	uint64_t dir, file;

	few_descriptors();
	if (!become_somebody())
		return;
	vol_default(&v);
	for (mode_t mask = 0; mask <= 0777; mask += 0100) {
		struct caller c = {.umask = mask};
		struct node_attr made;

		ck_assert_int_eq(fs_mkdir(v.e, &c, ROOT_NODE, "masked", 0777, &made), 0);
		ck_assert_uint_eq(made.st.mode & 07777, 0777 & ~mask);
		ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "masked"), 0);
	}
	umask(022);
	for (unsigned i = 0; i < 5; i++) {
		/* Made so, and removed again: only the parent's mode matters for that. */
		dir = make_mode(ROOT_NODE, number("empty", i), S_IFDIR | modes[i]);
		ck_assert_uint_eq(attr(&v, dir).mode & 07777, modes[i]);
		if (i % 2)
			evict_others();
		ck_assert_msg(fs_rmdir(v.e, ROOT_NODE, number("empty", i)) == 0, "rmdir of mode %o", modes[i]);

		/* A file in it that is open stays so. */
		dir = make_dir(&v, ROOT_NODE, number("dir", i));
		file = make(&v, dir, "file");
		put(&v, file, "here", 4, 0);
		ck_assert_int_eq(chmod_node(&v, dir, modes[i]), 0);
		evict_others();
		assert_content(&v, file, "here", 4);
		if (fs_setxattr(v.e, dir, "user.x", "y", 1, 0, false) == 0)
			ck_assert_uint_eq(attr(&v, dir).mode & 07777, modes[i]);
		ck_assert_uint_eq(attr(&v, dir).mode & 07777, modes[i]);
		ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, number("dir", i)), -ENOTEMPTY);
		ck_assert_uint_eq(attr(&v, dir).mode & 07777, modes[i]);
		/* The kernel has allowed this before it asks. */
		ck_assert_int_eq(chmod_node(&v, dir, 0755), 0);
		ck_assert_int_eq(fs_unlink(v.e, dir, "file"), 0);
		ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, number("dir", i)), 0);

		/* And one that is renamed over. */
		make_mode(ROOT_NODE, "target", S_IFDIR | modes[i]);
		make_mode(ROOT_NODE, "source", S_IFDIR | modes[i]);
		ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "source", ROOT_NODE, "target", 0), 0);
		ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "target"), 0);
	}
	vol_free(&v);
	become_root();
}
END_TEST

/* A directory that may be listed but not searched shows its names, the long ones too. */
START_TEST(listing_without_searching)
{
	char name[NAME_MAX + 1] = {0};
	struct shown s;
	uint64_t dir;

	if (!become_somebody())
		return;
	vol_new(&v, "vol", CIPHER_NONE, _i);
	vol_start(&v);
	dir = make_dir(&v, ROOT_NODE, "dir");
	memset(name, 'l', 250);
	make(&v, dir, name);
	make(&v, dir, "short");
	ck_assert_int_eq(chmod_node(&v, dir, 0444), 0);
	vol_restart(&v);
	dir = walk(&v, "dir");
	s = list_dir(&v, dir);
	ck_assert(s.count == 2 && shows(&s, name) && shows(&s, "short"));
	shown_free(&s);
	ck_assert_uint_eq(attr(&v, dir).mode & 07777, 0444);
	ck_assert_int_eq(chmod_node(&v, dir, 0755), 0);
	ck_assert_uint_ne(look(&v, dir, name), 0);
	vol_free(&v);
	become_root();
}
END_TEST

/* ------------------------------------------------------------------ links and special files */

static void assert_target(uint64_t node, const char *target, size_t n)
{
	char got[4200];

	ck_assert_uint_eq(attr(&v, node).size, n);
	ck_assert_int_eq(fs_readlink(v.e, node, got, sizeof(got)), (ssize_t)n);
	ck_assert_mem_eq(got, target, n);
}

START_TEST(symbolic_links)
{
	char target[4200];
	struct node_attr a;

	vol_default(&v);
	for (size_t n = 1; n <= 4095; n += n > 100 && getenv("COFFER_TEST_SCALE") ? 97 : (n > 800 ? 61 : 1)) {
		for (size_t i = 0; i < n; i++)
			target[i] = (char)('a' + i % 26);
		target[n] = 0;
		ck_assert_int_eq(fs_symlink(v.e, &me, target, ROOT_NODE, "link", &a), 0);
		ck_assert_uint_eq(a.st.size, n);
		assert_target(a.node, target, n);
		vol_restart(&v);
		assert_target(walk(&v, "link"), target, n);
		ck_assert_uint_eq(count_in("vol/.coffer/links"), n > 700);
		ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "link"), 0);
		ck_assert_uint_eq(count_in("vol/.coffer/links"), 0);
	}
	memset(target, 'x', 4097);
	target[4096] = 0;
	ck_assert_int_eq(fs_symlink(v.e, &me, target, ROOT_NODE, "link", &a), -ENAMETOOLONG);
	ck_assert_int_eq(fs_symlink(v.e, &me, "", ROOT_NODE, "link", &a), -ENOENT);
	vol_free(&v);
}
END_TEST

/* The body of a long link lives as long as one of its names does, and is what the link says. */
START_TEST(long_links)
{
	char target[2001], body[512], path[512];
	struct node_attr a, b;
	struct dirent *d;
	struct text t;
	uint64_t node;
	DIR *links;

	vol_default(&v);
	memset(target, 't', 2000);
	target[2000] = 0;
	ck_assert_int_eq(fs_symlink(v.e, &me, target, ROOT_NODE, "link", &a), 0);
	node = a.node;
	ck_assert_int_eq(fs_link(v.e, &me, node, ROOT_NODE, "twin", &b), 0);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "link"), 0);
	assert_target(walk(&v, "twin"), target, 2000);
	links = opendir("vol/.coffer/links");
	while ((d = readdir(links)) && d->d_name[0] == '.')
		;
	snprintf(body, sizeof(body), "vol/.coffer/links/%s", d->d_name);
	closedir(links);
	/* Damaged, cut, gone, and something else: an error. */
	t = slurp(body);
	t.b[100] ^= 1;
	spill(body, t.b, t.n);
	ck_assert_int_eq(fs_readlink(v.e, node, target, 2000), -EIO);
	t.b[100] ^= 1;
	spill(body, t.b, t.n - 1);
	ck_assert_int_eq(fs_readlink(v.e, node, target, 2000), -EIO);
	ck_assert_int_eq(unlink(body), 0);
	ck_assert_int_eq(fs_readlink(v.e, node, target, 2000), -EIO);
	ck_assert_int_eq(mkfifo(body, 0600), 0);
	ck_assert_int_eq(fs_readlink(v.e, node, target, 2000), -EIO);
	ck_assert_int_eq(unlink(body), 0);
	ck_assert_int_eq(symlink("/etc/passwd", body), 0);
	ck_assert_int_eq(fs_readlink(v.e, node, target, 2000), -EIO);
	ck_assert_int_eq(unlink(body), 0);
	spill(body, t.b, t.n);
	assert_target(node, target, 2000);
	free(t.b);
	/* Renamed over: the body goes. */
	make(&v, ROOT_NODE, "file");
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "file", ROOT_NODE, "twin", 0), 0);
	ck_assert_uint_eq(count_in("vol/.coffer/links"), 0);
	/* Texts that are none of ours. */
	root_path(&v, "twin", path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	node = walk(&v, "twin");
	ck_assert_int_eq(fs_readlink(v.e, node, target, 2000), -EIO);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "twin"), 0);
	vol_free(&v);
}
END_TEST

START_TEST(special_files)
{
	static const mode_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	struct setattr_request times = {.mtime_set = true, .mtime = {99, 1}};
	struct node_attr a, b;

	if (geteuid() != 0)
		return;
	vol_default(&v);
	for (unsigned i = 0; i < 4; i++) {
		dev_t rdev = i < 2 ? 0 : makedev(1, 3 + i);

		ck_assert_int_eq(fs_mknod(v.e, &me, ROOT_NODE, number("s", i), types[i] | 0640, rdev, &a), 0);
		ck_assert_uint_eq(a.st.mode, types[i] | 0640);
		ck_assert_uint_eq(a.st.rdev, rdev);
		ck_assert_int_eq(chmod_node(&v, a.node, 0600), 0);
		ck_assert_int_eq(fs_setattr(v.e, a.node, &times, &b), 0);
		ck_assert_int_eq(b.st.mtime.tv_sec, 99);
		ck_assert_uint_eq(b.st.mode & 07777, 0600);
		ck_assert_int_eq(fs_read(v.e, a.node, &b, 1, 0), -EINVAL);
		ck_assert_int_eq(fs_link(v.e, &me, a.node, ROOT_NODE, number("l", i), &b), 0);
		ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, number("s", i)), 0);
		ck_assert_uint_eq(attr(&v, a.node).mode, types[i] | 0600);
	}
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ attributes */

static void assert_value(uint64_t node, const char *name, const void *value, size_t n)
{
	uint8_t buf[70000];

	ck_assert_int_eq(fs_getxattr(v.e, node, name, NULL, 0), (ssize_t)n);
	ck_assert_int_eq(fs_getxattr(v.e, node, name, buf, sizeof(buf)), (ssize_t)n);
	ck_assert_mem_eq(buf, value, n);
	if (n > 1)
		ck_assert_int_eq(fs_getxattr(v.e, node, name, buf, n - 1), -ERANGE);
}

START_TEST(extended_attributes)
{
	uint8_t value[3000], buf[70000];
	char name[300] = "user.";
	uint64_t ids[2];

	vol_default(&v);
	if (!v.e->caps.user_xattrs)
		goto out;
	fill(value, sizeof(value), 1);
	ids[0] = make(&v, ROOT_NODE, "file");
	ids[1] = make_dir(&v, ROOT_NODE, "dir");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fs_getxattr(v.e, ids[i], "user.x", buf, 10), -ENODATA);
		ck_assert_int_eq(fs_removexattr(v.e, ids[i], "user.x"), -ENODATA);
		ck_assert_int_eq(fs_setxattr(v.e, ids[i], "user.x", "1", 1, 2 /* replace */, false), -ENODATA);
		ck_assert_int_eq(fs_setxattr(v.e, ids[i], "user.", "1", 1, 0, false), -EINVAL);
		for (size_t n = 1; n <= 250; n++) {
			memset(name + 5, 'n', n);
			name[5 + n] = 0;
			ck_assert_int_eq(fs_setxattr(v.e, ids[i], name, value, n * 5, 1 /* create */, false), 0);
			ck_assert_int_eq(fs_setxattr(v.e, ids[i], name, value, 1, 1, false), -EEXIST);
			assert_value(ids[i], name, value, n * 5);
			ck_assert_int_eq(fs_setxattr(v.e, ids[i], name, value, 0, 2, false), 0);
			assert_value(ids[i], name, value, 0);
			ck_assert_int_eq(fs_listxattr(v.e, ids[i], (char *)buf, sizeof(buf)), (ssize_t)n + 6);
			ck_assert_str_eq((char *)buf, name);
			if (n % 50 == 0) {
				vol_restart(&v);
				ids[0] = walk(&v, "file");
				ids[1] = walk(&v, "dir");
				assert_value(ids[i], name, value, 0);
			}
			ck_assert_int_eq(fs_removexattr(v.e, ids[i], name), 0);
		}
		ck_assert_int_eq(fs_listxattr(v.e, ids[i], (char *)buf, sizeof(buf)), 0);
		ck_assert_int_eq(fs_setxattr(v.e, ids[i], "user.big", buf, 65536, 0, false), -E2BIG);
	}
out:
	vol_free(&v);
}
END_TEST

/* So much memory holds the maps of a few of these files; in each as many lie as a file would keep for itself. */
START_TEST(memory_is_bounded)
{
	enum { FILES = 100, MAPS = 12, MEMORY = 1 << 20, FIRST = 60 * 4096, SPAN = 128 * 4096 };
	uint64_t ids[FILES];

	vol_default(&v);
	v.options.memory = MEMORY;
	vol_restart(&v);
	for (unsigned i = 0; i < FILES; i++) {
		ids[i] = make(&v, ROOT_NODE, number("f", i));
		for (unsigned k = 0; k < MAPS; k++)
			put(&v, ids[i], number("x", i + k), 3, FIRST + (uint64_t)k * SPAN);
		ck_assert_int_eq(engine_checkpoint(v.e), 0);
	}
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < FILES; i++) {
			for (unsigned k = 0; k < MAPS; k++) {
				char got[3];

				ck_assert_int_eq(fs_read(v.e, ids[i], got, 3, FIRST + (uint64_t)k * SPAN), 3);
				ck_assert_mem_eq(got, number("x", i + k), 3);
			}
			ck_assert_uint_le(v.e->map_bytes, MEMORY / 2 + 16 * sizeof(struct map));
		}
		ck_assert_uint_le(descriptors(), 64 + 1);
	}
	vol_free(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("nodes");

	tcase_add_test(t, forgetting_frees);
	tcase_add_test(t, lookups_are_counted);
	tcase_add_test(t, unlinked_but_open);
	tcase_add_test(t, nameless);
	tcase_add_test(t, replaced_but_open);
	tcase_add_loop_test(t, many_unlinked_but_open, 0, 2);
	tcase_add_test(t, many_replaced_but_open);
	tcase_add_test(t, swept_at_the_start);
	tcase_add_test(t, ids_go);
	tcase_add_test(t, removed_directory_still_held);
	tcase_add_test(t, directories_move_under_open_files);
	tcase_add_test(t, renaming);
	tcase_add_test(t, hard_links);
	tcase_add_test(t, deep_tree);
	tcase_add_test(t, swapped_below);
	tcase_add_test(t, files_that_may_not_be_opened_again);
	tcase_add_test(t, directories_that_may_not_be_opened_again);
	tcase_add_loop_test(t, listing_without_searching, 0, 2);
	tcase_add_test(t, symbolic_links);
	tcase_add_test(t, long_links);
	tcase_add_test(t, special_files);
	tcase_add_test(t, extended_attributes);
	tcase_add_test(t, memory_is_bounded);
	return run_engine_suite("engine_nodes", t);
}

/* Two engines on one store stand for two hosts, or for one and its sync client: neither knows what the other does but from what lies below. */
#include "fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "fs/file.h"
#include "fs/node.h"

static struct vol v, w;

enum { LIMIT = 64, RESERVE = 64 }; /* descriptors of each (fs/descriptor.c) */

/* Some stores keep no time of birth, and give the number of an inode that has gone to the next one. */
static int stat_without_birth(struct store *s, int fd, struct store_stat *out)
{
	int r = v.plain->ops->stat(s, fd, out);

	out->btime_ns = 0;
	return r;
}

static int stat_at_without_birth(struct store *s, int dir, const char *name, struct store_stat *out)
{
	int r = v.plain->ops->stat_at(s, dir, name, out);

	out->btime_ns = 0;
	return r;
}

static bool births = true;

static void two_engines(void)
{
	struct rlimit few = {LIMIT + RESERVE, LIMIT + RESERVE};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	vol_new(&v, "vol", CIPHER_NONE, false);
	v.options.journal = false;
	v.options.shared = true;
	if (!births) {
		v.quick_ops.stat = stat_without_birth;
		v.quick_ops.stat_at = stat_at_without_birth;
	}
	w = v;
	vol_start(&v);
	vol_start(&w);
}

static void end(void)
{
	vol_stop(&w);
	vol_free(&v);
}

/* As the kernel does: from the root again when something on the way was not what it had been. */
static int find(struct vol *x, const char *path, struct node_attr *out)
{
	int r = 0;

	for (int tries = 0; tries < 3; tries++) {
		char copy[2048], *rest = copy, *part;

		snprintf(copy, sizeof(copy), "%s", path);
		r = fs_getattr(x->e, ROOT_NODE, out);
		while (r == 0 && (part = strsep(&rest, "/")))
			r = fs_lookup(x->e, out->node, part, out);
		if (r != -ESTALE)
			break;
	}
	return r;
}

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

/* ------------------------------------------------------------------ directed */

START_TEST(replaced_and_removed)
{
	uint64_t mine, theirs, other;
	bool as_read, held;
	uint8_t buf[16];

	two_engines();
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
	end();
}
END_TEST

/* What is removed here by a name that others have given to another file: that one goes, and nobody's descriptor is kept for it. */
START_TEST(removed_here_after_them)
{
	uint64_t mine;

	two_engines();
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
	end();
}
END_TEST

START_TEST(renamed_below)
{
	uint64_t dir, file, deep, inner;

	two_engines();
	dir = make_dir(&v, ROOT_NODE, "dir");
	deep = make_dir(&v, dir, "deep");
	file = make(&v, dir, "file");
	inner = make(&v, deep, "inner");
	put(&v, inner, "inner", 5, 0);
	make_dir(&w, ROOT_NODE, "to");
	ck_assert_int_eq(fs_rename(w.e, at(&w, "dir"), "file", at(&w, "to"), "file2", 0), 0);
	ck_assert_int_eq(fs_rename(w.e, at(&w, "dir"), "deep", at(&w, "to"), "deep2", 0), 0);
	ck_assert_int_eq(fs_write(v.e, file, "x", 1, 0, false), -ESTALE);
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
	struct node_attr a;

	ck_assert_int_eq(fs_link(w.e, &me, at(&w, "to/file2"), ROOT_NODE, "link", &a), 0);
	ck_assert_uint_eq(at(&v, "link"), file);
	ck_assert_int_eq(fs_unlink(w.e, at(&w, "to"), "file2"), 0);
	put(&v, file, "y", 1, 0);
	evict(&v);
	put(&v, file, "z", 1, 0);
	assert_content(&w, at(&w, "link"), "z", 1);
	end();
}
END_TEST

/* Each below the other, one after the other, for who sees only the second. */
START_TEST(no_circle)
{
	uint64_t x, y;
	struct node_attr a;

	two_engines();
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
	end();
}
END_TEST

/* rsync renames a directory by making it anew, with the same id in it, before or after the old one goes. */
START_TEST(copied_and_made_anew)
{
	char path[512], command[4096];
	uint64_t old, fresh, file;
	struct node_attr a;

	two_engines();
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
	end();
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

	two_engines();
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
	end();
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
	two_engines();
	for (unsigned i = 0; i < scaled(100); i++) {
		pthread_t id;
		uint64_t file = make(&v, ROOT_NODE, "file");

		atomic_store(&busy.stop, false);
		ck_assert_int_eq(pthread_create(&id, NULL, remove_it, NULL), 0);
		while (!atomic_load(&busy.stop))
			HOLD(fs_write(v.e, file, "x", 1, 0, false) == 1);
		ck_assert_int_eq(pthread_join(id, NULL), 0);
		HOLD(fs_write(v.e, file, "x", 1, 0, false) == 1);
		fs_forget(v.e, file, 1);
	}
	ck_assert_uint_eq(atomic_load(&busy.wrong), 0);
	end();
}
END_TEST

/* ------------------------------------------------------------------ anything */

#define LONG_PART "longlonglonglonglonglonglonglonglonglonglong"
#define LONG_NAME LONG_PART LONG_PART LONG_PART LONG_PART

enum { SIZES_MAX = 400000 };

static void some_path(uint64_t *seed, char out[1024])
{
	static const char *const names[] = {"a", "b", "c", LONG_NAME};
	unsigned depth = 1 + (unsigned)below(seed, 3);

	out[0] = 0;
	for (unsigned i = 0; i < depth; i++) {
		if (i)
			strcat(out, "/");
		strcat(out, names[below(seed, 4)]);
	}
}

/* The directory of a path, and where its last part begins. */
static int above(struct vol *x, const char *path, struct node_attr *dir, const char **last)
{
	const char *slash = strrchr(path, '/');
	char up[1024] = "";

	*last = slash ? slash + 1 : path;
	if (!slash)
		return fs_getattr(x->e, ROOT_NODE, dir);
	memcpy(up, path, (size_t)(slash - path));
	up[slash - path] = 0;
	return find(x, up, dir);
}

static void plain_path(const char *path, char out[2048])
{
	snprintf(out, 2048, "plain/%s", path);
}

static int plain_write(const char *path, const uint8_t *buf, size_t n, uint64_t off)
{
	int fd = open(path, O_WRONLY);
	int r = fd < 0 ? -errno : (pwrite(fd, buf, n, (off_t)off) == (ssize_t)n ? 0 : -EIO);

	if (fd >= 0)
		close(fd);
	return r;
}

/* One operation by its path, through an engine and on plain files; whether both did it. */
static void act(struct vol *x, uint64_t *seed)
{
	static uint8_t buf[SIZES_MAX];
	char path[1024], to[1024], plain[2048], plain_to[2048];
	const char *name = "", *new_name = "";
	struct node_attr dir, a, there;
	uint64_t what = below(seed, 12), size = below(seed, 3) ? below(seed, 5000) : below(seed, SIZES_MAX / 2);
	uint64_t off = below(seed, 2) ? 0 : below(seed, SIZES_MAX / 2);
	int r, wanted = 0;

	some_path(seed, path);
	some_path(seed, to);
	plain_path(path, plain);
	plain_path(to, plain_to);
	r = above(x, path, &dir, &name);
	switch (what) {
	case 0:
	case 1:
		r = r ? r : fs_mkdir(x->e, &me, dir.node, name, 0755, &a);
		wanted = mkdir(plain, 0755) < 0 ? -errno : 0;
		break;
	case 2:
	case 3:
		r = r ? r : fs_mknod(x->e, &me, dir.node, name, S_IFREG | 0644, 0, &a);
		wanted = mknod(plain, S_IFREG | 0644, 0) < 0 ? -errno : 0;
		break;
	case 4:
		r = r ? r : fs_unlink(x->e, dir.node, name);
		wanted = unlink(plain) < 0 ? -errno : 0;
		break;
	case 5:
		r = r ? r : fs_rmdir(x->e, dir.node, name);
		wanted = rmdir(plain) < 0 ? -errno : 0;
		break;
	case 6:
	case 7:
		r = r ? r : above(x, to, &there, &new_name);
		r = r ? r : fs_rename(x->e, dir.node, name, there.node, new_name, 0);
		wanted = rename(plain, plain_to) < 0 ? -errno : 0;
		break;
	case 8:
		r = find(x, path, &a);
		r = r ? r : (S_ISREG(a.st.mode) ? resize(x, a.node, off) : -EISDIR);
		wanted = truncate(plain, (off_t)off) < 0 ? -errno : 0;
		break;
	case 9:
		r = find(x, path, &a);
		r = r || S_ISREG(a.st.mode) ? r : -EPERM;
		r = r ? r : above(x, to, &there, &new_name);
		r = r ? r : fs_link(x->e, &me, a.node, there.node, new_name, &a);
		wanted = link(plain, plain_to) < 0 ? -errno : 0;
		break;
	default:
		fill(buf, size, *seed);
		r = find(x, path, &a);
		r = r ? r : (S_ISREG(a.st.mode) ? (int)fs_write(x->e, a.node, buf, size, off, false) : -EISDIR);
		r = r == (int)size ? 0 : r;
		wanted = plain_write(plain, buf, size, off);
		break;
	}
	/* Of several reasons to refuse either may be named. */
	ck_assert_msg((r == 0) == (wanted == 0) && r != -EIO && r != -ESTALE, "operation %d of %s, %s: %s, wanted %s",
		      (int)what, path, to, strerror(-r), strerror(-wanted));
}

static bool same_content(struct vol *x, uint64_t node, const char *plain)
{
	static uint8_t got[SIZES_MAX + 1];
	struct text t = slurp(plain);
	ssize_t n = fs_read(x->e, node, got, SIZES_MAX, 0);
	bool same = n >= 0 && (size_t)n == t.n && memcmp(got, t.b, t.n) == 0 && attr(x, node).size == t.n;

	free(t.b);
	return same;
}

/* Everything that lies in a directory. */
static void compare(struct vol *x, uint64_t node, const char *plain)
{
	DIR *d = opendir(plain);
	struct shown s = list_dir(x, node);
	struct dirent *entry;
	size_t count = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d))) {
		char path[4096];
		struct node_attr a;
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		count++;
		snprintf(path, sizeof(path), "%s/%s", plain, entry->d_name);
		ck_assert_msg(shows(&s, entry->d_name), "%s is not listed", path);
		ck_assert_int_eq(fs_lookup(x->e, node, entry->d_name, &a), 0);
		ck_assert_int_eq(lstat(path, &st), 0);
		HOLD((st.st_mode & S_IFMT) == (a.st.mode & S_IFMT));
		if (S_ISDIR(st.st_mode))
			compare(x, a.node, path);
		else
			ck_assert_msg(same_content(x, a.node, path), "content of %s", path);
		/* Some stay known, under names that they lose. */
		if (a.node % 3)
			fs_forget(x->e, a.node, 1);
	}
	ck_assert_uint_eq(s.count, count);
	shown_free(&s);
	closedir(d);
}

/* Where the file is now; false: nowhere. */
static bool find_inode(struct vol *x, uint64_t node, const char *plain, uint64_t ino, char out[4096])
{
	DIR *d = opendir(plain);
	struct dirent *entry;
	bool found = false;

	ck_assert_ptr_nonnull(d);
	while (!found && (entry = readdir(d))) {
		struct node_attr a;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(out, 4096, "%s/%s", plain, entry->d_name);
		ck_assert_int_eq(fs_lookup(x->e, node, entry->d_name, &a), 0);
		found = a.st.ino == ino;
		if (!found && S_ISDIR(a.st.mode)) {
			char deeper[4096];

			found = find_inode(x, a.node, out, ino, deeper);
			if (found)
				strcpy(out, deeper);
		}
		fs_forget(x->e, a.node, 1);
	}
	closedir(d);
	return found;
}

enum { HELD = 32 };

static struct {
	struct vol *x;
	uint64_t node;
} held[HELD];

/* A program that has had a file open for long writes to it: to that file, wherever it is by now, or not at all. */
static void write_to_held(uint64_t *seed)
{
	unsigned i = (unsigned)below(seed, HELD);
	struct vol *x = held[i].x;
	char path[1024], plain[4096];
	struct node_attr a;

	if (x) {
		uint8_t byte = (uint8_t)rnd(seed);
		uint64_t off = below(seed, 6000);
		ssize_t r = fs_write(x->e, held[i].node, &byte, 1, off, false);

		ck_assert_msg(r == 1 || r == -ESTALE, "write to what was open: %s", strerror((int)-r));
		/* What was removed here is its openers' only. */
		if (r == 1 && find_inode(x, ROOT_NODE, "plain", attr(x, held[i].node).ino, plain))
			ck_assert_int_eq(plain_write(plain, &byte, 1, off), 0);
	}
	some_path(seed, path);
	x = below(seed, 2) ? &v : &w;
	if (below(seed, 4) == 0 && find(x, path, &a) == 0 && S_ISREG(a.st.mode)) {
		if (held[i].x)
			fs_forget(held[i].x->e, held[i].node, 1);
		held[i].x = x;
		held[i].node = a.node;
	}
}

START_TEST(either_does_anything)
{
	uint64_t seed = first_seed(4711) + (uint64_t)_i;

	births = _i % 2 == 0;
	two_engines();
	ck_assert_int_eq(mkdir("plain", 0755), 0);
	for (unsigned i = 0; i < scaled(600); i++) {
		act(below(&seed, 2) ? &v : &w, &seed);
		write_to_held(&seed);
		if (i % 8 == 0)
			compare(below(&seed, 2) ? &v : &w, ROOT_NODE, "plain");
	}
	compare(&v, ROOT_NODE, "plain");
	compare(&w, ROOT_NODE, "plain");
	end();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("shared");

	tcase_add_test(t, replaced_and_removed);
	tcase_add_test(t, removed_here_after_them);
	tcase_add_test(t, renamed_below);
	tcase_add_test(t, no_circle);
	tcase_add_test(t, copied_and_made_anew);
	tcase_add_test(t, no_false_alarm);
	tcase_add_test(t, no_false_alarm_at_removal);
	tcase_add_loop_test(t, either_does_anything, 0, 4);
	return run_engine_suite("engine_shared", t);
}

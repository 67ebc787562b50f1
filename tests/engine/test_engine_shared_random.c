/* Anything, by either of two engines on one store; the same is done to plain files, and both must show what those hold. */
#include "shared_engines.h"

#include <dirent.h>

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

	two_engines(_i % 2 == 0);
	ck_assert_int_eq(mkdir("plain", 0755), 0);
	for (unsigned i = 0; i < scaled(600); i++) {
		act(below(&seed, 2) ? &v : &w, &seed);
		write_to_held(&seed);
		if (i % 8 == 0)
			compare(below(&seed, 2) ? &v : &w, ROOT_NODE, "plain");
	}
	compare(&v, ROOT_NODE, "plain");
	compare(&w, ROOT_NODE, "plain");
	two_engines_end();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("shared_random");

	tcase_add_loop_test(t, either_does_anything, 0, 4);
	return run_engine_suite("engine_shared_random", t);
}

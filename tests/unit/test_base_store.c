/* The store of the operating system, and small files that are replaced whole. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "store_helper.h"
#include "util/base/atomic_file.h"
#include "util/base/secret.h"
#include "vectors.h"

static struct store *store;
static int dir = -1;

static void setup(void)
{
	store = store_posix_new();
	dir = make_directory();
}

static void end(void)
{
	remove_directory(dir);
	store->ops->destroy(store);
}

static int make(const char *name, const char *text)
{
	int fd = store_open(store, dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pwrite(store, fd, text, strlen(text), 0), (ssize_t)strlen(text));
	return fd;
}

/* store_posix.c (1) */
START_TEST(open_flags)
{
	int fd = make("f", "text");

	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	store_close(store, fd);
	store_close(store, -1);
	ck_assert_int_eq(store->ops->symlink(store, "f", dir, "l"), 0);
	ck_assert_int_eq(store_open(store, dir, "l", O_RDONLY, 0), -ELOOP);
	ck_assert_int_eq(store_open(store, dir, "none", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(store_open(store, dir, "f", O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
	ck_assert_int_eq(store->ops->close(store, 9999), -EBADF);
}
END_TEST

START_TEST(read_write)
{
	int fd = make("f", "0123456789");
	char buf[32] = "";

	ck_assert_int_eq(store_pread(store, fd, buf, sizeof(buf), 4), 6);
	ck_assert_mem_eq(buf, "456789", 6);
	ck_assert_int_eq(store_pread(store, fd, buf, sizeof(buf), 10), 0);
	ck_assert_int_eq(store_pread(store, fd, buf, sizeof(buf), 1 << 20), 0);
	ck_assert_int_eq(store_pwrite(store, fd, "xy", 2, 1 << 20), 2);
	ck_assert_int_eq(store->ops->truncate(store, fd, 3), 0);
	ck_assert_int_eq(store_pread(store, fd, buf, sizeof(buf), 0), 3);
	ck_assert_int_eq(store->ops->truncate(store, fd, UINT64_MAX), -EFBIG);
	store_close(store, fd);
	fd = store_open(store, dir, "f", O_RDONLY, 0);
	ck_assert_int_eq(store_pwrite(store, fd, "x", 1, 0), -EBADF);
	store_close(store, fd);
	ck_assert_int_eq(store_pread(store, dir, buf, 1, 0), -EISDIR);
}
END_TEST

/* More buffers than one call of the kernel takes, and an end of the file in the middle. */
START_TEST(vectors)
{
	static struct iovec iov[1500];
	static char out[1500][3], back[1500][3];
	int fd = make("f", "");

	for (int i = 0; i < 1500; i++) {
		memset(out[i], 'a' + i % 26, 3);
		iov[i] = (struct iovec){out[i], (size_t)(i % 4)};
		if (i % 4 > 0)
			continue;
		iov[i].iov_base = NULL;
	}
	ck_assert_int_eq(store->ops->pwritev(store, fd, iov, 1500, 7), 375 * 6);
	for (int i = 0; i < 1500; i++)
		iov[i].iov_base = back[i];
	ck_assert_int_eq(store->ops->preadv(store, fd, iov, 1500, 7), 375 * 6);
	for (int i = 0; i < 1500; i++)
		ck_assert_mem_eq(back[i], out[i], (size_t)(i % 4));
	ck_assert_int_eq(store->ops->preadv(store, fd, iov, 1500, 7 + 375 * 6 - 4), 4);
	ck_assert_int_eq(store->ops->preadv(store, fd, iov, 1500, 1 << 20), 0);
	store_close(store, fd);
}
END_TEST

START_TEST(stats)
{
	struct store_stat st, at;
	int fd = make("f", "12345");

	ck_assert_int_eq(store->ops->symlink(store, "target", dir, "l"), 0);
	ck_assert_int_eq(store_stat(store, fd, &st), 0);
	ck_assert_int_eq(store_stat_at(store, dir, "f", &at), 0);
	ck_assert_uint_eq(st.dev, at.dev);
	ck_assert_uint_eq(st.ino, at.ino);
	ck_assert_uint_eq(st.size, at.size);
	ck_assert_uint_eq(st.btime_ns, at.btime_ns);
	ck_assert_int_eq(st.mtime.tv_sec, at.mtime.tv_sec);
	ck_assert_int_eq(st.mtime.tv_nsec, at.mtime.tv_nsec);
	ck_assert_uint_eq(st.size, 5);
	ck_assert_uint_eq(st.nlink, 1);
	ck_assert_uint_eq(st.uid, geteuid());
	ck_assert(S_ISREG(st.mode));
	ck_assert_int_eq(store_stat_at(store, dir, "l", &at), 0);
	ck_assert(S_ISLNK(at.mode));
	ck_assert_uint_eq(at.size, 6);
	ck_assert_int_eq(store_stat_at(store, dir, "none", &at), -ENOENT);
	ck_assert_int_eq(store_stat(store, 9999, &at), -EBADF);
	store_close(store, fd);
}
END_TEST

/* Every call on attributes works on an O_PATH handle, and on a symbolic link's it never reaches the target. */
static void change_by_handle(void)
{
	const struct timespec times[2] = {{1000, 0}, {2000, 0}};
	int path = store_open(store, dir, "f", O_PATH, 0), link = store_open(store, dir, "l", O_PATH, 0);
	struct store_stat st;
	char buf[64];
	ssize_t r;

	ck_assert_int_ge(path, 0);
	ck_assert_int_ge(link, 0);
	ck_assert_int_eq(store->ops->chmod(store, path, 0640), 0);
	ck_assert_int_eq(store->ops->utimens(store, path, times), 0);
	ck_assert_int_eq(store->ops->utimens(store, link, times), 0);
	ck_assert_int_eq(store->ops->chown(store, path, geteuid(), getegid()), 0);
	ck_assert_int_eq(store->ops->chown(store, link, geteuid(), getegid()), 0);
	ck_assert_int_eq(store_stat_at(store, dir, "f", &st), 0);
	ck_assert_uint_eq(st.mode & 07777, 0640);
	ck_assert_int_eq(st.mtime.tv_sec, 2000);
	ck_assert_int_eq(store_stat_at(store, dir, "l", &st), 0);
	ck_assert_int_eq(st.mtime.tv_sec, 2000);
	ck_assert_int_lt(store->ops->chmod(store, link, 0600), 0);
	ck_assert_int_eq(store_stat_at(store, dir, "f", &st), 0);
	ck_assert_uint_eq(st.mode & 07777, 0640);

	r = store->ops->setxattr(store, path, "user.t", "value", 5, 0);
	if (r != -EOPNOTSUPP) {
		ck_assert_int_eq(r, 0);
		ck_assert_int_eq(store->ops->getxattr(store, path, "user.t", buf, sizeof(buf)), 5);
		ck_assert_mem_eq(buf, "value", 5);
		ck_assert_int_ge(store->ops->listxattr(store, path, buf, sizeof(buf)), 7);
		ck_assert_int_lt(store->ops->setxattr(store, link, "user.t", "x", 1, 0), 0);
		ck_assert_int_eq(store->ops->removexattr(store, path, "user.t"), 0);
		ck_assert_int_eq(store->ops->getxattr(store, path, "user.t", buf, sizeof(buf)), -ENODATA);
	}
	store_close(store, path);
	store_close(store, link);
}

START_TEST(path_handles)
{
	store_close(store, make("f", ""));
	ck_assert_int_eq(store->ops->symlink(store, "f", dir, "l"), 0);
	change_by_handle();
}
END_TEST

/* Runs f in a child that is a plain user if we are root; its assertions count. */
static void as_plain_user(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (geteuid() == 0) {
			ck_assert_int_eq(setgid(65534), 0);
			ck_assert_int_eq(setuid(65534), 0);
		}
		f();
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

/* In a process that is not dumpable /proc/self belongs to root. */
static void change_undumpable(void)
{
	ck_assert_int_eq(secret_start(4096), 0);
	change_by_handle();
	secret_stop();
}

START_TEST(path_handles_undumpable)
{
	store_close(store, make("f", ""));
	ck_assert_int_eq(store->ops->symlink(store, "f", dir, "l"), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(fchownat(dir, "f", 65534, 65534, 0), 0);
		ck_assert_int_eq(fchownat(dir, "l", 65534, 65534, AT_SYMLINK_NOFOLLOW), 0);
		ck_assert_int_eq(fchown(dir, 65534, 65534), 0);
	}
	as_plain_user(change_undumpable);
}
END_TEST

static int flags_of_open(int flags)
{
	int fd = store_open(store, dir, "f", flags, 0), got;

	ck_assert_int_ge(fd, 0);
	got = fcntl(fd, F_GETFL);
	store_close(store, fd);
	return got;
}

static void open_of_others(void)
{
	ck_assert_int_eq(flags_of_open(O_RDONLY | O_NOATIME) & O_NOATIME, 0);
}

START_TEST(no_atime_of_others)
{
	store_close(store, make("f", "text"));
	ck_assert_int_eq(fchmodat(dir, "f", 0644, 0), 0);
	ck_assert_int_eq(fchmod(dir, 0755), 0);
	ck_assert_int_ne(flags_of_open(O_RDONLY | O_NOATIME) & O_NOATIME, 0);
	if (geteuid() == 0)
		as_plain_user(open_of_others);
}
END_TEST

START_TEST(names)
{
	struct store_stat st;
	char buf[16];

	ck_assert_int_eq(store->ops->mkdir(store, dir, "d", 0700), 0);
	ck_assert_int_eq(store->ops->mkdir(store, dir, "d", 0700), -EEXIST);
	ck_assert_int_eq(store->ops->mknod(store, dir, "p", S_IFIFO | 0600, 0), 0);
	ck_assert_int_eq(store->ops->symlink(store, "target", dir, "l"), 0);
	ck_assert_int_eq(store->ops->readlink(store, dir, "l", buf, sizeof(buf)), 6);
	ck_assert_mem_eq(buf, "target", 6);
	ck_assert_int_eq(store->ops->link(store, dir, "l", dir, "l2"), 0); /* the link itself */
	ck_assert_int_eq(store_stat_at(store, dir, "l2", &st), 0);
	ck_assert(S_ISLNK(st.mode));
	ck_assert_int_eq(store->ops->rename(store, dir, "l", dir, "l2", RENAME_NOREPLACE), -EEXIST);
	ck_assert_int_eq(store->ops->rename(store, dir, "p", dir, "d", RENAME_EXCHANGE), 0);
	ck_assert_int_eq(store_stat_at(store, dir, "d", &st), 0);
	ck_assert(S_ISFIFO(st.mode));
	ck_assert_int_eq(store->ops->unlink(store, dir, "p"), -EISDIR);
	ck_assert_int_eq(store->ops->rmdir(store, dir, "d"), -ENOTDIR);
	ck_assert_int_eq(store->ops->rmdir(store, dir, "p"), 0);
	ck_assert_int_eq(store->ops->unlink(store, dir, "d"), 0);
	ck_assert_int_eq(store->ops->unlink(store, dir, "d"), -ENOENT);
}
END_TEST

START_TEST(nameless)
{
	int fd = store_open(store, dir, ".", O_RDWR | O_TMPFILE, 0600), again;
	char buf[4];

	if (fd == -EOPNOTSUPP)
		return;
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pwrite(store, fd, "text", 4, 0), 4);
	ck_assert_int_eq(store->ops->link_fd(store, fd, dir, "named"), 0);
	ck_assert_int_eq(store->ops->link_fd(store, fd, dir, "named"), -EEXIST);
	store_close(store, fd);
	again = store_open(store, dir, "named", O_RDONLY, 0);
	ck_assert_int_eq(store_pread(store, again, buf, sizeof(buf), 0), 4);
	store_close(store, again);
}
END_TEST

START_TEST(space)
{
	int fd = make("f", "text");
	struct statvfs vfs;
	uint32_t magic = 0;
	uint64_t at;
	int r = store->ops->fallocate(store, fd, FALLOC_FL_KEEP_SIZE, 4096, 4096);

	ck_assert(r == 0 || r == -EOPNOTSUPP);
	ck_assert_int_eq(store->ops->fallocate(store, fd, FALLOC_FL_KEEP_SIZE, UINT64_MAX, 1), -EFBIG);
	ck_assert_int_eq(store->ops->truncate(store, fd, 1 << 20), 0);
	ck_assert_int_eq(store->ops->seek_data(store, fd, 0, false, &at), 0);
	ck_assert_uint_eq(at, 0);
	ck_assert_int_eq(store->ops->seek_data(store, fd, 0, true, &at), 0);
	ck_assert_uint_le(at, 1 << 20);
	ck_assert_int_eq(store->ops->seek_data(store, fd, 1 << 20, false, &at), -ENXIO);
	ck_assert_int_eq(store->ops->seek_data(store, fd, UINT64_MAX, true, &at), -ENXIO);
	ck_assert_int_eq(store->ops->fsync(store, fd), 0);
	ck_assert_int_eq(store->ops->fdatasync(store, fd), 0);
	ck_assert_int_eq(store->ops->fsync(store, dir), 0);
	ck_assert_int_eq(store->ops->statvfs(store, fd, &vfs), 0);
	ck_assert_uint_ge(vfs.f_namemax, 143);
	ck_assert_int_eq(store->ops->fs_type(store, fd, &magic), 0);
	ck_assert_uint_ne(magic, 0);
	store_close(store, fd);
}
END_TEST

START_TEST(locks)
{
	int one = make("f", ""), two = store_open(store, dir, "f", O_RDWR, 0);

	ck_assert_int_eq(store->ops->lock(store, one, LOCK_EX), 0);
	ck_assert_int_eq(store->ops->lock(store, two, LOCK_EX | LOCK_NB), -EWOULDBLOCK);
	store_close(store, one);
	ck_assert_int_eq(store->ops->lock(store, two, LOCK_EX | LOCK_NB), 0);
	store_close(store, two);
}
END_TEST

enum { FILES = 300 };

/* Reads on from `cookie`; marks the files seen, and remembers the cookie behind the n-th entry. */
static int read_names(int handle, int64_t cookie, bool seen[FILES], int n, int64_t *behind)
{
	_Alignas(8) char buf[512];
	struct store_dirent e;
	int count = 0;
	ssize_t used;

	while ((used = store->ops->getdents(store, handle, cookie, buf, sizeof(buf))) > 0) {
		size_t pos = 0;

		while (store_dirent_next(buf, (size_t)used, &pos, &e)) {
			cookie = e.next;
			if (++count == n && behind)
				*behind = e.next;
			if (e.name[0] == '.')
				continue;
			ck_assert_uint_ne(e.ino, 0);
			ck_assert(e.type == DT_REG || e.type == DT_UNKNOWN);
			ck_assert(!seen[atoi(e.name)]);
			seen[atoi(e.name)] = true;
		}
		ck_assert_uint_eq(pos, (size_t)used);
	}
	ck_assert_int_eq(used, 0);
	return count;
}

START_TEST(directories)
{
	bool all[FILES] = {false}, again[FILES] = {false}, rest[FILES] = {false};
	int handle = store_open(store, dir, ".", O_RDONLY | O_DIRECTORY, 0);
	int64_t behind = 0;
	char name[16];

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		store_close(store, make(name, ""));
	}
	ck_assert_int_eq(read_names(handle, 0, all, 100, &behind), FILES + 2);
	for (int i = 0; i < FILES; i++)
		ck_assert(all[i]);
	ck_assert_int_eq(read_names(handle, 0, again, 0, NULL), FILES + 2);
	ck_assert_int_eq(read_names(handle, behind, rest, 0, NULL), FILES + 2 - 100);
	store_close(store, handle);
	handle = store_open(store, dir, "1", O_RDONLY, 0);
	ck_assert_int_eq(store->ops->getdents(store, handle, 0, name, sizeof(name)), -ENOTDIR);
	store_close(store, handle);
}
END_TEST

/* Entries that no kernel writes end the reading. */
START_TEST(directory_damaged)
{
	_Alignas(8) uint8_t buf[24] = {[16] = 24, [18] = DT_REG, [19] = 'a'};
	struct store_dirent e;
	size_t pos = 0;

	ck_assert(store_dirent_next(buf, sizeof(buf), &pos, &e));
	ck_assert_str_eq(e.name, "a");
	ck_assert(!store_dirent_next(buf, sizeof(buf), &pos, &e));
	pos = 0;
	ck_assert(!store_dirent_next(buf, sizeof(buf) - 1, &pos, &e));
	buf[16] = 25;
	ck_assert(!store_dirent_next(buf, sizeof(buf), &pos, &e));
	buf[16] = 0;
	ck_assert(!store_dirent_next(buf, sizeof(buf), &pos, &e));
	buf[16] = 24;
	memset(buf + 19, 'a', 5);
	ck_assert(!store_dirent_next(buf, sizeof(buf), &pos, &e));
	ck_assert_uint_eq(pos, 0);
}
END_TEST

/* --- atomic_file */

static void assert_file(const char *name, const char *text)
{
	char *bytes;
	size_t n;

	ck_assert_int_eq(atomic_file_read(store, dir, name, 100, &bytes, &n), 0);
	ck_assert_uint_eq(n, strlen(text));
	ck_assert_str_eq(bytes, text);
	free(bytes);
}

START_TEST(atomic_replaced)
{
	struct store_stat st;

	ck_assert_int_eq(atomic_file_write(store, dir, "f", "old", 3), 0);
	assert_file("f", "old");
	ck_assert_int_eq(atomic_file_write(store, dir, "f", "", 0), 0);
	assert_file("f", "");
	ck_assert_int_eq(atomic_file_write(store, dir, "f", "newer", 5), 0);
	assert_file("f", "newer");
	ck_assert_int_eq(store_stat_at(store, dir, "f", &st), 0);
	ck_assert_uint_eq(st.mode & 07777, 0600);
	ck_assert_int_eq(count_entries(dir), 1);
	ck_assert_int_eq(store->ops->symlink(store, "f", dir, "l"), 0);
	ck_assert_int_eq(atomic_file_write(store, dir, "l", "x", 1), 0); /* replaces the link, not the target */
	assert_file("f", "newer");
	assert_file("l", "x");
}
END_TEST

START_TEST(atomic_refused)
{
	char *bytes = NULL;
	size_t n = 1;

	store_close(store, make("f", "12345"));
	ck_assert_int_eq(atomic_file_read(store, dir, "f", 4, &bytes, &n), -EFBIG);
	ck_assert_ptr_null(bytes);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(atomic_file_read(store, dir, "f", 5, &bytes, &n), 0);
	free(bytes);
	ck_assert_int_eq(store->ops->symlink(store, "f", dir, "l"), 0);
	ck_assert_int_eq(atomic_file_read(store, dir, "l", 9, &bytes, &n), -ELOOP);
	ck_assert_int_eq(store->ops->mknod(store, dir, "p", S_IFIFO | 0600, 0), 0);
	ck_assert_int_eq(atomic_file_read(store, dir, "p", 9, &bytes, &n), -ELOOP); /* and does not wait for a writer */
	ck_assert_int_eq(store->ops->mknod(store, dir, "s", S_IFSOCK | 0600, 0), 0);
	ck_assert_int_eq(atomic_file_read(store, dir, "s", 9, &bytes, &n), -ELOOP);
	ck_assert_int_eq(store->ops->mkdir(store, dir, "d", 0700), 0);
	ck_assert_int_eq(atomic_file_read(store, dir, "d", 9999, &bytes, &n), -ELOOP);
	ck_assert_int_eq(store->ops->link(store, dir, "f", dir, "f2"), 0);
	ck_assert_int_eq(atomic_file_read(store, dir, "f", 9, &bytes, &n), -EMLINK);
	ck_assert_int_eq(atomic_file_read(store, dir, "none", 9, &bytes, &n), -ENOENT);
	ck_assert_int_eq(store->ops->rmdir(store, dir, "d"), 0);
}
END_TEST

/* Each call fails once: the old or the new content stands, whole, and nothing else. */
START_TEST(atomic_failures)
{
	struct failing_store failing;
	int r, at = 0;

	ck_assert_int_eq(atomic_file_write(store, dir, "f", "old", 3), 0);
	do {
		failing_store_init(&failing, store, ++at, -EIO);
		r = atomic_file_write(&failing.store, dir, "f", "new", 3);
		ck_assert_int_eq(count_entries(dir), 1);
		if (r < 0)
			ck_assert_int_eq(r, -EIO);
		if (failing.calls < 5) /* open, write, sync, rename; then the directory's sync */
			assert_file("f", "old");
		else
			assert_file("f", "new");
	} while (r < 0);
	ck_assert_int_eq(at, 6);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("store");

	tcase_add_checked_fixture(t, setup, end);
	tcase_add_test(t, open_flags);
	tcase_add_test(t, read_write);
	tcase_add_test(t, vectors);
	tcase_add_test(t, stats);
	tcase_add_test(t, path_handles);
	tcase_add_test(t, path_handles_undumpable);
	tcase_add_test(t, no_atime_of_others);
	tcase_add_test(t, names);
	tcase_add_test(t, nameless);
	tcase_add_test(t, space);
	tcase_add_test(t, locks);
	tcase_add_test(t, directories);
	tcase_add_test(t, directory_damaged);
	tcase_add_test(t, atomic_replaced);
	tcase_add_test(t, atomic_refused);
	tcase_add_test(t, atomic_failures);
	return run_tests(t, "store");
}

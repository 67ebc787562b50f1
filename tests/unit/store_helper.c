/* For tests on stores (store_helper.h). */
#include "store_helper.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int make_directory(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[4096];
	int dir;

	snprintf(path, sizeof(path), "%s/coffer-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
	return dir;
}

static bool special(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static DIR *listing(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	ck_assert_ptr_nonnull(d);
	return d;
}

int count_entries(int dir)
{
	DIR *d = listing(dir);
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)))
		n += !special(e->d_name);
	closedir(d);
	return n;
}

void remove_directory(int dir)
{
	char handle[64], path[4096];
	DIR *d = listing(dir);
	struct dirent *e;
	ssize_t n;

	while ((e = readdir(d)))
		if (!special(e->d_name) && unlinkat(dir, e->d_name, 0) < 0)
			unlinkat(dir, e->d_name, AT_REMOVEDIR);
	closedir(d);
	snprintf(handle, sizeof(handle), "/proc/self/fd/%d", dir);
	n = readlink(handle, path, sizeof(path) - 1);
	if (n > 0) {
		path[n] = 0;
		if (rmdir(path) < 0)
			perror(path); /* a test that gave up its privileges cannot */
	}
	close(dir);
}

static bool fails(struct store *s, struct failing_store **f)
{
	*f = (struct failing_store *)s; /* the store is the first member */
	return ++(*f)->calls == (*f)->fail_at;
}

static int failing_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	struct failing_store *f = (struct failing_store *)s;

	if (flags & O_CREAT && fails(s, &f))
		return f->error;
	return f->beneath->ops->open(f->beneath, dir, name, flags, mode);
}

static ssize_t failing_pwrite(struct store *s, int fd, const void *buf, size_t n, uint64_t off)
{
	struct failing_store *f;

	return fails(s, &f) ? f->error : f->beneath->ops->pwrite(f->beneath, fd, buf, n, off);
}

static int failing_fsync(struct store *s, int fd)
{
	struct failing_store *f;

	return fails(s, &f) ? f->error : f->beneath->ops->fsync(f->beneath, fd);
}

static int failing_mkdir(struct store *s, int dir, const char *name, mode_t mode)
{
	struct failing_store *f;

	return fails(s, &f) ? f->error : f->beneath->ops->mkdir(f->beneath, dir, name, mode);
}

static int failing_mknod(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev)
{
	struct failing_store *f;

	return fails(s, &f) ? f->error : f->beneath->ops->mknod(f->beneath, dir, name, mode, rdev);
}

static int failing_symlink(struct store *s, const char *target, int dir, const char *name)
{
	struct failing_store *f;

	return fails(s, &f) ? f->error : f->beneath->ops->symlink(f->beneath, target, dir, name);
}

static int failing_link(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	struct failing_store *f;

	return fails(s, &f) ? f->error : f->beneath->ops->link(f->beneath, old_dir, old_name, new_dir, new_name);
}

static int failing_rename(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name,
			  unsigned flags)
{
	struct failing_store *f;

	if (fails(s, &f))
		return f->error;
	return f->beneath->ops->rename(f->beneath, old_dir, old_name, new_dir, new_name, flags);
}

static int failing_setxattr(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags)
{
	struct failing_store *f;

	return fails(s, &f) ? f->error : f->beneath->ops->setxattr(f->beneath, fd, name, buf, n, flags);
}

void failing_store_init(struct failing_store *f, struct store *beneath, int fail_at, int error)
{
	*f = (struct failing_store){.ops = *beneath->ops, .beneath = beneath, .fail_at = fail_at, .error = error};
	f->store.ops = &f->ops;
	f->ops.open = failing_open;
	f->ops.pwrite = failing_pwrite;
	f->ops.fsync = failing_fsync;
	f->ops.mkdir = failing_mkdir;
	f->ops.mknod = failing_mknod;
	f->ops.symlink = failing_symlink;
	f->ops.link = failing_link;
	f->ops.rename = failing_rename;
	f->ops.setxattr = failing_setxattr;
}

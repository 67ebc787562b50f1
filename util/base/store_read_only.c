/* The operating system's store without any call that changes something: what a mount of an older copy stands on.  It is the posix
 * store's table, where everything that writes answers EROFS, as a file system that is mounted read-only does. */
#include <errno.h>
#include <fcntl.h>

#include "util/base/store.h"

/* The table it is made of; filled once, before the first thread. */
static struct store_ops read_only_ops;
static struct store read_only = {.ops = &read_only_ops};

static int open_only(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	const struct store *posix = store_posix_new();

	if (!(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC)))
		return -EROFS;
	/* Nor is it seen that somebody has read. */
	return posix->ops->open(s, dir, name, flags & O_PATH ? flags : flags | O_NOATIME, mode);
}

static ssize_t refuse_pwrite(struct store *s, int fd, const void *buf, size_t n, uint64_t off)
{
	(void)s;
	(void)fd;
	(void)buf;
	(void)n;
	(void)off;
	return -EROFS;
}

static ssize_t refuse_pwritev(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off)
{
	(void)s;
	(void)fd;
	(void)iov;
	(void)count;
	(void)off;
	return -EROFS;
}

static int refuse_truncate(struct store *s, int fd, uint64_t size)
{
	(void)s;
	(void)fd;
	(void)size;
	return -EROFS;
}

static int refuse_fallocate(struct store *s, int fd, int mode, uint64_t off, uint64_t n)
{
	(void)s;
	(void)fd;
	(void)mode;
	(void)off;
	(void)n;
	return -EROFS;
}

static int refuse_no_copy_on_write(struct store *s, int fd)
{
	(void)s;
	(void)fd;
	return -EROFS;
}

static int refuse_mkdir(struct store *s, int dir, const char *name, mode_t mode)
{
	(void)s;
	(void)dir;
	(void)name;
	(void)mode;
	return -EROFS;
}

static int refuse_mknod(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev)
{
	(void)rdev;
	return refuse_mkdir(s, dir, name, mode);
}

static int refuse_symlink(struct store *s, const char *target, int dir, const char *name)
{
	(void)target;
	return refuse_mkdir(s, dir, name, 0);
}

static int refuse_link(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	(void)old_dir;
	(void)old_name;
	return refuse_mkdir(s, new_dir, new_name, 0);
}

static int refuse_link_fd(struct store *s, int fd, int new_dir, const char *new_name)
{
	(void)fd;
	return refuse_mkdir(s, new_dir, new_name, 0);
}

static int refuse_unlink(struct store *s, int dir, const char *name)
{
	return refuse_mkdir(s, dir, name, 0);
}

static int refuse_rename(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name,
			 unsigned flags)
{
	(void)flags;
	return refuse_link(s, old_dir, old_name, new_dir, new_name);
}

static int refuse_chmod(struct store *s, int fd, mode_t mode)
{
	(void)mode;
	return refuse_truncate(s, fd, 0);
}

static int refuse_chown(struct store *s, int fd, uid_t uid, gid_t gid)
{
	(void)uid;
	(void)gid;
	return refuse_truncate(s, fd, 0);
}

static int refuse_utimens(struct store *s, int fd, const struct timespec ts[2])
{
	(void)ts;
	return refuse_truncate(s, fd, 0);
}

static int refuse_setxattr(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags)
{
	(void)name;
	(void)buf;
	(void)n;
	(void)flags;
	return refuse_truncate(s, fd, 0);
}

static int refuse_removexattr(struct store *s, int fd, const char *name)
{
	(void)name;
	return refuse_truncate(s, fd, 0);
}

struct store *store_read_only_new(void)
{
	read_only_ops = *store_posix_new()->ops;
	read_only_ops.open = open_only;
	read_only_ops.pwrite = refuse_pwrite;
	read_only_ops.pwritev = refuse_pwritev;
	read_only_ops.truncate = refuse_truncate;
	read_only_ops.fallocate = refuse_fallocate;
	read_only_ops.no_copy_on_write = refuse_no_copy_on_write;
	read_only_ops.mkdir = refuse_mkdir;
	read_only_ops.mknod = refuse_mknod;
	read_only_ops.symlink = refuse_symlink;
	read_only_ops.link = refuse_link;
	read_only_ops.link_fd = refuse_link_fd;
	read_only_ops.unlink = refuse_unlink;
	read_only_ops.rmdir = refuse_unlink;
	read_only_ops.rename = refuse_rename;
	read_only_ops.chmod = refuse_chmod;
	read_only_ops.chown = refuse_chown;
	read_only_ops.utimens = refuse_utimens;
	read_only_ops.setxattr = refuse_setxattr;
	read_only_ops.removexattr = refuse_removexattr;
	return &read_only;
}

/* The store that is the operating system (store.h).
 *
 * 1. Nothing here follows a symbolic link in the last component, and every handle is closed at exec.
 * 2. Reads and writes go on until they are complete; a signal restarts them.
 * 3. There is no state: one table serves all threads. */
#include "util/base/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

/* --- whole reads and writes */

static int posix_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	int fd;

	(void)s;
	flags |= O_CLOEXEC | O_NOFOLLOW;
	do
		fd = openat(dir, name, flags, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0 && errno == EPERM && flags & O_NOATIME) /* somebody else's file */
		return posix_open(s, dir, name, flags & ~O_NOATIME, mode);
	return fd < 0 ? -errno : fd;
}

static int posix_close(struct store *s, int fd)
{
	(void)s;
	return result(close(fd)); /* the handle is gone even after EINTR */
}

static ssize_t posix_pread(struct store *s, int fd, void *buf, size_t n, uint64_t off)
{
	size_t done = 0;

	(void)s;
	while (done < n) {
		ssize_t r = pread(fd, (char *)buf + done, n - done, (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

static ssize_t posix_pwrite(struct store *s, int fd, const void *buf, size_t n, uint64_t off)
{
	size_t done = 0;

	(void)s;
	while (done < n) {
		ssize_t r = pwrite(fd, (const char *)buf + done, n - done, (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EIO;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

typedef ssize_t vector_call(int fd, const struct iovec *iov, int count, off_t off);
typedef ssize_t plain_call(struct store *s, int fd, void *buf, size_t n, uint64_t off);

static ssize_t write_plain(struct store *s, int fd, void *buf, size_t n, uint64_t off)
{
	return posix_pwrite(s, fd, buf, n, off);
}

/* One call does nearly always.  What it left is done buffer by buffer, so that the caller's vector need not change. */
static ssize_t whole_vector(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off,
			    vector_call *vector, plain_call *plain)
{
	size_t skip, done;
	ssize_t r;

	do
		r = vector(fd, iov, count > IOV_MAX ? IOV_MAX : count, (off_t)off);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	done = skip = (size_t)r;
	for (int i = 0; i < count; i++) {
		size_t have = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		skip -= have;
		if (have == iov[i].iov_len)
			continue;
		r = plain(s, fd, (char *)iov[i].iov_base + have, iov[i].iov_len - have, off + done);
		if (r < 0)
			return r;
		done += (size_t)r;
		if ((size_t)r < iov[i].iov_len - have)
			break; /* end of the file */
	}
	return (ssize_t)done;
}

static ssize_t posix_preadv(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off)
{
	return whole_vector(s, fd, iov, count, off, preadv, posix_pread);
}

static ssize_t posix_pwritev(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off)
{
	return whole_vector(s, fd, iov, count, off, pwritev, write_plain);
}

/* --- files */

static int posix_truncate(struct store *s, int fd, uint64_t size)
{
	int r;

	(void)s;
	if (size > INT64_MAX)
		return -EFBIG;
	do
		r = ftruncate(fd, (off_t)size);
	while (r < 0 && errno == EINTR);
	return result(r);
}

static int posix_fallocate_mode(struct store *s, int fd, int mode, uint64_t off, uint64_t n)
{
	int r;

	(void)s;
	if (off > INT64_MAX || n > INT64_MAX)
		return -EFBIG;
	do
		r = fallocate(fd, mode, (off_t)off, (off_t)n);
	while (r < 0 && errno == EINTR);
	return result(r);
}

static int posix_no_copy_on_write(struct store *s, int fd)
{
	int flags, r;

	(void)s;
	r = result(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	if (r < 0)
		return r == -ENOTTY ? -EOPNOTSUPP : r;
	flags |= FS_NOCOW_FL;
	r = result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	return r == -ENOTTY || r == -EINVAL ? -EOPNOTSUPP : r;
}

static int posix_fsync(struct store *s, int fd)
{
	int r;

	(void)s;
	do
		r = fsync(fd);
	while (r < 0 && errno == EINTR);
	return result(r);
}

static int posix_fdatasync(struct store *s, int fd)
{
	int r;

	(void)s;
	do
		r = fdatasync(fd);
	while (r < 0 && errno == EINTR);
	return result(r);
}

static int posix_syncfs(struct store *s, int fd)
{
	(void)s;
	return result(syncfs(fd));
}

static void posix_will_need(struct store *s, int fd, uint64_t off, uint64_t n)
{
	(void)s;
	posix_fadvise(fd, (off_t)off, (off_t)n, POSIX_FADV_WILLNEED);
}

static int posix_seek_data(struct store *s, int fd, uint64_t off, bool hole, uint64_t *out)
{
	off_t at;

	(void)s;
	if (off > INT64_MAX)
		return -ENXIO;
	at = lseek(fd, (off_t)off, hole ? SEEK_HOLE : SEEK_DATA);
	if (at < 0)
		return -errno;
	*out = (uint64_t)at;
	return 0;
}

static int posix_lock(struct store *s, int fd, int operation)
{
	(void)s;
	return result(flock(fd, operation)); /* EINTR too: a waiting user may want to leave */
}

/* --- attributes */

static struct timespec to_timespec(const struct statx_timestamp *t)
{
	return (struct timespec){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

static int stat_any(int dir, const char *name, int flags, struct store_stat *out)
{
	struct statx x;

	if (statx(dir, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &x) < 0)
		return -errno;
	*out = (struct store_stat){
		.dev = makedev(x.stx_dev_major, x.stx_dev_minor),
		.ino = x.stx_ino,
		.size = x.stx_size,
		.blocks = x.stx_blocks,
		.rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
		.atime = to_timespec(&x.stx_atime),
		.mtime = to_timespec(&x.stx_mtime),
		.ctime = to_timespec(&x.stx_ctime),
		.mode = x.stx_mode,
		.uid = x.stx_uid,
		.gid = x.stx_gid,
		.nlink = x.stx_nlink,
		.blksize = x.stx_blksize,
	};
	if (x.stx_mask & STATX_BTIME && x.stx_btime.tv_sec >= 0)
		out->btime_ns = (uint64_t)x.stx_btime.tv_sec * 1000000000 + x.stx_btime.tv_nsec;
	return 0;
}

static int posix_stat(struct store *s, int fd, struct store_stat *out)
{
	(void)s;
	return stat_any(fd, "", AT_EMPTY_PATH, out);
}

static int posix_stat_at(struct store *s, int dir, const char *name, struct store_stat *out)
{
	(void)s;
	return stat_any(dir, name, 0, out);
}

/* A name for what an O_PATH handle stands for, for the calls that take no such handle.  It leads to the object itself, a symbolic link
 * included. */
struct handle_path {
	char text[32];
};

static const char *handle_path(struct handle_path *p, int fd)
{
	snprintf(p->text, sizeof(p->text), "/proc/self/fd/%d", fd);
	return p->text;
}

static int posix_chmod(struct store *s, int fd, mode_t mode)
{
	struct handle_path p;
	int r = fchmod(fd, mode);

	(void)s;
	if (r < 0 && errno == EBADF)
		r = chmod(handle_path(&p, fd), mode);
	return result(r);
}

static int posix_chown(struct store *s, int fd, uid_t uid, gid_t gid)
{
	(void)s;
	return result(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
}

static int posix_utimens(struct store *s, int fd, const struct timespec ts[2])
{
	struct handle_path p;
	int r = futimens(fd, ts);

	(void)s;
	if (r < 0 && errno == EBADF)
		r = utimensat(AT_FDCWD, handle_path(&p, fd), ts, 0);
	return result(r);
}

static ssize_t posix_getxattr(struct store *s, int fd, const char *name, void *buf, size_t n)
{
	struct handle_path p;
	ssize_t r = fgetxattr(fd, name, buf, n);

	(void)s;
	if (r < 0 && errno == EBADF)
		r = getxattr(handle_path(&p, fd), name, buf, n);
	return r < 0 ? -errno : r;
}

static int posix_setxattr(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags)
{
	struct handle_path p;
	int r = fsetxattr(fd, name, buf, n, flags);

	(void)s;
	if (r < 0 && errno == EBADF)
		r = setxattr(handle_path(&p, fd), name, buf, n, flags);
	return result(r);
}

static ssize_t posix_listxattr(struct store *s, int fd, char *buf, size_t n)
{
	struct handle_path p;
	ssize_t r = flistxattr(fd, buf, n);

	(void)s;
	if (r < 0 && errno == EBADF)
		r = listxattr(handle_path(&p, fd), buf, n);
	return r < 0 ? -errno : r;
}

static int posix_removexattr(struct store *s, int fd, const char *name)
{
	struct handle_path p;
	int r = fremovexattr(fd, name);

	(void)s;
	if (r < 0 && errno == EBADF)
		r = removexattr(handle_path(&p, fd), name);
	return result(r);
}

static int posix_statvfs(struct store *s, int fd, struct statvfs *out)
{
	int r;

	(void)s;
	do
		r = fstatvfs(fd, out);
	while (r < 0 && errno == EINTR);
	return result(r);
}

static int posix_fs_type(struct store *s, int fd, uint32_t *magic)
{
	struct statfs st;

	(void)s;
	if (fstatfs(fd, &st) < 0)
		return -errno;
	*magic = (uint32_t)st.f_type;
	return 0;
}

/* --- names */

static int posix_mkdir(struct store *s, int dir, const char *name, mode_t mode)
{
	(void)s;
	return result(mkdirat(dir, name, mode));
}

static int posix_mknod(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev)
{
	(void)s;
	return result(mknodat(dir, name, mode, rdev));
}

static int posix_symlink(struct store *s, const char *target, int dir, const char *name)
{
	(void)s;
	return result(symlinkat(target, dir, name));
}

static ssize_t posix_readlink(struct store *s, int dir, const char *name, char *buf, size_t n)
{
	ssize_t r = readlinkat(dir, name, buf, n);

	(void)s;
	return r < 0 ? -errno : r;
}

static int posix_link(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	(void)s;
	return result(linkat(old_dir, old_name, new_dir, new_name, 0));
}

/* Linking a bare handle needs a capability; the name below /proc does not. */
static int posix_link_fd(struct store *s, int fd, int new_dir, const char *new_name)
{
	struct handle_path p;

	(void)s;
	return result(linkat(AT_FDCWD, handle_path(&p, fd), new_dir, new_name, AT_SYMLINK_FOLLOW));
}

static int posix_unlink(struct store *s, int dir, const char *name)
{
	(void)s;
	return result(unlinkat(dir, name, 0));
}

static int posix_rmdir(struct store *s, int dir, const char *name)
{
	(void)s;
	return result(unlinkat(dir, name, AT_REMOVEDIR));
}

static int posix_rename(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name,
			unsigned flags)
{
	(void)s;
	return result(renameat2(old_dir, old_name, new_dir, new_name, flags));
}

/* --- directories */

struct raw_dirent {
	uint64_t ino;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static ssize_t posix_getdents(struct store *s, int fd, int64_t cookie, void *buf, size_t n)
{
	ssize_t r;

	(void)s;
	if (lseek(fd, 0, SEEK_CUR) != cookie && lseek(fd, cookie, SEEK_SET) < 0)
		return -errno;
	r = syscall(SYS_getdents64, fd, buf, n);
	return r < 0 ? -errno : r;
}

bool store_dirent_next(const void *buf, size_t used, size_t *pos, struct store_dirent *out)
{
	const size_t head = offsetof(struct raw_dirent, name);
	const uint8_t *at = (const uint8_t *)buf + *pos;
	struct raw_dirent raw;

	if (*pos > used || used - *pos <= head)
		return false;
	memcpy(&raw, at, head);
	if (raw.size <= head || raw.size > used - *pos || !memchr(at + head, 0, raw.size - head))
		return false; /* not what a kernel writes; an implementation beneath may be another */
	*out = (struct store_dirent){
		.ino = raw.ino, .next = raw.next, .type = raw.type, .name = (const char *)at + head};
	*pos += raw.size;
	return true;
}

static void posix_destroy(struct store *s)
{
	(void)s;
}

static const struct store_ops posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.pread = posix_pread,
	.pwrite = posix_pwrite,
	.preadv = posix_preadv,
	.pwritev = posix_pwritev,
	.truncate = posix_truncate,
	.fallocate = posix_fallocate_mode,
	.no_copy_on_write = posix_no_copy_on_write,
	.fsync = posix_fsync,
	.fdatasync = posix_fdatasync,
	.syncfs = posix_syncfs,
	.stat = posix_stat,
	.stat_at = posix_stat_at,
	.mkdir = posix_mkdir,
	.mknod = posix_mknod,
	.symlink = posix_symlink,
	.readlink = posix_readlink,
	.link = posix_link,
	.link_fd = posix_link_fd,
	.unlink = posix_unlink,
	.rmdir = posix_rmdir,
	.rename = posix_rename,
	.chmod = posix_chmod,
	.chown = posix_chown,
	.utimens = posix_utimens,
	.getxattr = posix_getxattr,
	.setxattr = posix_setxattr,
	.listxattr = posix_listxattr,
	.removexattr = posix_removexattr,
	.getdents = posix_getdents,
	.will_need = posix_will_need,
	.seek_data = posix_seek_data,
	.statvfs = posix_statvfs,
	.fs_type = posix_fs_type,
	.lock = posix_lock,
	.destroy = posix_destroy,
};

struct store *store_posix_new(void)
{
	static struct store posix = {.ops = &posix_ops};

	return &posix;
}

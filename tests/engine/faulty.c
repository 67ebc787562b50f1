/* A store beneath the engine in which a chosen call, or all from there on, fails. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>

#include "fixture.h"

/* Only the calls of the thread that made the store are counted and fail: what a tick does beside them is left to chance. */
static _Thread_local bool counted;

static bool is_full(const struct faulty *f)
{
	return counted && f->full;
}

static bool fails(struct store *s, const char *call)
{
	struct faulty *f = (struct faulty *)s; /* the store is the first member */
	int n;

	if (!counted)
		return false;
	n = ++f->calls;
	if (!f->fail_at || n < f->fail_at || (n > f->fail_at && !f->for_ever))
		return false;
	if (!f->failed)
		f->failed = call;
	return true;
}

#define SELF    ((struct faulty *)s)
#define BENEATH SELF->beneath
#define FAULT(call)                                                                                                    \
	if (!SELF->reads && fails(s, call))                                                                            \
		return SELF->error;
/* The same for calls that need no space. */
#define FAULT_UNLESS_FULL(call)                                                                                        \
	if (!SELF->reads && !is_full(SELF) && fails(s, call))                                                          \
		return SELF->error;

static int f_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	if (flags & O_CREAT) {
		FAULT("open");
	}
	return store_open(BENEATH, dir, name, flags, mode);
}

enum { BLOCK = 4096 };

static bool is_reserved(const struct faulty *f, int fd, uint64_t at)
{
	for (int i = 0; i < f->reserved_count; i++)
		if (f->reserved[i].fd == fd && f->reserved[i].begin <= at && at < f->reserved[i].end)
			return true;
	return false;
}

/* True if each block of [off, off + n) has its place on the disk. */
static bool has_space(struct faulty *f, int fd, uint64_t off, size_t n)
{
	for (uint64_t at = off / BLOCK * BLOCK; at < off + n; at += BLOCK) {
		uint64_t data;

		if (is_reserved(f, fd, at))
			continue;
		if (f->beneath->ops->seek_data(f->beneath, fd, at, false, &data) < 0 || data >= at + BLOCK)
			return false;
	}
	return true;
}

static ssize_t f_pwrite(struct store *s, int fd, const void *buf, size_t n, uint64_t off)
{
	size_t torn = counted ? SELF->torn : 0;

	if (is_full(SELF) && has_space(SELF, fd, off, n))
		return store_pwrite(BENEATH, fd, buf, n, off);
	if (SELF->reads || !fails(s, "pwrite"))
		return store_pwrite(BENEATH, fd, buf, n, off);
	/* On a full store what fits is written first. */
	while (is_full(SELF) && torn < n && has_space(SELF, fd, off, torn + 1))
		torn += BLOCK - (off + torn) % BLOCK;
	if (torn && torn < n && store_pwrite(BENEATH, fd, buf, torn, off) < 0)
		return -EIO;
	return SELF->error;
}

static int f_truncate(struct store *s, int fd, uint64_t size)
{
	FAULT_UNLESS_FULL("truncate")
	return BENEATH->ops->truncate(BENEATH, fd, size);
}

static int f_fallocate(struct store *s, int fd, int mode, uint64_t off, uint64_t n)
{
	int r;

	if (mode & FALLOC_FL_PUNCH_HOLE) {
		FAULT_UNLESS_FULL("fallocate")
		return BENEATH->ops->fallocate(BENEATH, fd, mode, off, n);
	}
	FAULT("fallocate")
	r = BENEATH->ops->fallocate(BENEATH, fd, mode, off, n);
	if (r == 0 && is_full(SELF) && SELF->reserved_count < 64) {
		SELF->reserved[SELF->reserved_count].fd = fd;
		SELF->reserved[SELF->reserved_count].begin = off;
		SELF->reserved[SELF->reserved_count++].end = off + n;
	}
	return r;
}

static int f_fsync(struct store *s, int fd)
{
	FAULT_UNLESS_FULL("fsync")
	return BENEATH->ops->fsync(BENEATH, fd);
}

/* Syncs write nothing that has no place yet. */
static int f_fdatasync(struct store *s, int fd)
{
	FAULT_UNLESS_FULL("fdatasync")
	return BENEATH->ops->fdatasync(BENEATH, fd);
}

static int f_syncfs(struct store *s, int fd)
{
	FAULT_UNLESS_FULL("syncfs")
	return BENEATH->ops->syncfs(BENEATH, fd);
}

static int f_mkdir(struct store *s, int dir, const char *name, mode_t mode)
{
	FAULT("mkdir")
	return BENEATH->ops->mkdir(BENEATH, dir, name, mode);
}

static int f_mknod(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev)
{
	FAULT("mknod")
	return BENEATH->ops->mknod(BENEATH, dir, name, mode, rdev);
}

static int f_symlink(struct store *s, const char *target, int dir, const char *name)
{
	FAULT("symlink")
	return BENEATH->ops->symlink(BENEATH, target, dir, name);
}

static int f_link(struct store *s, int from, const char *name, int dir, const char *to)
{
	FAULT("link")
	return BENEATH->ops->link(BENEATH, from, name, dir, to);
}

static int f_link_fd(struct store *s, int fd, int dir, const char *name)
{
	FAULT("link_fd")
	return BENEATH->ops->link_fd(BENEATH, fd, dir, name);
}

static int f_unlink(struct store *s, int dir, const char *name)
{
	FAULT_UNLESS_FULL("unlink")
	return BENEATH->ops->unlink(BENEATH, dir, name);
}

static int f_rmdir(struct store *s, int dir, const char *name)
{
	FAULT_UNLESS_FULL("rmdir")
	return BENEATH->ops->rmdir(BENEATH, dir, name);
}

static int f_rename(struct store *s, int a, const char *from, int b, const char *to, unsigned flags)
{
	if (flags & RENAME_EXCHANGE) {
		FAULT_UNLESS_FULL("rename")
	} else {
		FAULT("rename")
	}
	return BENEATH->ops->rename(BENEATH, a, from, b, to, flags);
}

static int f_chmod(struct store *s, int fd, mode_t mode)
{
	FAULT_UNLESS_FULL("chmod")
	return BENEATH->ops->chmod(BENEATH, fd, mode);
}

static int f_chown(struct store *s, int fd, uid_t uid, gid_t gid)
{
	FAULT_UNLESS_FULL("chown")
	return BENEATH->ops->chown(BENEATH, fd, uid, gid);
}

static int f_utimens(struct store *s, int fd, const struct timespec ts[2])
{
	FAULT_UNLESS_FULL("utimens")
	return BENEATH->ops->utimens(BENEATH, fd, ts);
}

static int f_setxattr(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags)
{
	FAULT("setxattr")
	return BENEATH->ops->setxattr(BENEATH, fd, name, buf, n, flags);
}

static int f_removexattr(struct store *s, int fd, const char *name)
{
	FAULT_UNLESS_FULL("removexattr")
	return BENEATH->ops->removexattr(BENEATH, fd, name);
}

/* --- those that only look */

#define FAULT_OF_READS(call)                                                                                           \
	if (SELF->reads && fails(s, call))                                                                             \
		return SELF->error;

static ssize_t f_pread(struct store *s, int fd, void *buf, size_t n, uint64_t off)
{
	FAULT_OF_READS("pread")
	return BENEATH->ops->pread(BENEATH, fd, buf, n, off);
}

static int f_stat(struct store *s, int fd, struct store_stat *out)
{
	FAULT_OF_READS("stat")
	return BENEATH->ops->stat(BENEATH, fd, out);
}

static int f_stat_at(struct store *s, int dir, const char *name, struct store_stat *out)
{
	FAULT_OF_READS("stat_at")
	return BENEATH->ops->stat_at(BENEATH, dir, name, out);
}

static ssize_t f_readlink(struct store *s, int dir, const char *name, char *buf, size_t n)
{
	FAULT_OF_READS("readlink")
	return BENEATH->ops->readlink(BENEATH, dir, name, buf, n);
}

static ssize_t f_getdents(struct store *s, int fd, int64_t from, void *buf, size_t n)
{
	FAULT_OF_READS("getdents")
	return BENEATH->ops->getdents(BENEATH, fd, from, buf, n);
}

static ssize_t f_getxattr(struct store *s, int fd, const char *name, void *buf, size_t n)
{
	FAULT_OF_READS("getxattr")
	return BENEATH->ops->getxattr(BENEATH, fd, name, buf, n);
}

/* Closing and what tells of the store as a whole do not fail, and the real store keeps no state: they go to it as they are. */
void faulty_init(struct faulty *f, struct store *beneath)
{
	*f = (struct faulty){.ops = *beneath->ops, .beneath = beneath};
	counted = true;
	f->store.ops = &f->ops;
	f->ops.open = f_open;
	f->ops.pwrite = f_pwrite;
	f->ops.truncate = f_truncate;
	f->ops.fallocate = f_fallocate;
	f->ops.fsync = f_fsync;
	f->ops.fdatasync = f_fdatasync;
	f->ops.syncfs = f_syncfs;
	f->ops.pread = f_pread;
	f->ops.stat = f_stat;
	f->ops.stat_at = f_stat_at;
	f->ops.readlink = f_readlink;
	f->ops.getdents = f_getdents;
	f->ops.getxattr = f_getxattr;
	f->ops.link = f_link;
	f->ops.chown = f_chown;
	f->ops.mkdir = f_mkdir;
	f->ops.mknod = f_mknod;
	f->ops.symlink = f_symlink;
	f->ops.link_fd = f_link_fd;
	f->ops.unlink = f_unlink;
	f->ops.rmdir = f_rmdir;
	f->ops.rename = f_rename;
	f->ops.chmod = f_chmod;
	f->ops.utimens = f_utimens;
	f->ops.setxattr = f_setxattr;
	f->ops.removexattr = f_removexattr;
}

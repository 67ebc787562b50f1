/* Attributes of objects, and of the store. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "crash_internal.h"

int crash_stat(struct store *s, int fd, struct store_stat *out)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);

	if (!h)
		return (int)crash_leave(-EBADF);
	crash_fill_stat(c, h->ino, out);
	return (int)crash_leave(0);
}

static int change_attribute(struct crash_store *c, int fd, struct call *call)
{
	struct handle *h = crash_handle(c, fd);

	if (!h)
		return -EBADF;
	call->ino = h->ino;
	crash_apply(c, call);
	return 0;
}

int crash_chmod(struct store *s, int fd, mode_t mode)
{
	struct crash_store *c = crash_enter(s);
	struct call call = {.kind = CALL_CHMOD, .mode = mode & 07777};

	return (int)crash_leave(change_attribute(c, fd, &call));
}

int crash_chown(struct store *s, int fd, uid_t uid, gid_t gid)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);
	const struct inode *i = h ? image_inode(&c->image, h->ino) : NULL;
	struct call call = {.kind = CALL_CHOWN, .uid = uid, .gid = gid};

	if (i && uid == (uid_t)-1)
		call.uid = i->uid;
	if (i && gid == (gid_t)-1)
		call.gid = i->gid;
	return (int)crash_leave(change_attribute(c, fd, &call));
}

static struct timespec chosen_time(const struct timespec *asked, const struct timespec *had, uint64_t now)
{
	if (asked->tv_nsec == UTIME_OMIT)
		return *had;
	if (asked->tv_nsec == UTIME_NOW)
		return (struct timespec){.tv_sec = (time_t)(now / 1000000000), .tv_nsec = (long)(now % 1000000000)};
	return *asked;
}

int crash_utimens(struct store *s, int fd, const struct timespec ts[2])
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);
	const struct inode *i = h ? image_inode(&c->image, h->ino) : NULL;
	struct call call = {.kind = CALL_UTIMENS};

	if (i) {
		call.ts[0] = chosen_time(&ts[0], &i->atime, c->image.now);
		call.ts[1] = chosen_time(&ts[1], &i->mtime, c->image.now);
	}
	return (int)crash_leave(change_attribute(c, fd, &call));
}

/* The inode whose attribute `name` the owner may read or write. */
static int xattr_inode(struct crash_store *c, int fd, const char *name, bool write, const struct inode **out)
{
	struct handle *h = crash_handle(c, fd);

	if (!h)
		return -EBADF;
	*out = image_inode(&c->image, h->ino);
	if (strncmp(name, "security.", 9) == 0)
		return 0;
	if (strncmp(name, "user.", 5) != 0)
		return write ? (strncmp(name, "trusted.", 8) == 0 ? -EPERM : -EOPNOTSUPP) : -ENODATA;
	if (!S_ISREG((*out)->mode) && !S_ISDIR((*out)->mode))
		return write ? -EPERM : -ENODATA;
	return (*out)->mode & (write ? 0200 : 0400) ? 0 : -EACCES;
}

ssize_t crash_getxattr(struct store *s, int fd, const char *name, void *buf, size_t n)
{
	struct crash_store *c = crash_enter(s);
	const struct image_xattr *x;
	const struct inode *i;
	int r = xattr_inode(c, fd, name, false, &i);

	if (r < 0)
		return crash_leave(r);
	x = image_xattr(i, name);
	if (!x)
		return crash_leave(-ENODATA);
	if (n && n < x->size)
		return crash_leave(-ERANGE);
	if (n)
		memcpy(buf, x->value, x->size);
	return crash_leave((ssize_t)x->size);
}

int crash_setxattr(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags)
{
	struct crash_store *c = crash_enter(s);
	struct call call = {.kind = CALL_SETXATTR, .size = n};
	const struct inode *i;
	int r = xattr_inode(c, fd, name, true, &i);

	if (r == 0 && flags & XATTR_CREATE && image_xattr(i, name))
		r = -EEXIST;
	if (r == 0 && flags & XATTR_REPLACE && !image_xattr(i, name))
		r = -ENODATA;
	if (r < 0)
		return (int)crash_leave(r);
	call.text = copy_text(name);
	call.data = copy_bytes(buf, n);
	r = change_attribute(c, fd, &call);
	call_free(&call);
	return (int)crash_leave(r);
}

int crash_removexattr(struct store *s, int fd, const char *name)
{
	struct crash_store *c = crash_enter(s);
	struct call call = {.kind = CALL_REMOVEXATTR};
	const struct inode *i;
	int r = xattr_inode(c, fd, name, true, &i);

	if (r == 0 && !image_xattr(i, name))
		r = -ENODATA;
	if (r < 0)
		return (int)crash_leave(r);
	call.text = copy_text(name);
	r = change_attribute(c, fd, &call);
	call_free(&call);
	return (int)crash_leave(r);
}

ssize_t crash_listxattr(struct store *s, int fd, char *buf, size_t n)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);
	const struct inode *i = h ? image_inode(&c->image, h->ino) : NULL;
	size_t used = 0;

	if (!i)
		return crash_leave(-EBADF);
	for (size_t x = 0; x < i->xattr_count; x++) {
		size_t size = strlen(i->xattrs[x].name) + 1;

		if (n && used + size > n)
			return crash_leave(-ERANGE);
		if (n)
			memcpy(buf + used, i->xattrs[x].name, size);
		used += size;
	}
	return crash_leave((ssize_t)used);
}

int crash_statvfs(struct store *s, int fd, struct statvfs *out)
{
	struct crash_store *c = crash_enter(s);

	*out = (struct statvfs){.f_bsize = CRASH_PAGE,
				.f_frsize = CRASH_PAGE,
				.f_blocks = 1 << 22,
				.f_bfree = 1 << 21,
				.f_bavail = 1 << 21,
				.f_files = 1 << 20,
				.f_ffree = 1 << 19,
				.f_favail = 1 << 19,
				.f_namemax = CRASH_NAME_MAX};
	return (int)crash_leave(crash_handle(c, fd) ? 0 : -EBADF);
}

int crash_fs_type(struct store *s, int fd, uint32_t *magic)
{
	struct crash_store *c = crash_enter(s);

	*magic = CRASH_STORE_MAGIC;
	return (int)crash_leave(crash_handle(c, fd) ? 0 : -EBADF);
}

/* Handles, content, syncing and locks.  Names and attributes have files of their own. */
#include "crash_store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "crash_internal.h"

/* One for all stores: images share inodes and pages. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct crash_store *crash_enter(struct store *s)
{
	struct crash_store *c = (struct crash_store *)s;

	pthread_mutex_lock(&lock);
	c->operations++;
	return c;
}

ssize_t crash_leave(ssize_t result)
{
	pthread_mutex_unlock(&lock);
	return result;
}

/* ------------------------------------------------------------------ handles */

enum { FIRST_HANDLE = 1000 }; /* so that one is never taken for a descriptor of the process */

struct handle *crash_handle(struct crash_store *c, int fd)
{
	size_t i = fd >= FIRST_HANDLE ? (size_t)(fd - FIRST_HANDLE) : SIZE_MAX;

	return i < c->handle_count && c->handles[i].ino ? &c->handles[i] : NULL;
}

int crash_handle_new(struct crash_store *c, uint32_t ino, int flags)
{
	size_t i = 0;

	while (i < c->handle_count && c->handles[i].ino)
		i++;
	if (i == c->handle_count) {
		c->handles = grow(c->handles, c->handle_count, &c->handle_room, sizeof(*c->handles));
		c->handle_count++;
	}
	c->handles[i] = (struct handle){.ino = ino, .flags = flags};
	return FIRST_HANDLE + (int)i;
}

static bool is_open(const struct crash_store *c, uint32_t ino)
{
	for (size_t i = 0; i < c->handle_count; i++)
		if (c->handles[i].ino == ino)
			return true;
	return false;
}

/* What has no name and is not open is no more. */
void crash_forget_unused(struct crash_store *c, uint32_t ino)
{
	const struct inode *i = image_inode(&c->image, ino);

	if (i && i->nlink == 0 && !is_open(c, ino))
		image_forget(&c->image, ino);
}

static int crash_close(struct store *s, int fd)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);
	uint32_t ino;

	if (!h)
		return (int)crash_leave(-EBADF);
	ino = h->ino;
	*h = (struct handle){0};
	crash_forget_unused(c, ino);
	return (int)crash_leave(0);
}

/* The handle of a regular file, open as asked. */
static int file_handle(struct crash_store *c, int fd, bool write, uint32_t *ino)
{
	struct handle *h = crash_handle(c, fd);
	int access = h ? h->flags & O_ACCMODE : 0;

	if (!h || h->flags & O_PATH)
		return -EBADF;
	if (access != O_RDWR && access != (write ? O_WRONLY : O_RDONLY))
		return -EBADF;
	if (S_ISDIR(image_inode(&c->image, h->ino)->mode))
		return -EISDIR;
	if (!S_ISREG(image_inode(&c->image, h->ino)->mode))
		return -EINVAL;
	*ino = h->ino;
	return 0;
}

/* ------------------------------------------------------------------ recording */

void crash_apply(struct crash_store *c, struct call *call)
{
	call->now = c->image.now + 1000;
	image_apply(&c->image, call);
	record_add(&c->record, call);
}

/* ------------------------------------------------------------------ content */

static ssize_t crash_pread(struct store *s, int fd, void *buf, size_t n, uint64_t off)
{
	struct crash_store *c = crash_enter(s);
	const struct inode *i;
	uint32_t ino;
	int r = file_handle(c, fd, false, &ino);

	if (r < 0)
		return crash_leave(r);
	i = image_inode(&c->image, ino);
	if (off >= i->size)
		return crash_leave(0);
	if (n > i->size - off)
		n = (size_t)(i->size - off);
	pages_read(&i->data, buf, n, off);
	return crash_leave((ssize_t)n);
}

static ssize_t write_bytes(struct crash_store *c, int fd, const void *buf, size_t n, uint64_t off)
{
	struct call call = {.kind = CALL_WRITE, .off = off, .size = n};
	int r = file_handle(c, fd, true, &call.ino);
	size_t count = call_pages(&call);

	if (r < 0 || n == 0)
		return r;
	if (off > CRASH_FILE_MAX || n > CRASH_FILE_MAX - off)
		return -EFBIG;
	if (c->write_hook) {
		crash_write_hook *hook = c->write_hook;
		void *data = c->write_hook_data;

		crash_leave(0);
		r = hook(data, call.ino, buf, n, off);
		crash_enter(&c->store);
		if (r < 0)
			return r;
	}
	call.data = copy_bytes(buf, n);
	call.fresh = need(calloc(count, sizeof(bool)));
	for (size_t i = 0; i < count; i++)
		call.fresh[i] = !pages_present(&image_inode(&c->image, call.ino)->data, off / CRASH_PAGE + i);
	crash_apply(c, &call);
	call_free(&call);
	return (ssize_t)n;
}

static ssize_t crash_pwrite(struct store *s, int fd, const void *buf, size_t n, uint64_t off)
{
	struct crash_store *c = crash_enter(s);

	return crash_leave(write_bytes(c, fd, buf, n, off));
}

static ssize_t crash_preadv(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off)
{
	size_t done = 0;

	for (int i = 0; i < count; i++) {
		ssize_t got = crash_pread(s, fd, iov[i].iov_base, iov[i].iov_len, off + done);

		if (got < 0)
			return got;
		done += (size_t)got;
		if ((size_t)got < iov[i].iov_len)
			break;
	}
	return (ssize_t)done;
}

static ssize_t crash_pwritev(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off)
{
	struct crash_store *c = crash_enter(s);
	size_t n = 0, at = 0;
	uint8_t *all;
	ssize_t r;

	for (int i = 0; i < count; i++)
		n += iov[i].iov_len;
	all = need(malloc(n ? n : 1));
	for (int i = 0; i < count; at += iov[i++].iov_len)
		if (iov[i].iov_len)
			memcpy(all + at, iov[i].iov_base, iov[i].iov_len);
	r = write_bytes(c, fd, all, n, off);
	free(all);
	return crash_leave(r);
}

static int crash_truncate(struct store *s, int fd, uint64_t size)
{
	struct crash_store *c = crash_enter(s);
	struct call call = {.kind = CALL_TRUNCATE, .size = size};
	int r = file_handle(c, fd, true, &call.ino);

	if (r == 0 && size > CRASH_FILE_MAX)
		r = -EFBIG;
	if (r == 0)
		crash_apply(c, &call);
	return (int)crash_leave(r);
}

static int crash_no_copy_on_write(struct store *s, int fd)
{
	(void)s;
	(void)fd;
	return -EOPNOTSUPP;
}

static int crash_fallocate(struct store *s, int fd, int mode, uint64_t off, uint64_t n)
{
	struct crash_store *c = crash_enter(s);
	struct call call = {.kind = CALL_ALLOCATE, .space = off, .space_size = n};
	int r = file_handle(c, fd, true, &call.ino);

	if (r == 0 && n == 0)
		r = -EINVAL;
	if (r == 0 && (off > CRASH_FILE_MAX || n > CRASH_FILE_MAX - off))
		r = -EFBIG;
	if (r == 0 && mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		r = -EOPNOTSUPP;
	if (r == 0 && mode & FALLOC_FL_PUNCH_HOLE) {
		if (!(mode & FALLOC_FL_KEEP_SIZE))
			return (int)crash_leave(-EOPNOTSUPP);
		call.kind = CALL_PUNCH;
		call.off = off;
		call.size = n;
	} else if (!(mode & FALLOC_FL_KEEP_SIZE)) {
		call.size = off + n;
	}
	if (r == 0)
		crash_apply(c, &call);
	return (int)crash_leave(r);
}

static int crash_seek_data(struct store *s, int fd, uint64_t off, bool hole, uint64_t *out)
{
	struct crash_store *c = crash_enter(s);
	const struct inode *i;
	struct handle *h = crash_handle(c, fd);

	if (!h || h->flags & O_PATH)
		return (int)crash_leave(-EBADF);
	i = image_inode(&c->image, h->ino);
	while (off < i->size && pages_present(&i->data, off / CRASH_PAGE) == hole)
		off = (off / CRASH_PAGE + 1) * CRASH_PAGE;
	if (off >= i->size && !hole)
		return (int)crash_leave(-ENXIO);
	*out = off < i->size ? off : i->size;
	return (int)crash_leave(0);
}

/* ------------------------------------------------------------------ syncing */

static int sync_with(struct store *s, int fd, enum call_kind kind)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);
	struct call call = {.kind = kind, .done = SIZE_MAX};
	crash_sync_hook *hook = c->hook;
	void *data = c->hook_data;
	size_t at = c->record.count;
	int r = 0;

	if (!h || h->flags & O_PATH)
		return (int)crash_leave(-EBADF);
	call.ino = h->ino;
	crash_apply(c, &call);
	if (hook) {
		crash_leave(0);
		r = hook(data, call.ino);
		crash_enter(s);
	}
	if (r == 0)
		c->record.calls[at].done = c->record.count;
	c->record.calls[at].failed = r < 0;
	return (int)crash_leave(r);
}

void crash_store_on_sync(struct crash_store *c, crash_sync_hook *hook, void *data)
{
	crash_enter(&c->store);
	c->hook = hook;
	c->hook_data = data;
	crash_leave(0);
}

void crash_store_on_write(struct crash_store *c, crash_write_hook *hook, void *data)
{
	crash_enter(&c->store);
	c->write_hook = hook;
	c->write_hook_data = data;
	crash_leave(0);
}

static int crash_fsync(struct store *s, int fd)
{
	return sync_with(s, fd, CALL_FSYNC);
}

static int crash_fdatasync(struct store *s, int fd)
{
	return sync_with(s, fd, CALL_FDATASYNC);
}

static int crash_syncfs(struct store *s, int fd)
{
	return sync_with(s, fd, CALL_SYNCFS);
}

/* ------------------------------------------------------------------ locks */

/* Nobody ever lets go of a lock while another waits in the same program: waiting is an error. */
static int crash_lock(struct store *s, int fd, int operation)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);

	if (!h)
		return (int)crash_leave(-EBADF);
	for (size_t i = 0; i < c->handle_count; i++) {
		struct handle *o = &c->handles[i];

		if (o != h && o->ino == h->ino && (operation & ~LOCK_NB) != LOCK_UN &&
		    (o->lock == LOCK_EX || (o->lock == LOCK_SH && operation & LOCK_EX)))
			return (int)crash_leave(operation & LOCK_NB ? -EWOULDBLOCK : -EDEADLK);
	}
	h->lock = operation & ~LOCK_NB & ~LOCK_UN;
	return (int)crash_leave(0);
}

/* ------------------------------------------------------------------ the store */

static void crash_destroy(struct store *s)
{
	(void)s; /* crash_store_free */
}

static const struct store_ops crash_ops = {
	.open = crash_open,
	.close = crash_close,
	.pread = crash_pread,
	.pwrite = crash_pwrite,
	.preadv = crash_preadv,
	.pwritev = crash_pwritev,
	.truncate = crash_truncate,
	.fallocate = crash_fallocate,
	.no_copy_on_write = crash_no_copy_on_write,
	.fsync = crash_fsync,
	.fdatasync = crash_fdatasync,
	.syncfs = crash_syncfs,
	.stat = crash_stat,
	.stat_at = crash_stat_at,
	.mkdir = crash_mkdir,
	.mknod = crash_mknod,
	.symlink = crash_symlink,
	.readlink = crash_readlink,
	.link = crash_link,
	.link_fd = crash_link_fd,
	.unlink = crash_unlink,
	.rmdir = crash_rmdir,
	.rename = crash_rename,
	.chmod = crash_chmod,
	.chown = crash_chown,
	.utimens = crash_utimens,
	.getxattr = crash_getxattr,
	.setxattr = crash_setxattr,
	.listxattr = crash_listxattr,
	.removexattr = crash_removexattr,
	.getdents = crash_getdents,
	.seek_data = crash_seek_data,
	.statvfs = crash_statvfs,
	.fs_type = crash_fs_type,
	.lock = crash_lock,
	.destroy = crash_destroy,
};

struct crash_store *crash_store_new(const struct image *image)
{
	struct crash_store *c = need(calloc(1, sizeof(*c)));
	struct timespec now;
	uint64_t ns;

	c->store.ops = &crash_ops;
	image_copy(&c->image, image);
	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (ns > c->image.now)
		c->image.now = ns;
	return c;
}

struct crash_store *crash_store_after_kill(const struct image *image, const struct record *before, size_t n,
					   const struct call *part)
{
	struct crash_store *c = crash_store_new(image);

	record_copy(&c->record, before, n);
	if (part)
		record_add(&c->record, part);
	return c;
}

void crash_store_free(struct crash_store *c)
{
	if (!c)
		return;
	image_free(&c->image);
	record_free(&c->record);
	free(c->handles);
	free(c);
}

struct store *crash_store_ops(struct crash_store *c)
{
	return &c->store;
}

const struct image *crash_store_image(struct crash_store *c)
{
	return &c->image;
}

const struct record *crash_store_record(struct crash_store *c)
{
	return &c->record;
}

size_t crash_store_count(struct crash_store *c)
{
	return (size_t)crash_leave((ssize_t)crash_enter(&c->store)->record.count);
}

size_t crash_store_operations(struct crash_store *c)
{
	size_t n = crash_enter(&c->store)->operations - 1;

	crash_leave(0);
	return n;
}

size_t crash_store_handles(struct crash_store *c)
{
	size_t n = 0;

	crash_enter(&c->store);
	for (size_t i = 0; i < c->handle_count; i++)
		n += c->handles[i].ino != 0;
	crash_leave(0);
	return n;
}

/* A directory, shown through FUSE as it is: what FUSE itself costs, for tests/bench.
 *
 *     passthrough STORE MOUNTPOINT [io_uring]        (in the foreground, until it is unmounted)
 *
 * It asks the kernel for what coffer asks for (fs/ops.c, fs/transport.c): the same requests refused once and never sent again, everything cached
 * for ever, the same sizes, as many threads as processors.  What differs is that nothing is encrypted, checked or logged.  One user is served, the
 * one who runs it, and set-uid bits are not cleared by writes: it is for measurements.
 *
 * A node has one descriptor until it is forgotten, so a number of an inode below is not used again meanwhile, and there can be only as many nodes as
 * there may be descriptors.  At first it only names the file (O_PATH).  The first read or write puts one for content in its place, under the same
 * number, which others may be using. */
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314 /* tests/bench/io_uring builds it with a newer library */
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PIECE = 1 << 20, THREADS_MIN = 2, THREADS_MAX = 64, BUCKETS = 1 << 16, PROC_PATH = 32, DESCRIPTORS = 1 << 20 };

static const double for_ever = 1e9;

struct node {
	struct node *next; /* in its bucket */
	dev_t dev;
	ino_t ino;
	uint64_t lookups;
	int fd;
	atomic_bool whole; /* fd is open for content; set under table.lock */
};

static struct {
	pthread_mutex_t lock;
	struct node *buckets[BUCKETS];
	struct node root;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .root = {.fd = -1}};

/* ------------------------------------------------------------------ nodes */

static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &table.root : (struct node *)(uintptr_t)ino;
}

static struct node **bucket_of(dev_t dev, ino_t ino)
{
	return &table.buckets[(ino * UINT64_C(0x9E3779B97F4A7C15) + dev) >> 48];
}

/* Takes the descriptor, which is open for content as well if `whole`. */
static int enter(int fd, bool whole, const struct stat *st, struct node **out)
{
	struct node **bucket = bucket_of(st->st_dev, st->st_ino), *n;

	pthread_mutex_lock(&table.lock);
	for (n = *bucket; n && (n->ino != st->st_ino || n->dev != st->st_dev); n = n->next)
		;
	if (n) {
		n->lookups++;
	} else {
		n = malloc(sizeof *n);
		if (n) {
			*n = (struct node){*bucket, st->st_dev, st->st_ino, 1, fd, whole};
			*bucket = n;
			fd = -1;
		}
	}
	pthread_mutex_unlock(&table.lock);
	if (fd >= 0)
		close(fd);
	*out = n;
	return n ? 0 : -ENOMEM;
}

static void forget(fuse_ino_t ino, uint64_t count)
{
	struct node *n = node_of(ino), **at;

	if (ino == FUSE_ROOT_ID)
		return;
	pthread_mutex_lock(&table.lock);
	n->lookups -= count;
	if (n->lookups == 0) {
		for (at = bucket_of(n->dev, n->ino); *at != n; at = &(*at)->next)
			;
		*at = n->next;
	} else {
		n = NULL;
	}
	pthread_mutex_unlock(&table.lock);
	if (n)
		close(n->fd);
	free(n);
}

static const char *proc_path(const struct node *n, char out[PROC_PATH])
{
	snprintf(out, PROC_PATH, "/proc/self/fd/%d", n->fd);
	return out;
}

static int open_again(const struct node *n)
{
	static const int ways[] = {O_RDWR | O_NOATIME, O_RDWR, O_RDONLY};
	char path[PROC_PATH];
	int fd = -1;

	for (size_t i = 0; i < sizeof ways / sizeof ways[0] && fd < 0; i++)
		fd = open(proc_path(n, path), ways[i] | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int make_whole(struct node *n)
{
	int fd, r = 0;

	pthread_mutex_lock(&table.lock);
	if (!atomic_load(&n->whole)) {
		fd = open_again(n);
		r = fd < 0 ? fd : (dup3(fd, n->fd, O_CLOEXEC) < 0 ? -errno : 0);
		atomic_store(&n->whole, r == 0);
		if (fd >= 0)
			close(fd);
	}
	pthread_mutex_unlock(&table.lock);
	return r;
}

/* The descriptor, for content; negative errno. */
static int data_of(fuse_ino_t ino)
{
	struct node *n = node_of(ino);
	int r = atomic_load(&n->whole) ? 0 : make_whole(n);

	return r < 0 ? r : n->fd;
}

/* ------------------------------------------------------------------ answers */

/* Of a call that returned this. */
static void answer(fuse_req_t req, ssize_t result)
{
	fuse_reply_err(req, result < 0 ? errno : 0);
}

static void answer_attr(fuse_req_t req, fuse_ino_t ino)
{
	struct stat st;

	if (fstatat(node_of(ino)->fd, "", &st, AT_EMPTY_PATH) < 0)
		answer(req, -1);
	else
		fuse_reply_attr(req, &st, for_ever);
}

/* Of a descriptor, which it takes. */
static int entry_of(int fd, bool whole, struct fuse_entry_param *out)
{
	struct node *n;
	int r;

	*out = (struct fuse_entry_param){.generation = 1, .attr_timeout = for_ever, .entry_timeout = for_ever};
	if (fstatat(fd, "", &out->attr, AT_EMPTY_PATH) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	r = enter(fd, whole, &out->attr, &n);
	out->ino = (uintptr_t)n;
	return r;
}

static void answer_entry(fuse_req_t req, int fd, bool whole)
{
	struct fuse_entry_param entry = {0};
	int r = fd < 0 ? -errno : entry_of(fd, whole, &entry);

	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, &entry) == -ENOENT)
		forget(entry.ino, 1);
}

static int open_name(fuse_ino_t parent, const char *name)
{
	return openat(node_of(parent)->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Of a name that was just made. */
static void answer_made(fuse_req_t req, fuse_ino_t parent, const char *name, int result)
{
	answer_entry(req, result < 0 ? -1 : open_name(parent, name), false);
}

/* ------------------------------------------------------------------ the session */

static struct {
	atomic_uint_fast64_t unique; /* of INIT; 0 once it is answered */
	uint32_t flags;
} from_kernel;

#define WANTED                                                                                                         \
	(FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |                 \
	 FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK |                \
	 FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT)

static void op_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
#ifdef FUSE_CAP_OVER_IO_URING
	conn->want_ext = conn->capable_ext & (WANTED | FUSE_CAP_OVER_IO_URING);
#else
	conn->want = conn->capable & WANTED;
#endif
	conn->max_write = PIECE;
	conn->max_readahead = PIECE;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
}

static ssize_t hook_read(int fd, void *buf, size_t n, void *data)
{
	const struct fuse_in_header *h = buf;
	ssize_t got = read(fd, buf, n);

	(void)data;
	if (got >= (ssize_t)(sizeof *h + 16) && h->opcode == FUSE_INIT) {
		const struct fuse_init_in *in = (const void *)(h + 1);

		from_kernel.flags = in->flags;
		atomic_store(&from_kernel.unique, h->unique);
	}
	return got;
}

/* Two flags that libfuse 3.14 does not pass on, as in fs/transport.c. */
static ssize_t hook_writev(int fd, struct iovec *iov, int count, void *data)
{
	const struct fuse_out_header *h = iov[0].iov_base;
	uint64_t unique = atomic_load_explicit(&from_kernel.unique, memory_order_relaxed);
	struct fuse_init_out out;

	(void)data;
	if (unique && h->unique == unique) {
		atomic_store(&from_kernel.unique, 0);
		if (h->error == 0 && count == 2 && iov[1].iov_len >= 16 && iov[1].iov_len <= sizeof out) {
			memcpy(&out, iov[1].iov_base, iov[1].iov_len);
			out.flags |= from_kernel.flags & (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2);
			iov[1].iov_base = &out;
		}
	}
	return writev(fd, iov, count);
}

static void op_refuse(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

/* ------------------------------------------------------------------ names */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fuse_entry_param none = {.entry_timeout = for_ever};
	int fd = open_name(parent, name);

	if (fd < 0 && errno == ENOENT)
		fuse_reply_entry(req, &none);
	else
		answer_entry(req, fd, false);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	forget(ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	mode_t bits = mode & ~fuse_req_ctx(req)->umask;

	if (S_ISREG(mode))
		answer_entry(req,
			     openat(node_of(parent)->fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, bits & 07777),
			     true);
	else
		answer_made(req, parent, name, mknodat(node_of(parent)->fd, name, bits, rdev));
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	answer_made(req, parent, name, mkdirat(node_of(parent)->fd, name, mode & ~fuse_req_ctx(req)->umask));
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	answer_made(req, parent, name, symlinkat(target, node_of(parent)->fd, name));
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	char path[PROC_PATH];

	answer_made(req, parent, name,
		    linkat(AT_FDCWD, proc_path(node_of(ino), path), node_of(parent)->fd, name, AT_SYMLINK_FOLLOW));
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	answer(req, unlinkat(node_of(parent)->fd, name, 0));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	answer(req, unlinkat(node_of(parent)->fd, name, AT_REMOVEDIR));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *new_name,
		      unsigned flags)
{
	answer(req, renameat2(node_of(parent)->fd, name, node_of(to)->fd, new_name, flags));
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[4096];
	ssize_t n = readlinkat(node_of(ino)->fd, "", target, sizeof target - 1);

	if (n < 0) {
		answer(req, n);
		return;
	}
	target[n] = 0;
	fuse_reply_readlink(req, target);
}

/* ------------------------------------------------------------------ attributes */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	answer_attr(req, ino);
}

static struct timespec time_to_set(const struct timespec *t, int set, int given, int now)
{
	return set & now ? (struct timespec){0, UTIME_NOW} : (set & given ? *t : (struct timespec){0, UTIME_OMIT});
}

static int set_size(fuse_ino_t ino, off_t size)
{
	int fd = data_of(ino);

	if (fd >= 0)
		return ftruncate(fd, size);
	errno = -fd;
	return -1;
}

static int set_attributes(fuse_ino_t ino, const struct stat *st, int set)
{
	const struct timespec times[2] = {
		time_to_set(&st->st_atim, set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW),
		time_to_set(&st->st_mtim, set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW),
	};
	const struct node *n = node_of(ino);
	char path[PROC_PATH];
	int r = 0;

	if (set & FUSE_SET_ATTR_MODE)
		r = chmod(proc_path(n, path), st->st_mode & 07777);
	if (r == 0 && (set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
		r = fchownat(n->fd, "", set & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1,
			     set & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1, AT_EMPTY_PATH);
	if (r == 0 && (set & FUSE_SET_ATTR_SIZE))
		r = set_size(ino, st->st_size);
	if (r == 0 && (times[0].tv_nsec != UTIME_OMIT || times[1].tv_nsec != UTIME_OMIT))
		r = utimensat(n->fd, "", times, AT_EMPTY_PATH);
	return r;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *fi)
{
	(void)fi;
	if (set_attributes(ino, st, set) < 0)
		answer(req, -1);
	else
		answer_attr(req, ino);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(table.root.fd, &st) < 0)
		answer(req, -1);
	else
		fuse_reply_statfs(req, &st);
}

/* n: what the call returned, with this buffer. */
static void answer_xattr(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
	if (n < 0)
		answer(req, n);
	else if (size)
		fuse_reply_buf(req, buf, (size_t)n);
	else
		fuse_reply_xattr(req, (size_t)n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char path[PROC_PATH], buf[XATTR_SIZE_MAX];

	answer_xattr(req, getxattr(proc_path(node_of(ino), path), name, buf, size < sizeof buf ? size : sizeof buf),
		     buf, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char path[PROC_PATH], buf[XATTR_LIST_MAX];

	answer_xattr(req, listxattr(proc_path(node_of(ino), path), buf, size < sizeof buf ? size : sizeof buf), buf,
		     size);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	char path[PROC_PATH];

	answer(req, setxattr(proc_path(node_of(ino), path), name, value, size, flags));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[PROC_PATH];

	answer(req, removexattr(proc_path(node_of(ino), path), name));
}

/* ------------------------------------------------------------------ content */

static _Thread_local char *buffer;

static char *get_buffer(void)
{
	if (!buffer)
		buffer = aligned_alloc(4096, PIECE);
	return buffer;
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	char *buf = get_buffer();
	int fd = data_of(ino);
	ssize_t n;

	(void)fi;
	if (fd < 0 || !buf) {
		fuse_reply_err(req, fd < 0 ? -fd : ENOMEM);
		return;
	}
	n = pread(fd, buf, size < PIECE ? size : PIECE, off);
	if (n < 0)
		answer(req, n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	int fd = data_of(ino);
	ssize_t n;

	(void)fi;
	if (fd < 0) {
		fuse_reply_err(req, -fd);
		return;
	}
	n = pwrite(fd, buf, size, off);
	if (n < 0)
		answer(req, n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	int fd = data_of(ino);

	(void)fi;
	if (fd < 0)
		fuse_reply_err(req, -fd);
	else
		answer(req, data_only ? fdatasync(fd) : fsync(fd));
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length, struct fuse_file_info *fi)
{
	int fd = data_of(ino);

	(void)fi;
	if (fd < 0)
		fuse_reply_err(req, -fd);
	else
		answer(req, fallocate(fd, mode, off, length));
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	int fd = data_of(ino);
	off_t found = fd < 0 ? -1 : lseek(fd, off, whence);

	(void)fi;
	if (fd < 0)
		fuse_reply_err(req, -fd);
	else if (found < 0)
		answer(req, found);
	else
		fuse_reply_lseek(req, found);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi,
			       fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t n, int flags)
{
	int in = data_of(from), out = data_of(to);
	ssize_t done;

	(void)from_fi;
	(void)to_fi;
	if (in < 0 || out < 0) {
		fuse_reply_err(req, in < 0 ? -in : -out);
		return;
	}
	done = copy_file_range(in, &from_off, out, &to_off, n, (unsigned)flags);
	if (done < 0)
		answer(req, done);
	else
		fuse_reply_write(req, (size_t)done);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi, unsigned flags,
		     const void *in, size_t in_size, size_t out_size)
{
	(void)ino;
	(void)cmd;
	(void)arg;
	(void)fi;
	(void)flags;
	(void)in;
	(void)in_size;
	(void)out_size;
	fuse_reply_err(req, ENOTTY);
}

/* ------------------------------------------------------------------ listing */

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	op_fsync(req, ino, data_only, fi);
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* 0 if there is no room for it. */
static size_t add_entry(fuse_req_t req, fuse_ino_t dir, const struct dirent *d, bool plus, char *at, size_t room)
{
	struct fuse_entry_param entry = {.attr = {.st_ino = d->d_ino, .st_mode = (mode_t)d->d_type << 12}};
	size_t need = plus ? fuse_add_direntry_plus(req, NULL, 0, d->d_name, NULL, 0)
			   : fuse_add_direntry(req, NULL, 0, d->d_name, NULL, 0);

	if (need > room)
		return 0;
	if (!plus)
		return fuse_add_direntry(req, at, room, d->d_name, &entry.attr, d->d_off);
	if (!is_dot(d->d_name)) {
		struct fuse_entry_param found;
		int fd = open_name(dir, d->d_name);

		/* One that is gone meanwhile has no node: the kernel looks it up again. */
		if (fd >= 0 && entry_of(fd, false, &found) == 0)
			entry = found;
	}
	return fuse_add_direntry_plus(req, at, room, d->d_name, &entry, d->d_off);
}

static DIR *open_list(fuse_ino_t ino, off_t off)
{
	int fd = openat(node_of(ino)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	if (dir && off)
		seekdir(dir, off);
	return dir;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	DIR *dir = open_list(ino, off);
	char *buf = get_buffer();
	size_t used = 0, n = 1;
	const struct dirent *d;

	if (!dir || !buf) {
		answer(req, -1);
		if (dir)
			closedir(dir);
		return;
	}
	size = size < PIECE ? size : PIECE;
	while (n && (d = readdir(dir))) {
		n = add_entry(req, ino, d, plus, buf + used, size - used);
		used += n;
	}
	closedir(dir);
	fuse_reply_buf(req, buf, used);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_refuse,
	.opendir = op_refuse,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.fsyncdir = op_fsyncdir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.ioctl = op_ioctl,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
};

/* ------------------------------------------------------------------ serving */

static void *serve(void *data)
{
	struct fuse_session *se = data;
	struct fuse_buf buf = {0};

	while (!fuse_session_exited(se)) {
		int n = fuse_session_receive_buf(se, &buf);

		if (n > 0)
			fuse_session_process_buf(se, &buf);
		else if (n != -EINTR && n != -EAGAIN)
			break;
	}
	free(buf.mem);
	free(buffer);
	return NULL;
}

static unsigned thread_count(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < THREADS_MIN ? THREADS_MIN : (n > THREADS_MAX ? THREADS_MAX : (unsigned)n);
}

static bool serve_all(struct fuse_session *se)
{
	unsigned wanted = thread_count(), count = 0;
	pthread_t threads[THREADS_MAX];

	while (count < wanted && pthread_create(&threads[count], NULL, serve, se) == 0)
		count++;
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return count > 0;
}

static struct fuse_session *new_session(char *program, const char *more)
{
	char option[] = "-o", text[128];
	char *argv[] = {program, option, text, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_session *se;

	snprintf(text, sizeof text, "fsname=passthrough,subtype=passthrough,default_permissions,nosuid,nodev%s%s",
		 *more ? "," : "", more);
	se = fuse_session_new(&args, &ops, sizeof ops, NULL);
	fuse_opt_free_args(&args);
	return se;
}

/* A descriptor for each node: as many as there may be. */
static void raise_limit(void)
{
	struct rlimit r = {DESCRIPTORS, DESCRIPTORS};

	if (setrlimit(RLIMIT_NOFILE, &r) == 0 || getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

/* What the library of Debian 12 does not ask for by itself; later ones do. */
static bool hook(struct fuse_session *se)
{
#ifdef FUSE_CAP_OVER_IO_URING
	(void)hook_read;
	(void)hook_writev;
	(void)se;
	return true;
#else
	static const struct fuse_custom_io io = {.read = hook_read, .writev = hook_writev};

	return fuse_session_custom_io(se, &io, fuse_session_fd(se)) == 0;
#endif
}

int main(int argc, char **argv)
{
	struct fuse_session *se;
	bool good;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: passthrough STORE MOUNTPOINT [io_uring]\n");
		return 2;
	}
	raise_limit();
	umask(0);
	table.root.fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (table.root.fd < 0) {
		fprintf(stderr, "passthrough: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	se = new_session(argv[0], argc > 3 ? argv[3] : "");
	if (!se)
		return 1;
	good = fuse_session_mount(se, argv[2]) == 0;
	if (good) {
		good = hook(se) && serve_all(se);
		fuse_session_unmount(se);
	}
	fuse_session_destroy(se);
	return good ? 0 : 1;
}

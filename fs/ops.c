#define FUSE_USE_VERSION 314

#include "config.h"
#include "fs/ops_parts.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

#include "fs/caller.h"
#include "fs/transport.h"
#include "fs/worker.h"
#include "util/base/log.h"

/* The request diet (docs/architecture.md): OPEN, OPENDIR, CREATE, FLUSH and ACCESS are refused once with ENOSYS and never sent
 * again; everything that the kernel can cache it may keep for ever, since this mount alone changes the volume.  Unless others may
 * change the store, too: then for a moment, OPEN and OPENDIR are answered, and listings are not kept. */

static double believed(fuse_req_t req)
{
	return ((struct ops_context *)fuse_req_userdata(req))->believed;
}

static struct caller caller_of(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);

	return (struct caller){c->uid, c->gid, c->pid, c->umask};
}

void ops_answer(fuse_req_t req, ssize_t result)
{
	fuse_reply_err(req, result < 0 ? (int)(result == -EBADMSG ? EIO : -result) : 0);
}

static struct stat stat_of(const struct node_attr *a)
{
	const struct store_stat *s = &a->st;

	return (struct stat){
		.st_ino = s->ino,
		.st_mode = s->mode,
		.st_nlink = s->nlink,
		.st_uid = s->uid,
		.st_gid = s->gid,
		.st_rdev = s->rdev,
		.st_size = (off_t)s->size,
		.st_blksize = s->blksize,
		.st_blocks = (blkcnt_t)s->blocks,
		.st_atim = s->atime,
		.st_mtim = s->mtime,
		.st_ctim = s->ctime,
	};
}

struct fuse_entry_param ops_entry(fuse_req_t req, const struct node_attr *a)
{
	return (struct fuse_entry_param){
		.ino = a->node,
		.generation = 1,
		.attr = stat_of(a),
		.attr_timeout = believed(req),
		.entry_timeout = believed(req),
	};
}

static void answer_entry(fuse_req_t req, int result, const struct node_attr *a)
{
	struct fuse_entry_param entry;

	if (result < 0) {
		ops_answer(req, result);
		return;
	}
	entry = ops_entry(req, a);
	/* If the answer does not arrive, the kernel does not count the lookup. */
	if (fuse_reply_entry(req, &entry) == -ENOENT)
		fs_forget(engine_of(req), a->node, 1);
}

static void answer_attr(fuse_req_t req, int result, const struct node_attr *a)
{
	struct stat st;

	if (result < 0) {
		ops_answer(req, result);
		return;
	}
	st = stat_of(a);
	fuse_reply_attr(req, &st, believed(req));
}

/* ------------------------------------------------------------------ the session */

static void want_rings(const struct ops_context *c, struct fuse_conn_info *conn)
{
#if HAVE_FUSE_RING
	if (!c->io_uring)
		return;
	conn->want |= conn->capable & (unsigned)FUSE_CAP_OVER_IO_URING;
	if (!(conn->capable & (unsigned)FUSE_CAP_OVER_IO_URING))
		log_warning("without io_uring: the kernel does not do it, or /sys/module/fuse/parameters/enable_uring "
			    "is N");
#else
	(void)c;
	(void)conn;
#endif
}

static void op_init(void *data, struct fuse_conn_info *conn)
{
	struct ops_context *c = data;

	/* Leaving OPEN unanswered with ATOMIC_O_TRUNC on would lose truncations. */
	conn->want = conn->capable &
		     (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
		      FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK |
		      FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2 /* else transport.c does */
	conn->want |= conn->capable & (unsigned)FUSE_CAP_HANDLE_KILLPRIV_V2;
#endif
	want_rings(c, conn);
	/* ACLs for the kernel to check would bring all its checks back. */
	if (c->no_xattr || c->no_perm)
		conn->want &= ~(unsigned)FUSE_CAP_POSIX_ACL;
	if (c->writeback)
		conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
	if (c->shared) {
		conn->want |= conn->capable & FUSE_CAP_AUTO_INVAL_DATA;
		conn->want &= ~(unsigned)FUSE_CAP_CACHE_SYMLINKS;
	}
	conn->max_write = IO_MAX;
	conn->max_readahead = IO_MAX;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	if (c->time_granularity_ns)
		conn->time_gran = c->time_granularity_ns;
	c->ready(c);
}

/* Refused for good at the first one, or answered each time; RELEASE comes only in the second case. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct ops_context *c = fuse_req_userdata(req);
	bool as_read = true, held = false;
	int r = c->ask_open || c->shared ? fs_open(c->engine, ino) : -ENOSYS;

	if (r == 0 && c->shared)
		r = fs_open_shared(c->engine, ino, &as_read, &held);
	if (r < 0) {
		ops_answer(req, r);
		return;
	}
	fi->keep_cache = as_read;
	fi->noflush = 1;
	fi->fh = held;
	if (fuse_reply_open(req, fi) == -ENOENT && held)
		fs_release(c->engine, ino);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->fh)
		fs_release(engine_of(req), ino);
	fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct ops_context *c = fuse_req_userdata(req);
	bool as_read, held;
	int r = c->shared ? fs_open_shared(c->engine, ino, &as_read, &held) : -ENOSYS;

	if (r < 0)
		ops_answer(req, r);
	else
		fuse_reply_open(req, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* ------------------------------------------------------------------ names */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node_attr a;
	int r = fs_lookup(engine_of(req), parent, name, &a);

	if (r == -ENOENT) {
		struct fuse_entry_param none = {.entry_timeout = believed(req)};

		fuse_reply_entry(req, &none);
		return;
	}
	answer_entry(req, r, &a);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	fs_forget(engine_of(req), ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_forget(engine_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	const struct ops_context *context = fuse_req_userdata(req);
	struct caller c = caller_of(req);
	struct node_attr a;
	int r = fs_mknod(context->engine, &c, parent, name, mode, rdev, &a);

	/* The kernel believed that there is nothing; others have made it.  So it looks anew, and a file that was to be opened is. */
	if (r == -EEXIST && context->shared && S_ISREG(mode))
		r = -ESTALE;
	answer_entry(req, r, &a);
}

#if HAVE_FUSE_LOWLEVEL_OPS_TMPFILE
static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct caller c = caller_of(req);
	struct node_attr a;
	int r = fs_tmpfile(engine_of(req), &c, parent, mode, &a);

	if (r < 0) {
		ops_answer(req, r);
		return;
	}

	struct fuse_entry_param entry = ops_entry(req, &a);

	if (fuse_reply_create(req, &entry, fi) == -ENOENT)
		fs_forget(engine_of(req), a.node, 1);
}
#endif

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct caller c = caller_of(req);
	struct node_attr a;

	answer_entry(req, fs_mkdir(engine_of(req), &c, parent, name, mode, &a), &a);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct caller c = caller_of(req);
	struct node_attr a;

	answer_entry(req, fs_symlink(engine_of(req), &c, target, parent, name, &a), &a);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct caller c = caller_of(req);
	struct node_attr a;

	answer_entry(req, fs_link(engine_of(req), &c, ino, parent, name, &a), &a);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	ops_answer(req, fs_unlink(engine_of(req), parent, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	ops_answer(req, fs_rmdir(engine_of(req), parent, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *new_name,
		      unsigned flags)
{
	ops_answer(req, fs_rename(engine_of(req), parent, name, to, new_name, flags));
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[4096];
	ssize_t n = fs_readlink(engine_of(req), ino, target, sizeof target - 1);

	if (n < 0) {
		ops_answer(req, n);
		return;
	}
	target[n] = 0;
	fuse_reply_readlink(req, target);
}

/* ------------------------------------------------------------------ attributes */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node_attr a;

	(void)fi;
	answer_attr(req, fs_getattr(engine_of(req), ino, &a), &a);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *fi)
{
	struct setattr_request r = {
		.mode_set = set & FUSE_SET_ATTR_MODE,
		.uid_set = set & FUSE_SET_ATTR_UID,
		.gid_set = set & FUSE_SET_ATTR_GID,
		.size_set = set & FUSE_SET_ATTR_SIZE,
		.atime_now = set & FUSE_SET_ATTR_ATIME_NOW,
		.mtime_now = set & FUSE_SET_ATTR_MTIME_NOW,
		.ctime_set = set & FUSE_SET_ATTR_CTIME,
		.kill_privileges = transport_kills_privileges(),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
	};
	struct node_attr a;

	(void)fi;
	r.atime_set = (set & FUSE_SET_ATTR_ATIME) && !r.atime_now;
	r.mtime_set = (set & FUSE_SET_ATTR_MTIME) && !r.mtime_now;
	answer_attr(req, fs_setattr(engine_of(req), ino, &r, &a), &a);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	int r = fs_statfs(engine_of(req), &st);

	(void)ino;
	if (r < 0)
		ops_answer(req, r);
	else
		fuse_reply_statfs(req, &st);
}

/* A new file costs two requests less without attributes: the kernel asks for security.capability before the first write and at a chown. */
static bool refuse_xattr(fuse_req_t req)
{
	const struct ops_context *c = fuse_req_userdata(req);

	if (c->no_xattr)
		fuse_reply_err(req, ENOSYS);
	return c->no_xattr;
}

/* "Not supported" of labels that are not there: ls(1) then asks no more, after the first file.  Where the kernel has SELinux, it answers this
 * itself. */
static bool is_label(const char *name)
{
	return strcmp(name, "security.selinux") == 0;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (refuse_xattr(req))
		return;

	char *buf = size ? malloc(size) : NULL;
	ssize_t n = size && !buf ? -ENOMEM : fs_getxattr(engine_of(req), ino, name, buf, size);

	if (n < 0)
		ops_answer(req, n == -ENODATA && is_label(name) ? -EOPNOTSUPP : n);
	else if (size)
		fuse_reply_buf(req, buf, (size_t)n);
	else
		fuse_reply_xattr(req, (size_t)n);
	free(buf);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	if (refuse_xattr(req))
		return;

	char *buf = size ? malloc(size) : NULL;
	ssize_t n = size && !buf ? -ENOMEM : fs_listxattr(engine_of(req), ino, buf, size);

	if (n < 0)
		ops_answer(req, n);
	else if (size)
		fuse_reply_buf(req, buf, (size_t)n);
	else
		fuse_reply_xattr(req, (size_t)n);
	free(buf);
}

/* Who sets an access ACL without being in the file's group loses set-gid, as with chmod; the kernel leaves that to the server. */
static bool acl_kills_sgid(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct caller c = caller_of(req);
	struct node_attr a;

	if (strcmp(name, "system.posix_acl_access") != 0 || c.uid == 0)
		return false;
	return fs_getattr(engine_of(req), ino, &a) == 0 && (a.st.mode & S_ISGID) && !caller_in_group(&c, a.st.gid);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	if (!refuse_xattr(req))
		ops_answer(req,
			   fs_setxattr(engine_of(req), ino, name, value, size, flags, acl_kills_sgid(req, ino, name)));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	if (!refuse_xattr(req))
		ops_answer(req, fs_removexattr(engine_of(req), ino, name));
}

/* ------------------------------------------------------------------ the table */

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

/* Not set, and so refused by libfuse with ENOSYS: create, flush, access, the locks (which the kernel then does itself). */
const struct fuse_lowlevel_ops ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
#if HAVE_FUSE_LOWLEVEL_OPS_TMPFILE
	.tmpfile = op_tmpfile,
#endif
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.release = op_release,
	.opendir = op_opendir,
	.releasedir = op_releasedir,
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

unsigned ops_table_size(void)
{
	return sizeof ops_table;
}

#define FUSE_USE_VERSION 314

#include "fs/ring.h"
#include "config.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string.h>

#include "fs/freeze.h"
#include "fs/gate.h"
#include "fs/meter.h"

#if HAVE_FUSE_RING

static struct {
	struct freeze *freeze;
	struct transport_hooks hooks;
	pthread_key_t threads; /* set in each thread that has worked: its destructor is the thread's end */
	struct fuse_lowlevel_ops table;
} ring;

/* ------------------------------------------------------------------ around each request */

static void end_thread(void *data)
{
	(void)data;
	ring.hooks.at_end();
}

static void begin(bool kills_privileges)
{
	static _Thread_local bool known;
	static _Thread_local unsigned wiped;

	if (!known) {
		transport_own_context();
		pthread_setspecific(ring.threads, &ring);
		known = true;
	}
	if (wiped != transport_wipes()) {
		wiped = transport_wipes();
		ring.hooks.wipe();
	}
	transport_note(kills_privileges);
}

static void enter(void)
{
	gate_come();
	ring.hooks.begin(ring.hooks.data);
}

static void leave(unsigned opcode)
{
	ring.hooks.end(ring.hooks.data);
	gate_gone();
	/* Syncs are answered, and measured, by other threads. */
	if (opcode != FUSE_FSYNC && opcode != FUSE_FSYNCDIR)
		meter_answered(opcode, meter_now() - transport_began());
}

/* True if it may be served; else it was answered. */
static bool passes(fuse_req_t req, enum gate_verdict v)
{
	if (v == GATE_REFUSED || v == GATE_UNANSWERED)
		fuse_reply_err(req, v == GATE_REFUSED ? ENOKEY : ENOTCONN);
	return v == GATE_LOOK || v == GATE_CHANGE;
}

/* ------------------------------------------------------------------ what only looks */

static bool look(fuse_req_t req, unsigned opcode, fuse_ino_t node)
{
	const struct gate_request r = {.opcode = opcode, .node = node};

	meter_came(opcode);
	begin(false);
	enter();
	if (passes(req, gate_judge(&r)))
		return true;
	leave(opcode);
	return false;
}

/* An operation that only looks: its name, opcode, parameters, arguments. */
#define LOOK(name, opcode, parameters, arguments)                                                                      \
	static void ring_##name parameters                                                                             \
	{                                                                                                              \
		if (!fuse_req_is_uring(req)) {                                                                         \
			ops_table.name arguments;                                                                      \
		} else if (look(req, opcode, ino)) {                                                                   \
			ops_table.name arguments;                                                                      \
			leave(opcode);                                                                                 \
		}                                                                                                      \
	}

typedef struct fuse_file_info file_info;

LOOK(lookup, FUSE_LOOKUP, (fuse_req_t req, fuse_ino_t ino, const char *name), (req, ino, name))
LOOK(getattr, FUSE_GETATTR, (fuse_req_t req, fuse_ino_t ino, file_info *fi), (req, ino, fi))
LOOK(readlink, FUSE_READLINK, (fuse_req_t req, fuse_ino_t ino), (req, ino))
LOOK(open, FUSE_OPEN, (fuse_req_t req, fuse_ino_t ino, file_info *fi), (req, ino, fi))
LOOK(release, FUSE_RELEASE, (fuse_req_t req, fuse_ino_t ino, file_info *fi), (req, ino, fi))
LOOK(opendir, FUSE_OPENDIR, (fuse_req_t req, fuse_ino_t ino, file_info *fi), (req, ino, fi))
LOOK(releasedir, FUSE_RELEASEDIR, (fuse_req_t req, fuse_ino_t ino, file_info *fi), (req, ino, fi))
LOOK(read, FUSE_READ, (fuse_req_t req, fuse_ino_t ino, size_t n, off_t off, file_info *fi), (req, ino, n, off, fi))
LOOK(readdir, FUSE_READDIR, (fuse_req_t req, fuse_ino_t ino, size_t n, off_t off, file_info *fi),
     (req, ino, n, off, fi))
LOOK(readdirplus, FUSE_READDIRPLUS, (fuse_req_t req, fuse_ino_t ino, size_t n, off_t off, file_info *fi),
     (req, ino, n, off, fi))
LOOK(fsync, FUSE_FSYNC, (fuse_req_t req, fuse_ino_t ino, int data_only, file_info *fi), (req, ino, data_only, fi))
LOOK(fsyncdir, FUSE_FSYNCDIR, (fuse_req_t req, fuse_ino_t ino, int data_only, file_info *fi), (req, ino, data_only, fi))
LOOK(statfs, FUSE_STATFS, (fuse_req_t req, fuse_ino_t ino), (req, ino))
LOOK(getxattr, FUSE_GETXATTR, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t n), (req, ino, name, n))
LOOK(listxattr, FUSE_LISTXATTR, (fuse_req_t req, fuse_ino_t ino, size_t n), (req, ino, n))
LOOK(lseek, FUSE_LSEEK, (fuse_req_t req, fuse_ino_t ino, off_t off, int whence, file_info *fi),
     (req, ino, off, whence, fi))
LOOK(ioctl, FUSE_IOCTL,
     (fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, file_info *fi, unsigned flags, const void *in,
      size_t in_size, size_t out_size),
     (req, ino, cmd, arg, fi, flags, in, in_size, out_size))

/* ------------------------------------------------------------------ what changes something */

/* A change, so that it can be done later.  What `name`, `second` and `bytes` point to lies in the ring until it is answered (2). */
struct change {
	uint32_t mark; /* 0: no request of the device begins so, but with its length */
	unsigned opcode;
	fuse_req_t req;
	fuse_ino_t ino, other;
	const char *name, *second, *bytes;
	size_t n;
	off_t off, length;
	int flags;
	mode_t mode;
	dev_t rdev;
	struct stat st;
	file_info fi, other_fi;
	bool written_back, kills_privileges;
};

static void act(struct change *c)
{
	const struct fuse_lowlevel_ops *o = &ops_table;

	switch (c->opcode) {
	case FUSE_SETATTR:
		o->setattr(c->req, c->ino, &c->st, c->flags, &c->fi);
		break;
	case FUSE_MKNOD:
		o->mknod(c->req, c->ino, c->name, c->mode, c->rdev);
		break;
	case FUSE_MKDIR:
		o->mkdir(c->req, c->ino, c->name, c->mode);
		break;
	case FUSE_TMPFILE:
		o->tmpfile(c->req, c->ino, c->mode, &c->fi);
		break;
	case FUSE_SYMLINK:
		o->symlink(c->req, c->second, c->ino, c->name);
		break;
	case FUSE_LINK:
		o->link(c->req, c->ino, c->other, c->name);
		break;
	case FUSE_UNLINK:
		o->unlink(c->req, c->ino, c->name);
		break;
	case FUSE_RMDIR:
		o->rmdir(c->req, c->ino, c->name);
		break;
	case FUSE_RENAME2:
		o->rename(c->req, c->ino, c->name, c->other, c->second, (unsigned)c->flags);
		break;
	case FUSE_WRITE:
		o->write(c->req, c->ino, c->bytes, c->n, c->off, &c->fi);
		break;
	case FUSE_SETXATTR:
		o->setxattr(c->req, c->ino, c->name, c->bytes, c->n, c->flags);
		break;
	case FUSE_REMOVEXATTR:
		o->removexattr(c->req, c->ino, c->name);
		break;
	case FUSE_FALLOCATE:
		o->fallocate(c->req, c->ino, c->flags, c->off, c->length, &c->fi);
		break;
	default: /* FUSE_COPY_FILE_RANGE */
		o->copy_file_range(c->req, c->ino, c->off, &c->fi, c->other, c->length, &c->other_fi, c->n, c->flags);
	}
}

static void serve(struct change *c)
{
	const struct gate_request r = {.opcode = c->opcode, .node = c->ino, .written_back = c->written_back};

	begin(c->kills_privileges);
	enter();
	if (passes(c->req, gate_judge(&r))) {
		while (!freeze_enter(ring.freeze)) {
			if (freeze_keep(ring.freeze, c, sizeof *c) == 0) {
				ring.hooks.end(ring.hooks.data);
				gate_gone();
				return;
			}
		}
		act(c);
		freeze_leave(ring.freeze);
	}
	leave(c->opcode);
}

static void change(struct change c)
{
	if (!fuse_req_is_uring(c.req)) {
		act(&c);
		return;
	}
	meter_came(c.opcode);
	serve(&c);
}

static file_info copy_of(const file_info *fi)
{
	return fi ? *fi : (file_info){0};
}

static void ring_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set, file_info *fi)
{
	const int times = FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME;
	/* libfuse leaves the kernel's word on privileges out: it stands alone in a chown(-1, -1), or with a size that somebody sets who may not
	 * keep them. */
	bool kills = set == 0 || ((set & FUSE_SET_ATTR_SIZE) && fuse_req_ctx(req)->uid != 0);

	change((struct change){.opcode = FUSE_SETATTR,
			       .req = req,
			       .ino = ino,
			       .st = *st,
			       .flags = set,
			       .fi = copy_of(fi),
			       .written_back = set && !(set & ~times),
			       .kills_privileges = kills});
}

static void ring_mknod(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode, dev_t rdev)
{
	change((struct change){.opcode = FUSE_MKNOD, .req = req, .ino = ino, .name = name, .mode = mode, .rdev = rdev});
}

static void ring_mkdir(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode)
{
	change((struct change){.opcode = FUSE_MKDIR, .req = req, .ino = ino, .name = name, .mode = mode});
}

static void ring_tmpfile(fuse_req_t req, fuse_ino_t ino, mode_t mode, file_info *fi)
{
	change((struct change){.opcode = FUSE_TMPFILE, .req = req, .ino = ino, .mode = mode, .fi = copy_of(fi)});
}

static void ring_symlink(fuse_req_t req, const char *target, fuse_ino_t ino, const char *name)
{
	change((struct change){.opcode = FUSE_SYMLINK, .req = req, .ino = ino, .name = name, .second = target});
}

static void ring_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	change((struct change){.opcode = FUSE_LINK, .req = req, .ino = ino, .other = parent, .name = name});
}

static void ring_unlink(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	change((struct change){.opcode = FUSE_UNLINK, .req = req, .ino = ino, .name = name});
}

static void ring_rmdir(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	change((struct change){.opcode = FUSE_RMDIR, .req = req, .ino = ino, .name = name});
}

static void ring_rename(fuse_req_t req, fuse_ino_t ino, const char *name, fuse_ino_t to, const char *new_name,
			unsigned flags)
{
	change((struct change){.opcode = FUSE_RENAME2,
			       .req = req,
			       .ino = ino,
			       .name = name,
			       .other = to,
			       .second = new_name,
			       .flags = (int)flags});
}

static void ring_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t n, off_t off, file_info *fi)
{
	change((struct change){.opcode = FUSE_WRITE,
			       .req = req,
			       .ino = ino,
			       .bytes = bytes,
			       .n = n,
			       .off = off,
			       .fi = copy_of(fi),
			       .written_back = fi->writepage,
			       .kills_privileges = fi->kill_suidgid});
}

static void ring_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t n, int flags)
{
	change((struct change){
		.opcode = FUSE_SETXATTR, .req = req, .ino = ino, .name = name, .bytes = value, .n = n, .flags = flags});
}

static void ring_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	change((struct change){.opcode = FUSE_REMOVEXATTR, .req = req, .ino = ino, .name = name});
}

static void ring_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length, file_info *fi)
{
	change((struct change){.opcode = FUSE_FALLOCATE,
			       .req = req,
			       .ino = ino,
			       .flags = mode,
			       .off = off,
			       .length = length,
			       .fi = copy_of(fi)});
}

static void ring_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t off, file_info *fi, fuse_ino_t to, off_t to_off,
				 file_info *to_fi, size_t n, int flags)
{
	change((struct change){.opcode = FUSE_COPY_FILE_RANGE,
			       .req = req,
			       .ino = ino,
			       .off = off,
			       .fi = copy_of(fi),
			       .other = to,
			       .length = to_off,
			       .other_fi = copy_of(to_fi),
			       .n = n,
			       .flags = flags});
}

/* ------------------------------------------------------------------ the table */

const char *ring_missing(void)
{
	return NULL;
}

const struct fuse_lowlevel_ops *ring_table(void)
{
	struct fuse_lowlevel_ops *t = &ring.table;

	*t = ops_table;
	t->lookup = ring_lookup;
	t->getattr = ring_getattr;
	t->readlink = ring_readlink;
	t->open = ring_open;
	t->release = ring_release;
	t->opendir = ring_opendir;
	t->releasedir = ring_releasedir;
	t->read = ring_read;
	t->readdir = ring_readdir;
	t->readdirplus = ring_readdirplus;
	t->fsync = ring_fsync;
	t->fsyncdir = ring_fsyncdir;
	t->statfs = ring_statfs;
	t->getxattr = ring_getxattr;
	t->listxattr = ring_listxattr;
	t->lseek = ring_lseek;
	t->ioctl = ring_ioctl;
	t->setattr = ring_setattr;
	t->mknod = ring_mknod;
	t->mkdir = ring_mkdir;
	t->tmpfile = ring_tmpfile;
	t->symlink = ring_symlink;
	t->link = ring_link;
	t->unlink = ring_unlink;
	t->rmdir = ring_rmdir;
	t->rename = ring_rename;
	t->write = ring_write;
	t->setxattr = ring_setxattr;
	t->removexattr = ring_removexattr;
	t->fallocate = ring_fallocate;
	t->copy_file_range = ring_copy_file_range;
	return t;
}

void ring_start(struct freeze *freeze, const struct transport_hooks *hooks)
{
	ring.freeze = freeze;
	ring.hooks = *hooks;
	pthread_key_create(&ring.threads, end_thread);
}

bool ring_is_kept(const void *request, size_t n)
{
	const struct change *c = request;

	return n == sizeof *c && c->mark == 0;
}

void ring_serve_kept(const void *request)
{
	struct change c = *(const struct change *)request;

	serve(&c);
}

#else

const char *ring_missing(void)
{
	return "this coffer was built with a libfuse that does not know it; it takes 3.18";
}

const struct fuse_lowlevel_ops *ring_table(void)
{
	return &ops_table;
}

void ring_start(struct freeze *freeze, const struct transport_hooks *hooks)
{
	(void)freeze;
	(void)hooks;
}

bool ring_is_kept(const void *request, size_t n)
{
	(void)request;
	(void)n;
	return false;
}

void ring_serve_kept(const void *request)
{
	(void)request;
}

#endif

/* FUSE operations on what files and directories hold. */
#define FUSE_USE_VERSION 314

#include "config.h"
#include "fs/ops_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>

#include "fs/meter.h"
#include "fs/slow.h"
#include "fs/transport.h"
#include "fs/worker.h"

/* ------------------------------------------------------------------ where an answer is put together */

static _Thread_local uint8_t *reply_buffer;

/* The answer's own place in the ring, if it comes from one. */
static uint8_t *place_in_ring(fuse_req_t req, size_t n)
{
#if HAVE_FUSE_RING
	char *place;
	size_t room;

	if (fuse_req_is_uring(req) && fuse_req_get_payload(req, &place, &room, NULL) == 0 && n <= room)
		return (uint8_t *)place;
#else
	(void)req;
	(void)n;
#endif
	return NULL;
}

static uint8_t *get_reply_buffer(fuse_req_t req, size_t n)
{
	uint8_t *place = place_in_ring(req, n);

	if (place)
		return place;
	if (n > IO_MAX)
		return NULL;
	if (!reply_buffer)
		reply_buffer = aligned_alloc(4096, IO_MAX);
	return reply_buffer;
}

void ops_begin(void *context)
{
	worker_enter(((struct ops_context *)context)->engine);
}

void ops_end(void *context)
{
	(void)context;
	worker_leave();
}

void ops_wipe(void)
{
	if (reply_buffer)
		wipe(reply_buffer, IO_MAX);
}

void ops_thread_end(void)
{
	free(reply_buffer);
	reply_buffer = NULL;
	fs_thread_end();
}

/* ------------------------------------------------------------------ content */

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	uint8_t *buf = get_reply_buffer(req, size);
	ssize_t n = buf ? fs_read(engine_of(req), ino, buf, size, (uint64_t)off) : -ENOMEM;

	(void)fi;
	if (n < 0) {
		ops_answer(req, n);
		return;
	}
	meter_add(METER_BYTES_READ, (uint64_t)n);
	fuse_reply_buf(req, (const char *)buf, (size_t)n);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct ops_context *c = fuse_req_userdata(req);
	bool kill = transport_kills_privileges();
	/* Where the end is the kernel may not know any more. */
	bool append = c->shared && (fi->flags & O_APPEND) && !fi->writepage;
	ssize_t n = append ? fs_append(c->engine, ino, buf, size, kill)
			   : fs_write(c->engine, ino, buf, size, (uint64_t)off, kill);

	if (n < 0) {
		ops_answer(req, n);
		return;
	}
	meter_add(METER_BYTES_WRITTEN, (uint64_t)n);
	fuse_reply_write(req, (size_t)n);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length, struct fuse_file_info *fi)
{
	(void)fi;
	ops_answer(req, fs_fallocate(engine_of(req), ino, mode, (uint64_t)off, (uint64_t)length));
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	uint64_t found;
	int r = whence == SEEK_DATA || whence == SEEK_HOLE
			? fs_lseek(engine_of(req), ino, (uint64_t)off, whence == SEEK_HOLE, &found)
			: -EINVAL;

	(void)fi;
	if (r < 0)
		ops_answer(req, r);
	else
		fuse_reply_lseek(req, (off_t)found);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
			off_t to_off, struct fuse_file_info *to_fi, size_t n, int flags)
{
	ssize_t done =
		flags ? -EINVAL : fs_copy_range(engine_of(req), from, (uint64_t)from_off, to, (uint64_t)to_off, n);

	(void)from_fi;
	(void)to_fi;
	if (done < 0)
		ops_answer(req, done);
	else
		fuse_reply_write(req, (size_t)done);
}

/* A sync waits for the disk; it is answered from a thread that others do not wait for. */
struct sync_job {
	fuse_req_t req;
	fuse_ino_t ino;
	bool directory, data_only;
	uint64_t began;
};

static void run_sync(void *data)
{
	struct sync_job *j = data;
	struct engine *e = engine_of(j->req);

	worker_enter(e);
	ops_answer(j->req, j->directory ? fs_fsyncdir(e, j->ino) : fs_fsync(e, j->ino, j->data_only));
	worker_leave();
	meter_answered(j->directory ? FUSE_FSYNCDIR : FUSE_FSYNC, meter_now() - j->began);
	free(j);
}

static void sync_later(fuse_req_t req, fuse_ino_t ino, bool directory, bool data_only)
{
	struct ops_context *c = fuse_req_userdata(req);
	struct sync_job *j = malloc(sizeof *j);

	if (!j) {
		ops_answer(req, -ENOMEM);
		return;
	}
	*j = (struct sync_job){req, ino, directory, data_only, transport_began()};
	if (slow_run(c->slow, run_sync, j) < 0)
		run_sync(j);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	(void)fi;
	sync_later(req, ino, false, data_only);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	(void)fi;
	sync_later(req, ino, true, data_only);
}

/* ------------------------------------------------------------------ listing */

struct listing {
	fuse_req_t req;
	char *buf;
	size_t room, used;
	bool plus;
};

static bool emit(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next, const struct node_attr *attr)
{
	struct listing *l = data;
	struct fuse_entry_param entry = {.attr = {.st_ino = ino, .st_mode = (mode_t)type << 12}};
	size_t n;

	if (l->plus) {
		if (attr)
			entry = ops_entry(l->req, attr);
		n = fuse_add_direntry_plus(l->req, l->buf + l->used, l->room - l->used, name, &entry, next);
	} else {
		n = fuse_add_direntry(l->req, l->buf + l->used, l->room - l->used, name, &entry.attr, next);
	}
	if (n > l->room - l->used)
		return false;
	l->used += n;
	return true;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct listing l = {.req = req, .buf = (char *)get_reply_buffer(req, size), .room = size, .plus = plus};
	int r = l.buf ? fs_readdir(engine_of(req), ino, off, plus, emit, &l) : -ENOMEM;

	/* What was gathered before an error is good; the error comes back at the next call. */
	if (r < 0 && l.used == 0)
		ops_answer(req, r);
	else
		fuse_reply_buf(req, l.buf, l.used);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

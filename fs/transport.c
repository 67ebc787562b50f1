#define FUSE_USE_VERSION 314

#include "fs/transport.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "util/base/log.h"

static struct {
	atomic_uint_fast64_t count[TRANSPORT_OPCODES];
	atomic_int_fast64_t last;
	atomic_uint_fast64_t init_unique; /* of the INIT request; 0 once it is answered */
	uint32_t kernel_flags;            /* what the kernel offered */
} transport;

static _Thread_local bool kills_privileges;

bool transport_kills_privileges(void)
{
	return kills_privileges;
}

void transport_counts(uint64_t out[TRANSPORT_OPCODES])
{
	for (unsigned i = 0; i < TRANSPORT_OPCODES; i++)
		out[i] = atomic_load_explicit(&transport.count[i], memory_order_relaxed);
}

const char *transport_opcode_name(unsigned opcode)
{
	static const char *const names[TRANSPORT_OPCODES] = {
		[FUSE_LOOKUP] = "LOOKUP",
		[FUSE_FORGET] = "FORGET",
		[FUSE_GETATTR] = "GETATTR",
		[FUSE_SETATTR] = "SETATTR",
		[FUSE_READLINK] = "READLINK",
		[FUSE_SYMLINK] = "SYMLINK",
		[FUSE_MKNOD] = "MKNOD",
		[FUSE_MKDIR] = "MKDIR",
		[FUSE_UNLINK] = "UNLINK",
		[FUSE_RMDIR] = "RMDIR",
		[FUSE_RENAME] = "RENAME",
		[FUSE_LINK] = "LINK",
		[FUSE_OPEN] = "OPEN",
		[FUSE_READ] = "READ",
		[FUSE_WRITE] = "WRITE",
		[FUSE_STATFS] = "STATFS",
		[FUSE_RELEASE] = "RELEASE",
		[FUSE_FSYNC] = "FSYNC",
		[FUSE_SETXATTR] = "SETXATTR",
		[FUSE_GETXATTR] = "GETXATTR",
		[FUSE_LISTXATTR] = "LISTXATTR",
		[FUSE_REMOVEXATTR] = "REMOVEXATTR",
		[FUSE_FLUSH] = "FLUSH",
		[FUSE_INIT] = "INIT",
		[FUSE_OPENDIR] = "OPENDIR",
		[FUSE_READDIR] = "READDIR",
		[FUSE_RELEASEDIR] = "RELEASEDIR",
		[FUSE_FSYNCDIR] = "FSYNCDIR",
		[FUSE_ACCESS] = "ACCESS",
		[FUSE_CREATE] = "CREATE",
		[FUSE_INTERRUPT] = "INTERRUPT",
		[FUSE_DESTROY] = "DESTROY",
		[FUSE_IOCTL] = "IOCTL",
		[FUSE_BATCH_FORGET] = "BATCH_FORGET",
		[FUSE_FALLOCATE] = "FALLOCATE",
		[FUSE_READDIRPLUS] = "READDIRPLUS",
		[FUSE_RENAME2] = "RENAME2",
		[FUSE_LSEEK] = "LSEEK",
		[FUSE_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
		[FUSE_TMPFILE] = "TMPFILE",
		[52] = "STATX",
	};

	return opcode < TRANSPORT_OPCODES ? names[opcode] : NULL;
}

int64_t transport_last_request(void)
{
	return atomic_load(&transport.last);
}

static void note_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	atomic_store_explicit(&transport.last, now.tv_sec, memory_order_relaxed);
}

/* Looks at a request before libfuse does. */
static void look(const uint8_t *buf, size_t n)
{
	const struct fuse_in_header *h = (const void *)buf;
	const void *body = buf + sizeof *h;

	if (n < sizeof *h)
		return;
	if (h->opcode < TRANSPORT_OPCODES)
		atomic_fetch_add_explicit(&transport.count[h->opcode], 1, memory_order_relaxed);
	note_time();
	kills_privileges = false;
	if (h->opcode == FUSE_WRITE && n >= sizeof *h + sizeof(struct fuse_write_in)) {
		const struct fuse_write_in *w = body;

		kills_privileges = w->write_flags & FUSE_WRITE_KILL_SUIDGID;
	} else if (h->opcode == FUSE_SETATTR && n >= sizeof *h + sizeof(struct fuse_setattr_in)) {
		const struct fuse_setattr_in *s = body;

		kills_privileges = s->valid & FATTR_KILL_SUIDGID;
	} else if (h->opcode == FUSE_INIT && n >= sizeof *h + 16) {
		const struct fuse_init_in *i = body;

		transport.kernel_flags = i->flags;
		atomic_store(&transport.init_unique, h->unique);
	}
}

static ssize_t hook_read(int fd, void *buf, size_t n, void *data)
{
	ssize_t got = read(fd, buf, n);

	(void)data;
	if (got > 0)
		look(buf, (size_t)got);
	return got;
}

/* The answer to INIT, with what this libfuse leaves out.  body: a copy of it. */
static void complete_init(struct fuse_init_out *out)
{
	out->flags |= transport.kernel_flags & (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2);
}

static ssize_t hook_writev(int fd, struct iovec *iov, int count, void *data)
{
	const struct fuse_out_header *h = iov[0].iov_base;
	struct fuse_init_out init;

	(void)data;
	uint64_t unique = atomic_load_explicit(&transport.init_unique, memory_order_relaxed);

	if (unique && iov[0].iov_len >= sizeof *h && h->unique == unique) {
		atomic_store(&transport.init_unique, 0);
		if (h->error == 0 && count == 2 && iov[1].iov_len <= sizeof init && iov[1].iov_len >= 16) {
			memcpy(&init, iov[1].iov_base, iov[1].iov_len);
			complete_init(&init);
			iov[1].iov_base = &init;
		}
	}
	return writev(fd, iov, count);
}

int transport_attach(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {.read = hook_read, .writev = hook_writev};

	note_time();
	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

struct crew {
	struct fuse_session *se;
	void (*at_end)(void);
};

static void *serve(void *data)
{
	struct crew *c = data;
	struct fuse_buf buf = {0};

	/* An fs context of its own: the umask of a creation is this thread's alone. */
	if (unshare(CLONE_FS) < 0)
		log_warning("cannot have a umask for each thread: %s", strerror(errno));
	while (!fuse_session_exited(c->se)) {
		int n = fuse_session_receive_buf(c->se, &buf);

		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		fuse_session_process_buf(c->se, &buf);
	}
	free(buf.mem);
	c->at_end();
	return NULL;
}

int transport_run(struct fuse_session *se, unsigned threads, void (*at_end)(void))
{
	struct crew crew = {se, at_end};
	pthread_t *ids = calloc(threads, sizeof *ids);
	unsigned started = 0;

	if (!ids)
		return -ENOMEM;
	while (started < threads && pthread_create(&ids[started], NULL, serve, &crew) == 0)
		started++;
	for (unsigned i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	free(ids);
	return started ? 0 : -EAGAIN;
}

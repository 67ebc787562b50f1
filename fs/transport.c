#define FUSE_USE_VERSION 314

#include "fs/transport.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/follow.h"
#include "fs/freeze.h"
#include "fs/gate.h"
#include "fs/meter.h"
#include "fs/ring.h"
#include "util/base/log.h"
#include "util/base/secret.h"

enum { WAKE_STEP_NS = 10 * 1000 * 1000, WIPE_TRIES = 500 };

static struct {
	atomic_int_fast64_t when;
	atomic_uint_fast64_t init_unique; /* of the INIT request; 0 once it is answered */
	uint32_t kernel_flags;            /* what the kernel offered */
	atomic_uint wipes;                /* transport_wipe */
} transport;

static _Thread_local bool kills_privileges;
static _Thread_local uint64_t began; /* when the request that this thread works on came */

uint64_t transport_began(void)
{
	return began;
}

bool transport_kills_privileges(void)
{
	return kills_privileges;
}

void transport_counts(uint64_t out[TRANSPORT_OPCODES])
{
	for (unsigned i = 0; i < TRANSPORT_OPCODES; i++)
		out[i] = meter_requests(i);
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
	return atomic_load(&transport.when);
}

/* Seldom written, so that the threads do not take the cache line from each other. */
static void note_time(uint64_t nanoseconds)
{
	int64_t now = (int64_t)(nanoseconds / 1000000000);

	if (atomic_load_explicit(&transport.when, memory_order_relaxed) != now)
		atomic_store_explicit(&transport.when, now, memory_order_relaxed);
}

/* What libfuse does not pass on of a request. */
static bool kills(const uint8_t *buf, size_t n)
{
	const struct fuse_in_header *h = (const void *)buf;
	const void *body = buf + sizeof *h;

	if (h->opcode == FUSE_WRITE && n >= sizeof *h + sizeof(struct fuse_write_in)) {
		const struct fuse_write_in *w = body;

		return w->write_flags & FUSE_WRITE_KILL_SUIDGID;
	}
	if (h->opcode == FUSE_SETATTR && n >= sizeof *h + sizeof(struct fuse_setattr_in)) {
		const struct fuse_setattr_in *s = body;

		return s->valid & FATTR_KILL_SUIDGID;
	}
	return false;
}

void transport_note(bool kills_them)
{
	began = meter_now();
	note_time(began);
	kills_privileges = kills_them;
}

unsigned transport_wipes(void)
{
	return atomic_load_explicit(&transport.wipes, memory_order_relaxed);
}

/* Looks at a request before libfuse does. */
static void look(const uint8_t *buf, size_t n)
{
	const struct fuse_in_header *h = (const void *)buf;

	if (n < sizeof *h)
		return;
	meter_came(h->opcode);
	transport_note(kills(buf, n));
	if (h->opcode == FUSE_INIT && n >= sizeof *h + 16) {
		const struct fuse_init_in *i = (const void *)(buf + sizeof *h);

		transport.kernel_flags = i->flags;
		atomic_store(&transport.init_unique, h->unique);
	}
}

#if FUSE_VERSION < FUSE_MAKE_VERSION(3, 17)
static ssize_t hook_read(int fd, void *buf, size_t n, void *data)
{
	(void)data;
	return read(fd, buf, n);
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

static int attach(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {.read = hook_read, .writev = hook_writev};

	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
#else
/* It sends all flags, and need not be built to let its reads and writes be replaced. */
static int attach(struct fuse_session *se)
{
	(void)se;
	return 0;
}
#endif

int transport_attach(struct fuse_session *se)
{
	note_time(meter_now());
	return attach(se);
}

/* What the gate has to know of a request.  One without a whole head is libfuse's affair. */
static struct gate_request request_of(const struct fuse_buf *buf)
{
	const struct fuse_in_header *h = buf->mem;
	const struct fuse_write_in *w = (const void *)(h + 1);
	const struct fuse_setattr_in *s = (const void *)(h + 1);
	size_t n = buf->size;

	if (n < sizeof *h)
		return (struct gate_request){.opcode = FUSE_INTERRUPT};

	struct gate_request r = {.opcode = h->opcode, .node = h->nodeid};

	if (h->opcode == FUSE_WRITE)
		r.written_back = n >= sizeof *h + sizeof *w && (w->write_flags & FUSE_WRITE_CACHE);
	else if (h->opcode == FUSE_SETATTR)
		r.written_back =
			n >= sizeof *h + sizeof *s && !(s->valid & ~(uint32_t)(FATTR_MTIME | FATTR_CTIME | FATTR_FH));
	return r;
}

/* ------------------------------------------------------------------ the crew */

/* One serving thread. */
struct server {
	pthread_t id;
	bool ended; /* under crew.lock: may be joined by then */
	struct crew *crew;
	atomic_uint wiped; /* as often as transport.wipes, once it is done */
};

struct crew {
	struct fuse_session *se;
	struct freeze *freeze;
	const struct transport_hooks *hooks;
	pthread_mutex_t lock;
	unsigned count;
	struct server *threads;
};

/* The crew at work, for who wants it to end. */
static struct {
	pthread_mutex_t lock;
	struct crew *crew;
} at_work = {.lock = PTHREAD_MUTEX_INITIALIZER};

void transport_own_context(void)
{
	if (unshare(CLONE_FS) < 0)
		log_warning("cannot have a umask for each thread: %s", strerror(errno));
}

/* Serves a change, or keeps a copy of it while the mount is frozen. */
static void serve_change(const struct crew *c, struct fuse_buf *buf)
{
	while (!freeze_enter(c->freeze))
		if (freeze_keep(c->freeze, buf->mem, buf->size) == 0)
			return;
	fuse_session_process_buf(c->se, buf);
	freeze_leave(c->freeze);
}

static void refuse(const struct crew *c, const struct fuse_buf *buf)
{
	const struct fuse_in_header *in = buf->mem;
	const struct fuse_out_header out = {.len = sizeof out, .error = -ENOKEY, .unique = in->unique};

	/* Whoever asked may have been killed meanwhile. */
	if (write(fuse_session_fd(c->se), &out, sizeof out) < 0 && errno != ENOENT)
		log_warning("cannot answer a request: %s", strerror(errno));
}

static void serve_if_allowed(const struct crew *c, struct fuse_buf *buf)
{
	const struct gate_request r = request_of(buf);

	switch (gate_judge(&r)) {
	case GATE_REFUSED:
		refuse(c, buf);
		break;
	case GATE_UNANSWERED:
		break;
	case GATE_CHANGE:
		serve_change(c, buf);
		break;
	case GATE_LOOK:
		fuse_session_process_buf(c->se, buf);
	}
}

/* Syncs are answered by another thread (fs/ops_content.c), which measures them. */
static bool is_measured(unsigned opcode)
{
	return opcode != FUSE_FSYNC && opcode != FUSE_FSYNCDIR;
}

static void serve_one(const struct crew *c, struct fuse_buf *buf)
{
	const struct fuse_in_header *h = buf->mem;
	bool whole = buf->size >= sizeof *h;
	unsigned opcode = whole ? h->opcode : TRANSPORT_OPCODES;
	uint32_t asker = whole ? h->pid : 0;

	gate_come();
	c->hooks->begin(c->hooks->data);
	serve_if_allowed(c, buf);
	c->hooks->end(c->hooks->data);
	gate_gone();
	if (!is_measured(opcode))
		return;

	uint64_t took = meter_now() - began;

	meter_answered(opcode, took);
	follow_answered(asker, took);
}

static void end_thread(struct server *t)
{
	t->crew->hooks->at_end();
	pthread_mutex_lock(&t->crew->lock);
	t->ended = true;
	pthread_mutex_unlock(&t->crew->lock);
}

static void wipe_if_asked(struct server *t, struct fuse_buf *buf)
{
	unsigned wanted = atomic_load_explicit(&transport.wipes, memory_order_relaxed);

	if (atomic_load_explicit(&t->wiped, memory_order_relaxed) == wanted)
		return;
	if (buf->mem)
		wipe(buf->mem, malloc_usable_size(buf->mem));
	t->crew->hooks->wipe();
	atomic_store(&t->wiped, wanted);
}

static void *serve(void *data)
{
	struct server *t = data;
	struct fuse_session *se = t->crew->se;
	struct fuse_buf buf = {0};

	transport_own_context();
	while (!fuse_session_exited(se)) {
		wipe_if_asked(t, &buf);

		int n = fuse_session_receive_buf(se, &buf);

		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		look(buf.mem, buf.size);
		serve_one(t->crew, &buf);
	}
	free(buf.mem);
	end_thread(t);
	return NULL;
}

/* Serves what a freeze held up, once it is over. */
static void *serve_kept(void *data)
{
	const struct crew *c = data;
	size_t n;
	void *request;

	transport_own_context();
	while ((request = freeze_next(c->freeze, &n))) {
		struct fuse_buf buf = {.mem = request, .size = n};

		if (ring_is_kept(request, n)) {
			ring_serve_kept(request);
		} else {
			transport_note(kills(request, n));
			serve_one(c, &buf);
		}
		free(request);
	}
	c->hooks->at_end();
	return NULL;
}

static void be_woken(int signal)
{
	(void)signal;
}

/* Interrupts a read of the device; does nothing else. */
static void prepare_waking(void)
{
	const struct sigaction wake = {.sa_handler = be_woken};

	sigaction(SIGRTMIN, &wake, NULL);
}

static void join_all(struct crew *c)
{
	for (unsigned i = 0; i < c->count; i++)
		pthread_join(c->threads[i].id, NULL);
}

static void set_at_work(struct crew *c)
{
	pthread_mutex_lock(&at_work.lock);
	at_work.crew = c;
	pthread_mutex_unlock(&at_work.lock);
}

static int run_crew(struct crew *c, unsigned threads)
{
	pthread_t kept;
	int r = -pthread_create(&kept, NULL, serve_kept, c);

	if (r < 0)
		return r;
	set_at_work(c);
	pthread_mutex_lock(&c->lock);
	while (c->count < threads) {
		struct server *t = &c->threads[c->count];

		t->crew = c;
		if (pthread_create(&t->id, NULL, serve, t) != 0)
			break;
		c->count++;
	}
	pthread_mutex_unlock(&c->lock);
	join_all(c);
	set_at_work(NULL);
	freeze_drop(c->freeze);
	pthread_join(kept, NULL);
	return c->count ? 0 : -EAGAIN;
}

int transport_run(struct fuse_session *se, struct freeze *freeze, unsigned threads, const struct transport_hooks *hooks)
{
	struct crew crew = {.se = se, .freeze = freeze, .hooks = hooks, .lock = PTHREAD_MUTEX_INITIALIZER};
	int r;

	crew.threads = calloc(threads, sizeof crew.threads[0]);
	if (!crew.threads)
		return -ENOMEM;
	prepare_waking();
	ring_start(freeze, hooks);
	r = run_crew(&crew, threads);
	gate_close();
	free(crew.threads);
	return r;
}

/* ------------------------------------------------------------------ the end */

uint64_t transport_writes(void)
{
	return meter_requests(FUSE_WRITE);
}

bool transport_is_waited_for(unsigned opcode)
{
	return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

uint64_t transport_requests(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < TRANSPORT_OPCODES; i++)
		if (i != FUSE_FORGET && i != FUSE_BATCH_FORGET)
			sum += meter_requests(i);
	return sum;
}

void transport_forget_attributes(struct fuse_session *se, const uint64_t *nodes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fuse_lowlevel_notify_inval_inode(se, nodes[i], -1, 0);
}

#define NOTIFY_INC_EPOCH 8 /* Linux 6.16; older headers do not know it */

/* Every name that the kernel knows is asked for again.  Older kernels cannot be told all at once: names stay known there, contents do not. */
static void forget_names(struct fuse_session *se)
{
	const struct fuse_out_header h = {.len = sizeof h, .error = NOTIFY_INC_EPOCH};

	if (write(fuse_session_fd(se), &h, sizeof h) < 0 && errno != EINVAL)
		log_info("the kernel cannot be told to forget names: %s", strerror(errno));
}

void transport_forget_everything(struct fuse_session *se, const uint64_t *nodes, size_t count)
{
	forget_names(se);
	for (size_t i = 0; i < count; i++)
		fuse_lowlevel_notify_inval_inode(se, nodes[i], 0, 0);
}

/* A signal that comes just before the read is lost, so it is sent until the thread has ended. */
static bool wake_all(struct crew *c)
{
	bool some = false;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->count; i++) {
		if (c->threads[i].ended)
			continue;
		pthread_kill(c->threads[i].id, SIGRTMIN);
		some = true;
	}
	pthread_mutex_unlock(&c->lock);
	return some;
}

/* Some thread has not done it yet; it is woken. */
static bool wake_the_unwiped(struct crew *c)
{
	unsigned wanted = atomic_load(&transport.wipes);
	bool some = false;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->count; i++) {
		struct server *t = &c->threads[i];

		if (t->ended || atomic_load(&t->wiped) == wanted)
			continue;
		pthread_kill(t->id, SIGRTMIN);
		some = true;
	}
	pthread_mutex_unlock(&c->lock);
	return some;
}

void transport_wipe(void)
{
	const struct timespec step = {0, WAKE_STEP_NS};
	bool due = true;

	atomic_fetch_add(&transport.wipes, 1);
	for (int tries = 0; tries < WIPE_TRIES && due; tries++) {
		pthread_mutex_lock(&at_work.lock);
		due = at_work.crew && wake_the_unwiped(at_work.crew);
		pthread_mutex_unlock(&at_work.lock);
		if (due)
			nanosleep(&step, NULL);
	}
}

void transport_end(struct fuse_session *se)
{
	const struct timespec step = {0, WAKE_STEP_NS};
	bool some;

	fuse_session_exit(se);
	do {
		pthread_mutex_lock(&at_work.lock);
		some = at_work.crew && wake_all(at_work.crew);
		pthread_mutex_unlock(&at_work.lock);
		if (some)
			nanosleep(&step, NULL);
	} while (some);
}

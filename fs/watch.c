#include "fs/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/freeze.h"
#include "fs/mount_point.h"
#include "fs/transport.h"
#include "util/base/log.h"

/* A signal asks to end.  Then
 *
 *   unmount, again and again while somebody uses the mount, for STOP_GRACE_SECONDS: at a shutdown the programs that write there were told
 *   at the same moment, and what they write last must reach the volume, not the directory below the mount point;
 *   then, or at a second signal, end it in use (ending.h). */
enum { STOP_GRACE_SECONDS = 4, LOOK_MS = 1000, RETRY_MS = 200 };

struct watch {
	const struct ending *what;
	unsigned idle;
	pthread_t thread;
	pthread_mutex_t lock;
	bool stopping; /* under lock */
	bool ending;
	struct timespec give_up;
};

static void set_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
}

void watch_block_signals(void)
{
	sigset_t set;

	set_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void write_counts(void)
{
	const char *path = getenv("COFFER_REQUEST_COUNTS");
	uint64_t counts[TRANSPORT_OPCODES];
	const char *comma = "";
	FILE *f = path ? fopen(path, "we") : NULL;

	if (!f)
		return;
	transport_counts(counts);
	fputc('{', f);
	for (unsigned i = 0; i < TRANSPORT_OPCODES; i++) {
		if (!transport_opcode_name(i))
			continue;
		fprintf(f, "%s\"%s\": %llu", comma, transport_opcode_name(i), (unsigned long long)counts[i]);
		comma = ", ";
	}
	fputs("}\n", f);
	fclose(f);
}

/* Reads ahead up to the size of the largest request: the kernel's own limit for FUSE is 128 KiB.  Only root may. */
static void raise_read_ahead(const char *mount_point)
{
	char device[32], path[96];

	if (!mount_point_find(mount_point, device))
		return;
	snprintf(path, sizeof path, "/sys/class/bdi/%s/read_ahead_kb", device);

	FILE *f = fopen(path, "we");

	if (!f)
		return;
	fputs("1024\n", f);
	fclose(f);
}

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

/* ------------------------------------------------------------------ idleness */

/* Busy is not idle: tried again when the time has passed once more. */
static void unmount_if_idle(const struct watch *w)
{
	if (!w->idle || now().tv_sec - transport_last_request() < (int64_t)w->idle || freeze_active(w->what->freeze))
		return;
	if (mount_point_unmount(w->what->mount_point, false) == 0)
		log_info("%s: unmounted after %u idle seconds", w->what->mount_point, w->idle);
}

/* ------------------------------------------------------------------ ending */

static bool grace_is_over(const struct watch *w)
{
	struct timespec t = now();

	return t.tv_sec > w->give_up.tv_sec || (t.tv_sec == w->give_up.tv_sec && t.tv_nsec >= w->give_up.tv_nsec);
}

static void begin_to_end(struct watch *w, int signal)
{
	log_info("%s: ending on signal %d", w->what->mount_point, signal);
	freeze_stop(w->what->freeze);
	w->ending = true;
	w->give_up = now();
	w->give_up.tv_sec += STOP_GRACE_SECONDS;
}

/* Returns true when there is nothing left to do. */
static bool go_on_ending(struct watch *w)
{
	int r = mount_point_unmount(w->what->mount_point, false);

	if (r == 0)
		return true;
	if (!grace_is_over(w))
		return false;
	log_warning("%s: still in use; ending nevertheless", w->what->mount_point);
	ending_in_use(w->what);
	return true;
}

/* ------------------------------------------------------------------ the thread */

static bool is_stopping(struct watch *w)
{
	pthread_mutex_lock(&w->lock);

	bool stopping = w->stopping;

	pthread_mutex_unlock(&w->lock);
	return stopping;
}

static int wait_for_signal(const struct watch *w, bool done)
{
	long ms = w->ending && !done ? RETRY_MS : LOOK_MS;
	const struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
	sigset_t set;

	set_signals(&set);
	return sigtimedwait(&set, NULL, &pause);
}

static void *watch(void *data)
{
	struct watch *w = data;
	bool done = false; /* unmounted; what is left happens by itself */

	raise_read_ahead(w->what->mount_point);
	while (!is_stopping(w)) {
		int s = wait_for_signal(w, done);

		if (s == SIGUSR1)
			write_counts();
		else if ((s == SIGTERM || s == SIGINT || s == SIGHUP) && !w->ending)
			begin_to_end(w, s);
		else if (s == SIGTERM || s == SIGINT)
			w->give_up = now();
		else if (s < 0 && !w->ending)
			unmount_if_idle(w);
		if (w->ending && !done && !is_stopping(w))
			done = go_on_ending(w);
	}
	return NULL;
}

int watch_start(const struct ending *what, unsigned idle, struct watch **out)
{
	struct watch *w = calloc(1, sizeof *w);
	int r;

	if (!w)
		return -ENOMEM;
	w->what = what;
	w->idle = idle;
	pthread_mutex_init(&w->lock, NULL);
	r = -pthread_create(&w->thread, NULL, watch, w);
	if (r < 0) {
		free(w);
		return r;
	}
	*out = w;
	return 0;
}

void watch_stop(struct watch **wp)
{
	struct watch *w = *wp;

	if (!w)
		return;
	*wp = NULL;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_mutex_unlock(&w->lock);
	/* A signal that it waits for wakes it at once. */
	pthread_kill(w->thread, SIGUSR2);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

#include "fs/ending.h"

#include <fcntl.h>
#include <time.h>

#include "fs/freeze.h"
#include "fs/gate.h"
#include "fs/known.h"
#include "fs/transport.h"
#include "util/base/log.h"

enum { FLUSH_SECONDS = 60, FLUSH_ROUNDS_MIN = 3, FLUSH_ROUNDS = 8 };

/* Longer than the 200 ms that the kernel lets a write(2) sleep at a time, between its asking for attributes and its writing into the
 * cache, when there is much that has to be written back. */
enum { QUIET_MS = 300 };

/* A node that becomes known by an answer which the kernel still works on is met in the next round. */
static void stop_cached_writes(const struct ending *e)
{
	_cleanup_free_ uint64_t *nodes = NULL;
	size_t count = 0;

	if (engine_known_nodes(e->engine, &nodes, &count) < 0)
		log_warning("%s: no memory to stop who writes; what is written now may be lost", e->mount_point);
	transport_forget_attributes(e->session, nodes, count);
}

/* Until no WRITE has come for a while.  The kernel sends the next of those that wait as soon as one is answered. */
static void wait_for_quiet(const struct ending *e, const struct timespec *until)
{
	const struct timespec step = {0, QUIET_MS * 1000000L};
	struct timespec now;
	uint64_t before;

	do {
		before = transport_writes();
		nanosleep(&step, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((transport_writes() != before || freeze_inside(e->freeze)) && now.tv_sec < until->tv_sec);
}

/* syncfs(2) makes the kernel send all that it has, but returns before that is answered; what a write(2) under way adds comes in another
 * round.  Who goes on to change a mapping, which nobody has promised to keep, does not hold up the end. */
static void flush(const struct ending *e, int root)
{
	struct timespec now, until;
	uint64_t before;
	int rounds = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FLUSH_SECONDS;
	do {
		if (e->writeback)
			stop_cached_writes(e);
		before = transport_writes();
		if (root >= 0)
			(void)syncfs(root);
		else
			sync(); /* a root directory that its owner may not open */
		wait_for_quiet(e, &until);
		clock_gettime(CLOCK_MONOTONIC, &now);
		rounds++;
	} while (now.tv_sec < until.tv_sec && rounds < FLUSH_ROUNDS &&
		 (transport_writes() != before || rounds < FLUSH_ROUNDS_MIN));
	if (now.tv_sec >= until.tv_sec)
		log_error("%s: the kernel still had writes after %d seconds; they are lost", e->mount_point,
			  FLUSH_SECONDS);
}

void ending_in_use(const struct ending *e)
{
	/* Opened while everything is still answered. */
	int root = open(e->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	gate_serve_the_last();
	flush(e, root);
	/* It may be the last use of the mount, whose end the kernel has to be answered for. */
	if (root >= 0)
		close(root);
	transport_end(e->session);
}

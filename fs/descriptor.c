#include "fs/descriptor.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "fs/file.h"
#include "fs/node.h"

/* Invariants:
 *  (1) a node with a descriptor stands in slots[fd_slot]; fd, fd_users, pins and fd_slot change under node->lock, slots under
 *      descriptors.lock.
 *  (2) a descriptor is closed only where fd_users and pins are 0; the node's file state goes with it, so it must be clean.
 *  (3) eviction holds descriptors.lock and only tries node locks: whoever holds a node's lock may wait for descriptors.lock. */

/* FILE_COST: of a file that is open, besides its maps; about. */
enum { RESERVE = 64, LIMIT_MAX = 8192, LIMIT_MIN = 64, FILE_COST = 5120 };

/* A quarter of what the caches may have. */
static uint64_t wanted_limit(const struct engine *e)
{
	uint64_t n = e->options.memory / 4 / FILE_COST;

	return !e->options.memory ? LIMIT_MAX : (n > LIMIT_MIN ? n : LIMIT_MIN);
}

int descriptor_start(struct engine *e)
{
	struct descriptor_table *d = &e->descriptors;
	uint64_t wanted = wanted_limit(e);
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return -errno;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			getrlimit(RLIMIT_NOFILE, &r);
	}
	d->limit = (uint32_t)(r.rlim_cur > wanted + RESERVE ? wanted : r.rlim_cur - RESERVE);
	if (r.rlim_cur < LIMIT_MIN + RESERVE)
		return -EMFILE;
	/* Pinned ones may go over the limit, into the reserve. */
	d->size = d->limit + RESERVE;
	d->slots = calloc(d->size, sizeof *d->slots);
	d->free = calloc(d->size, sizeof *d->free);
	if (!d->slots || !d->free)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->size; i++)
		d->free[d->free_count++] = d->size - 1 - i;
	pthread_mutex_init(&d->lock, NULL);
	return 0;
}

void descriptor_stop(struct engine *e)
{
	free(e->descriptors.slots);
	free(e->descriptors.free);
	e->descriptors.slots = NULL;
	e->descriptors.free = NULL;
}

bool descriptor_scarce(struct engine *e)
{
	struct descriptor_table *d = &e->descriptors;

	pthread_mutex_lock(&d->lock);

	bool scarce = d->pinned > d->limit / 2;

	pthread_mutex_unlock(&d->lock);
	return scarce;
}

bool descriptor_crowded(struct engine *e)
{
	struct descriptor_table *d = &e->descriptors;

	pthread_mutex_lock(&d->lock);

	bool crowded = d->pinned > d->limit / 4 * 3;

	pthread_mutex_unlock(&d->lock);
	return crowded;
}

/* Takes the descriptor from a node; under its lock and descriptors.lock. */
static int take_fd(struct descriptor_table *d, struct node *n, struct file **file)
{
	int fd = n->fd;

	d->slots[n->fd_slot] = NULL;
	d->free[d->free_count++] = n->fd_slot;
	n->fd = -1;
	*file = n->file;
	n->file = NULL;
	return fd;
}

/* Second chance: closes one descriptor that nobody uses and nobody used since the hand last came by.  False if there is none. */
bool descriptor_evict(struct engine *e)
{
	struct descriptor_table *d = &e->descriptors;
	struct file *file = NULL;
	int fd = -1;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < 2 * d->size && fd < 0; i++) {
		d->hand = d->hand + 1 < d->size ? d->hand + 1 : 0;

		struct node *n = d->slots[d->hand];

		if (!n || pthread_mutex_trylock(&n->lock) != 0)
			continue;
		if (n->fd_users == 0 && n->pins == 0 && !atomic_exchange(&n->fd_recent, false))
			fd = take_fd(d, n, &file);
		pthread_mutex_unlock(&n->lock);
	}
	pthread_mutex_unlock(&d->lock);
	if (fd < 0)
		return false;
	file_free(e, file);
	store_close(e->store, fd);
	return true;
}

int descriptor_apart(struct engine *e, struct node *n, int (*act)(void *data), void *data)
{
	const struct timespec moment = {0, 1000 * 1000};
	struct file *file = NULL;
	int fd = -1, r;

	pthread_mutex_lock(&n->lock);
	while (n->fd_users > 0) {
		pthread_mutex_unlock(&n->lock);
		nanosleep(&moment, NULL);
		pthread_mutex_lock(&n->lock);
	}
	r = n->pins ? -EBUSY : act(data);
	if (r == 0 && n->fd >= 0) {
		pthread_mutex_lock(&e->descriptors.lock);
		fd = take_fd(&e->descriptors, n, &file);
		pthread_mutex_unlock(&e->descriptors.lock);
	}
	pthread_mutex_unlock(&n->lock);
	file_free(e, file);
	store_close(e->store, fd);
	return r;
}

/* Puts an open descriptor into the table; under n->lock.  False if there is no slot at all. */
bool descriptor_enter(struct engine *e, struct node *n, int fd)
{
	struct descriptor_table *d = &e->descriptors;

	pthread_mutex_lock(&d->lock);

	bool room = d->free_count > 0;

	if (room) {
		n->fd_slot = d->free[--d->free_count];
		d->slots[n->fd_slot] = n;
		n->fd = fd;
	}
	pthread_mutex_unlock(&d->lock);
	atomic_store(&n->fd_recent, true);
	return room;
}

void descriptor_make_room(struct engine *e)
{
	struct descriptor_table *d = &e->descriptors;

	for (;;) {
		pthread_mutex_lock(&d->lock);

		bool full = d->size - d->free_count >= d->limit;

		pthread_mutex_unlock(&d->lock);
		if (!full || !descriptor_evict(e))
			return;
	}
}

bool node_use_cached(struct node *n)
{
	pthread_mutex_lock(&n->lock);

	bool open = n->fd >= 0;

	if (open) {
		n->fd_users++;
		atomic_store_explicit(&n->fd_recent, true, memory_order_relaxed);
	}
	pthread_mutex_unlock(&n->lock);
	return open;
}

void node_unuse(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&n->lock);
	n->fd_users--;
	pthread_mutex_unlock(&n->lock);
	/* Maps of files that nobody works with; a file that is worked with gives its own back (map_cache.c). */
	if (atomic_load_explicit(&e->map_bytes, memory_order_relaxed) > e->map_bytes_max)
		(void)descriptor_evict(e);
}

static void count_pinned(struct engine *e, int by)
{
	pthread_mutex_lock(&e->descriptors.lock);
	e->descriptors.pinned += (uint32_t)by;
	pthread_mutex_unlock(&e->descriptors.lock);
}

int node_pin(struct engine *e, struct node *n)
{
	int r = node_use(e, n);

	if (r < 0)
		return r;
	pthread_mutex_lock(&n->lock);
	n->fd_users--;
	if (n->pins++ == 0)
		count_pinned(e, 1);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

void node_unpin(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&n->lock);
	if (--n->pins == 0)
		count_pinned(e, -1);
	pthread_mutex_unlock(&n->lock);
}

void node_give_fd(struct engine *e, struct node *n, int fd)
{
	descriptor_make_room(e);
	pthread_mutex_lock(&n->lock);

	bool taken = n->fd < 0 && descriptor_enter(e, n, fd);

	pthread_mutex_unlock(&n->lock);
	if (!taken)
		store_close(e->store, fd);
}

void descriptor_drop(struct engine *e, struct node *n)
{
	struct file *file = NULL;
	int fd = -1;

	pthread_mutex_lock(&n->lock);
	pthread_mutex_lock(&e->descriptors.lock);
	if (n->fd >= 0)
		fd = take_fd(&e->descriptors, n, &file);
	if (n->pins)
		e->descriptors.pinned--;
	n->pins = 0;
	pthread_mutex_unlock(&e->descriptors.lock);
	pthread_mutex_unlock(&n->lock);
	file_free(e, file);
	if (fd >= 0 && fd != e->data && fd != e->open_dir)
		store_close(e->store, fd);
}

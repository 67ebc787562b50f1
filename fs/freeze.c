#include "fs/freeze.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "util/base/log.h"

enum { DRAIN_SECONDS = 30, CLOSED = 1U << 31 };

enum state { OPEN, CLOSING, FROZEN };

struct kept {
	struct kept *next;
	size_t n;
	void *request;
};

struct freeze {
	int (*settle)(void *data);
	void *data;
	atomic_uint gate;       /* changes inside; bit CLOSED: nobody enters */
	pthread_mutex_t lock;   /* everything below */
	pthread_cond_t changed; /* any of it, and the last change leaving a closed gate */
	enum state state;
	bool stopped, dropped;
	uint64_t number; /* of the freeze that is, or was last */
	struct timespec until;
	enum freeze_end last_end;
	struct kept *first, **last;
	unsigned kept;
	size_t kept_bytes;
};

struct freeze *freeze_new(int (*settle)(void *data), void *data)
{
	struct freeze *f = calloc(1, sizeof *f);
	pthread_condattr_t monotonic;

	if (!f)
		return NULL;
	f->settle = settle;
	f->data = data;
	f->last = &f->first;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&f->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return f;
}

void freeze_free(struct freeze **fp)
{
	struct freeze *f = *fp;

	if (!f)
		return;
	*fp = NULL;
	freeze_drop(f);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static struct timespec after(unsigned milliseconds)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += milliseconds / 1000;
	t.tv_nsec += (long)(milliseconds % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* ------------------------------------------------------------------ the gate */

bool freeze_enter(struct freeze *f)
{
	if (!(atomic_fetch_add(&f->gate, 1) & CLOSED))
		return true;
	freeze_leave(f);
	return false;
}

void freeze_leave(struct freeze *f)
{
	/* The last one to leave a closed gate tells who waits for that. */
	if (atomic_fetch_sub(&f->gate, 1) != (CLOSED | 1))
		return;
	pthread_mutex_lock(&f->lock);
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

bool freeze_active(struct freeze *f)
{
	return atomic_load(&f->gate) & CLOSED;
}

unsigned freeze_inside(struct freeze *f)
{
	return atomic_load(&f->gate) & ~CLOSED;
}

/* Under the lock, as all that follow with `_locked`. */
static void open_locked(struct freeze *f, enum freeze_end why)
{
	atomic_fetch_and(&f->gate, ~CLOSED);
	f->state = OPEN;
	f->last_end = why;
	pthread_cond_broadcast(&f->changed);
}

static int drain_locked(struct freeze *f)
{
	struct timespec until = after(DRAIN_SECONDS * 1000);
	int r = 0;

	while (freeze_inside(f) && !f->stopped && r == 0)
		r = -pthread_cond_timedwait(&f->changed, &f->lock, &until);
	return f->stopped ? -ESHUTDOWN : r;
}

/* ------------------------------------------------------------------ freezing and thawing */

static int close_gate(struct freeze *f, uint64_t *number)
{
	int r;

	pthread_mutex_lock(&f->lock);
	r = f->stopped ? -ESHUTDOWN : (f->state == OPEN ? 0 : -EBUSY);
	if (r == 0) {
		f->state = CLOSING;
		*number = ++f->number;
		atomic_fetch_or(&f->gate, CLOSED);
		r = drain_locked(f);
		if (r < 0)
			open_locked(f, FREEZE_NEVER);
	}
	pthread_mutex_unlock(&f->lock);
	return r;
}

int freeze_start(struct freeze *f, unsigned seconds, uint64_t *number)
{
	int r = close_gate(f, number);

	if (r < 0)
		return r;
	r = f->settle(f->data);
	pthread_mutex_lock(&f->lock);
	if (f->state != CLOSING || f->number != *number) /* stopped, or out of memory, meanwhile */
		r = f->stopped ? -ESHUTDOWN : -ENOMEM;
	else if (r < 0)
		open_locked(f, FREEZE_NEVER);
	if (r == 0) {
		f->state = FROZEN;
		f->until = after(seconds * 1000);
		pthread_cond_broadcast(&f->changed);
	}
	pthread_mutex_unlock(&f->lock);
	return r;
}

int freeze_end(struct freeze *f, uint64_t number)
{
	int r = 0;

	pthread_mutex_lock(&f->lock);
	if (f->state == CLOSING)
		r = -EBUSY;
	else if (f->state == OPEN || (number && number != f->number))
		r = -ENOENT;
	else
		open_locked(f, FREEZE_THAWED);
	pthread_mutex_unlock(&f->lock);
	return r;
}

bool freeze_wait(struct freeze *f, uint64_t number, unsigned milliseconds)
{
	struct timespec until = after(milliseconds);
	int r = 0;

	pthread_mutex_lock(&f->lock);
	while (f->state == FROZEN && f->number == number && r == 0)
		r = pthread_cond_timedwait(&f->changed, &f->lock, &until);

	bool over = f->state != FROZEN || f->number != number;

	pthread_mutex_unlock(&f->lock);
	return over;
}

void freeze_stop(struct freeze *f)
{
	pthread_mutex_lock(&f->lock);
	f->stopped = true;
	if (f->state != OPEN)
		open_locked(f, FREEZE_STOPPED);
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

void freeze_status(struct freeze *f, struct freeze_status *out)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&f->lock);
	*out = (struct freeze_status){.frozen = f->state == FROZEN, .kept = f->kept, .last_end = f->last_end};
	if (out->frozen && f->until.tv_sec > now.tv_sec)
		out->seconds_left = (unsigned)(f->until.tv_sec - now.tv_sec);
	pthread_mutex_unlock(&f->lock);
}

/* ------------------------------------------------------------------ what waits */

int freeze_keep(struct freeze *f, const void *request, size_t n)
{
	struct kept *k = malloc(sizeof *k);
	void *copy = malloc(n);
	int r = k && copy ? 0 : -ENOMEM;

	pthread_mutex_lock(&f->lock);
	if (f->kept_bytes + n > FREEZE_KEPT_MAX)
		r = -ENOMEM;
	if (r == 0) {
		memcpy(copy, request, n);
		*k = (struct kept){NULL, n, copy};
		*f->last = k;
		f->last = &k->next;
		f->kept++;
		f->kept_bytes += n;
		pthread_cond_broadcast(&f->changed); /* the gate may have opened since */
	} else if (f->state != OPEN) {
		log_warning("thawed early: the writes that waited took too much memory");
		open_locked(f, FREEZE_MEMORY);
	}
	pthread_mutex_unlock(&f->lock);
	if (r < 0) {
		free(k);
		free(copy);
	}
	return r;
}

/* Waits for any change; a freeze whose time has come is ended here, by the one who always waits. */
static void wait_locked(struct freeze *f)
{
	uint64_t number = f->number;
	struct timespec until = f->until;

	if (f->state != FROZEN) {
		pthread_cond_wait(&f->changed, &f->lock);
	} else if (pthread_cond_timedwait(&f->changed, &f->lock, &until) == ETIMEDOUT && f->state == FROZEN &&
		   f->number == number) {
		log_warning("thawed: the time of the freeze is over");
		open_locked(f, FREEZE_TIME);
	}
}

void *freeze_next(struct freeze *f, size_t *n)
{
	void *request = NULL;
	struct kept *k;

	pthread_mutex_lock(&f->lock);
	while (!f->dropped && (f->state != OPEN || !f->first))
		wait_locked(f);
	k = f->first;
	if (!f->dropped && k) {
		request = k->request;
		*n = k->n;
		f->first = k->next;
		if (!f->first)
			f->last = &f->first;
		f->kept--;
		f->kept_bytes -= k->n;
		free(k);
	}
	pthread_mutex_unlock(&f->lock);
	return request;
}

void freeze_drop(struct freeze *f)
{
	struct kept *k;

	pthread_mutex_lock(&f->lock);
	f->dropped = true;
	while ((k = f->first)) {
		f->first = k->next;
		free(k->request);
		free(k);
	}
	f->last = &f->first;
	f->kept = 0;
	f->kept_bytes = 0;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

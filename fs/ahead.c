#include "fs/ahead.h"

#include <errno.h>

#include "fs/node.h"

enum {
	RING = 8192,
	STREAMS = 4,           /* readers at a time */
	GUESS = 8,             /* fetched before it is known whether they are read */
	WINDOW = 64,           /* fetched and not read yet, at most */
	NEAR = 64,             /* files between two that are taken for the same reader's */
	BATCH = 16,            /* that the thread takes at a time */
	BEGINNING = 128 << 10, /* bytes of each file: what lies behind, the reader's own read-ahead asks for */
};

/* Positions count what was listed so far and wrap around, so only differences mean something; 0 is no position. */
struct stream {
	uint32_t start, next;   /* what was fetched: [start, next) */
	uint32_t fetched, used; /* how many of them, and how many of those were read */
	uint32_t reads;         /* how many were read in all; 0: the stream is not in use */
	uint64_t last;          /* when, by ahead.clock */
};

struct ahead {
	pthread_mutex_t lock; /* everything below but the thread; last of all locks */
	pthread_cond_t work;
	pthread_t thread;
	bool stop;
	uint32_t end; /* the next position */
	uint64_t clock;
	struct stream streams[STREAMS];
	uint64_t ring[RING]; /* node ids, by position */
};

/* True if the ring still has this position. */
static bool is_kept(const struct ahead *a, uint32_t at)
{
	return at != 0 && a->end - at - 1 < RING;
}

/* ------------------------------------------------------------------ the order */

void ahead_listed(struct engine *e, struct node *n, const struct store_stat *st)
{
	struct ahead *a = e->ahead;

	/* Of what its owner may not open the mode would have to be changed for it. */
	if (!a || !S_ISREG(st->mode) || st->size == 0 || (st->mode & 0600) != 0600)
		return;
	pthread_mutex_lock(&a->lock);
	a->ring[a->end % RING] = n->id;
	atomic_store_explicit(&n->listed, a->end, memory_order_relaxed);
	if (++a->end == 0)
		a->end = 1;
	pthread_mutex_unlock(&a->lock);
}

/* ------------------------------------------------------------------ readers */

/* The stream that a position belongs to, or the one that was not used for longest. */
static struct stream *find_stream(struct ahead *a, uint32_t at)
{
	struct stream *oldest = &a->streams[0];

	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream *s = &a->streams[i];

		if (s->reads && at - (s->start - NEAR) < s->next - s->start + 2 * NEAR)
			return s;
		if (s->last < oldest->last)
			oldest = s;
	}
	*oldest = (struct stream){.start = at + 1, .next = at + 1};
	return oldest;
}

static bool wants_more(const struct ahead *a, const struct stream *s)
{
	uint32_t waiting = s->fetched - s->used, most = GUESS + s->used;

	return s->reads > 1 && waiting < (most < WINDOW ? most : WINDOW) && is_kept(a, s->next);
}

void ahead_listing_done(struct engine *e)
{
	struct ahead *a = e->ahead;
	bool more = false;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < STREAMS; i++)
		more |= wants_more(a, &a->streams[i]);
	if (more)
		pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
}

/* True if there is something to fetch then. */
static bool note_read(struct ahead *a, uint32_t at)
{
	struct stream *s = find_stream(a, at);

	s->reads++;
	s->last = ++a->clock;
	/* One that was left out before may be read after all. */
	if (at - s->start < s->next - s->start)
		s->used += s->used < s->fetched;
	else if (at - s->next < NEAR)
		s->next = at + 1; /* the reader is faster, or leaves some out */
	return wants_more(a, s);
}

void ahead_read(struct engine *e, const struct node *n)
{
	struct ahead *a = e->ahead;
	uint32_t at = atomic_load_explicit(&n->listed, memory_order_relaxed);

	if (!a || at == 0)
		return;
	pthread_mutex_lock(&a->lock);
	if (is_kept(a, at) && a->ring[at % RING] == n->id && note_read(a, at))
		pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
}

/* ------------------------------------------------------------------ the thread */

/* What is to be fetched now; waits for it.  0: the end. */
static size_t take(struct ahead *a, uint64_t ids[BATCH])
{
	size_t count = 0;

	pthread_mutex_lock(&a->lock);
	while (!a->stop && count == 0) {
		for (unsigned i = 0; i < STREAMS; i++)
			for (struct stream *s = &a->streams[i]; count < BATCH && wants_more(a, s); s->fetched++)
				ids[count++] = a->ring[s->next++ % RING];
		if (count == 0)
			pthread_cond_wait(&a->work, &a->lock);
	}
	if (a->stop)
		count = 0;
	pthread_mutex_unlock(&a->lock);
	return count;
}

static void fetch(struct engine *e, uint64_t id)
{
	struct node *n = node_get(e, id);

	if (n && node_use(e, n) == 0) {
		e->store->ops->will_need(e->store, n->fd, 0, BEGINNING);
		node_unuse(e, n);
	}
	node_unref(e, n);
}

static void *run(void *data)
{
	struct engine *e = data;
	uint64_t ids[BATCH];
	size_t count;

	while ((count = take(e->ahead, ids)) > 0)
		for (size_t i = 0; i < count; i++)
			fetch(e, ids[i]);
	fs_thread_end();
	return NULL;
}

int ahead_start(struct engine *e)
{
	struct ahead *a;
	int r;

	if (!e->store->ops->will_need)
		return 0;
	a = calloc(1, sizeof *a);
	if (!a)
		return -ENOMEM;
	a->end = 1;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, NULL);
	e->ahead = a;
	r = pthread_create(&a->thread, NULL, run, e);
	if (r != 0) {
		e->ahead = NULL;
		free(a);
	}
	return -r;
}

void ahead_stop(struct engine *e)
{
	struct ahead *a = e->ahead;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->work);
	pthread_mutex_destroy(&a->lock);
	e->ahead = NULL;
	free(a);
}

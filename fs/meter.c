#include "fs/meter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

typedef _Atomic uint64_t cell;

struct block {
	cell count[METERS];
	cell requests[METER_KINDS];
	cell nanoseconds[METER_KINDS];
	cell latency[METER_KINDS][METER_STEPS];
} __attribute__((aligned(128)));

static struct block blocks[METER_BLOCKS]; /* pages that nobody wrote to take no memory */

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	pthread_key_t key;
	bool taken[METER_BLOCKS]; /* under lock */
	atomic_uint used;         /* blocks that ever were */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static _Thread_local struct block *mine;

static void give_back(void *data)
{
	const struct block *b = data;

	mine = NULL;
	pthread_mutex_lock(&pool.lock);
	/* The last one may have others. */
	if (b != &blocks[METER_BLOCKS - 1])
		pool.taken[b - blocks] = false;
	pthread_mutex_unlock(&pool.lock);
}

static void make_key(void)
{
	(void)pthread_key_create(&pool.key, give_back);
}

static struct block *take(void)
{
	unsigned i = 0;

	pthread_once(&pool.once, make_key);
	pthread_mutex_lock(&pool.lock);
	while (i < METER_BLOCKS - 1 && pool.taken[i])
		i++;
	pool.taken[i] = true;
	if (i >= atomic_load(&pool.used))
		atomic_store(&pool.used, i + 1);
	pthread_mutex_unlock(&pool.lock);
	(void)pthread_setspecific(pool.key, &blocks[i]);
	return &blocks[i];
}

static struct block *own(void)
{
	if (!mine)
		mine = take();
	return mine;
}

static void add(cell *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

void meter_add(enum meter m, uint64_t n)
{
	add(&own()->count[m], n);
}

void meter_came(unsigned kind)
{
	if (kind < METER_KINDS)
		add(&own()->requests[kind], 1);
}

static unsigned step_of(uint64_t nanoseconds)
{
	uint64_t microseconds = (nanoseconds + 999) / 1000;
	unsigned step = microseconds <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(microseconds - 1);

	return step < METER_STEPS ? step : METER_STEPS - 1;
}

void meter_answered(unsigned kind, uint64_t nanoseconds)
{
	struct block *b = own();

	if (kind >= METER_KINDS)
		return;
	add(&b->nanoseconds[kind], nanoseconds);
	add(&b->latency[kind][step_of(nanoseconds)], 1);
}

static uint64_t get(const cell *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static void add_block(struct meter_sum *out, const struct block *b)
{
	for (unsigned i = 0; i < METERS; i++)
		out->count[i] += get(&b->count[i]);
	for (unsigned k = 0; k < METER_KINDS; k++) {
		out->requests[k] += get(&b->requests[k]);
		out->nanoseconds[k] += get(&b->nanoseconds[k]);
		for (unsigned s = 0; s < METER_STEPS; s++) {
			uint64_t n = get(&b->latency[k][s]);

			out->latency[k][s] += n;
			out->answered[k] += n;
		}
	}
}

void meter_read(struct meter_sum *out)
{
	unsigned used = atomic_load(&pool.used);

	*out = (struct meter_sum){0};
	for (unsigned i = 0; i < used; i++)
		add_block(out, &blocks[i]);
}

uint64_t meter_requests(unsigned kind)
{
	unsigned used = atomic_load(&pool.used);
	uint64_t sum = 0;

	for (unsigned i = 0; i < used; i++)
		sum += get(&blocks[i].requests[kind]);
	return sum;
}

uint64_t meter_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Serving threads go where those are who ask (fs/follow.h). */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/follow.h"

enum { TRIES = 20, MOST = 15, SHORT = 1000 };

static cpu_set_t allowed;

static void bind_to(int processor)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

/* Two processors that this process may use; false if there is one only. */
static bool two(int out[2])
{
	int count = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
	for (int i = 0; i < CPU_SETSIZE && count < 2; i++)
		if (CPU_ISSET(i, &allowed))
			out[count++] = i;
	return count == 2;
}

START_TEST(where_a_thread_runs)
{
	int p[2];

	ck_assert_int_eq(follow_processor_of(UINT32_MAX), -1);
	if (!two(p))
		return;
	for (int i = 0; i < 2; i++) {
		bind_to(p[i]);
		ck_assert_int_eq(follow_processor_of((uint32_t)syscall(SYS_gettid)), p[i]);
	}
}
END_TEST

/* One who asks, and serves nobody. */
struct asker {
	pthread_t thread;
	pthread_barrier_t ready, over;
	uint32_t id;
	int processor;
};

static void *ask(void *data)
{
	struct asker *a = data;

	bind_to(a->processor);
	a->id = (uint32_t)syscall(SYS_gettid);
	pthread_barrier_wait(&a->ready);
	pthread_barrier_wait(&a->over);
	return NULL;
}

/* How often this thread, from somewhere else, is where the asker is when it has answered `count` requests. */
static int moved(int from, int to, unsigned count, uint64_t took)
{
	struct asker a = {.processor = to};
	int times = 0;

	pthread_barrier_init(&a.ready, NULL, 2);
	pthread_barrier_init(&a.over, NULL, 2);
	ck_assert_int_eq(pthread_create(&a.thread, NULL, ask, &a), 0);
	pthread_barrier_wait(&a.ready);
	for (int i = 0; i < TRIES; i++) {
		cpu_set_t now;

		bind_to(from);
		ck_assert_int_eq(sched_setaffinity(0, sizeof allowed, &allowed), 0);
		follow_answered(1, SHORT); /* another one: counted anew */
		for (unsigned k = 0; k < count + 1; k++)
			follow_answered(a.id, took);
		times += sched_getcpu() == to;
		ck_assert_int_eq(sched_getaffinity(0, sizeof now, &now), 0);
		ck_assert(CPU_EQUAL(&now, &allowed));
	}
	pthread_barrier_wait(&a.over);
	pthread_join(a.thread, NULL);
	pthread_barrier_destroy(&a.ready);
	pthread_barrier_destroy(&a.over);
	return times;
}

START_TEST(moves_to_who_asks)
{
	int p[2];

	if (!two(p))
		return;
	ck_assert_int_ge(moved(p[0], p[1], FOLLOW_EVERY, SHORT), MOST);
	ck_assert_int_ge(moved(p[1], p[0], FOLLOW_EVERY, SHORT), MOST);
}
END_TEST

START_TEST(stays_otherwise)
{
	int p[2];

	if (!two(p))
		return;
	/* Too few in a row, or so long that both can work at a time. */
	ck_assert_int_lt(moved(p[0], p[1], FOLLOW_EVERY - 1, SHORT), MOST);
	ck_assert_int_lt(moved(p[0], p[1], FOLLOW_EVERY, FOLLOW_BELOW_NS + 1), MOST);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("follow");

	tcase_add_test(t, where_a_thread_runs);
	tcase_add_test(t, moves_to_who_asks);
	tcase_add_test(t, stays_otherwise);
	return run_engine_suite("engine_follow", t);
}

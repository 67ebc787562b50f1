#include "fs/rounds.h"

#include <time.h>

int rounds_start(struct rounds *r, void *(*work)(void *data), void *data)
{
	pthread_condattr_t monotonic;
	int result;

	r->stop = false;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	result = -pthread_create(&r->thread, NULL, work, data);
	if (result < 0) {
		pthread_cond_destroy(&r->ended);
		pthread_mutex_destroy(&r->lock);
	}
	return result;
}

bool rounds_wait(struct rounds *r, unsigned seconds)
{
	struct timespec until;
	bool stop;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&r->lock);
	while (!r->stop && pthread_cond_timedwait(&r->ended, &r->lock, &until) == 0)
		;
	stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	return !stop;
}

void rounds_tell(struct rounds *r)
{
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->ended);
	pthread_mutex_unlock(&r->lock);
}

void rounds_stop(struct rounds *r)
{
	rounds_tell(r);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->ended);
	pthread_mutex_destroy(&r->lock);
}

#include "fs/slow.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

struct job {
	struct job *next;
	void (*run)(void *data);
	void *data;
};

struct slow {
	pthread_mutex_t lock; /* everything below but the threads */
	pthread_cond_t work;
	struct job *first, **last;
	bool stopping;
	void (*at_end)(void);
	unsigned count;
	pthread_t threads[];
};

/* The next job, waiting for one; NULL at the end. */
static struct job *take(struct slow *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->first && !s->stopping)
		pthread_cond_wait(&s->work, &s->lock);

	struct job *j = s->first;

	if (j) {
		s->first = j->next;
		if (!s->first)
			s->last = &s->first;
	}
	pthread_mutex_unlock(&s->lock);
	return j;
}

static void *work(void *data)
{
	struct slow *s = data;
	struct job *j;

	while ((j = take(s))) {
		j->run(j->data);
		free(j);
	}
	s->at_end();
	return NULL;
}

int slow_start(unsigned threads, void (*at_end)(void), struct slow **out)
{
	struct slow *s = calloc(1, sizeof *s + threads * sizeof s->threads[0]);

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	s->last = &s->first;
	s->at_end = at_end;
	while (s->count < threads) {
		int r = pthread_create(&s->threads[s->count], NULL, work, s);

		if (r != 0) {
			slow_stop(&s);
			return -r;
		}
		s->count++;
	}
	*out = s;
	return 0;
}

void slow_stop(struct slow **sp)
{
	struct slow *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->count; i++)
		pthread_join(s->threads[i], NULL);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int slow_run(struct slow *s, void (*run)(void *data), void *data)
{
	struct job *j = malloc(sizeof *j);

	if (!j)
		return -ENOMEM;
	*j = (struct job){NULL, run, data};
	pthread_mutex_lock(&s->lock);
	*s->last = j;
	s->last = &j->next;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

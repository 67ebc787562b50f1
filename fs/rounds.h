/* A thread that does something every few seconds, until it is told to end. */
#ifndef COFFER_FS_ROUNDS_H
#define COFFER_FS_ROUNDS_H

#include <pthread.h>
#include <stdbool.h>

#include "util/base/cleanup.h"

struct rounds {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool stop; /* under lock */
};

/* Starts the thread; `work` calls rounds_wait between two rounds. */
int rounds_start(struct rounds *r, void *(*work)(void *data), void *data) MUST_CHECK;
/* Waits so long; false at once when it is time to end. */
bool rounds_wait(struct rounds *r, unsigned seconds);
/* Tells the thread to end; rounds_stop waits for that, and does this itself. */
void rounds_tell(struct rounds *r);
void rounds_stop(struct rounds *r);

#endif

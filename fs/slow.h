/* Threads for requests that wait for the disk (syncs), so that they do not keep others from being answered: there are only as many serving
 * threads as processors.  Jobs run in any order. */
#ifndef COFFER_FS_SLOW_H
#define COFFER_FS_SLOW_H

#include "util/base/cleanup.h"

struct slow;

/* at_end is called in each thread before it ends. */
int slow_start(unsigned threads, void (*at_end)(void), struct slow **out) MUST_CHECK;
/* Runs what is queued, then ends the threads. */
void slow_stop(struct slow **s);

/* Hands over a job.  -ENOMEM: do it yourself. */
int slow_run(struct slow *s, void (*job)(void *data), void *data) MUST_CHECK;

#endif

/* Serving threads go where those are who ask.
 *
 * Who asks sleeps until the answer comes, so one processor is enough for both, and then waking the other costs a switch. On two processors it costs
 * an interrupt to one that has gone to sleep, several times as much, and more on a virtual machine; and there the scheduler leaves them once they are,
 * since each finds its own processor idle.  So a thread that answers one process's small requests one after the other moves to where that process
 * runs.  It is not bound there: the scheduler may put it elsewhere at once if there is something else to do. */
#ifndef COFFER_FS_FOLLOW_H
#define COFFER_FS_FOLLOW_H

#include <stdint.h>

/* This thread has answered a request of a thread `asker` (0: the kernel's own), which took so long.  Now and then moves to its processor. */
void follow_answered(uint32_t asker, uint64_t nanoseconds);

enum {
	FOLLOW_EVERY = 64,       /* requests of one asker in a row, */
	FOLLOW_BELOW_NS = 50000, /* without those that took longer: of these, both can work at the same time */
};

/* Where a thread runs or ran last; -1 if that cannot be told. */
int follow_processor_of(uint32_t thread);

#endif

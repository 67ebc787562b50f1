/* What a mount looks after while its other threads serve: signals that end it, idleness, its own read-ahead. */
#ifndef COFFER_FS_WATCH_H
#define COFFER_FS_WATCH_H

#include "fs/ending.h"

struct watch;

/* Blocks the signals that the watch waits for, in this thread and those that it starts. */
void watch_block_signals(void);

/* idle: seconds without a request after which the mount is taken away; 0: never. */
int watch_start(const struct ending *what, unsigned idle, struct watch **out) MUST_CHECK;
void watch_stop(struct watch **w);

#endif

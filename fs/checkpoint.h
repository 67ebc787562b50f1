/* Ticks and checkpoints: what is durable becomes what is in place (journal (C1) to (C7)). */
#ifndef COFFER_FS_CHECKPOINT_H
#define COFFER_FS_CHECKPOINT_H

#include "fs/internal.h"

/* One tick: everything accepted before the call is durable, and what the journal held of it in place.  Waits for one under way.  Negative: of the
 * first thing that failed; the others are done all the same, and what failed is tried again at the next. */
int checkpoint_run(struct engine *e) MUST_CHECK;

/* The thread that calls it: every few seconds, and when the journal fills. */
int checkpoint_start_ticking(struct engine *e) MUST_CHECK;
void checkpoint_stop_ticking(struct engine *e);
void checkpoint_wake(void *engine);

/* (F6) After a tick at which nothing failed, a superblock without lost ranges. */
int checkpoint_drop_ranges(struct engine *e) MUST_CHECK;

/* At the end: the last tick, and a superblock that says so. */
int checkpoint_finish(struct engine *e) MUST_CHECK;

#endif

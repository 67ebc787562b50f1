/* The gate of a mount: what changes the volume passes it, and `coffer freeze` closes it so that a backup below sees one state.
 *
 *   OPEN --freeze_start--> CLOSING --all under way have left, settled--> FROZEN --freeze_end, timeout, memory--> OPEN
 *
 * 1. A freeze waits for the changes that are under way, then settles (commits, checkpoints, syncs), then counts its time.
 * 2. While it is not open no change enters.  A request that may not enter is kept, copied, until the gate opens; no serving thread
 *    waits for it, so reading and looking go on.
 * 3. It always opens again by itself: at its time, when what is kept takes too much memory, at freeze_stop.
 * 4. Each freeze has a number of its own.  Who ends a freeze by its number learns whether it held until then, and never ends
 *    somebody else's.
 *
 * It knows neither FUSE nor the engine.  Thread-safe. */
#ifndef COFFER_FS_FREEZE_H
#define COFFER_FS_FREEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/base/cleanup.h"

enum { FREEZE_SECONDS_MAX = 86400, FREEZE_KEPT_MAX = 256 << 20 /* bytes */ };

/* Why the last freeze ended. */
enum freeze_end { FREEZE_NEVER, FREEZE_THAWED, FREEZE_TIME, FREEZE_MEMORY, FREEZE_STOPPED };

struct freeze;

/* settle: brings everything in place and syncs it; called with the gate closed and nobody inside. */
struct freeze *freeze_new(int (*settle)(void *data), void *data);
void freeze_free(struct freeze **f);

/* Closes the gate for `seconds`.  Returns once the volume below holds still.  -EBUSY: it is closed already; -ETIMEDOUT: a change under way
 * did not end; -ESHUTDOWN: the mount is ending; or what settling failed with. */
int freeze_start(struct freeze *f, unsigned seconds, uint64_t *number) MUST_CHECK;
/* Opens it.  number 0: whichever freeze it is.  -ENOENT: that freeze is over, or there is none. */
int freeze_end(struct freeze *f, uint64_t number) MUST_CHECK;
/* Waits until the freeze `number` is over, at most so long.  True if it is. */
bool freeze_wait(struct freeze *f, uint64_t number, unsigned milliseconds);
/* Opens it for good: no freeze begins any more. */
void freeze_stop(struct freeze *f);

/* Before and after a change.  False: not now (freeze_keep the request, or do without). */
bool freeze_enter(struct freeze *f) MUST_CHECK;
void freeze_leave(struct freeze *f);
/* True while no change may begin; a look only, without the promise of freeze_enter. */
bool freeze_active(struct freeze *f);
/* Changes under way. */
unsigned freeze_inside(struct freeze *f);

/* Keeps a copy of a request.  -ENOMEM: the gate has been opened instead. */
int freeze_keep(struct freeze *f, const void *request, size_t n) MUST_CHECK;
/* One that was kept, once the gate is open; waits for it.  The caller frees it.  NULL after freeze_drop. */
void *freeze_next(struct freeze *f, size_t *n);
/* The session is over: what is kept is thrown away, freeze_next returns. */
void freeze_drop(struct freeze *f);

struct freeze_status {
	bool frozen;
	unsigned seconds_left, kept;
	enum freeze_end last_end;
};
void freeze_status(struct freeze *f, struct freeze_status *out);

#endif

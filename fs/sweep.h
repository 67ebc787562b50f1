/* The first looks that nobody asks for (journal (F6)): in the background, a mount of a volume that has lost ranges looks at every file whose
 * time of change lies in one of them; then the ranges are dropped, and what does not verify is damage again. */
#ifndef COFFER_FS_SWEEP_H
#define COFFER_FS_SWEEP_H

#include "fs/internal.h"

/* The thread that does it, if there is something to be done.  It rests most of the time, and ends early when it is stopped; the next
 * mount then begins again. */
int sweep_start(struct engine *e) MUST_CHECK;
void sweep_stop(struct engine *e);

/* All at once, in the caller's thread.  0: the ranges are dropped, or there were none.  -EAGAIN: directories have been moved about, or it was
 * stopped.  Else why some file could not be looked at. */
int sweep_run(struct engine *e, bool rest) MUST_CHECK;

#endif

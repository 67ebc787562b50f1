/* What happens at a mount: a journal that was not ended cleanly is replayed (journal (R0) to (R6)). */
#ifndef COFFER_FS_RECOVER_H
#define COFFER_FS_RECOVER_H

#include "fs/internal.h"

/* Opens the journal, replays it if need be, and begins a new one as the options say.  After an unclean end a read-only engine keeps the result
 * in memory. */
int recover(struct engine *e, struct fault *why) MUST_CHECK;
/* Lets go of what it has kept. */
void recover_stop(struct engine *e);

#endif

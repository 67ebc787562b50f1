/* Setting aside what cannot be read any more: into .coffer/lost/, where nothing needs a key. */
#ifndef COFFER_FS_GIVE_UP_H
#define COFFER_FS_GIVE_UP_H

#include "fs/engine.h"

/* The file of this path in the mount goes to .coffer/lost/, as it lies below, under every name of it that is known; programs that have it open
 * go on.  Not from inside an operation. */
int give_up_path(struct engine *e, const char *path, struct fault *why) MUST_CHECK;

#endif

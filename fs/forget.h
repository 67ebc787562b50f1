/* Taking out of memory what was decrypted. */
#ifndef COFFER_FS_FORGET_H
#define COFFER_FS_FORGET_H

#include "fs/engine.h"

/* Everything that is in place is read, and so decrypted, anew when it is next asked for.  What has changes that are not in place stays. */
void engine_forget_content(struct engine *e);

#endif

/* The volume's own directories whose contents go by themselves: .coffer/gone/ and .coffer/open/. */
#ifndef COFFER_FS_GONE_H
#define COFFER_FS_GONE_H

#include <time.h>

#include "fs/internal.h"

/* Removes the ids of directories that were removed in this mount before `before`: their parents have been synced since.  Older ones are
 * what a crash left: a directory may still be there without its id, so those are for the check to decide. */
void gone_sweep(struct engine *e, time_t before);
/* Removes what a mount that died left in .coffer/open/. */
void gone_sweep_open(struct engine *e);

#endif

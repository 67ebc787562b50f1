/* Attributes: what the mount shows of what lies below. */
#ifndef COFFER_FS_ATTR_H
#define COFFER_FS_ATTR_H

#include "fs/internal.h"

/* Turns the stat of a backing object into what the mount shows: plaintext sizes.  `dir` (a handle) and `backing` name the object, for the few
 * symbolic links whose text has to be read; dir -1: through the node's own descriptor. */
void attr_fill(struct engine *e, struct node *n, const struct store_stat *st, int dir, const char *backing,
	       struct node_attr *out);

/* Clears set-uid and set-gid after a write by somebody without CAP_FSETID.  The descriptor is in use. */
int attr_drop_privileges(struct engine *e, struct node *n) MUST_CHECK;

#endif

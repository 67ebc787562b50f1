/* The descriptor budget: which nodes have their backing object open.  node.h declares what others call. */
#ifndef COFFER_FS_DESCRIPTOR_H
#define COFFER_FS_DESCRIPTOR_H

#include "fs/internal.h"

/* As many descriptors as the process may have, less a reserve for everything else. */
int descriptor_start(struct engine *e) MUST_CHECK;
void descriptor_stop(struct engine *e);

/* Closes what a node that nobody uses has open. */
void descriptor_drop(struct engine *e, struct node *n);

/* True if so many descriptors are pinned that an unlinked file should rather be parked. */
bool descriptor_scarce(struct engine *e);

#endif

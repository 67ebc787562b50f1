/* Which nodes the kernel may know. */
#ifndef COFFER_FS_KNOWN_H
#define COFFER_FS_KNOWN_H

#include "fs/engine.h"

/* *ids is the caller's to free.  Nodes that become known meanwhile are not among them. */
int engine_known_nodes(struct engine *e, uint64_t **ids, size_t *count) MUST_CHECK;

#endif

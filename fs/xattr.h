/* Extended attributes, beside the operations that engine.h declares. */
#ifndef COFFER_FS_XATTR_H
#define COFFER_FS_XATTR_H

#include "fs/internal.h"

/* Calls `bad` for each attribute of a node (its descriptor in use) in an encrypted namespace that does not open. */
int xattr_check(struct engine *e, struct node *n, int (*bad)(void *data, const char *backing, int error),
		void *data) MUST_CHECK;

#endif

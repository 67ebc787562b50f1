/* Extended attributes, beside the operations that engine.h declares. */
#ifndef COFFER_FS_XATTR_H
#define COFFER_FS_XATTR_H

#include "fs/internal.h"

/* Calls `bad` for each attribute of a node (its descriptor in use) in an encrypted namespace that does not open. */
int xattr_check(struct engine *e, struct node *n, int (*bad)(void *data, const char *backing, int error),
		void *data) MUST_CHECK;

/* Removes all attributes in the encrypted namespaces: of a file whose id is gone, and with it what they were bound to. */
void xattr_drop_all(struct engine *e, struct node *n);

#endif

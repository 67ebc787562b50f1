/* Giving an entry another name below. */
#ifndef COFFER_FS_RENAME_H
#define COFFER_FS_RENAME_H

#include "fs/names.h"

/* The entry keeps its name in the mount: only what it is called below changes.  `dir` is locked for writing, `st` is of the entry. */
int rename_below(struct engine *e, struct node *dir, const struct backing_name *from, const struct store_stat *st,
		 const struct backing_name *to) MUST_CHECK;

#endif

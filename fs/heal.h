/* Directories that a crash left without their id. */
#ifndef COFFER_FS_HEAL_H
#define COFFER_FS_HEAL_H

#include "fs/internal.h"

/* Gives a directory whose id is missing one again, after an unclean end: that of .coffer/gone/ under which a name in it authenticates (its
 * removal was lost, that of its id was not: engine rule 11), or a new one if it is empty (journal (N3)).  Else -ENOENT: a matter for the
 * check.  The directory's descriptor is in use; fills its record. */
int heal_directory(struct engine *e, struct node *dir) MUST_CHECK;

#endif

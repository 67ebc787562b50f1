/* Directories that a crash left without their id. */
#ifndef COFFER_FS_HEAL_H
#define COFFER_FS_HEAL_H

#include "fs/internal.h"

/* Gives a directory whose id is missing one again, after an unclean end: that of .coffer/gone/ under which a name in it authenticates (its
 * removal was lost, that of its id was not: engine rule 11), or a new one if it is empty (journal (N3)).  Else -ENOENT: a matter for the
 * check.  The directory's descriptor is in use; fills its record. */
int heal_directory(struct engine *e, struct node *dir) MUST_CHECK;

/* Gives a directory without an id this one, if a name in it authenticates under it; an empty one gets a new id when somebody looks, as what the
 * journal knew of this place may have moved on. */
void heal_from_journal(struct engine *e, struct node *dir, const char *text, size_t n);

#endif

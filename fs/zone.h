/* Which zone an object of the tree is in, and so under which scope's generations it lies (keymgr/scope.h).
 *
 *  1. A directory's zone is that of what is in it: the one that begins at its id, else that of the directory which holds it.  Everything else has
 *     the zone of the directory that holds it; what has lost its last name keeps the one that it had.
 *  2. Zones are told apart by numbers that never change their meaning, so a node remembers its own.  When zones come or change, all is found out
 *     anew, after every operation that began before has ended.
 *  3. What was found out while others forgot may come from what they remembered until then: it is not kept.
 *
 * Thread-safe; inside an operation.  Not under the lock of a node, nor while a file is locked. */
#ifndef COFFER_FS_ZONE_H
#define COFFER_FS_ZONE_H

#include "fs/internal.h"

#define ZONE_UNSET (UINT32_MAX - 1)

uint32_t zone_of(struct engine *e, struct node *n);
/* Somebody took the keys of what is in the zone away for now: a directory shows the names that lie below. */
bool zone_is_locked(struct engine *e, struct node *n);
/* Of a directory whose record was just read, and is not called loaded yet.  Before the record is read, and after the directory was called
 * loaded, or was not: _begin and _end. */
void zone_load(struct engine *e, struct node *dir);
uint32_t zone_load_begin(const struct engine *e);
void zone_load_end(struct engine *e, struct node *dir, uint32_t serial);
/* Before a node loses a name, which may be its last (1). */
void zone_keep(struct engine *e, struct node *n);
/* (2) */
void zones_forget(struct engine *e);

#endif

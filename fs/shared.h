/* A store that others may change while it is mounted (engine option `shared`): a sync client, an administrator, another host.
 *
 * On any other store the mount believes what it has seen, as it alone changes things.  On a shared one it looks again:
 *
 *  1. What it keeps of a file is of the version whose head stands in place.  Whoever locks the file compares, and forgets what is not (file.c).
 *     So no page is read or written under the maps of another version.
 *  2. Nothing is changed through a node that its names below no longer lead to: -ESTALE.  It may still be read by who has it open.
 *  3. A directory is the one that its record says.  With another id in it, it is another directory: its node is forsaken, and whoever
 *     looks its name up gets a new one.
 *  4. What others rename stays the same node, if it stays the same inode (node_names.c): so there are no two nodes of one inode, and no two states of one
 *     file.
 *
 * Between looking and doing others may still change something; what is read then does not authenticate, and what is written then is as if it had been
 * written before.  There is no journal: its records say what is to become of files as this mount left them. */
#ifndef COFFER_FS_SHARED_H
#define COFFER_FS_SHARED_H

#include "fs/internal.h"

struct file;

/* Before a node is changed, or a directory used for anything (2, 3).  Its descriptor is in use, and no lock held.  0 on every other store. */
int shared_look(struct engine *e, struct node *n) MUST_CHECK;

/* A sync client renames a directory by making the new one, of the same id, after it has removed the old one, or before.  True if who has the id of
 * this directory has no place any more: then it is nobody's. */
bool shared_gets_id(struct engine *e, struct node *dir);

/* (1) True if another version of a loaded file stands in place than memory knows.  The file is locked. */
bool shared_is_changed(struct engine *e, struct node *n, const struct file *f);
/* The same of a file that a change which failed has left with any size. */
bool shared_is_theirs(struct engine *e, struct node *n, const struct file *f);

#endif

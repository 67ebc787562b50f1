/* What gets another name while somebody walks over the tree, who might otherwise miss it. */
#ifndef COFFER_FS_MOVED_H
#define COFFER_FS_MOVED_H

#include "fs/internal.h"

/* A node that is about to get, or has just got, another name.  Nothing happens while nobody walks.  Who renames the same files all day does not keep
 * a walk from its end: what it has seen is not noted. */
void moved_note(struct engine *e, struct node *n);

/* The walk under way, if there is one, need not see it (again): it was there, or the node is new. */
void moved_seen(struct engine *e, struct node *n);

/* One walk at a time: -EBUSY, unless it is to wait for the one under way.  From _start on nodes are noted; _take gives what was noted so far,
 * with references, and false if there is none. */
int moved_start(struct engine *e, bool wait) MUST_CHECK;
bool moved_take(struct engine *e, struct node ***list, size_t *count);
/* The end, in the same thread.  True if something was missed: there was too much of it. */
bool moved_stop(struct engine *e);

#endif

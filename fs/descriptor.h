/* The descriptor budget: which nodes have their backing object open (descriptor.c), and how they get it (reopen.c).  node.h declares
 * what others call. */
#ifndef COFFER_FS_DESCRIPTOR_H
#define COFFER_FS_DESCRIPTOR_H

#include "fs/internal.h"

/* As many descriptors as the process may have, less a reserve for everything else. */
int descriptor_start(struct engine *e) MUST_CHECK;
void descriptor_stop(struct engine *e);

/* Closes what a node that nobody uses has open. */
void descriptor_drop(struct engine *e, struct node *n);

/* Runs `act` while nobody has a descriptor of the node in use, nor can get one, and closes it if that succeeds.  -EBUSY: it is pinned. */
int descriptor_apart(struct engine *e, struct node *n, int (*act)(void *data), void *data) MUST_CHECK;

/* For reopen.c.  Closes some until there is room for one more, as far as that goes. */
void descriptor_make_room(struct engine *e);
/* Closes one that nobody uses; false if there is none. */
bool descriptor_evict(struct engine *e);
/* Puts an open descriptor into the table; under n->lock.  False if there is no slot at all. */
bool descriptor_enter(struct engine *e, struct node *n, int fd);

/* True if so many descriptors are pinned that an unlinked file should rather be parked. */
bool descriptor_scarce(struct engine *e);
/* True if so many are that files with records in the journal have to give theirs back. */
bool descriptor_crowded(struct engine *e);

#endif

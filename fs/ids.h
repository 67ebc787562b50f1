/* Which live directory has which id: two with one id are two copies of one directory, made below the mount. */
#ifndef COFFER_FS_IDS_H
#define COFFER_FS_IDS_H

#include "fs/internal.h"

int ids_start(struct engine *e) MUST_CHECK;
void ids_stop(struct engine *e);

/* True if the node is now the only live one with its directory id; false if another has it. */
bool ids_claim(struct engine *e, struct node *dir);
/* Who has the id of a directory, with a reference; NULL: nobody. */
struct node *ids_holder(struct engine *e, struct node *dir);
bool ids_is_holder(struct engine *e, struct node *dir);
/* Before a node goes: gives its claim back, if it has one. */
void ids_release(struct engine *e, struct node *dir);

#endif

/* Listing directories. */
#ifndef COFFER_FS_LIST_H
#define COFFER_FS_LIST_H

#include "fs/internal.h"

/* Names of a directory as the mount shows them, terminated, one behind the other. */
struct name_list {
	char *text;
	size_t size, room, count;
};
void name_list_free(struct name_list *l); /* NULL is fine */
/* All that a directory shows now; it is locked and its descriptor in use. */
int list_gather(struct engine *e, struct node *dir, struct name_list **out) MUST_CHECK;

/* While the names of a directory move below, what comes into it is shown as well; it is locked. */
void list_came(struct dir *d, const char *name);

int list_start(struct engine *e) MUST_CHECK;
void list_stop(struct engine *e);

#endif

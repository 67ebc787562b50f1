/* Listing: what it keeps for the life of an engine. */
#ifndef COFFER_FS_LIST_H
#define COFFER_FS_LIST_H

#include "fs/internal.h"

int list_start(struct engine *e) MUST_CHECK;
void list_stop(struct engine *e);

#endif

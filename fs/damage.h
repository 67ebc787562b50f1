/* What does not authenticate: counted, logged with the file's name, and given to the caller as EIO. */
#ifndef COFFER_FS_DAMAGE_H
#define COFFER_FS_DAMAGE_H

#include "fs/internal.h"

/* Turns the result of opening a page into an errno for the caller: -EBADMSG is logged ("damaged: FILE: WHAT NUMBER") and
 * becomes -EIO; everything else is returned as it is. */
int damage_report(struct engine *e, struct node *n, int result, const char *what, uint64_t number);

#endif

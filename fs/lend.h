/* Lending the owner of an object rights that its mode denies him, for the moment of one call: POSIX lets an open descriptor
 * live on where the object could not be opened again, and the mount may have closed it meanwhile.
 *
 * Between lend and lend_back the thread holds engine->lending, which also whoever changes the mode of a directory takes: so neither
 * two lenders nor a lender and a chmod undo each other. */
#ifndef COFFER_FS_LEND_H
#define COFFER_FS_LEND_H

#include "fs/internal.h"

/* True if the object of this handle (O_PATH will do) has the rights now; then lend_back must follow.  *before is its mode until then.
 * n: its node; without one a kill in between leaves the rights lent (N4). */
bool lend(struct engine *e, struct node *n, int fd, mode_t rights, mode_t *before);
void lend_back(struct engine *e, struct node *n, int fd, mode_t rights, mode_t before);

#endif

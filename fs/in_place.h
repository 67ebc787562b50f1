/* The one function that writes into files late: what a checkpoint or recovery brings in place. */
#ifndef COFFER_FS_IN_PLACE_H
#define COFFER_FS_IN_PLACE_H

#include "fs/job.h"

/* Writes pages, maps and head of the job's version, then the size.  What writing takes away (capabilities, set-uid) is given back, and the time
 * of change is the user's (engine rule 6).  Not synced. */
int in_place_write(struct engine *e, struct job *j) MUST_CHECK;

#endif

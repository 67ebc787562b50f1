/* What the parts of recovery share: recover.c (the whole), recover_file.c (one file), recover_names.c (ids, sidecars, modes). */
#ifndef COFFER_FS_RECOVER_INTERNAL_H
#define COFFER_FS_RECOVER_INTERNAL_H

#include "fs/recover_log.h"

struct recovery {
	struct engine *e;
	struct record_log log;
	uint64_t files, pages;
	bool walked;
};

/* (R2), (R3) What the records make of a file, in memory: the store is only read.  1: a change, 0: nothing.  -ENOKEY: some of it is under a key
 * that cannot be used now; the file is refused then. */
int recover_file(struct recovery *rec, struct node *n, const struct logged_file *lf) MUST_CHECK;
/* Of a file that has changed: cuts it (F2) if need be; the next checkpoint brings it in place (R4). */
int recover_file_keep(struct recovery *rec, struct node *n) MUST_CHECK;

/* (N3) Ids and sidecars that did not last, though the names that need them did. */
void recover_sides(struct recovery *rec);
/* (N4) */
void recover_modes(struct recovery *rec);

#endif

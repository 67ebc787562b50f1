/* One file's checkpoint: the version that its records amount to, sealed, logged, then brought in place. */
#ifndef COFFER_FS_JOB_H
#define COFFER_FS_JOB_H

#include "fs/file_parts.h"
#include "fs/record.h"

/* Bytes that lie in a payload of the journal and go to `to` in the file. */
struct move {
	uint64_t to, from;
	uint32_t bytes;
};

struct job {
	struct job *next; /* of the tick */
	struct node *node;
	uint8_t version[AEAD_TAG];
	uint8_t head[PAGE_BYTES];
	int head_length;
	struct move *moves; /* pages and maps, in the order of their places */
	size_t count, room;
	struct extents freed; /* holes of this version whose space is to be given back */
	uint64_t size;
	struct timespec mtime;
	struct journal_mark first; /* its oldest record */
	int error;                 /* of bringing it in place; it is tried again */
};

/* (C3) Seals the file's new version and logs it, if it has records.  *out: NULL if there is nothing to do; one that failed before comes back. */
int job_start(struct engine *e, struct node *n, struct job **out) MUST_CHECK;
/* The version is in place and synced: nobody reads its pages and maps from the journal any more, whose space may now be used again. */
void job_settle(struct engine *e, struct job *j);
/* The version is in place and synced, and its records are not needed (`done`); or it is kept for the next time. */
void job_end(struct engine *e, struct job *j, bool done);
void job_free(struct job *j); /* NULL is fine */

#endif

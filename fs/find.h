/* Finding files by id at recovery: where the journal says they are, else by one walk over data/ (journal (N1)). */
#ifndef COFFER_FS_FIND_H
#define COFFER_FS_FIND_H

#include "fs/record.h"

struct found {
	uint8_t id[16];
	char *path;        /* where it should be; NULL: nobody knows */
	bool gone;         /* if it is not there it was removed */
	struct node *node; /* with a reference; NULL: it was removed */
};

struct find_list {
	struct engine *e;
	struct found *list;
	size_t count, room;
};

/* Takes a copy of the path. */
int find_add(struct find_list *l, const uint8_t id[16], const char *path, bool gone) MUST_CHECK;
/* *walked: some were not where they should be, and not told gone. */
int find_all(struct engine *e, struct find_list *l, bool *walked) MUST_CHECK;
void find_free(struct find_list *l);

/* (N3) Puts a directory's id (name empty) or a long name's sidecar where it is missing, if what needs it is there. */
void find_restore_side(struct engine *e, const char *path, struct record_path name, struct record_path text);
/* (N4) Takes back rights that were lent when the mount died; true if the object had them. */
bool find_restore_mode(struct engine *e, const char *path, mode_t mode, mode_t lent);

#endif

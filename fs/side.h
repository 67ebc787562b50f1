/* Records of the journal about names: ids and sidecars before the names that need them (N3), hints when paths change (N2).  Without a journal they do nothing. */
#ifndef COFFER_FS_SIDE_H
#define COFFER_FS_SIDE_H

#include "fs/names.h"

/* The directory `name` in `parent` is about to appear, with this id. */
int side_log_directory(struct engine *e, struct node *parent, const char *name,
		       const struct directory_record *record) MUST_CHECK;
/* A long name is about to appear in `dir`. */
int side_log_sidecar(struct engine *e, struct node *dir, const struct backing_name *b) MUST_CHECK;

/* On a store that does not keep the order of changes of several directories: before something that may be durable gets a (long) name in `to`, what
 * that name needs is; and a sidecar goes only when the name that needed it is durably gone. */
int side_settle_target(struct engine *e, struct node *to, const struct backing_name *b) MUST_CHECK;
void side_drop_sidecar(struct engine *e, struct node *dir, const struct backing_name *b);

/* n has moved; `from` is its path before, of `size` characters.  The last name of n, in `dir`, has gone.  n, which has none, is about to get this one. */
void side_log_moved(struct engine *e, struct node *n, const char *from, size_t size);
void side_log_gone(struct engine *e, struct node *n, struct node *dir);
void side_log_named(struct engine *e, struct node *n, struct node *dir, const char *name);
/* A record of n, which has no name, was written; the file is locked.  (Of one that had a name side_log_gone has told.) */
void side_log_nameless(struct engine *e, struct node *n, const uint8_t id[16]);

/* (N4) Rights are about to be lent to the owner of n, whose mode is `mode`; durable when this returns. */
int side_log_mode(struct engine *e, struct node *n, mode_t mode, mode_t lent) MUST_CHECK;
/* The user has given n another mode: what was noted before counts no more. */
int side_log_chmod(struct engine *e, struct node *n, mode_t mode) MUST_CHECK;

#endif

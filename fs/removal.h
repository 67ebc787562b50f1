/* What unlink, rmdir (remove.c) and a rename over something (rename.c) do with what goes. */
#ifndef COFFER_FS_REMOVAL_H
#define COFFER_FS_REMOVAL_H

#include "fs/directory.h"
#include "fs/symlink.h"

/* --- files that the kernel may hold */

/* A file whose only name goes while descriptors are scarce. */
bool removal_should_park(struct engine *e, const struct node *n, const struct store_stat *st);
/* Gives a file that is to be replaced one more name, in .coffer/open/; removal_unpark takes it back. */
int removal_park_beside(struct engine *e, struct node *n, char name[OWN_NAME_MAX]) MUST_CHECK;
void removal_unpark(struct engine *e, struct node *n, const char *name);

/* Before a name goes: pins a descriptor of n (NULL is fine), so that whoever has it open goes on.  True if it did. */
bool removal_keep_open(struct engine *e, struct node *n);
/* Afterwards: the name is gone, or, after a failure, is not. */
void removal_name_went(struct engine *e, struct node *dir, const char *backing, struct node *n, bool pinned, bool gone);

/* The text of a symbolic link whose last name is about to go, for its body; else empty. */
void removal_link_text(struct engine *e, struct node *dir, const char *backing, const struct store_stat *st,
		       char text[LINK_TEXT_MAX]);

/* --- directories */

/* A directory that is to go, in use and locked like the one that holds it, so that nothing comes into it behind the proof.  Directories
 * are locked by address and not from the top down, so a lock that is taken cannot be waited for here: -EAGAIN, and *busy is to be
 * given to removal_wait when all other locks are free. */
int removal_begin(struct engine *e, struct node *dir, const char *backing, const struct store_stat *st,
		  struct node **out, struct node **busy) MUST_CHECK;
void removal_end(struct engine *e, struct node *n);
/* False if there was nothing to wait for (NULL); else try again. */
bool removal_wait(struct engine *e, struct node *busy);

/* 0, or -ENOTEMPTY if there is more in it than the format's own. */
int removal_prove_empty(struct engine *e, int fd) MUST_CHECK;
/* Sets the id of an empty directory aside and removes it. */
int removal_take_down(struct engine *e, struct node *parent, const char *backing, int fd) MUST_CHECK;

#endif

/* Holding a directory for an operation on its entries. */
#ifndef COFFER_FS_DIRECTORY_H
#define COFFER_FS_DIRECTORY_H

#include "fs/internal.h"

enum dir_lock { DIR_READ, DIR_WRITE };

/* The directory of an id: referenced, open, its id record loaded, locked.  -ESTALE, -ENOTDIR, -EIO (no valid
 * id), -EROFS (to be changed, but a copy of another live directory). */
int directory_begin(struct engine *e, uint64_t id, enum dir_lock how, struct node **out) MUST_CHECK;
void directory_end(struct engine *e, struct node *dir);

/* Two directories to be changed, which may be one; locked in the order of their addresses. */
int directory_begin_two(struct engine *e, uint64_t a, uint64_t b, struct node **dir_a, struct node **dir_b) MUST_CHECK;
void directory_end_two(struct engine *e, struct node *dir_a, struct node *dir_b);

/* A random name of the format's own, ".coffer-" KIND "-" and 22 characters: for what is being made or set aside. */
enum { OWN_NAME_MAX = 48 };
int directory_own_name(const char *kind, char out[OWN_NAME_MAX]) MUST_CHECK;

/* Calls `each` for every raw entry of directory handle fd but "." and "..", until it returns non-zero, which is then returned.  The caller
 * owns the handle's position. */
int directory_scan(struct engine *e, int fd, int (*each)(void *data, const struct store_dirent *d),
		   void *data) MUST_CHECK;
/* The same of a directory in use, by a handle of its own: others may be listing the same directory. */
int directory_scan_apart(struct engine *e, struct node *dir, int (*each)(void *data, const struct store_dirent *d),
			 void *data) MUST_CHECK;

#endif

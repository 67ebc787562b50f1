/* Names of entries: between what the mount shows and what lies below (docs/format-volume.md sections 4 and 5). */
#ifndef COFFER_FS_NAMES_H
#define COFFER_FS_NAMES_H

#include <limits.h>

#include "fs/internal.h"
#include "util/base/bytes.h"

enum {
	FULL_NAME_MAX = 364, /* base64url of 16 + 256 bytes */
	LONG_NAME_SIZE = 44, /* "~" and base64url of a hash */
};

/* The backing form of a name. */
struct backing_name {
	bool is_long;
	char name[NAME_MAX + 1];      /* of the entry */
	char sidecar[NAME_MAX + 1];   /* of the sidecar, if long */
	char full[FULL_NAME_MAX + 1]; /* what the sidecar holds */
};

#define DIRECTORY_RECORD_NAME ".coffer-dir"

/* True for names below that are the format's own. */
bool names_is_ours(const char *backing);

/* Reads a directory's id record if that was not done yet.  -EIO if it is missing or wrong (and a log line).  The directory's
 * descriptor is in use. */
int names_load_directory(struct engine *e, struct node *dir) MUST_CHECK;

/* Reads the id record in directory handle fd.  -ENOENT, -EBADMSG if it is missing or wrong. */
int names_read_record(struct engine *e, int fd, struct directory_record *r) MUST_CHECK;

/* Writes an id record as `.coffer-dir` into directory handle fd. */
int names_write_record(struct engine *e, int fd, const struct directory_record *r) MUST_CHECK;

/* The backing form under one generation of a loaded directory.  -ENAMETOOLONG, -EINVAL for names that cannot be. */
int names_encrypt(struct engine *e, struct node *dir, uint32_t generation, const char *name,
		  struct backing_name *out) MUST_CHECK;
/* The generation that new entries of a directory get. */
static inline uint32_t names_generation(const struct dir *d)
{
	return d->record.next ? d->record.next : d->record.generation;
}

/* The backing form under which an entry exists, with its stat; -ENOENT if under none.  dir's descriptor is in use.  In a locked zone
 * (zone.h) names are those that lie below, here and in names_decrypt. */
int names_lookup(struct engine *e, struct node *dir, const char *name, struct backing_name *out,
		 struct store_stat *st) MUST_CHECK;

/* The name that a backing name stands for; long ones read their sidecar.  -EBADMSG: not a name of this directory. */
int names_decrypt(struct engine *e, struct node *dir, const char *backing, char out[NAME_MAX + 1]) MUST_CHECK;

/* Sidecars.  Making one that is there already is fine. */
int names_add_sidecar(struct engine *e, int dir, const struct backing_name *b) MUST_CHECK;
void names_drop_sidecar(struct engine *e, int dir, const struct backing_name *b);

/* The id of the directory that a node lies in, for the head of a new file; zeros if that cannot be told. */
/* The path below data/, of backing names and not terminated; returns its length, 0 if there is none or it is too long. */
size_t names_backing_path(struct engine *e, struct node *n, char *out, size_t room);
void names_birth(struct engine *e, struct node *n, uint8_t birth[DIRECTORY_ID_SIZE]);

/* The path of a node in the mount, for people. */
void names_path(struct engine *e, struct node *n, char *out, size_t size);

/* The short text that an object below holds: the target of a link, or the content of a small file.  Terminated; returns the length. */
ssize_t names_read_text(struct engine *e, int dir, const char *name, char *out, size_t size) MUST_CHECK;
/* Makes such an object. */
int names_write_text(struct engine *e, int dir, const char *name, const char *text) MUST_CHECK;

#endif

/* A file that is edited: replaced whole, atomically, and still the same file for its users.
 *
 *   (1) The new text is in place whole or not at all; a cut or a signal leaves the old file.
 *   (2) Mode, owner, group, ACL and other attributes are the old file's before the new text gets its name.
 *   (3) A file that somebody changed since it was opened is not replaced.
 *   (4) The new text has no name until it is complete, or one of mode 0600 that a signal removes. */
#ifndef COFFER_FIELD_TARGET_H
#define COFFER_FIELD_TARGET_H

#include <sys/stat.h>

#include "util/base/fault.h"
#include "util/field/buffer.h"

struct target {
	const char *shown; /* as the user named it */
	char *directory, *name;
	int dir, in, out; /* -1: not open */
	struct stat before;
	bool exists;
	char *temporary; /* its name, if it needed one */
};
#define TARGET_NONE      ((struct target){.dir = -1, .in = -1, .out = -1})
#define _cleanup_target_ _cleanup_(target_close)

/* Opens the file behind the name: a symbolic link is followed. */
int target_open(struct target *t, const char *path, struct fault *why) MUST_CHECK;
/* For --output: the file need not exist yet. */
int target_create(struct target *t, const char *path, struct fault *why) MUST_CHECK;
/* Before the first write. */
int target_begin(struct target *t, struct fault *why) MUST_CHECK;
/* An engine_write; the context is the target. */
int target_write(void *context, const char *bytes, size_t n, struct fault *why) MUST_CHECK;
int target_commit(struct target *t, struct fault *why) MUST_CHECK;
/* Without a commit nothing has happened. */
void target_close(struct target *t);

/* The engine_write that writes to a descriptor; the context is an int. */
int descriptor_write(void *context, const char *bytes, size_t n, struct fault *why) MUST_CHECK;

#endif

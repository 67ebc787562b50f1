/* The mounts of coffer in this mount namespace, from /proc/self/mountinfo. */
#ifndef COFFER_CLI_MOUNTS_H
#define COFFER_CLI_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "util/base/fault.h"

struct mount_entry {
	char *point;  /* where */
	char *source; /* the volume's directory */
	bool read_only;
};

struct mounts {
	struct mount_entry *list; /* in the order they were made */
	size_t count;
};
#define _cleanup_mounts_ _cleanup_(mounts_free)

int mounts_read(struct mounts *out, struct fault *why) MUST_CHECK;
void mounts_free(struct mounts *m);

/* The mount that one sees at `path` (absolute); NULL if there is none of coffer's. */
const struct mount_entry *mounts_at(const struct mounts *m, const char *path);
/* The first mount of the volume `dir` (absolute) behind `after` (NULL: from the beginning); NULL: no more. */
const struct mount_entry *mounts_of(const struct mounts *m, const char *dir, const struct mount_entry *after);

/* True if the process that served it is gone. */
bool mount_is_dead(const char *point);

#endif

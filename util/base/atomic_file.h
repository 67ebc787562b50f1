/* Small files that are replaced whole: written under a temporary name, synced, renamed, directory synced. */
#ifndef COFFER_BASE_ATOMIC_FILE_H
#define COFFER_BASE_ATOMIC_FILE_H

#include "util/base/store.h"

/* What a power cut may leave behind has a name that begins so; nobody ever reads it, anybody may remove it. */
#define ATOMIC_FILE_PREFIX ".coffer-tmp-"

/* Replaces dir/name by the n bytes, mode 0600.  A failure or power cut leaves the old file or the new one, whole.  `dir` is not an
 * O_PATH handle: it is synced. */
int atomic_file_write(struct store *s, int dir, const char *name, const void *bytes, size_t n) MUST_CHECK;

/* Reads dir/name into a new buffer (*out, freed by the caller, followed by a zero byte that *n does not count).  The file must be regular,
 * have one link, and at most max bytes: else -ELOOP, -EMLINK, -EFBIG. */
int atomic_file_read(struct store *s, int dir, const char *name, size_t max, char **out, size_t *n) MUST_CHECK;

#endif

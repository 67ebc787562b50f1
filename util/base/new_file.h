/* Files that are made once: recovery keys, backups, shares. */
#ifndef COFFER_BASE_NEW_FILE_H
#define COFFER_BASE_NEW_FILE_H

#include <sys/uio.h>

#include "util/base/fault.h"

/* Writes the parts into a new file of mode 0600, synced with its directory.  It must not exist; a failure leaves none behind. */
int new_file_write(const char *file, const struct iovec *parts, unsigned count, struct fault *why) MUST_CHECK;

#endif

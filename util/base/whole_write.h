/* Writing to descriptors that are not the volume's: terminals, pipes, files beside. */
#ifndef COFFER_BASE_WHOLE_WRITE_H
#define COFFER_BASE_WHOLE_WRITE_H

#include <stddef.h>

#include "util/base/cleanup.h"

/* Writes all n bytes, or fails with a negative errno, having written a part of them.  A signal does not end it. */
int whole_write(int fd, const void *bytes, size_t n) MUST_CHECK;

/* A new file in memory with these bytes, at its beginning; `flags` as for memfd_create(2).  The descriptor, or a negative errno. */
int memory_file(const char *name, unsigned flags, const void *bytes, size_t n) MUST_CHECK;

#endif

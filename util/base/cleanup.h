/* Scope-bound release of what a function owns, and compiler hints. */
#ifndef COFFER_BASE_CLEANUP_H
#define COFFER_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define _cleanup_(f)           __attribute__((cleanup(f)))

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_  _cleanup_(cleanup_freep)
#define _cleanup_close_ _cleanup_(cleanup_closep)

#endif

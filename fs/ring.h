/* FUSE over io_uring (mount option io_uring): libfuse's own threads, one for each processor, take requests from rings and call the operations. They do
 * not pass the device, where the crew of transport.c judges requests, counts them, and gives each thread its keys; so here the operations are
 * wrapped in the same.
 *
 *  1. A request of the device (INIT, FORGET, and what comes before the rings stand) was judged there, and is passed on as it is.
 *  2. What a freeze holds up keeps its place in the ring, since its names and bytes lie there: no thread waits for it, but each processor has only so
 *     many places. When all are taken, what else is asked on that processor waits for the end of the freeze, too.
 *  3. A lock wipes what the threads hold, when they next work. The places in the rings are libfuse's: what was read last stays there until something else
 *     takes its place. */
#ifndef COFFER_FS_RING_H
#define COFFER_FS_RING_H

#include "fs/ops.h"
#include "fs/transport.h"

/* Why there are none: this libfuse, or this kernel; NULL if rings can be had. */
const char *ring_missing(void);

/* The operations, wrapped; ops_table where there are no rings. */
const struct fuse_lowlevel_ops *ring_table(void);

struct freeze;
/* Before the first request. */
void ring_start(struct freeze *freeze, const struct transport_hooks *hooks);

/* What a freeze kept (freeze_keep): a request of a ring, or one of the device. */
bool ring_is_kept(const void *request, size_t n);
void ring_serve_kept(const void *request);

#endif

/* Between libfuse and the kernel: reads requests, sees their raw flags, counts them, and completes the answer to INIT.
 *
 * libfuse 3.14 neither passes on the "kill privileges" flags of WRITE and SETATTR nor sends the INIT flags PARALLEL_DIROPS and
 * HANDLE_KILLPRIV_V2, so the raw bytes are looked at on their way in and out. */
#ifndef COFFER_FS_TRANSPORT_H
#define COFFER_FS_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/base/cleanup.h"

struct fuse_session;

/* Takes over the device of a mounted session. */
int transport_attach(struct fuse_session *se) MUST_CHECK;

/* Serves with `threads` threads until the filesystem is unmounted.  at_end is called in each thread before it ends. */
int transport_run(struct fuse_session *se, unsigned threads, void (*at_end)(void)) MUST_CHECK;

/* What the request that this thread works on carried beside what libfuse shows. */
bool transport_kills_privileges(void);

/* Requests so far, by opcode; the opcodes with a name. */
enum { TRANSPORT_OPCODES = 64 };
void transport_counts(uint64_t out[TRANSPORT_OPCODES]);
const char *transport_opcode_name(unsigned opcode); /* NULL if it has none */

/* CLOCK_MONOTONIC seconds of the last request. */
int64_t transport_last_request(void);

#endif

/* Between libfuse and the kernel: reads requests, sees their raw flags, counts them, and completes the answer to INIT.
 *
 * libfuse before 3.17 sends neither of the INIT flags PARALLEL_DIROPS and HANDLE_KILLPRIV_V2, and none passes on all of the "kill
 * privileges" flags of WRITE and SETATTR, so the raw bytes are looked at on their way in, and with the former on their way out. */
#ifndef COFFER_FS_TRANSPORT_H
#define COFFER_FS_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/base/cleanup.h"

struct freeze;
struct fuse_session;

/* Takes over the device of a mounted session. */
int transport_attach(struct fuse_session *se) MUST_CHECK;

/* What is called in the threads that serve: around each request, and before a thread ends. */
struct transport_hooks {
	void (*begin)(void *data), (*end)(void *data);
	void (*at_end)(void);
	void (*wipe)(void); /* what the thread has of earlier answers */
	void *data;
};

/* Serves with `threads` threads until the filesystem is unmounted, or transport_end.  What changes the volume passes the gate `freeze`; what
 * it holds up waits in memory, not in a thread. */
int transport_run(struct fuse_session *se, struct freeze *freeze, unsigned threads,
		  const struct transport_hooks *hooks) MUST_CHECK;

/* Makes the kernel ask for the attributes of these nodes before it takes another write into its cache. */
void transport_forget_attributes(struct fuse_session *se, const uint64_t *nodes, size_t count);
/* Empties the kernel's caches: names, and attributes and pages of these nodes.  It waits for what the kernel has to write to them. */
void transport_forget_everything(struct fuse_session *se, const uint64_t *nodes, size_t count);
/* Has every serving thread wipe its buffers: what was asked and answered before is not left in them.  Not in one of those threads. */
void transport_wipe(void);
/* Requests so far, but those that only let go of something. */
uint64_t transport_requests(void);
/* Ends transport_run. */
void transport_end(struct fuse_session *se);

/* For threads that serve without passing the device (ring.h): an fs context of its own, as the umask of a creation is a thread's alone; what a
 * request carries beside what libfuse shows, before it is worked on; how often transport_wipe was called. */
void transport_own_context(void);
void transport_note(bool kills_privileges);
unsigned transport_wipes(void);

/* When the request that this thread works on came (meter.h). */
uint64_t transport_began(void);
/* What it carried beside what libfuse shows. */
bool transport_kills_privileges(void);

/* Requests so far, by opcode; the opcodes with a name. */
enum { TRANSPORT_OPCODES = 64 };
void transport_counts(uint64_t out[TRANSPORT_OPCODES]);
const char *transport_opcode_name(unsigned opcode); /* NULL if it has none */
bool transport_is_waited_for(unsigned opcode);      /* not one that only lets go of something */
uint64_t transport_writes(void);                    /* WRITE requests so far */

/* CLOCK_MONOTONIC seconds of the last request. */
int64_t transport_last_request(void);

#endif

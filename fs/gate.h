/* What a mount may serve now.  It is locked, or ends, while requests go on coming.
 *
 *  1. While it refuses, requests get ENOKEY, but those of the kernel's own (to get rid of what it has, to let go), and of the root's attributes and the
 *     store's space, which need no key.
 *  2. When it ends, only what the kernel writes back is served, and what waits for that.
 *  3. What changes something below passes the gate of freezes (freeze.h), which is whose who serves it.
 *  4. A request counts as under way before it is judged: who closes the gate waits for those that were let through.
 *
 * Thread-safe.  One mount for each process. */
#ifndef COFFER_FS_GATE_H
#define COFFER_FS_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct gate_request {
	unsigned opcode;
	uint64_t node;
	bool written_back; /* a WRITE from the kernel's cache; a SETATTR of nothing but the time that follows such */
};

/* GATE_UNANSWERED: whoever asked gets an error when the session ends. */
enum gate_verdict { GATE_LOOK, GATE_CHANGE, GATE_REFUSED, GATE_UNANSWERED };

/* Around each request; between them it is judged and served. */
void gate_come(void);
void gate_gone(void);
enum gate_verdict gate_judge(const struct gate_request *r);

/* (1) */
void gate_refuse(bool so);
/* (2) Returns when every other request is answered. */
void gate_serve_the_last(void);
/* Nothing is served any more; returns when nothing is under way. */
void gate_close(void);

#endif

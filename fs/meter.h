/* What the threads of a mount count: requests, how long they took, bytes, and what was found in a cache.
 *
 *  1. A thread writes only into a block of its own, with plain relaxed stores: no lock, no atomic addition, no cache line that another thread
 *     writes.  Who reads adds the blocks up.
 *  2. A block outlives its thread, and is the next one's: what was counted stays counted.
 *  3. With more threads than METER_BLOCKS, those beyond share the last block, and may lose a count. */
#ifndef COFFER_FS_METER_H
#define COFFER_FS_METER_H

#include <stdint.h>

enum {
	METER_BLOCKS = 128,
	METER_KINDS = 64,
	METER_STEPS = 24, /* of latency: step i counts up to 2^i microseconds, the last one everything above too */
};

enum meter {
	METER_BYTES_READ, /* contents of files, as the callers see them */
	METER_BYTES_WRITTEN,
	METER_MAP_HITS, /* a map page was in memory */
	METER_MAP_MISSES,
	METER_DESCRIPTOR_HITS, /* the object below was open */
	METER_DESCRIPTOR_MISSES,
	METERS,
};

struct meter_sum {
	uint64_t count[METERS];
	uint64_t requests[METER_KINDS];             /* that came, by opcode */
	uint64_t answered[METER_KINDS];             /* whose time is known */
	uint64_t nanoseconds[METER_KINDS];          /* of these, together */
	uint64_t latency[METER_KINDS][METER_STEPS]; /* of these, how many took so long */
};

void meter_add(enum meter m, uint64_t n);
void meter_came(unsigned kind);
void meter_answered(unsigned kind, uint64_t nanoseconds);

void meter_read(struct meter_sum *out);
/* Requests that came, of one kind. */
uint64_t meter_requests(unsigned kind);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t meter_now(void);

#endif

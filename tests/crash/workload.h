/* What is done to a live volume before it crashes. */
#ifndef COFFER_TESTS_CRASH_WORKLOAD_H
#define COFFER_TESTS_CRASH_WORKLOAD_H

#include "acts.h"

struct workload {
	const char *name;
	void (*run)(struct live *l); /* draws from l->random only */
	unsigned costs;              /* so many times what others do; 0: as much */
};

extern const struct workload workloads[];
extern const size_t workload_count;

#endif

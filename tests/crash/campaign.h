/* Crashing one workload: live runs, states, what is required of each. */
#ifndef COFFER_TESTS_CRASH_CAMPAIGN_H
#define COFFER_TESTS_CRASH_CAMPAIGN_H

#include "workload.h"

/* States of one live run; behind that many another is made, from another seed. */
enum { STATES_OF_RUN = 60 };

struct campaign {
	const struct base *base;
	const struct workload *workload;
	uint64_t seed;
	bool models[MODELS];
	bool verbose;      /* the record and what became of each call */
	unsigned complain; /* at most so many violations of each model are told at length */
	const char *with;  /* options that a repetition needs */
};

struct tally {
	unsigned states, second; /* built; of these after a second crash */
	unsigned violations;     /* states that break the contract */
	unsigned checked;        /* by the check */
	unsigned unreadable, retried;
	size_t calls; /* of the longest record */
};

/* `count` states of each model, from state `first` on. */
void campaign_run(const struct campaign *c, unsigned first, unsigned count, struct tally out[MODELS]);

#endif

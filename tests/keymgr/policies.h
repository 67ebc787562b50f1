/* A volume for the tests of policies, at noon. */
#ifndef COFFER_TESTS_KEYMGR_POLICIES_H
#define COFFER_TESTS_KEYMGR_POLICIES_H

#include "fixture.h"

#include "keymgr/policy.h"

enum { DAY = 24 * 60 * 60 };
static const time_t noon = 1700000000;

struct work {
	struct volume v;
	struct keyring *k;
	struct fault why;
	struct policy_done done;
	struct managed_policy managed; /* where the facts point to it */
	struct policy_facts facts;
};

/* Nothing has been counted, and no key service says anything. */
static inline void start(struct work *w)
{
	*w = (struct work){.facts = {.bytes = UINT64_MAX}};
	document_set_clock_for_tests(noon);
	volume_make(&w->v);
	w->k = open_volume(&w->v);
}

static inline void end(struct work *w)
{
	keyring_free(&w->k);
	volume_close(&w->v);
}

#endif

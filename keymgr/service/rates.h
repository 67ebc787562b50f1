/* How many requests a client may send: a bucket of tokens for each, which fills by so many a second and holds those of two.  In memory only, bounded by
 * the clients that were accepted.  Knows no clock. */
#ifndef COFFER_SERVICE_RATES_H
#define COFFER_SERVICE_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "util/base/cleanup.h"

enum { RATE_DEFAULT = 500, RATE_BURST_S = 2, RATE_TOLD_MS = 60 * 1000 };

struct rates {
	unsigned per_second; /* 0: as many as they like */
	void *index;         /* tsearch(3), by client */
};
void rates_free(struct rates *r);

struct rate_refusal {
	int retry_after; /* seconds until there is room again */
	bool tell;       /* the first one in a minute: it goes into the log */
	uint64_t untold; /* refusals of this client since the last that did */
};
/* One request of this client, at a time in milliseconds that does not go back.  1: it is served; 0: it is refused, *out
 * says how; -ENOMEM. */
int rate_take(struct rates *r, const char *client, uint64_t now_ms, struct rate_refusal *out) MUST_CHECK;
/* What was served cost as much as `more` requests besides: they are taken off what this client has left, as far as that goes. */
void rate_charge(struct rates *r, const char *client, uint64_t more);

#endif

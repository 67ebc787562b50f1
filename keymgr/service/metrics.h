/* What the service says of itself: numbers for Prometheus (text format 0.0.4) and a health check, in plain HTTP on a loopback port of their own. */
#ifndef COFFER_SERVICE_METRICS_H
#define COFFER_SERVICE_METRICS_H

#include "keymgr/service/server.h"

struct event_base;

struct metrics_source {
	void *context;
	/* Writes lines of text, terminated, into n bytes; what does not fit is left out. */
	void (*metrics)(void *context, char *out, size_t n);
	/* Whether all is well; else `why` in a few words. */
	bool (*health)(void *context, char *why, size_t n);
};

struct metrics;
/* On ADDR:PORT, which has to be a loopback address.  A visitor has `seconds` in total, however slowly he asks. */
int metrics_new(struct event_base *base, const char *listen_on, int seconds, const struct metrics_source *source,
		struct metrics **out, char shown[ADDRESS_TEXT], struct fault *why) MUST_CHECK;
void metrics_free(struct metrics **m);

#endif

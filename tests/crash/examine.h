/* Starting an engine on what a crash left, and holding what it shows against the history. */
#ifndef COFFER_TESTS_CRASH_EXAMINE_H
#define COFFER_TESTS_CRASH_EXAMINE_H

#include "oracle.h"
#include "volume.h"

struct examined {
	char text[1200];              /* what it breaks, the first; empty: nothing */
	unsigned unreadable, retried; /* as in struct verdict */
	size_t before, started,
		looked; /* calls that were recorded at first, when the engine had started, when all had been looked at */
};

/* Recovers, looks at everything, stops, starts again; with `check` the check's own code is run as well.  The store is changed by all
 * that. */
void examine(const struct base *b, struct crash_store *cs, const struct oracle *o, const struct view *v, bool check,
	     struct examined *out);

/* What a crash leaves: the calls of the record that are kept, on `base`, which was there before them.  Behind a kill the record goes on, and
 * `base` stays what it was; behind a power cut a new one begins. */
struct crash_store *crashed(const struct cut *cut, const struct image *base, const struct record *r, FILE *trace);

#endif

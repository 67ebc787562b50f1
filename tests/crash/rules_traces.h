/* Directed traces, one or more for each rule that can be switched off: with the rule they hold, without it they do not. */
#ifndef COFFER_TESTS_CRASH_RULES_TRACES_H
#define COFFER_TESTS_CRASH_RULES_TRACES_H

#include "fs/rules.h"
#include "trace.h"

struct directed {
	enum rule rule; /* switched off the second time; RULES: nothing is, as no switch could leave it out */
	const char *what;
	void (*play)(struct trace *t); /* up to and with the crashes */
};

extern const struct directed writing_traces[], checkpoint_traces[], recovery_traces[], name_traces[];
extern const size_t writing_count, checkpoint_count, recovery_count, name_count;

enum { PAGE = CRASH_PAGE, BIG = 20 * CRASH_PAGE /* too much to go into the journal as well (W3) */ };

/* Written while a sync is under way. */
struct late_write {
	unsigned file;
	uint64_t off;
	size_t size;
	bool sync;
	size_t end; /* calls when it had been done */
};
void write_meanwhile(struct live *l, void *late_write);

#endif

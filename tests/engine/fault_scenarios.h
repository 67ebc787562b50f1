/* Operations, and what each begins with, for test_engine_faults.c. */
#ifndef COFFER_TESTS_FAULT_SCENARIOS_H
#define COFFER_TESTS_FAULT_SCENARIOS_H

#include "fixture.h"

enum kind {
	ATOMIC,   /* done or not done */
	CONTENT,  /* "f" changes: each byte is the old or the new one, and the size lies between */
	IN_PLACE, /* the same, and without a journal pages of the file may be lost after an I/O error */
};

/* Of an operation: a part was done, and the error was kept back. */
enum { CAME_SHORT = 1 };

/* Both get directory "t" of the root. */
struct scenario {
	const char *name;
	enum kind kind;
	void (*prepare)(struct vol *v, uint64_t dir);
	int (*op)(struct vol *v, uint64_t dir);
};
extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* The names and contents that they use; before any of them. */
void scenarios_fill(void);

#endif

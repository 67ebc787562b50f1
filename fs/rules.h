/* The rules of the crash protocol (docs/durability.md) that the crash tests switch off one by one, to show that each is needed and that
 * the tests see it.  Outside those tests RULE(X) is true. */
#ifndef COFFER_FS_RULES_H
#define COFFER_FS_RULES_H

#ifdef COFFER_RULES
#include <stdbool.h>

/* Named as in docs/durability.md; what is done without each stands at its place in the code. */
enum rule {
	RULE_W1,
	RULE_W1order,
	RULE_W1live,
	RULE_W1both,
	RULE_W2,
	RULE_W3,
	RULE_W4,
	RULE_W5a,
	RULE_W5h,
	RULE_W5b,
	RULE_W5share,
	RULE_W6,
	RULE_B2order,
	RULE_B3,
	RULE_B3lock,
	RULE_B4,
	RULE_B5h,
	RULE_C2,
	RULE_C3base,
	RULE_C4files,
	RULE_C4apply,
	RULE_C5size,
	RULE_C5way,
	RULE_C6,
	RULE_C6gone,
	RULE_C7,
	RULE_N1,
	RULE_N2,
	RULE_N2settled,
	RULE_N3,
	RULE_N3sync,
	RULE_N4,
	RULE_R0,
	RULE_R2,
	RULE_R2left,
	RULE_R2skip,
	RULE_R3stop,
	RULE_R3rename,
	RULE_R3young,
	RULE_R4base,
	RULE_R5,
	RULE_F2,
	RULE_F3,
	RULES
};

extern const char *const rule_names[RULES + 1];
extern bool rules_off[RULES];

#define RULE(name) (!rules_off[RULE_##name])
#else
#define RULE(name) 1
#endif

#endif

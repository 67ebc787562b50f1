/* The switches of rules.h; of any other build nothing. */
#include "fs/rules.h"

#ifdef COFFER_RULES
#include <stddef.h>

#define RULE_NAME(name) [RULE_##name] = #name

const char *const rule_names[RULES + 1] = {
	RULE_NAME(W1),      RULE_NAME(W1order), RULE_NAME(W1live),   RULE_NAME(W1both),    RULE_NAME(W2),
	RULE_NAME(W3),      RULE_NAME(W4),      RULE_NAME(W5a),      RULE_NAME(W5h),       RULE_NAME(W5b),
	RULE_NAME(W5share), RULE_NAME(W6),      RULE_NAME(B2order),  RULE_NAME(B3),        RULE_NAME(B3lock),
	RULE_NAME(B4),      RULE_NAME(B5h),     RULE_NAME(C2),       RULE_NAME(C3base),    RULE_NAME(C4files),
	RULE_NAME(C4apply), RULE_NAME(C5size),  RULE_NAME(C5way),    RULE_NAME(C6),        RULE_NAME(C6gone),
	RULE_NAME(C7),      RULE_NAME(N1),      RULE_NAME(N2),       RULE_NAME(N2settled), RULE_NAME(N3),
	RULE_NAME(N3sync),  RULE_NAME(N4),      RULE_NAME(R0),       RULE_NAME(R2),        RULE_NAME(R2left),
	RULE_NAME(R2skip),  RULE_NAME(R3stop),  RULE_NAME(R3rename), RULE_NAME(R3young),   RULE_NAME(R4base),
	RULE_NAME(R5),      RULE_NAME(F2),      RULE_NAME(F3),       [RULES] = NULL,
};
bool rules_off[RULES];
#endif

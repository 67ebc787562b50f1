/* What the files of acts share. */
#ifndef COFFER_TESTS_CRASH_ACTS_INTERNAL_H
#define COFFER_TESTS_CRASH_ACTS_INTERNAL_H

#include "acts.h"

/* What was to happen meanwhile has happened, or does not any more.  The operation has returned, and is not entered yet. */
void acts_end_meanwhile(struct live *l);

#endif

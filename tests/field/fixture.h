/* Keys for the tests of the field library, without a keyring file. */
#ifndef COFFER_TESTS_FIELD_FIXTURE_H
#define COFFER_TESTS_FIELD_FIXTURE_H

#include "util/field/operation.h"

extern struct token_box *fixture_box;

void fixture_start(void);
void fixture_end(void);

/* Scans, encrypts, encrypts again, decrypts.  NULL: all is as it has to be, or the text was refused (*refused); else what is wrong. */
const char *round_trip(const struct format *format, const struct scan_options *options, const char *text, size_t n,
		       bool *refused, struct fault *why);

#endif

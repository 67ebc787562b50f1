/* Numbers that people write: in options, on the command line and in mount(8)'s. */
#ifndef COFFER_BASE_NUMBER_H
#define COFFER_BASE_NUMBER_H

#include <stdint.h>

#include "util/base/cleanup.h"

/* A number of bytes with an optional K, M, G or T (and "iB").  -EINVAL: not one. */
int size_parse(const char *text, uint64_t *out) MUST_CHECK;
/* "90d": a number of s, m, h, d, w or y (365 days), up to max seconds.  -EINVAL: not such. */
int duration_parse(const char *text, uint64_t max, uint64_t *out) MUST_CHECK;
/* Decimal digits only, up to max.  -EINVAL: not such. */
int number_parse(const char *text, uint64_t max, uint64_t *out) MUST_CHECK;

#endif

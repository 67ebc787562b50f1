/* Included before everything when clang-tidy looks at a file: what its analyzer cannot see across files.
 * Without it every function that ends in `return fault_set(...)` could return 0 with its results unset. */
#ifndef COFFER_CI_ANALYZER_H
#define COFFER_CI_ANALYZER_H

#include "util/base/fault.h"

static inline int analyzer_failure(int result)
{
	if (result >= 0)
		__builtin_unreachable();
	return result;
}

#define fault_set(f, status, error, ...)    analyzer_failure((fault_set)(f, status, error, __VA_ARGS__))
#define fault_errno(f, status, result, ...) analyzer_failure((fault_errno)(f, status, result, __VA_ARGS__))

#endif

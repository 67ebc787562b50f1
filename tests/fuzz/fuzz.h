/* What libFuzzer calls, and the replay. */
#ifndef COFFER_TESTS_FUZZ_H
#define COFFER_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

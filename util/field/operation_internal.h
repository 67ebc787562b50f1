/* Only operation*.c include this. */
#ifndef COFFER_FIELD_OPERATION_INTERNAL_H
#define COFFER_FIELD_OPERATION_INTERNAL_H

#include "util/field/operation.h"

int operation_no_memory(struct fault *why, int ret);
/* "FILE:LINE: PATH: text"; returns -error. */
int operation_complain(const struct found *f, struct fault *why, int error, const char *text);

#endif

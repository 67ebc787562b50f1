/* The inside of the INI adapter. */
#ifndef COFFER_FIELD_INI_H
#define COFFER_FIELD_INI_H

#include "util/field/format.h"

/* Also leaf.quoting. */
enum ini_dialect { DIALECT_PLAIN, DIALECT_GIT, DIALECT_SYSTEMD, DIALECT_PHP };

/* --- values (ini_value.c), as in struct format */
int ini_value(const struct leaf *l, const char *source, size_t n, struct buffer *out) MUST_CHECK;
int ini_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out) MUST_CHECK;

#endif

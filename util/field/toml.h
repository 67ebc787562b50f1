/* The words of TOML 1.0: strings, numbers, dates (https://toml.io/en/v1.0.0). */
#ifndef COFFER_FIELD_TOML_H
#define COFFER_FIELD_TOML_H

#include "util/field/scan.h"

/* A string that begins at `at` with its quotes; *end behind it.  Its value is appended to out if that is not NULL. */
int toml_string(struct scan *s, size_t at, bool lines, size_t *end, struct buffer *out) MUST_CHECK;
/* The type of a word that is no string; -EINVAL: it is none of TOML's. */
int toml_word(const char *text, size_t n, enum leaf_type *type) MUST_CHECK;
/* How far a word goes that begins at `at`: a date may hold one blank. */
size_t toml_word_end(const struct scan *s, size_t at);

#endif

/* What may be seen of a value by who may not read it. */
#ifndef COFFER_FIELD_MASK_H
#define COFFER_FIELD_MASK_H

#include "util/field/buffer.h"

/* Appends the text with all characters (UTF-8) but the last `keep` as *, and all of them where there are fewer than twice as many, or where it
 * is no text. */
int mask_text(const char *text, size_t n, size_t keep, struct buffer *out) MUST_CHECK;

#endif

/* The inside of the XML adapter. */
#ifndef COFFER_FIELD_XML_H
#define COFFER_FIELD_XML_H

#include "util/field/format.h"

bool xml_begins(const struct scan *s, size_t at, const char *with);
/* Behind the markup at `at` that is no tag: comment, CDATA section, instruction, document type.  0: it is a tag. */
size_t xml_other_end(const struct scan *s, size_t at);

/* --- values (xml_value.c), as in struct format */
int xml_value(const struct leaf *l, const char *source, size_t n, struct buffer *out) MUST_CHECK;
enum leaf_type xml_type(const struct leaf *l, const char *source, size_t n);
int xml_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out) MUST_CHECK;

#endif

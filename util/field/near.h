/* Paths that look like one that does not exist. */
#ifndef COFFER_FIELD_NEAR_H
#define COFFER_FIELD_NEAR_H

#include "util/field/engine.h"

/* Up to three paths of the file nearest to `path`, separated by ", "; nothing where none is near.  Reads the file again. */
int near_paths(const struct format *format, const struct scan_options *options, const char *file, const char *path,
	       struct buffer *out) MUST_CHECK;

#endif

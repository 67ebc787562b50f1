/* What the line-based formats share. */
#ifndef COFFER_FIELD_LINES_H
#define COFFER_FIELD_LINES_H

#include "util/field/format.h"

/* The end of the line at `at`: where its \n, \r\n or \r begins.  *next: where the next line begins. */
size_t line_end(const struct scan *s, size_t at, size_t *next);
/* The first byte from `at` up to `end` that is no blank or tab. */
size_t skip_spaces(const struct scan *s, size_t at, size_t end);
/* Without blanks and tabs at the end, not before `start`. */
size_t trim_spaces(const struct scan *s, size_t start, size_t end);
/* A whole text by lines: `line` reads one at *at and moves that on. */
int scan_lines(struct scan *s, int (*line)(struct scan *s, size_t *at), size_t *used) MUST_CHECK;
/* Refuses zero bytes. */
int refuse_binary(struct scan *s) MUST_CHECK;
enum leaf_type always_string(const struct leaf *l, const char *source, size_t n);

#endif

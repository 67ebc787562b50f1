/* Where a value stands: the steps from the top of a file to it (docs/format-field.md section 4).
 *
 * A path is a byte string of steps, each: kind 1, number 8, length 4, name.  Numbers are little-endian.
 *   (1) Two places of one file have different paths.
 *   (2) path_binding() leaves out what changes when something is inserted elsewhere. */
#ifndef COFFER_FIELD_PATH_H
#define COFFER_FIELD_PATH_H

#include "util/base/fault.h"
#include "util/field/buffer.h"

enum step_kind {
	STEP_DOCUMENT = 'd',  /* number: document, line, row; from 0 */
	STEP_KEY = 'k',       /* name; number: which of several of that name, from 1 */
	STEP_INDEX = 'i',     /* number: element of a list, from 0 */
	STEP_ATTRIBUTE = 'a', /* name */
};

enum { STEP_HEAD = 13, STEPS_MAX = 1024 };

struct step {
	enum step_kind kind;
	uint64_t number;
	const char *name;
	size_t length;
};

int path_push(struct buffer *path, enum step_kind kind, uint64_t number, const char *name, size_t length) MUST_CHECK;
/* Reads the step at *at and moves on; false at the end. */
bool path_next(const char *path, size_t size, size_t *at, struct step *out);

/* How paths are written: a.b[1] and %1: for documents, or /r/b[2]/@x. */
enum path_style { PATH_DOTS, PATH_SLASHES };
/* The path as text.  `ordinals`: #1 is shown too. */
int path_print(const char *path, size_t size, enum path_style style, struct buffer *out) MUST_CHECK;

/* The steps that a token is bound to: with `positions` all of the path, else keys and attributes without their numbers. */
int path_binding(const char *path, size_t size, bool positions, struct buffer *out) MUST_CHECK;

/* --- patterns: what the user writes */
enum match {
	MATCH_NO,
	MATCH_YES,
	MATCH_AMBIGUOUS, /* matches, but is one of several keys of one name and the pattern does not say which */
};
struct pattern; /* opaque */

int pattern_parse(const char *text, size_t n, enum path_style style, struct pattern **out,
		  struct fault *why) MUST_CHECK;
void pattern_free(struct pattern **p);
/* Whether the path is what the pattern means, or lies below it. */
enum match pattern_match(struct pattern *p, const char *path, size_t size);
bool pattern_names_document(const struct pattern *p);
const char *pattern_text(const struct pattern *p);
/* It names one thing (its names hold no *), and matched no path yet. */
bool pattern_missed(const struct pattern *p);
/* The path that the pattern names, if it has no wildcard: steps without a number get 1.  -EINVAL otherwise. */
int pattern_path(const struct pattern *p, struct buffer *out) MUST_CHECK;

#endif

/* The rules file, .coffer-fields.yaml: which values of which files are encrypted, and how (docs/fields.md). */
#ifndef COFFER_FIELD_RULES_H
#define COFFER_FIELD_RULES_H

#include "util/field/plan.h"

#define RULES_FILE ".coffer-fields.yaml"

/* What the rules say about one file. */
struct rules {
	char *path; /* of the rules file; NULL: there is none */
	char *keyring, *context;
	char *format, *dialect, *separator;
	bool lenient, no_header;
	bool about; /* a rule is about the file */
};
#define _cleanup_rules_ _cleanup_(rules_free)
void rules_free(struct rules *r);

/* The rules file beside `file` or above.  One that belongs to somebody else than the user or root is refused: it could name a keyring of
 * his.  *out NULL: there is none. */
int rules_find(const char *file, char **out, struct fault *why) MUST_CHECK;
/* Reads it for `file`: settings into *r, rules into *plan (style: how paths of the file's format are written; of a format that the rules name,
 * that one's). */
int rules_load(const char *path, const char *file, const struct format *format, struct rules *r, struct plan *plan,
	       struct fault *why) MUST_CHECK;

/* The text that `coffer field init` writes. */
extern const char rules_example[];

#endif

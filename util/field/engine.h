/* Surgical editing: bytes outside the values that an edit replaces are copied as they are.
 *
 *   (1) Whatever is written was scanned again first, and gave the same paths in the same order, the same source texts where nothing was
 *       replaced and the replacements elsewhere; else nothing more is written and the run fails.
 *   (2) Formats that stream need memory for one record; the others for the file, at most ENGINE_FILE_MAX. */
#ifndef COFFER_FIELD_ENGINE_H
#define COFFER_FIELD_ENGINE_H

#include "util/base/progress.h"
#include "util/field/format.h"

enum {
	ENGINE_FILE_MAX = 256 << 20,
	ENGINE_RECORD_MAX = 20 << 20,
};

/* A value that is offered to an edit. */
struct found {
	const struct scan *scan;
	size_t index; /* in scan->leaves */
	const struct leaf *leaf;
	const char *path; /* struct step after step */
	size_t path_size;
	const char *source;
	size_t source_size;
};

struct engine;
/* Looks at one value.  Sets *replace and fills `with` with its new source text to change it. */
typedef int (*engine_edit)(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why);
typedef int (*engine_write)(void *context, const char *bytes, size_t n, struct fault *why);

struct engine {
	const struct format *format;
	const struct scan_options *options;
	const char *file; /* for messages */
	engine_edit edit;
	void *edit_context;
	engine_write write; /* NULL: only looks */
	void *write_context;
	struct progress *progress; /* NULL: none */
};

/* Runs over what fd gives. */
int engine_run(const struct engine *e, int fd, struct fault *why) MUST_CHECK;
/* Over a text in memory. */
int engine_run_text(const struct engine *e, const char *text, size_t n, struct fault *why) MUST_CHECK;

/* What the value means; its path as text; "FILE:LINE: PATH" for messages. */
int found_value(const struct found *f, struct buffer *out) MUST_CHECK;
int found_path_text(const struct found *f, struct buffer *out) MUST_CHECK;
int found_where(const struct found *f, struct buffer *out) MUST_CHECK; /* terminated */
/* The value of the key `name` beside this one, in the same record.  -ENOENT. */
int found_beside(const struct found *f, const char *name, struct buffer *out) MUST_CHECK;

#endif

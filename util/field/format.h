/* One file format: its scanner, and how values are written in it. */
#ifndef COFFER_FIELD_FORMAT_H
#define COFFER_FIELD_FORMAT_H

#include "util/field/scan.h"

struct format {
	const char *name;
	bool streams;      /* is scanned record by record, in bounded memory */
	bool keeps_nodes;  /* nodes stay valid from piece to piece */
	bool blank_before; /* a token in the place of an empty value needs a blank before it */
	enum path_style style;
	/* Scans s->text into leaves in the order of the text.  A format that streams uses whole records only and says in *used how many
	 * bytes; with s->final everything.  The others get the whole file.  -EINVAL is reported. */
	int (*scan)(struct scan *s, size_t *used);
	/* What a source text means, without quotes and escapes.  The leaf tells where it stands; it may stand for another source. */
	int (*value)(const struct leaf *l, const char *source, size_t n, struct buffer *out);
	/* The type of a source text. */
	enum leaf_type (*type)(const struct leaf *l, const char *source, size_t n);
	/* The source text of a value of that type, in the place of the leaf.  -EINVAL: is not of that type; -EILSEQ: cannot be written
	 * in this format. */
	int (*source)(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out);
	/* How a token stands in the place of the leaf. */
	int (*token)(const struct leaf *l, const char *token, size_t n, struct buffer *out);
	void (*end)(struct scan *s); /* frees s->state; NULL: there is none */
};

extern const struct format format_json, format_jsonl, format_csv, format_env, format_ini, format_properties,
	format_toml, format_xml, format_yaml;

const struct format *format_by_name(const char *name);
/* By the name of the file; NULL if that tells nothing. */
const struct format *format_of_file(const char *file);
/* "git", "systemd", "php" or "plain". */
const char *ini_dialect_of_file(const char *file);
/* Names of all, for messages: "json, jsonl, ..." */
const char *format_names(void);

/* For formats in which a bare word is a string. */
int token_bare(const struct leaf *l, const char *token, size_t n, struct buffer *out) MUST_CHECK;
int token_quoted(const struct leaf *l, const char *token, size_t n, struct buffer *out) MUST_CHECK;
/* Numbers of JSON, and the words true, false, null: the type of a bare text; LEAF_STRING if it is neither. */
/* A string of JSON; `value` is UTF-8. */
int json_quote(const char *value, size_t n, struct buffer *out) MUST_CHECK;
enum leaf_type bare_type(const char *text, size_t n);

#endif

/* What the verbs of the field tool share. */
#ifndef COFFER_CLI_FIELD_H
#define COFFER_CLI_FIELD_H

#include "util/cli/options.h"
#include "util/field/operation.h"
#include "util/field/rules.h"
#include "util/field/target.h"

/* The options, as they were given. */
struct field_options {
	struct unlock_source unlock;
	const char *keyring, *rules, *key_regex, *mode, *domain, *bind, *context, *format, *public_key, *output,
		*dialect, *separator, *name;
	char *paths;
	enum { UNRULED_REFUSED, UNRULED_ALL, UNRULED_NOTHING } unruled; /* a file that the rules say nothing about */
	bool rules_here; /* where no rules stand beside the file: those of the working directory */
	bool in_place, lenient, no_header, keep_going;
	int pad;
};
#define FIELD_OPTIONS_NONE ((struct field_options){.unlock = UNLOCK_SOURCE_NONE})

/* Which keyring. */
#define OPTIONS_FIELD_KEYRING(o)                                                                                       \
	OPTIONS_UNLOCK(&(o)->unlock),                                                                                  \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "keyring", &(o)->keyring                                                            \
	}
/* How files are read. */
#define OPTIONS_FIELD_FORMAT(o)                                                                                        \
	{OPTION_TEXT, 0, 0, "format", &(o)->format}, {OPTION_TEXT, 0, 0, "name", &(o)->name},                          \
		{OPTION_FLAG, 0, 0, "lenient", &(o)->lenient}, {OPTION_FLAG, 0, 0, "no-header", &(o)->no_header},      \
		{OPTION_TEXT, 0, 0, "separator", &(o)->separator},                                                     \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "dialect", &(o)->dialect                                                            \
	}
/* What tokens are tied to. */
#define OPTIONS_FIELD_BINDING(o)                                                                                       \
	{OPTION_TEXT, 0, 0, "rules", &(o)->rules}, {OPTION_TEXT, 0, 0, "bind", &(o)->bind},                            \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "context", &(o)->context                                                            \
	}
/* Which values, and how they become tokens. */
#define OPTIONS_FIELD_CHOICE(o)                                                                                        \
	{OPTION_LIST, 0, 0, "path", &(o)->paths}, {OPTION_TEXT, 0, 0, "key-regex", &(o)->key_regex},                   \
		{OPTION_TEXT, 0, 0, "mode", &(o)->mode}, {OPTION_TEXT, 0, 0, "domain", &(o)->domain},                  \
	{                                                                                                              \
		OPTION_NUMBER, 0, 0, "pad", &(o)->pad                                                                  \
	}

/* A keyring that was unlocked, and its keys. */
struct field_keys {
	struct cli_volume volume;
	struct token_box *box;
};
#define FIELD_KEYS_NONE      ((struct field_keys){.volume = CLI_VOLUME_NONE})
#define _cleanup_field_keys_ _cleanup_(field_keys_close)
void field_keys_close(struct field_keys *k);
/* Makes the box again, from what the keyring is now. */
int field_keys_renew(struct field_keys *k, struct fault *why) MUST_CHECK;
/* The keyring of --keyring, else of the rules (`from_rules`, or NULL), else of the rules of the working directory.  Allocated. */
int field_keyring_name(const struct field_options *o, const char *from_rules, char **out, struct fault *why) MUST_CHECK;
/* Opens that: where no secret is given and the user's agent holds its keys, `box` is the agent's, and the keyring stays locked; else the secret is asked
 * for. */
int field_keys_for(struct field_keys *k, const struct field_options *o, const char *from_rules,
		   struct fault *why) MUST_CHECK;
/* The same without the agent, for who changes the keyring. */
int field_keys_unlock(struct field_keys *k, const struct field_options *o, const char *from_rules,
		      struct fault *why) MUST_CHECK;

/* --pubkey: sets the mode; and a box that seals only. */
int field_seals_only(struct field_options *o, struct fault *why) MUST_CHECK;
int field_keys_public(struct field_keys *k, const char *file, struct fault *why) MUST_CHECK;

/* One file of a verb: how it is read, and which values are meant. */
struct field_file {
	const char *name;   /* as given; "-" is standard input */
	const char *called; /* what rules and format go by */
	bool passed_over;   /* UNRULED_NOTHING, and no rule is about it: nothing more is known of it */
	const struct format *format;
	struct scan_options scan;
	struct plan plan;
	struct rules rules;
};
#define _cleanup_field_file_ _cleanup_(field_file_end)
void field_file_end(struct field_file *f);
/* What the options choose, else what the rules select, else everything. */
int field_file_begin(struct field_file *f, const struct field_options *o, const char *name,
		     struct fault *why) MUST_CHECK;
/* One value: PATH is taken as it is, commas and all. */
int field_file_choose(struct field_file *f, const struct field_options *o, const char *name, const char *path,
		      struct fault *why) MUST_CHECK;

/* A verb whose options are those that all have: the file that its word number `which` names, and the keyring, unlocked. */
struct field_verb {
	struct field_options options;
	struct words words;
	struct field_file file;
	struct field_keys keys;
};
#define FIELD_VERB(...)                                                                                                \
	((struct field_verb){.options = {.unlock = UNLOCK_SOURCE_NONE, __VA_ARGS__}, .keys = FIELD_KEYS_NONE})
#define _cleanup_field_verb_ _cleanup_(field_verb_end)
void field_verb_end(struct field_verb *v);
/* Takes `count` words.  OPTIONS_HELP, as options_parse() returns it. */
int field_verb_begin(const struct verb *v, int argc, char **argv, int count, int which, struct field_verb *out,
		     struct fault *why) MUST_CHECK;

/* Runs the operation over the file: with `to` NULL only looks, else writes there. */
int field_run(const struct field_file *f, struct operation *op, int in, engine_write write, void *write_context,
	      struct fault *why) MUST_CHECK;
/* The same, and puts the result where the options say: in place, to a file, to standard output. */
int field_rewrite(const struct field_file *f, const struct field_options *o, struct operation *op,
		  struct fault *why) MUST_CHECK;
/* The error about a path that selects nothing: says which ones are near. */
int field_unknown_path(const struct field_file *f, const char *path, struct fault *why) MUST_CHECK;
/* "-" */
bool field_is_stream(const char *name);
/* All of the file. */
int field_read(const char *name, struct buffer *out, struct fault *why) MUST_CHECK;
/* Opens the file for reading only. */
int field_open_input(const char *name, struct fault *why) MUST_CHECK;

/* With --keep-going: an error, if there were tokens that did not open. */
int field_left_over(uint64_t failed, struct fault *why) MUST_CHECK;
/* operation.report: a line on standard error, or "PATH<tab>TEXT" on standard output. */
void field_report_error(void *context, const struct found *f, const char *text);
void field_report_line(void *context, const struct found *f, const char *text);

#endif

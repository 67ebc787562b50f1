/* Which values of a file are to be encrypted, and how: from options or from a rules file. */
#ifndef COFFER_FIELD_PLAN_H
#define COFFER_FIELD_PLAN_H

#include <regex.h>

#include "util/field/engine.h"
#include "util/field/token.h"

struct rule {
	/* which */
	struct pattern **encrypt, **leave;
	size_t encrypt_count, leave_count;
	regex_t *keys;   /* or NULL: a step of the path that matches selects what is below */
	bool everything; /* no selection was given */
	bool demanded;   /* clear text where the rule selects is an error for a reader */
	/* how */
	enum token_mode mode;
	char *domain, *context;
	enum token_bind bind;
	char *record; /* name of the id column */
	uint32_t pad;
};
void rule_free(struct rule *r);

struct plan {
	struct rule *rules; /* what is encrypted, and how: the first that selects a value holds */
	size_t count;
	struct rule *chosen;  /* what was asked for now, of all that; NULL: everything.  Says how where no rule does */
	struct rule fallback; /* how a token is read that no rule selects */
	bool by_document;     /* a pattern names a document: nothing is remembered from one to the next */
	struct plan_cache *cache;
};
void plan_free(struct plan *p);
int plan_add_rule(struct plan *p, struct rule **out) MUST_CHECK;
int plan_choose(struct plan *p, struct rule **out) MUST_CHECK;

/* Patterns separated by commas (in quotes they are part of a name), appended to a rule's list. */
int rule_add_paths(struct pattern ***list, size_t *count, const char *text, enum path_style style,
		   struct fault *why) MUST_CHECK;
int rule_set_keys(struct rule *r, const char *regex, struct fault *why) MUST_CHECK;
/* "keys", "path", "record:COLUMN", "none". */
int rule_set_bind(struct rule *r, const char *text, struct fault *why) MUST_CHECK;
int rule_set_mode(struct rule *r, const char *text, struct fault *why) MUST_CHECK;

/* Before the first use: the rules are complete. */
void plan_ready(struct plan *p);
/* The rule that selects the value; *out NULL: none.  A path that stands several times and was not told apart: -EINVAL. */
int plan_find(struct plan *p, const struct found *f, const struct rule **out, struct fault *why) MUST_CHECK;
/* After the last value: a path that was asked for, names one thing and selected nothing; NULL: there is none. */
const char *plan_missed(const struct plan *p);

#endif

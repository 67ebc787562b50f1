/* What the verbs do with each value of a file. */
#ifndef COFFER_FIELD_OPERATION_H
#define COFFER_FIELD_OPERATION_H

#include "util/field/plan.h"

/* So few distinct values of so many show by their numbers what they are. */
enum { OPERATION_FEW = 16, OPERATION_MANY = 100 };

enum operation_kind {
	OPERATION_ENCRYPT,
	OPERATION_DECRYPT,
	OPERATION_ROTATE,  /* tokens to what token_seal would make now */
	OPERATION_MIGRATE, /* tokens from `box` to `to` */
	OPERATION_CHECK,   /* reports clear text that a rule selects */
	OPERATION_LIST,
	OPERATION_GET, /* remembers the value that the plan selects */
	OPERATION_SET,
	OPERATION_VISIT, /* calls visit with every clear source text */
};

struct operation {
	enum operation_kind kind;
	struct plan *plan;
	struct token_box *box, *to; /* `box` may be NULL for list and check */
	bool keep_going;            /* a token that does not open stays, and is counted in `failed` */
	bool accept_sealed;         /* also where no rule names the mode */
	const char *only_domain;    /* rotate: deterministic tokens of this domain only; NULL: all tokens */

	/* set: the value; its type, or -1: as it was */
	const char *value;
	size_t value_size;
	int value_type;
	bool manner_given; /* the mode was asked for; else a token stays of its mode and domain, where no rule says otherwise */
	bool blind; /* the box cannot open: the old value is not looked at, and the new one always sealed */

	/* list and check: one line for each value; also what a token that does not open is told to */
	void (*report)(void *context, const struct found *f, const char *text);
	/* A value in clear. */
	int (*visit)(void *context, const struct found *f, const char *source, size_t n, struct fault *why);
	void *context;

	/* deterministic values met: how many, and hashes of the distinct ones as long as they are few */
	uint64_t equal_seen;
	uint32_t equal_hashes[OPERATION_FEW + 1];
	size_t equal_count;

	/* results */
	uint64_t seen, tokens, changed, clear, failed, selected;
	struct buffer got; /* get: the value */

	/* of the value under way; kept, as memory for each costs */
	struct buffer place, meaning, token;
};
void operation_end(struct operation *o);
/* How many distinct values the many deterministic ones have, if they are few; else 0. */
size_t operation_few_values(const struct operation *o);

/* An engine_edit; the context is the operation. */
int operation_edit(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why);

/* The source text of a token; `info` NULL: it only looks like one.  -ENODATA with keep_going: does not open, and was reported. */
int operation_open(struct operation *o, const struct rule *r, const struct found *f, const struct buffer *token,
		   const struct token_info *info, struct buffer *source, struct fault *why) MUST_CHECK;
/* The rule, with mode and domain as the token has them. */
struct rule operation_manner_of(const struct operation *o, const struct rule *r, const struct token_info *info);
/* The token for a source text, quoted for the place. */
int operation_seal(struct operation *o, struct token_box *box, const struct rule *r, const struct found *f,
		   const char *source, size_t n, struct buffer *with, struct fault *why) MUST_CHECK;

#endif

/* What survive.c and survive_durable.c share. */
#ifndef COFFER_TESTS_CRASH_SURVIVE_INTERNAL_H
#define COFFER_TESTS_CRASH_SURVIVE_INTERNAL_H

#include "survive.h"

struct survival {
	const struct record *r;
	const struct cut *cut;
	struct image *m;
	bool *durable; /* each call (ORDERED: the content of writes only) */
	bool *all_of;  /* STRICT: the attributes that the call changes are durable as well */
	char *fate;    /* for the trace */
	size_t prefix; /* ORDERED: metadata before this call is kept */
	size_t inodes; /* numbers below this are in use */
	size_t *size_at; /* STRICT: size changes up to before this call (counted from 1) are kept, by inode; 0: not drawn yet */
	size_t *attr_at;
};

static inline bool call_changes_size(const struct call *c)
{
	return c->kind >= CALL_WRITE && c->kind <= CALL_ALLOCATE;
}

static inline bool call_changes_attributes(const struct call *c)
{
	return c->kind >= CALL_CHMOD && c->kind <= CALL_REMOVEXATTR;
}

/* n of them, and one for the number 0 behind the last. */
bool *survive_flags(size_t n);
/* Fills in durable and all_of. */
void survive_find_durable(struct survival *s);
/* ORDERED: how much of the metadata is durable (o1). */
size_t survive_durable_prefix(const struct survival *s);

#endif

/* What oracle_judge.c and oracle_names.c share. */
#ifndef COFFER_TESTS_CRASH_ORACLE_INTERNAL_H
#define COFFER_TESTS_CRASH_ORACLE_INTERNAL_H

#include "oracle.h"

struct judging {
	const struct oracle *o;
	const struct view *v;
	const struct snapshot *s;
	struct verdict *out;
	bool *shown; /* objects */
	char path[512];
};

/* One more violation; the first is kept. */
void judge_complain(struct judging *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An operation that made no calls is answered where it began. */
bool judge_is_begun(const struct view *v, size_t begin, size_t end);
/* Up to where the latest promise that holds reaches; *any: there is one. */
size_t judge_promised(const struct view *v, const struct promise *list, size_t count, bool *any);

unsigned judge_object(const struct oracle *o, uint64_t ino); /* UINT32_MAX: none */
/* The binding by which an object may stand under a name; NULL: it may not. */
const struct binding *judge_binding(const struct judging *j, unsigned dir, const char *name, unsigned object);
/* Names that have to be there; unreadable: directories of which that cannot be asked. */
void judge_missing(struct judging *j, const bool *unreadable);
/* Objects that were moved only have to be somewhere. */
void judge_lost(struct judging *j);

#endif

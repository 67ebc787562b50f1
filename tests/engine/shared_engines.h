/* Two engines on one store stand for two hosts, or for one and its sync client: neither knows what the other does but from what lies below. */
#ifndef COFFER_TESTS_ENGINE_SHARED_ENGINES_H
#define COFFER_TESTS_ENGINE_SHARED_ENGINES_H

#include "fixture.h"

enum { LIMIT = 64, RESERVE = 64 }; /* descriptors of each (fs/descriptor.c) */

/* One volume, twice. */
extern struct vol v, w;

/* Some stores keep no time of birth, and give the number of an inode that has gone to the next one: without `births` this one, too. */
void two_engines(bool births);
void two_engines_end(void);

/* As the kernel does: from the root again when something on the way was not what it had been. */
int find(struct vol *x, const char *path, struct node_attr *out);

#endif

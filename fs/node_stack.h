/* Directories that a walk has yet to read; each entry holds a reference. */
#ifndef COFFER_FS_NODE_STACK_H
#define COFFER_FS_NODE_STACK_H

#include "fs/internal.h"

/* All zero: empty. */
struct node_stack {
	struct node **list;
	size_t count, room;
};

/* Takes the reference over, also when it fails. */
int node_stack_push(struct engine *e, struct node_stack *s, struct node *n) MUST_CHECK;
/* The last one, with its reference; NULL when there is none, and then the memory is freed. */
struct node *node_stack_pop(struct node_stack *s);

/* Nodes of the table that `wanted` says yes to, under its lock; with references.  The list is the caller's to free; NULL without memory. */
struct node **node_gather(struct engine *e, bool (*wanted)(const struct engine *e, const struct node *n),
			  size_t *count);

#endif

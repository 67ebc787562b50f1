/* What the parts of the node table share: node.c (the table, the life of a node) and node_names.c (under what names nodes are known).
 * Nobody else includes this.
 *
 * All of it under table.lock. */
#ifndef COFFER_FS_NODE_PARTS_H
#define COFFER_FS_NODE_PARTS_H

#include "fs/node.h"

/* A new node that nothing leads to but its id, nor holds; NULL without memory. */
struct node *table_new_node(struct engine *e, const struct store_stat *st);

/* By inode: what was put there before.  Both of the others do nothing where it is so already. */
struct node *table_find_inode(struct node_table *t, const struct store_stat *st);
void table_index(struct node_table *t, struct node *n);
void table_unindex(struct node_table *t, struct node *n);

/* By name: what points to the link of that name, or to NULL where it would stand. */
struct link **table_find_link(struct node_table *t, const struct node *parent, const char *name);
/* Takes the link over, and a reference on the parent. */
void table_add_link(struct node_table *t, struct node *n, struct node *parent, struct link *l);
/* Takes *at out of the table; the caller frees it and drops the reference on its parent. */
struct link *table_take_link(struct link **at);

#endif

/* What the node table learns of names: from what is seen below, and from what is done here. */
#include <string.h>

#include "fs/ids.h"
#include "fs/node_parts.h"
#include "fs/worker.h"
#include "fs/zone.h"

/* Invariants (under table.lock; those of nodes and links are in node.c):
 *  (1) by_inode holds the nodes that were seen with more than one link; of a shared store all, so that what others rename stays the same
 *      node.  An inode number found there cannot belong to another file: an unlinked node keeps a descriptor, so the store cannot
 *      use its number again; and of what others have removed the time of birth tells.
 *  (2) no directory is above itself, though what the table knows of a shared store may be of different moments.
 *  (3) a name leads to one node at most. */

/* Takes a name that leads to something else now; drop_links() frees what was gathered, outside. */
static void take_stale(struct link **at, struct link **gathered)
{
	struct link *l = table_take_link(at);

	l->node->taken = !l->node->links;
	l->sibling = *gathered;
	*gathered = l;
}

static void drop_links(struct engine *e, struct link *gathered)
{
	for (struct link *l = gathered, *next; l; l = next) {
		next = l->sibling;
		node_unref(e, l->parent);
		free(l);
	}
}

static void take_all(struct node_table *t, struct node *n, struct link **gathered)
{
	while (n->links)
		take_stale(table_find_link(t, n->links->parent, n->links->name), gathered);
}

static void take_others(struct node_table *t, const struct link *kept, struct link **gathered)
{
	for (struct link *l = kept->node->links, *next; l; l = next) {
		next = l->sibling;
		if (l != kept)
			take_stale(table_find_link(t, l->parent, l->name), gathered);
	}
}

/* A node that is found under a name of which nothing was known (1): others have renamed it, or made it another link.  False: it cannot be
 * that one. */
static bool move_here(struct node_table *t, struct node *n, struct node *parent, const struct store_stat *st,
		      struct link **gathered)
{
	struct node *below = NULL, *at = parent;

	if (n == parent)
		return false;
	if (n->dir) {
		/* (2) What would close a circle is older than what was just seen. */
		for (; at && at != n; at = at->links ? at->links->parent : NULL)
			below = at;
		if (at)
			take_all(t, below, gathered);
	}
	if (n->dir || st->nlink == 1)
		take_all(t, n, gathered);
	return true;
}

/* The node of an inode under a name of which nothing is known; NULL without memory.  *moved: it had other names before. */
static struct node *enter_name(struct engine *e, struct node *parent, const char *backing, const struct store_stat *st,
			       bool count, struct link **gathered, bool *moved)
{
	struct node_table *t = &e->table;
	bool shared = e->options.shared, stable = e->caps.stable_inodes && (shared || !S_ISDIR(st->mode));
	struct node *n = stable ? table_find_inode(t, st) : NULL;

	/* Who does not count walks below without a lock: what it sees may be older than what the table knows. */
	if (n && shared && !count)
		return n;

	struct link *fresh = node_link_new(backing);

	if (n && fresh && shared) {
		*moved = n->links;
		if (!move_here(t, n, parent, st, gathered))
			n = NULL;
	}
	if (fresh && !n)
		n = table_new_node(e, st);
	if (!n || !fresh) {
		free(fresh);
		return NULL;
	}
	table_add_link(t, n, parent, fresh);
	n->taken = false;
	if (stable && (shared || st->nlink > 1))
		table_index(t, n);
	return n;
}

struct node *node_enter(struct engine *e, struct node *parent, const char *backing, const struct store_stat *st,
			bool count)
{
	struct node_table *t = &e->table;
	struct link *gathered = NULL;
	struct node *n = NULL;
	bool moved = false;

	pthread_mutex_lock(&t->lock);

	struct link **at = table_find_link(t, parent, backing);

	if (*at && node_is_inode((*at)->node, st))
		n = (*at)->node;
	else if (*at)
		take_stale(at, &gathered);
	if (!n)
		n = enter_name(e, parent, backing, st, count, &gathered, &moved);
	if (n) {
		n->refs++;
		n->lookups += count;
	}
	pthread_mutex_unlock(&t->lock);
	drop_links(e, gathered);
	/* It may be in another scope now. */
	if (moved && worker_keys(e)->zone_count)
		zones_forget(e);
	return n;
}

struct node *node_find_as(struct engine *e, struct node *parent, const char *backing, const struct store_stat *st)
{
	struct link *gathered = NULL;
	struct node *n = NULL;

	pthread_mutex_lock(&e->table.lock);

	struct link **at = table_find_link(&e->table, parent, backing);

	if (*at && e->options.shared && !node_is_inode((*at)->node, st))
		take_stale(at, &gathered);
	else if (*at)
		n = (*at)->node;
	/* It is its last one: what else the table knows others have taken away. */
	if (n && e->options.shared && st->nlink == 1)
		take_others(&e->table, *at, &gathered);
	if (n)
		n->refs++;
	pthread_mutex_unlock(&e->table.lock);
	drop_links(e, gathered);
	return n;
}

void node_forsake(struct engine *e, struct node *n)
{
	struct node_table *t = &e->table;
	struct link *gathered = NULL;

	pthread_mutex_lock(&t->lock);
	ids_release(e, n);
	table_unindex(t, n);
	take_all(t, n, &gathered);
	n->taken = true;
	pthread_mutex_unlock(&t->lock);
	drop_links(e, gathered);
}

struct node *node_enter_nameless(struct engine *e, const struct store_stat *st)
{
	pthread_mutex_lock(&e->table.lock);

	struct node *n = table_new_node(e, st);

	if (n) {
		n->refs++;
		n->lookups++;
		n->never_named = true;
	}
	pthread_mutex_unlock(&e->table.lock);
	return n;
}

struct node *node_find(struct engine *e, struct node *parent, const char *backing)
{
	pthread_mutex_lock(&e->table.lock);

	struct link *l = *table_find_link(&e->table, parent, backing);
	struct node *n = l ? l->node : NULL;

	if (n)
		n->refs++;
	pthread_mutex_unlock(&e->table.lock);
	return n;
}

bool node_has_name(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&e->table.lock);

	bool has = n->links != NULL;

	pthread_mutex_unlock(&e->table.lock);
	return has;
}

struct node *node_first_parent(struct engine *e, struct node *n, char *backing)
{
	struct node *parent = NULL;

	pthread_mutex_lock(&e->table.lock);
	if (n->links) {
		parent = n->links->parent;
		parent->refs++;
		if (backing)
			strcpy(backing, n->links->name);
	}
	pthread_mutex_unlock(&e->table.lock);
	return parent;
}

void node_unlinked(struct engine *e, struct node *parent, const char *backing)
{
	pthread_mutex_lock(&e->table.lock);

	struct link **at = table_find_link(&e->table, parent, backing);
	struct link *l = *at ? table_take_link(at) : NULL;

	pthread_mutex_unlock(&e->table.lock);
	if (l) {
		node_unref(e, parent);
		free(l);
	}
}

void node_renamed(struct engine *e, struct node *from, const char *old_name, struct node *to, const char *new_name,
		  bool exchange, struct link *spare[2])
{
	struct node_table *t = &e->table;

	pthread_mutex_lock(&t->lock);

	struct link **at = table_find_link(t, to, new_name);
	struct link *there = *at ? table_take_link(at) : NULL;

	at = table_find_link(t, from, old_name);

	struct link *moved = *at ? table_take_link(at) : NULL;

	if (moved) {
		table_add_link(t, moved->node, to, spare[0]);
		spare[0] = NULL;
	}
	if (there && exchange) {
		table_add_link(t, there->node, from, spare[1]);
		spare[1] = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	if (there)
		node_unref(e, to);
	if (moved)
		node_unref(e, from);
	free(there);
	free(moved);
	free(spare[0]);
	free(spare[1]);
}

void node_linked(struct engine *e, struct node *n, struct node *parent, struct link *l)
{
	struct node_table *t = &e->table;
	struct link *gathered = NULL;

	pthread_mutex_lock(&t->lock);

	struct link **at = table_find_link(t, parent, l->name);

	/* (3) Others have taken away what the table knows here. */
	if (*at)
		take_stale(at, &gathered);
	table_add_link(t, n, parent, l);
	if (e->caps.stable_inodes)
		table_index(t, n);
	pthread_mutex_unlock(&t->lock);
	drop_links(e, gathered);
}

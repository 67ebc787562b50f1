#include "fs/node_parts.h"

#include <errno.h>
#include <string.h>

#include "fs/descriptor.h"
#include "fs/dirty.h"
#include "fs/ids.h"
#include "fs/list.h"
#include "fs/zone.h"

/* Invariants (all under table.lock; those of names are in node_names.c):
 *  (1) a node is in by_id from its making until lookups and refs are both 0; then it is freed.
 *  (2) every link is in by_name and on its node's list, and holds one reference on its parent: a node whose children are
 *      known never goes. */

static uint32_t hash_name(const struct node *parent, const char *name)
{
	uint64_t h = parent->id * UINT64_C(0x9E3779B97F4A7C15);

	/* Backing names are pseudorandom; a few characters spread as well as all of them. */
	for (unsigned i = 0; i < 16 && name[i]; i++)
		h = (h ^ (uint8_t)name[i]) * UINT64_C(0x100000001B3);
	return (uint32_t)(h >> 32 ^ h);
}

static uint32_t hash_inode(uint64_t dev, uint64_t ino)
{
	return (uint32_t)((ino ^ dev << 40) * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

struct link **table_find_link(struct node_table *t, const struct node *parent, const char *name)
{
	struct link **l = &t->by_name[hash_name(parent, name) & (t->size - 1)];

	while (*l && ((*l)->parent != parent || strcmp((*l)->name, name) != 0))
		l = &(*l)->chain;
	return l;
}

void table_add_link(struct node_table *t, struct node *n, struct node *parent, struct link *l)
{
	struct link **bucket = &t->by_name[hash_name(parent, l->name) & (t->size - 1)];

	l->node = n;
	l->parent = parent;
	parent->refs++;
	l->chain = *bucket;
	*bucket = l;
	l->sibling = n->links;
	n->links = l;
}

struct link *table_take_link(struct link **at)
{
	struct link *l = *at;
	struct link **s = &l->node->links;

	*at = l->chain;
	while (*s != l)
		s = &(*s)->sibling;
	*s = l->sibling;
	return l;
}

void table_index(struct node_table *t, struct node *n)
{
	struct node **bucket = &t->by_inode[hash_inode(n->dev, n->ino) & (t->size - 1)];

	if (n->in_inodes)
		return;
	n->inode_chain = *bucket;
	*bucket = n;
	n->in_inodes = true;
}

bool node_is_inode(const struct node *n, const struct store_stat *st)
{
	return n->ino == st->ino && n->dev == st->dev && n->btime_ns == st->btime_ns && n->type == (st->mode & S_IFMT);
}

struct node *table_find_inode(struct node_table *t, const struct store_stat *st)
{
	struct node *n = t->by_inode[hash_inode(st->dev, st->ino) & (t->size - 1)];

	while (n && !node_is_inode(n, st))
		n = n->inode_chain;
	return n;
}

void table_unindex(struct node_table *t, struct node *n)
{
	struct node **at = &t->by_inode[hash_inode(n->dev, n->ino) & (t->size - 1)];

	if (!n->in_inodes)
		return;
	while (*at != n)
		at = &(*at)->inode_chain;
	*at = n->inode_chain;
	n->in_inodes = false;
}

/* Doubles the buckets once there are more nodes than those.  Without memory the chains just get longer. */
static void grow(struct node_table *t)
{
	uint32_t size = t->size * 2;
	struct node **by_id = calloc(size, sizeof *by_id);
	struct node **by_inode = calloc(size, sizeof *by_inode);
	struct link **by_name = calloc(size, sizeof *by_name);

	if (!by_id || !by_inode || !by_name) {
		free(by_id);
		free(by_inode);
		free(by_name);
		return;
	}
	for (uint32_t i = 0; i < t->size; i++) {
		for (struct node *n = t->by_id[i], *next; n; n = next) {
			next = n->id_chain;
			n->id_chain = by_id[n->id & (size - 1)];
			by_id[n->id & (size - 1)] = n;
		}
		for (struct node *n = t->by_inode[i], *next; n; n = next) {
			uint32_t h = hash_inode(n->dev, n->ino) & (size - 1);

			next = n->inode_chain;
			n->inode_chain = by_inode[h];
			by_inode[h] = n;
		}
		for (struct link *l = t->by_name[i], *next; l; l = next) {
			uint32_t h = hash_name(l->parent, l->name) & (size - 1);

			next = l->chain;
			l->chain = by_name[h];
			by_name[h] = l;
		}
	}
	free(t->by_id);
	free(t->by_inode);
	free(t->by_name);
	t->by_id = by_id;
	t->by_inode = by_inode;
	t->by_name = by_name;
	t->size = size;
}

struct node *table_new_node(struct engine *e, const struct store_stat *st)
{
	struct node_table *t = &e->table;
	struct node *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	if (S_ISDIR(st->mode)) {
		n->dir = calloc(1, sizeof *n->dir);
		if (!n->dir) {
			free(n);
			return NULL;
		}
		pthread_rwlock_init(&n->dir->lock, NULL);
		pthread_mutex_init(&n->dir->loading, NULL);
		pthread_mutex_init(&n->dir->position, NULL);
	}
	n->dev = st->dev;
	n->ino = st->ino;
	n->btime_ns = st->btime_ns;
	n->type = st->mode & S_IFMT;
	n->zone = ZONE_UNSET;
	n->fd = -1;
	n->written = atomic_load(&e->nothing_synced);
	pthread_mutex_init(&n->lock, NULL);
	if (t->count >= t->size)
		grow(t);
	n->id = t->next_id++;
	n->id_chain = t->by_id[n->id & (t->size - 1)];
	t->by_id[n->id & (t->size - 1)] = n;
	t->count++;
	return n;
}

struct link *node_link_new(const char *backing)
{
	size_t n = strlen(backing) + 1;
	struct link *l = malloc(sizeof *l + n);

	if (l)
		memcpy(l->name, backing, n);
	return l;
}

/* Takes a node that nobody holds out of the table, with its links; under table.lock.  Freed by destroy() outside.  A directory's id is
 * given back here: whoever looks it up next makes a new node, which must not find the id claimed by this one. */
static void retire(struct engine *e, struct node *n)
{
	struct node_table *t = &e->table;
	struct node **by_id = &t->by_id[n->id & (t->size - 1)];

	ids_release(e, n);
	while (*by_id != n)
		by_id = &(*by_id)->id_chain;
	*by_id = n->id_chain;
	table_unindex(t, n);
	for (struct link *l = n->links; l; l = l->sibling) {
		struct link **at = &t->by_name[hash_name(l->parent, l->name) & (t->size - 1)];

		while (*at != l)
			at = &(*at)->chain;
		*at = l->chain;
	}
	t->count--;
}

static void free_node(struct engine *e, struct node *n)
{
	for (struct link *l = n->links; l && n->parked; l = l->sibling)
		if (l->parent == e->open_node)
			e->store->ops->unlink(e->store, e->open_dir, l->name);
	descriptor_drop(e, n);
	if (n->dir) {
		name_list_free(n->dir->shown);
		pthread_rwlock_destroy(&n->dir->lock);
		pthread_mutex_destroy(&n->dir->position);
		pthread_mutex_destroy(&n->dir->loading);
		free(n->dir);
	}
	pthread_mutex_destroy(&n->lock);
	free(n);
}

/* Drops a reference; true if it was the last one, and the node is out of the table. */
static bool drop_ref(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&e->table.lock);

	bool last = --n->refs == 0 && n->lookups == 0;

	if (last)
		retire(e, n);
	pthread_mutex_unlock(&e->table.lock);
	return last;
}

/* Frees a node that is out of the table, and what goes with it: a parent with its last child, its parent then, and so on up.  They are
 * listed by id_chain, as a tree may be deeper than the stack. */
static void destroy(struct engine *e, struct node *n)
{
	n->id_chain = NULL;
	while (n) {
		struct node *rest = n->id_chain;
		struct link *links = n->links;

		free_node(e, n);
		for (struct link *next; links; links = next) {
			next = links->sibling;
			if (drop_ref(e, links->parent)) {
				links->parent->id_chain = rest;
				rest = links->parent;
			}
			free(links);
		}
		n = rest;
	}
}

struct node *node_get(struct engine *e, uint64_t id)
{
	struct node_table *t = &e->table;

	pthread_mutex_lock(&t->lock);

	struct node *n = t->by_id[id & (t->size - 1)];

	while (n && n->id != id)
		n = n->id_chain;
	if (n)
		n->refs++;
	pthread_mutex_unlock(&t->lock);
	return n;
}

struct node *node_ref(struct engine *e, struct node *n)
{
	pthread_mutex_lock(&e->table.lock);
	n->refs++;
	pthread_mutex_unlock(&e->table.lock);
	return n;
}

void node_unref(struct engine *e, struct node *n)
{
	if (n && drop_ref(e, n))
		destroy(e, n);
}

/* No name known, and the store knows of none either: a hard link may not have been looked up yet. */
bool node_is_gone(struct engine *e, struct node *n)
{
	struct store_stat st;
	int r = node_use(e, n);

	if (r < 0)
		return r == -ESTALE;
	r = store_stat(e->store, n->fd, &st);
	node_unuse(e, n);
	return r == 0 && st.nlink <= (n->parked ? 1 : 0);
}

void node_forget(struct engine *e, uint64_t id, uint64_t count)
{
	struct node *n = node_get(e, id);

	if (!n)
		return;
	pthread_mutex_lock(&e->table.lock);
	n->lookups -= count < n->lookups ? count : n->lookups;

	bool lost = n->lookups == 0 && (!n->links || (n->parked && !n->links->sibling));

	pthread_mutex_unlock(&e->table.lock);
	if (lost && node_is_gone(e, n))
		dirty_forget(e, n);
	node_unref(e, n);
}

void node_became(struct engine *e, struct node *n, const struct store_stat *st)
{
	struct node_table *t = &e->table;
	bool indexed;

	pthread_mutex_lock(&t->lock);
	indexed = n->in_inodes;
	table_unindex(t, n);
	n->dev = st->dev;
	n->ino = st->ino;
	n->btime_ns = st->btime_ns;
	if (indexed)
		table_index(t, n);
	pthread_mutex_unlock(&t->lock);
}

int node_table_start(struct engine *e, const struct store_stat *root)
{
	struct node_table *t = &e->table;

	t->size = 1024;
	t->next_id = ROOT_NODE;
	t->by_id = calloc(t->size, sizeof *t->by_id);
	t->by_inode = calloc(t->size, sizeof *t->by_inode);
	t->by_name = calloc(t->size, sizeof *t->by_name);
	if (!t->by_id || !t->by_inode || !t->by_name)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	e->root = table_new_node(e, root);
	if (!e->root)
		return -ENOMEM;
	e->root->refs = 1;
	return 0;
}

void node_table_stop(struct engine *e)
{
	struct node_table *t = &e->table;

	/* Unmounting sends no FORGET: let go of everything that the kernel still counted.  Leaves first: a node goes when its
	 * children's links are gone, so one pass over the ids from the newest does not do; drop all lookups, then collect. */
	for (uint32_t i = 0; t->by_id && i < t->size; i++)
		for (struct node *n = t->by_id[i]; n; n = n->id_chain)
			n->lookups = 0;
	for (bool again = true; again && t->by_id;) {
		again = false;
		for (uint32_t i = 0; i < t->size; i++) {
			struct node *n = t->by_id[i];

			while (n && n->refs > 0)
				n = n->id_chain;
			if (n) {
				n->refs++;
				node_unref(e, n);
				again = true;
			}
		}
	}
	free(t->by_id);
	free(t->by_inode);
	free(t->by_name);
	memset(t, 0, sizeof *t);
}

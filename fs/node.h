/* Nodes: which inode is which, under what names, and how to get a descriptor of it. */
#ifndef COFFER_FS_NODE_H
#define COFFER_FS_NODE_H

#include "fs/internal.h"

int node_table_start(struct engine *e, const struct store_stat *root) MUST_CHECK;
void node_table_stop(struct engine *e);

/* The node of an id that the kernel holds, with a reference; NULL if unknown (the kernel's mistake or ours: ESTALE). */
struct node *node_get(struct engine *e, uint64_t id);
struct node *node_ref(struct engine *e, struct node *n);
void node_unref(struct engine *e, struct node *n);
void node_forget(struct engine *e, uint64_t id, uint64_t count);

/* The node behind an entry that `st` describes: the known one or a new one.  With a reference, and with one more lookup if `count`.
 * If the name was known for another inode, that name is dropped from it.  NULL without memory. */
struct node *node_enter(struct engine *e, struct node *parent, const char *backing, const struct store_stat *st,
			bool count);

/* A node for an inode that has no name; with a reference and one more lookup. */
struct node *node_enter_nameless(struct engine *e, const struct store_stat *st);

/* The node known under a name, with a reference; NULL if the kernel does not know it. */
struct node *node_find(struct engine *e, struct node *parent, const char *backing);

/* Of a shared store (shared.h; on any other these change nothing): the node known under a name that is about to go, if it is the inode that
 * `st` describes; with as many names as that has. */
struct node *node_find_as(struct engine *e, struct node *parent, const char *backing, const struct store_stat *st);
/* It is not what it was: no name leads to it, and whoever looks its names up gets another node. */
void node_forsake(struct engine *e, struct node *n);
/* One of its names below leads to it, and from there those of the table to the root, or it has lost them all by what was done here.
 * Else -ESTALE.  Its descriptor is in use, and no lock held. */
int node_in_place(struct engine *e, struct node *n) MUST_CHECK;
/* The same for who holds locks; also of what is just being removed here it may be told that it is in place no longer. */
int node_is_named(struct engine *e, struct node *n) MUST_CHECK;

/* True if it stands for the inode that `st` describes. */
bool node_is_inode(const struct node *n, const struct store_stat *st);

/* True while the table knows a name of the node. */
bool node_has_name(struct engine *e, struct node *n);

/* The directory that holds one of its names, with a reference; and that name, in NAME_MAX + 1 bytes (may be NULL).  NULL: it has none. */
struct node *node_first_parent(struct engine *e, struct node *n, char *backing);

/* A name is gone.  Under the directory's lock. */
void node_unlinked(struct engine *e, struct node *parent, const char *backing);

/* A name was moved: what the table knows of (from, old_name) is now (to, new_name), and the other way round with `exchange`; what stood there loses
 * that name.  Under the directories' locks and tree (write).  `spare` are one or two links made before by node_link_new, so that this
 * cannot fail; it takes them over. */
struct link *node_link_new(const char *backing);
void node_renamed(struct engine *e, struct node *from, const char *old_name, struct node *to, const char *new_name,
		  bool exchange, struct link *spare[2]);
/* One more name of a node.  Takes the link over. */
void node_linked(struct engine *e, struct node *n, struct node *parent, struct link *l);

/* The object of a node has been replaced below by another one that shows the same (a link sealed again).  Within descriptor_apart. */
void node_became(struct engine *e, struct node *n, const struct store_stat *st);

/* --- descriptors
 * node_use gives a descriptor that stays open until node_unuse: O_RDWR for regular files (O_RDONLY where the store is read-only), O_RDONLY for
 * directories, O_PATH for the rest.  Verified to be the inode of the node, else -ESTALE. */
int node_use(struct engine *e, struct node *n) MUST_CHECK;
void node_unuse(struct engine *e, struct node *n);
/* The descriptor if one is open already, counted like node_use; false if not. */
bool node_use_cached(struct node *n);
/* Keeps the descriptor until node_unpin or the end of the node. */
int node_pin(struct engine *e, struct node *n) MUST_CHECK;
void node_unpin(struct engine *e, struct node *n);
/* Hands a descriptor to a node that has none (right after creating); closes it if there is one. */
void node_give_fd(struct engine *e, struct node *n, int fd);

/* True if the object has no name any more; the table may not know all of them. */
bool node_is_gone(struct engine *e, struct node *n);

/* stat(2) of the node, through its descriptor or one of its names.  Sizes are physical. */
int node_stat(struct engine *e, struct node *n, struct store_stat *out) MUST_CHECK;

#endif

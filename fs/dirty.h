/* What is not durable yet: nodes with changes in place that no sync has covered, and files with records in the journal.
 *
 * A node on the list is kept (its reference is the list's) until a tick has dealt with it, whether the kernel has forgotten it or not. */
#ifndef COFFER_FS_DIRTY_H
#define COFFER_FS_DIRTY_H

#include "fs/internal.h"

/* (W6) -EROFS once the journal could not be synced: nothing is changed any more then, names included.  Else 0. */
int dirty_refusal(struct engine *e);

void dirty_start(struct engine *e);
void dirty_stop(struct engine *e);
/* At the end, of what could not be made durable. */
void dirty_let_go(struct engine *e);

/* Puts the node on the list, if it is not there. */
void dirty_add(struct engine *e, struct node *n);
/* The store has a change of the node: content or size of a file, entries of a directory; or mode, owner, times, attributes of either. */
void dirty_in_place(struct engine *e, struct node *n);
void dirty_metadata(struct engine *e, struct node *n);
/* An entry of `dir` appeared for n (may be NULL) or went. */
void dirty_entry(struct engine *e, struct node *dir, struct node *n);

/* (N2) A node has got another name, or lost one of several.  Settled: since the names of n, and those of `dir` (NULL: none) and of all above it,
 * changed last all has become durable, so that a cut leaves n there, if anywhere. */
void dirty_renamed(struct engine *e, struct node *n);
bool dirty_names_settled(struct engine *e, struct node *n, struct node *dir);

/* Before the first record of a file since its last checkpoint is appended: from here on the ring is kept.  Afterwards the node is on the list.
 * True if it was kept already. */
bool dirty_keep_records(struct engine *e, struct node *n);
/* The records are not needed any more; or, after all, from `first` on. */
void dirty_drop_records(struct engine *e, struct node *n, struct journal_mark *first);
void dirty_restore_records(struct engine *e, struct node *n, const struct journal_mark *first);
/* Nobody can reach the node any more: it is taken off the list, and its records are kept until the directory that held its name is synced. */
void dirty_forget(struct engine *e, struct node *n);
/* Before a record that belongs to no file is appended: it is kept until the second tick from now is over. */
void dirty_keep_side(struct engine *e);
/* Records are in the ring: the next ticks free them, though nothing may be dirty. */
/* The tick that took the list has failed: what it should have made needless is needed on. */
void dirty_keep_sides(struct engine *e);
bool dirty_holds_the_ring(struct engine *e);
/* Where the ring may begin, now that the checkpoint of a tick is over. */
struct journal_mark dirty_first_record(struct engine *e);
/* A file has records that no checkpoint has brought in place. */
bool dirty_has_records(struct engine *e);

/* Takes the whole list, at the beginning of a tick: an array of nodes whose references are the caller's, to be freed.  -ENOMEM: nothing is
 * taken. */
int dirty_take(struct engine *e, struct node ***nodes, uint32_t *count) MUST_CHECK;

/* A sync that began when `written` had this value is over. */
void dirty_covered(struct node *n, uint64_t written);
/* Syncs what the store has of the node, if a sync has not covered it yet. */
int dirty_sync(struct engine *e, struct node *n) MUST_CHECK;
/* Syncs the directories above n that hold names not yet durable, bottom up; nothing where the store does that with a file's fsync. */
int dirty_sync_above(struct engine *e, struct node *n) MUST_CHECK;

/* True if syncfs makes everything durable there; of other stores (FUSE, network) nobody knows. */
bool dirty_syncfs_counts(const struct engine *e);
/* True if changes of names survive a cut in the order in which they were made, and a file's fsync covers its name. */
bool dirty_store_orders_names(const struct engine *e);
/* True if the store writes a file's content before a rename of it over another. */
bool dirty_store_orders_renames(const struct engine *e);

/* What stat shows of a file of which the journal has known better than the store; it stays when all is in place (a stat of the store that is under
 * way may still bring the older size). */
void overlay_set(struct node *n, uint64_t size, const struct timespec *mtime);
void overlay_set_mtime(struct node *n, const struct timespec *mtime);
bool overlay_get(struct node *n, struct overlay *out);

#endif

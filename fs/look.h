/* The first look at a file, as long as the volume has a range of epochs that a crash cut short (journal (F1) to (F5)).
 *
 * What a cut left of a file that was being made is shortened to what can be read, its bytes kept in .coffer/lost/; nothing else is
 * touched: everything else that does not verify is damage. */
#ifndef COFFER_FS_LOOK_H
#define COFFER_FS_LOOK_H

#include "fs/file_parts.h"

/* The lost ranges of the superblock. */
void look_expect(struct engine *e, const struct journal_state *state);

/* True if a file of these attributes may have been cut short: it is to be loaded before its size is told. */
bool look_is_due(struct engine *e, const struct store_stat *st);

/* Loads a file that may have been cut short.  Locked for writing. */
int look_load(struct engine *e, struct node *n, struct file *f) MUST_CHECK;

/* (R3) A file that recovery has replayed records on: its flag is about to go, so it is looked at now.  The first only finds out whether that is
 * possible. */
int look_judge_replayed(struct engine *e, struct node *n, struct file *f) MUST_CHECK;
int look_at_replayed(struct engine *e, struct node *n, struct file *f) MUST_CHECK;

#endif

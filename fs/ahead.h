/* Reading ahead from file to file: whoever reads the files of a tree one after the other (tar, cp -r, grep -r, a backup) reads them in
 * the order in which their directories were listed, or nearly.  So the beginnings of those that come next are read below while
 * he works on this one; the store then has them in its cache.  Nothing is decrypted ahead.
 *
 *  1. Only what was listed with its attributes is fetched ahead, and only once two files near each other in that order have been read.
 *  2. Fetched and not read is at most GUESS files more than were fetched and read, and never more than WINDOW: what is read
 *     in any other order costs little.
 *  3. The order is a ring of RING files: what was listed before that is forgotten.
 *
 * In a thread of its own, which only opens and asks the store's cache; it holds none of the engine's locks meanwhile.  Thread-safe. */
#ifndef COFFER_FS_AHEAD_H
#define COFFER_FS_AHEAD_H

#include "fs/internal.h"

/* Does nothing where the store has no cache to ask. */
int ahead_start(struct engine *e) MUST_CHECK;
void ahead_stop(struct engine *e);

/* The next file of a listing, with a reference held. */
void ahead_listed(struct engine *e, struct node *n, const struct store_stat *st);
/* A part of a listing has been made: who read so far may go on in it. */
void ahead_listing_done(struct engine *e);
/* Somebody reads a file that was not read since it was opened below. */
void ahead_read(struct engine *e, const struct node *n);

#endif

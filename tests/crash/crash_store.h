/* A store in memory that records every call which changes or syncs something, for building what a power cut or a kill would leave.
 *
 * It does what a Linux filesystem does for an ordinary user who owns everything on it: names, handles, permissions of the owner
 * (trusted.* attributes need more and are refused), O_PATH, O_TMPFILE, flock, holes.  Nothing is ever lost in the store itself;
 * survive.h says what is lost, and how, when the power goes.
 *
 * 1. A call is recorded once it has succeeded; calls that fail or change nothing are not.
 * 2. Inode numbers are never used again, so that one says which object an entry is, in every state that is built.
 * 3. fs_type is a number of its own, so that nobody assumes an order of anything.
 * 4. The clock counts a microsecond for each change, from the real time at which the store was made. */
#ifndef COFFER_TESTS_CRASH_CRASH_STORE_H
#define COFFER_TESTS_CRASH_CRASH_STORE_H

#include "image.h"
#include "util/base/store.h"

enum { CRASH_STORE_MAGIC = 0x0c0ff337, CRASH_NAME_MAX = 255, CRASH_FILE_MAX = 1 << 28, CRASH_SYMLINK_MAX = 4095 };

struct crash_store;

/* A store that begins with this image (copied). */
struct crash_store *crash_store_new(const struct image *image);
/* The same, as a process finds it after one was killed: the record goes on behind the n calls that were accepted.  `part` is one more,
 * of which only a part got through; or NULL. */
struct crash_store *crash_store_after_kill(const struct image *image, const struct record *before, size_t n,
					   const struct call *part);
void crash_store_free(struct crash_store *c); /* with all that is still open */

struct store *crash_store_ops(struct crash_store *c);
/* Called when a sync has begun and before it returns, by the thread that asked for it; the store may be used.  What is written from
 * then on, that sync does not cover.  Negative: it fails so, and what it was to cover no later one does, as in kernels that then
 * call the pages clean.  NULL: nothing is called. */
typedef int crash_sync_hook(void *data, uint32_t ino);
void crash_store_on_sync(struct crash_store *c, crash_sync_hook *hook, void *data);
/* Called before a write, by the thread that asked for it; the store may be used.  Negative: the write is refused so.  NULL: nothing is
 * called. */
typedef int crash_write_hook(void *data, uint32_t ino, const void *buf, size_t n, uint64_t off);
void crash_store_on_write(struct crash_store *c, crash_write_hook *hook, void *data);
/* What is there now; nobody may be using the store. */
const struct image *crash_store_image(struct crash_store *c);
/* The record.  Only the count may be asked for while somebody uses the store. */
const struct record *crash_store_record(struct crash_store *c);
size_t crash_store_count(struct crash_store *c);
/* Operations of any kind so far; those that only read are not in the record. */
size_t crash_store_operations(struct crash_store *c);
/* Handles that are open. */
size_t crash_store_handles(struct crash_store *c);

#endif

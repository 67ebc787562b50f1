/* Operations on a live volume, each entered in the oracle with the calls that it made.  Objects are named by their number in the
 * oracle; 0 is the root.
 *
 * Every operation has to work: one that is refused is kept in `refused`, and the run ends as a failure. */
#ifndef COFFER_TESTS_CRASH_ACTS_H
#define COFFER_TESTS_CRASH_ACTS_H

#include "oracle.h"
#include "volume.h"

struct live {
	const struct base *base;
	struct mounted m;
	struct oracle o;
	uint64_t random;   /* state of live_draw */
	uint64_t contents; /* counts, so that no two writes write the same */
	char refused[256];
	struct overlap *overlap; /* what is to happen during a sync */
};

void live_start(struct live *l, const struct base *b, uint64_t seed);
void live_stop(struct live *l); /* unmounts; the record stays */
void live_free(struct live *l);

uint64_t live_draw(struct live *l, uint64_t below);

unsigned act_create(struct live *l, unsigned dir, const char *name, mode_t mode);
unsigned act_tmpfile(struct live *l, unsigned dir); /* without a name: act_link gives one */
unsigned act_mkdir(struct live *l, unsigned dir, const char *name, mode_t mode);
void act_symlink(struct live *l, unsigned dir, const char *name, const char *target);
void act_link(struct live *l, unsigned object, unsigned dir, const char *name);
void act_unlink(struct live *l, unsigned dir, const char *name); /* a directory too */
void act_rename(struct live *l, unsigned dir, const char *name, unsigned dir2, const char *name2, unsigned flags);

/* n bytes that nobody else wrote. */
void act_write(struct live *l, unsigned object, uint64_t off, size_t n);
void act_append(struct live *l, unsigned object, size_t n);
void act_truncate(struct live *l, unsigned object, uint64_t size);
void act_punch(struct live *l, unsigned object, uint64_t off, uint64_t n);
void act_allocate(struct live *l, unsigned object, uint64_t off, uint64_t n); /* and grows */
void act_copy(struct live *l, unsigned from, unsigned to, uint64_t off,
	      uint64_t n); /* off: of a page; behind the end */

void act_chmod(struct live *l, unsigned object, mode_t mode);
void act_setxattr(struct live *l, unsigned object, const char *name, size_t n);
void act_removexattr(struct live *l, unsigned object, const char *name);

void act_fsync(struct live *l, unsigned object);
void act_fdatasync(struct live *l, unsigned object);
void act_fsyncdir(struct live *l, unsigned dir);
void act_tick(struct live *l);
/* Does an operation while the next one syncs: when sync number `after` (from 0) of those that it makes has begun.  It runs in a thread of
 * its own; if it cannot end before that sync does, the sync goes on, and it is waited for at the end. */
typedef void overlap_act(struct live *l, void *data);
void act_meanwhile_sync(struct live *l, unsigned after, overlap_act *act, void *data);
void act_remount(struct live *l);
void act_forget(struct live *l, unsigned object); /* as the kernel, when it needs memory */

uint64_t act_size(const struct live *l, unsigned object);

#endif

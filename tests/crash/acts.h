/* Operations on a live volume, each entered in the oracle with the calls that it made.  Objects are named by their number in the
 * oracle; 0 is the root.
 *
 * Every operation has to work: one that is refused is kept in `refused`, and the run ends as a failure. */
#ifndef COFFER_TESTS_CRASH_ACTS_H
#define COFFER_TESTS_CRASH_ACTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "oracle.h"
#include "volume.h"

struct live;
typedef void overlap_act(struct live *l, void *data);

struct page_write {
	uint32_t ino;
	uint64_t physical;
};

/* What is to happen while something is under way; in a thread of its own. */
struct meanwhile {
	enum { MEANWHILE_NOTHING, MEANWHILE_SYNC, MEANWHILE_RECORD, MEANWHILE_PAGE } kind;
	unsigned after, type;   /* so many syncs; a record of this type */
	struct page_write page; /* the write of this */
	overlap_act *act;
	void *data;
	pthread_t thread;
	atomic_bool started;
	bool joined;
};

struct live {
	const struct base *base;
	struct base rotated; /* the same with another active generation; `base` is this one then */
	struct mounted m;
	struct oracle o;
	uint64_t random;   /* state of live_draw */
	uint64_t contents; /* counts, so that no two writes write the same */
	char refused[256];
	struct meanwhile meanwhile;
	bool full;
	struct page_write full_page, pause_page;
	uint32_t fail_ino; /* whose next sync fails; 0: none's */
	bool failing;      /* a sync may fail, and then nothing is promised by it */
	_Atomic long pause_ms;
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

void act_read(struct live *l, unsigned object); /* a little, from the beginning */
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

bool act_fsync(struct live *l, unsigned object); /* false: it failed, as it may */
void act_fdatasync(struct live *l, unsigned object);
void act_fsyncdir(struct live *l, unsigned dir);
bool act_tick(struct live *l);
/* Each does an operation in a thread of its own while the next one goes on.  If it cannot end before that does, it is waited for at
 * the end.  When sync number `after` (from 0) of those that the next operation makes has begun; */
void act_meanwhile_sync(struct live *l, unsigned after, overlap_act *act, void *data);
/* when a record of this type is being written: its writer holds the journal's lock, and goes on at once; */
void act_meanwhile_record(struct live *l, unsigned type, overlap_act *act, void *data);
/* before a page of the object is written, by a write. */
void act_meanwhile_page(struct live *l, unsigned object, uint64_t page, overlap_act *act, void *data);
/* The next writer of this page of the object stops before it, for so long. */
void act_pause(struct live *l, unsigned object, uint64_t page, long ms);
/* The store is full: it refuses every write of this page of the object.  An act_write that fails for that is no change. */
void act_refuse(struct live *l, unsigned object, uint64_t page);
void act_refuse_no_more(struct live *l);
/* The next sync of this inode of the store fails (EIO); operations that sync may fail from then on, and then promise nothing. */
void act_fail_sync(struct live *l, uint32_t ino);
void act_remount(struct live *l);
/* The process is killed and another one mounts: a second life, with the same history.  What has no name is gone; it must not be used. */
void act_kill(struct live *l);
/* The next writer of this page of the object stops before it, for so long; then, or (ms 0) while an operation is done in a thread of its own, goes
 * on. */
void act_pause(struct live *l, unsigned object, uint64_t page, long ms);
void act_meanwhile_page(struct live *l, unsigned object, uint64_t page, overlap_act *act, void *data);
/* The store is full: from here on it refuses every write of this page of the object, until that is lifted.  A write of the live volume that fails for that
 * is no change. */
void act_refuse(struct live *l, unsigned object, uint64_t page);
void act_refuse_no_more(struct live *l);
/* Unmounted, and mounted again with another active generation. */
void act_rotate(struct live *l);
/* A pass to the active generation; what is to happen between its steps is in *k. */
struct rekey;
void act_rekey(struct live *l, struct rekey *k);
void act_forget(struct live *l, unsigned object); /* as the kernel, when it needs memory */

uint64_t act_size(const struct live *l, unsigned object);

#endif

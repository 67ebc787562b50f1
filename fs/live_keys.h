/* The keyring of a mount: read again when somebody has changed it, and its keys given to the engine while programs go on.
 *
 *  1. What can be read now and cannot with the new keys (its generation was suspended, destroyed, put below the floor) is written back and brought in
 *     place first, with no change under way; then memory and the kernel's caches forget it.
 *  2. Otherwise nobody waits: an operation works with the keys that it began with, the next one with the new ones.
 *  3. A lock refuses requests first, so that nothing new is decrypted; then as in 1 with all keys of generations, and the root goes, too.
 *  4. The lock of a scope is as in 1; the root stays, as the rest of the volume goes on, so this lock is a promise of the mount: unlocking asks for
 *     the root all the same.
 *
 * Thread-safe; not from inside an operation of the engine. */
#ifndef COFFER_FS_LIVE_KEYS_H
#define COFFER_FS_LIVE_KEYS_H

#include "fs/opened.h"

struct live_keys;

/* What they work with; all of it outlives them. */
struct live_keys_parts {
	struct opened *opened; /* its keyring and keys are theirs from now on */
	struct engine *engine;
	struct freeze *freeze;
	void (*forget)(void *data);          /* empties the kernel's caches of the mount */
	void (*refuse)(void *data, bool so); /* requests get ENOKEY from now on; NULL: there are none */
	void *data;
};

struct live_keys *live_keys_new(const struct live_keys_parts *p);
void live_keys_free(struct live_keys **l);

/* Reads the keyring again.  -EKEYREJECTED: it has another root now, which only a new mount can open. */
int live_keys_read_again(struct live_keys *l, struct fault *why) MUST_CHECK;

/* (3) Takes the keys away: what programs ask gives ENOKEY until live_keys_unlock().  What they wrote is in place then, unless the store refused
 * it: in that case the journal has it.  -EALREADY, with *why: it is locked. */
int live_keys_lock(struct live_keys *l, struct fault *why) MUST_CHECK;
/* A root comes over this socket (keymgr/hand_over.h).  -EALREADY: it is not locked. */
int live_keys_unlock(struct live_keys *l, int fd, struct fault *why) MUST_CHECK;
/* The same with a root that `open` brings: it unlocks the keyring, which was just read. */
int live_keys_unlock_by(struct live_keys *l, int (*open)(struct keyring *k, void *context, struct fault *why),
			void *context, struct fault *why) MUST_CHECK;
bool live_keys_are_locked(struct live_keys *l);

/* (4) The same of one scope.  -EALREADY; -EINVAL: there is no such scope of files. */
int live_keys_lock_scope(struct live_keys *l, uint32_t scope, struct fault *why) MUST_CHECK;
int live_keys_unlock_scope(struct live_keys *l, uint32_t scope, int fd, struct fault *why) MUST_CHECK;
/* A bit for each scope that is locked. */
uint32_t live_keys_locked_scopes(struct live_keys *l);

/* One change of the keyring, as by `coffer key`: under its lock, read again, edited, written; then as above. */
int live_keys_change(struct live_keys *l, int (*edit)(struct keyring *k, void *context, struct fault *why),
		     void *context, struct fault *why) MUST_CHECK;
/* Something that only looks at the keyring. */
void live_keys_look(struct live_keys *l, void (*look)(const struct keyring *k, void *context), void *context);

#endif

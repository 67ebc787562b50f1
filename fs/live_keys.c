#include "fs/live_keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "fs/forget.h"
#include "fs/freeze.h"
#include "keymgr/hand_over.h"
#include "util/base/log.h"

enum { STILL_SECONDS = 120, DRAIN_SECONDS = 60, ROOT_SECONDS = 5 };

struct live_keys {
	struct live_keys_parts p;
	pthread_mutex_t lock; /* of the keyring and the keys in p.opened */
	/* Changed under it, read without: who only asks does not wait until a keyring is written. */
	atomic_bool locked; /* there is no keyring then */
	atomic_uint locked_scopes;
};

struct live_keys *live_keys_new(const struct live_keys_parts *p)
{
	struct live_keys *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->p = *p;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void live_keys_free(struct live_keys **lp)
{
	struct live_keys *l = *lp;

	if (!l)
		return;
	*lp = NULL;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* ------------------------------------------------------------------ giving them to the engine */

/* (1) */
static bool takes_away(const struct keys *before, const struct keys *after)
{
	int error;

	for (uint32_t i = 0; i < before->count; i++) {
		const struct generation_key *g = &before->generations[i];

		if (g->scope != SCOPE_FIELDS && keys_for_open(before, g->scope, g->number, &error) &&
		    !keys_for_open(after, g->scope, g->number, &error))
			return true;
	}
	return false;
}

static int replace(struct live_keys *l, struct keys *fresh, struct fault *why)
{
	int r = engine_take_keys(l->p.engine, fresh, DRAIN_SECONDS);

	keys_unref(l->p.opened->keys);
	l->p.opened->keys = fresh;
	if (r < 0)
		return fault_errno(
			why, EXIT_FAILED, r,
			"the mount has the new keys, but an operation that began with the old ones does not end");
	return 0;
}

/* A mount that somebody froze holds still already. */
static int hold_still(struct live_keys *l, uint64_t *number, struct fault *why)
{
	int r = freeze_start(l->p.freeze, STILL_SECONDS, number);

	if (r == -EBUSY)
		*number = 0;
	return r < 0 && r != -EBUSY
		       ? fault_errno(why, EXIT_STORE, r,
				     "what is under that generation could not be written back; the mount goes "
				     "on with the keys it had")
		       : 0;
}

static int replace_standing_still(struct live_keys *l, struct keys *fresh, struct fault *why)
{
	uint64_t number;
	int r;

	/* Pages of shared mappings come back while they can still be sealed. */
	l->p.forget(l->p.data);
	r = hold_still(l, &number, why);
	if (r < 0) {
		keys_unref(fresh);
		return r;
	}
	r = replace(l, fresh, why);
	engine_forget_content(l->p.engine);
	if (number && freeze_end(l->p.freeze, number) < 0)
		log_info("the mount went on before it had forgotten what it may not read any more");
	/* Not before: the kernel waits for what it has to write, and that for the gate. */
	l->p.forget(l->p.data);
	return r;
}

static int give(struct live_keys *l, struct fault *why)
{
	struct keys *fresh = keyring_keys(l->p.opened->keyring);

	if (!fresh)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the keys");
	for (uint32_t scope = 0; scope < fresh->scope_count; scope++)
		if (l->locked_scopes >> scope & 1)
			keys_lock_scope(fresh, scope);
	if (takes_away(l->p.opened->keys, fresh))
		return replace_standing_still(l, fresh, why);
	return replace(l, fresh, why);
}

/* ------------------------------------------------------------------ the keyring */

static int change(struct live_keys *l, int (*edit)(struct keyring *k, void *context, struct fault *why), void *context,
		  struct fault *why)
{
	struct opened *o = l->p.opened;
	struct keyring_change *c;
	int r = keyring_change_begin(o->store, o->dot, o->keyring, &c, why);

	if (r < 0)
		return r;
	if (edit)
		r = edit(o->keyring, context, why);
	if (edit && r == 0)
		return keyring_change_commit(&c, why);
	keyring_change_abort(&c);
	/* What an edit that failed has left in memory is not what is on disk. */
	if (r < 0) {
		struct fault ignored = {0};

		if (keyring_change_begin(o->store, o->dot, o->keyring, &c, &ignored) == 0)
			keyring_change_abort(&c);
	}
	return r;
}

static int refuse_locked(struct fault *why)
{
	return fault_set(why, EXIT_REFUSED, ENOKEY, "the mount is locked; coffer unlock ends that");
}

int live_keys_change(struct live_keys *l, int (*edit)(struct keyring *k, void *context, struct fault *why),
		     void *context, struct fault *why)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = l->locked ? refuse_locked(why) : change(l, edit, context, why);
	if (r == 0)
		r = give(l, why);
	pthread_mutex_unlock(&l->lock);
	return r;
}

int live_keys_read_again(struct live_keys *l, struct fault *why)
{
	return live_keys_change(l, NULL, NULL, why);
}

void live_keys_look(struct live_keys *l, void (*look)(const struct keyring *k, void *context), void *context)
{
	pthread_mutex_lock(&l->lock);
	if (!l->locked)
		look(l->p.opened->keyring, context);
	pthread_mutex_unlock(&l->lock);
}

/* ------------------------------------------------------------------ the lock */

bool live_keys_are_locked(struct live_keys *l)
{
	return l->locked;
}

static void set_refusing(struct live_keys *l, bool so)
{
	if (l->p.refuse)
		l->p.refuse(l->p.data, so);
}

/* (3).  It goes on where the store refuses: keys that are to go, go. */
static int lock_now(struct live_keys *l, struct fault *why)
{
	struct keys *none = keys_locked(l->p.opened->keys);
	struct fault late = {.status = EXIT_OK};
	uint64_t number = 0;
	int r;

	if (!none)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for a lock");
	set_refusing(l, true);
	l->locked = true;
	/* Pages of shared mappings come back while they can still be sealed. */
	l->p.forget(l->p.data);
	if (hold_still(l, &number, &late) < 0)
		log_error("locked with changes that are in the journal only: %s", late.text);
	r = replace(l, none, why);
	engine_forget_content(l->p.engine);
	keyring_free(&l->p.opened->keyring);
	if (number && freeze_end(l->p.freeze, number) < 0)
		log_info("a lock took longer than the volume held still");
	l->p.forget(l->p.data);
	log_info("locked");
	return r;
}

int live_keys_lock(struct live_keys *l, struct fault *why)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = l->locked ? fault_set(why, EXIT_REFUSED, EALREADY, "the mount is locked already") : lock_now(l, why);
	pthread_mutex_unlock(&l->lock);
	return r;
}

static int unlock_now(struct live_keys *l, int (*open)(struct keyring *k, void *context, struct fault *why),
		      void *context, struct fault *why)
{
	struct opened *o = l->p.opened;
	_cleanup_(keyring_free) struct keyring *k = NULL;
	int r = keyring_read(o->store, o->dot, &k, why);

	if (r == 0)
		r = open(k, context, why);
	if (r < 0)
		return r;
	o->keyring = k;
	k = NULL;
	r = give(l, why);
	l->locked = false;
	set_refusing(l, false);
	log_info("unlocked");
	return r;
}

int live_keys_unlock_by(struct live_keys *l, int (*open)(struct keyring *k, void *context, struct fault *why),
			void *context, struct fault *why)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = l->locked ? unlock_now(l, open, context, why)
		      : fault_set(why, EXIT_REFUSED, EALREADY, "the mount is not locked");
	pthread_mutex_unlock(&l->lock);
	return r;
}

static int receive(struct keyring *k, void *fd, struct fault *why)
{
	return keyring_receive_root(k, *(const int *)fd, ROOT_SECONDS, why);
}

int live_keys_unlock(struct live_keys *l, int fd, struct fault *why)
{
	return live_keys_unlock_by(l, receive, &fd, why);
}

/* ------------------------------------------------------------------ the lock of a scope */

static int check_scope(const struct live_keys *l, uint32_t scope, bool locked, struct fault *why)
{
	if (l->locked)
		return refuse_locked(why);
	if (scope >= l->p.opened->keys->scope_count || scope == SCOPE_FIELDS)
		return fault_set(why, EXIT_USAGE, EINVAL, "there is no such scope of files");
	if ((l->locked_scopes >> scope & 1) == locked)
		return fault_set(why, EXIT_REFUSED, EALREADY, "the scope is %s",
				 locked ? "locked already" : "not locked");
	return 0;
}

int live_keys_lock_scope(struct live_keys *l, uint32_t scope, struct fault *why)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = check_scope(l, scope, true, why);
	if (r == 0) {
		l->locked_scopes |= UINT32_C(1) << scope;
		r = give(l, why);
		/* What could not be written back keeps its keys. */
		l->locked_scopes = l->p.opened->keys->locked;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

static int unlock_scope_now(struct live_keys *l, uint32_t scope, int fd, struct fault *why)
{
	struct opened *o = l->p.opened;
	_cleanup_(keyring_free) struct keyring *k = NULL;
	int r = keyring_read(o->store, o->dot, &k, why);

	if (r == 0)
		r = keyring_receive_root(k, fd, ROOT_SECONDS, why);
	if (r < 0)
		return r;
	keyring_free(&o->keyring);
	o->keyring = k;
	k = NULL;
	l->locked_scopes &= ~(UINT32_C(1) << scope);
	r = give(l, why);
	/* The names that the kernel knows there are not those that programs ask for. */
	l->p.forget(l->p.data);
	return r;
}

int live_keys_unlock_scope(struct live_keys *l, uint32_t scope, int fd, struct fault *why)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = check_scope(l, scope, false, why);
	if (r == 0)
		r = unlock_scope_now(l, scope, fd, why);
	pthread_mutex_unlock(&l->lock);
	return r;
}

uint32_t live_keys_locked_scopes(struct live_keys *l)
{
	return l->locked_scopes;
}

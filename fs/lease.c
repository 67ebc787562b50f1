#include "fs/lease.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/lease_source.h"
#include "fs/rounds.h"
#include "keymgr/entry.h"
#include "keymgr/pin.h"
#include "util/base/log.h"

enum { REMIND_SECONDS = 3600 /* of a service that stays away */ };

struct lease {
	struct lease_parts p;
	struct lease_source *source; /* of the thread, but for its being cancelled */

	struct rounds rounds;
	pthread_mutex_t lock; /* of what follows; nothing else is waited for while it is held */
	struct lease_status now;
	int64_t last_yes; /* seconds of CLOCK_BOOTTIME */

	/* of the thread alone */
	bool locked_it; /* (3) */
	unsigned renew_after;
	int64_t reminded;
};

static int64_t boot_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

const char *lease_state_name(enum lease_state s)
{
	static const char *const names[] = {"held", "unreachable", "expired", "denied"};

	return names[s];
}

static void set_state(struct lease *l, enum lease_state state, const char *reason)
{
	pthread_mutex_lock(&l->lock);
	l->now.state = state;
	snprintf(l->now.reason, sizeof l->now.reason, "%s", reason);
	if (state == LEASE_HELD) {
		l->now.renewals++;
		l->last_yes = boot_seconds();
	}
	pthread_mutex_unlock(&l->lock);
}

/* ------------------------------------------------------------------ locking and unlocking */

static void lock_it(struct lease *l)
{
	struct fault why = {.status = EXIT_OK};
	int r;

	reencrypt_halt(l->p.reencrypt);
	r = live_keys_lock(l->p.keys, &why);
	/* Somebody has locked it before: (3). */
	if (r == -EALREADY)
		return;
	l->locked_it = true;
	if (r < 0)
		log_error("the lock is there, but: %s", why.text);
}

/* As at the mount. */
static int open_again(struct keyring *k, void *context, struct fault *why)
{
	struct lease *l = context;
	const struct opened *o = l->p.opened;
	const struct entry entry = {.trust = l->p.trust, .looks_only = l->p.looks_only};
	int r = l->source->ops->unlock(l->source, k, why);

	if (r < 0)
		return r;
	return o->how == OPENED_OLD_COPY ? pin_check(k, &(struct trust){.older = true, .root = l->p.trust.root}, why)
					 : keyring_enter(o->store, o->dot, k, &entry, why);
}

static void unlock_it(struct lease *l)
{
	struct fault why = {.status = EXIT_OK};
	int r = live_keys_unlock_by(l->p.keys, open_again, l, &why);

	if (r < 0 && r != -EALREADY) {
		log_warning("%s would let the mount go on, but it cannot be unlocked: %s", l->source->ops->who,
			    why.text);
		return;
	}
	l->locked_it = false;
	if (reencrypt_look(l->p.reencrypt, &why) < 0)
		log_warning("the re-encryption does not go on: %s", why.text);
}

/* ------------------------------------------------------------------ one renewal */

static void set_version(struct lease *l, uint32_t version)
{
	pthread_mutex_lock(&l->lock);
	l->now.version = version;
	pthread_mutex_unlock(&l->lock);
}

/* (6) */
static void set_policy(struct lease *l, const struct managed_policy *policy)
{
	pthread_mutex_lock(&l->lock);
	l->now.policy = *policy;
	pthread_mutex_unlock(&l->lock);
}

static void yes(struct lease *l, const struct lease_answer *a)
{
	bool was_away = l->now.state == LEASE_UNREACHABLE;

	if (a->renew_after > 0 && a->renew_after <= 10 * LEASE_SECONDS)
		l->renew_after = a->renew_after;
	/* Before the unlocking: who asks for one meanwhile may. */
	set_state(l, LEASE_HELD, "");
	if (was_away)
		log_info("%s is reached again", l->source->ops->who);
	set_policy(l, &l->source->policy);
	if (l->locked_it)
		unlock_it(l);
	l->source->ops->after_yes(l->source, !l->locked_it);
	set_version(l, l->source->version);
}

static void no(struct lease *l, const char *reason)
{
	if (l->now.state != LEASE_DENIED)
		log_warning("%s has taken the access away: %s; the mount locks itself", l->source->ops->who, reason);
	set_state(l, LEASE_DENIED, reason);
	if (!l->locked_it)
		lock_it(l);
}

static void remind(struct lease *l, const char *reason, int64_t left)
{
	int64_t now = boot_seconds();

	if (l->now.state == LEASE_UNREACHABLE && now - l->reminded < REMIND_SECONDS)
		return;
	l->reminded = now;
	log_warning("the lease of the mount is not renewed, which locks itself in %" PRId64 " minutes: %s",
		    (left + 59) / 60, reason);
}

/* (2) */
static void nothing(struct lease *l, const char *reason)
{
	int64_t left = l->last_yes + l->p.grace - boot_seconds();

	/* It was locked before, and stays so. */
	if (l->now.state == LEASE_DENIED)
		return;
	if (left > 0) {
		remind(l, reason, left);
		set_state(l, LEASE_UNREACHABLE, reason);
		return;
	}
	if (l->now.state != LEASE_EXPIRED)
		log_warning("the grace period is over, the mount locks itself: %s", reason);
	set_state(l, LEASE_EXPIRED, reason);
	if (!l->locked_it)
		lock_it(l);
}

static void renew(struct lease *l)
{
	struct lease_answer a = {.verdict = LEASE_NOTHING};

	if (l->source->ops->ask(l->source, &a) == -ECANCELED)
		return;
	if (a.verdict == LEASE_YES)
		yes(l, &a);
	else if (a.verdict == LEASE_NO)
		no(l, a.reason);
	else
		nothing(l, a.reason);
}

/* ------------------------------------------------------------------ the thread */

static unsigned until_the_next(const struct lease *l)
{
	return l->p.every && l->p.every < l->renew_after ? l->p.every : l->renew_after;
}

static void *keep(void *data)
{
	struct lease *l = data;

	do
		renew(l);
	while (rounds_wait(&l->rounds, until_the_next(l)));
	fs_thread_end();
	return NULL;
}

static int prepare(struct lease *l, struct fault *why)
{
	int r = l->p.opened->service ? lease_service_new(&l->p, &l->source, why)
				     : lease_kmip_new(&l->p, &l->source, why);

	if (r < 0)
		return r;
	l->now.by = l->source->ops->type;
	memcpy(l->now.key, l->source->key, sizeof l->now.key);
	l->now.version = l->source->version;
	l->last_yes = boot_seconds();
	l->renew_after = LEASE_SECONDS;
	pthread_mutex_init(&l->lock, NULL);
	r = rounds_start(&l->rounds, keep, l);
	if (r < 0)
		l->source->ops->free(l->source);
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot start a thread for the lease") : 0;
}

int lease_start(const struct lease_parts *p, struct lease **out, struct fault *why)
{
	struct lease *l;
	int r;

	*out = NULL;
	if (!p->opened->service && !p->opened->kmip)
		return 0;
	l = calloc(1, sizeof *l);
	if (!l)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for a lease");
	l->p = *p;
	r = prepare(l, why);
	if (r < 0)
		free(l);
	else
		*out = l;
	return r;
}

void lease_stop(struct lease **lp)
{
	struct lease *l = *lp;

	if (!l)
		return;
	*lp = NULL;
	/* It may be waiting for an answer. */
	rounds_tell(&l->rounds);
	l->source->ops->cancel(l->source);
	rounds_stop(&l->rounds);
	l->source->ops->free(l->source);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void lease_status(struct lease *l, struct lease_status *out)
{
	int64_t age;

	pthread_mutex_lock(&l->lock);
	*out = l->now;
	age = boot_seconds() - l->last_yes;
	pthread_mutex_unlock(&l->lock);
	out->age = age > 0 ? (uint64_t)age : 0;
	out->grace_left = out->age < l->p.grace ? l->p.grace - out->age : 0;
}

void lease_managed_policy(struct lease *l, struct managed_policy *out)
{
	*out = (struct managed_policy){0};
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	*out = l->now.policy;
	pthread_mutex_unlock(&l->lock);
}

int lease_allows_unlock(struct lease *l, struct fault *why)
{
	struct lease_status now;

	if (!l)
		return 0;
	lease_status(l, &now);
	if (now.state == LEASE_DENIED || now.state == LEASE_EXPIRED)
		return fault_set(why, EXIT_REFUSED, EACCES,
				 "the mount is bound by its lease, and goes on by itself when %s lets it: %s",
				 l->source->ops->who, now.reason);
	return 0;
}

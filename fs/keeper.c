#include "fs/keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fs/rounds.h"
#include "keymgr/policy.h"
#include "util/base/log.h"

/* LOOK: how often what was written is compared; POLICY: how often the clock is; GRAIN: so much may go unnoted when the process dies. */
enum { LOOK_SECONDS = 5, POLICY_SECONDS = 600, FIRST_SECONDS = 30 };
#define GRAIN (UINT64_C(1) << 30)

struct keeper {
	struct keeper_parts p;
	struct rounds rounds;

	/* of the thread alone */
	uint64_t noted;                /* of what the engine has sealed */
	uint64_t before, allowed;      /* as the keyring and the service say; allowed 0: as much as one likes */
	struct managed_policy managed; /* as it was carried out last */
	bool moving;                   /* a re-encryption was under way at the last look */
	struct generation_users users;
};

/* ------------------------------------------------------------------ one run */

static int count(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	const struct keeper *k = context;
	int r = reencrypt_users(k->p.engine, generation, files);

	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot look at all files") : 0;
}

static uint64_t unnoted(const struct keeper *k)
{
	return engine_sealed(k->p.engine) - k->noted;
}

static void remember(const struct keyring *ring, void *context)
{
	struct keeper *k = context;

	k->before = keyring_sealed(ring);
	k->allowed = keyring_bytes_allowed(ring, &k->managed);
}

struct run {
	struct keeper *k;
	uint64_t bytes; /* to be noted */
	bool last;      /* the mount ends: only that */
	struct policy_done done;
};

/* -EALREADY: there is nothing to be written. */
static int edit(struct keyring *ring, void *context, struct fault *why)
{
	struct run *r = context;
	const struct policy_facts facts = {
		.bytes = keyring_sealed(ring) + r->bytes, .users = &r->k->users, .managed = &r->k->managed};
	int result = 0;

	if (r->bytes >= GRAIN || r->last || (r->k->allowed && facts.bytes >= r->k->allowed))
		result = keyring_note_sealed(ring, r->bytes, why);
	else
		r->bytes = 0;
	if (result == 0 && !r->last)
		result = keyring_run_policy(ring, &facts, &r->done, why);
	return result == 0 && !r->bytes && !policy_did_something(&r->done) ? -EALREADY : result;
}

static void run_policies(struct keeper *k, bool last)
{
	struct run r = {.k = k, .bytes = unnoted(k), .last = last};
	struct fault why = {.status = EXIT_OK};
	int result = live_keys_change(k->p.keys, edit, &r, &why);

	if (result == 0)
		k->noted += r.bytes;
	else if (result != -EALREADY && !live_keys_are_locked(k->p.keys))
		log_warning("the policies of the keys are not carried out: %s", why.text);
	if (result == 0 && policy_did_something(&r.done))
		log_info("by policy: %" PRIu32 " generations rotated, %" PRIu32 " retired, %" PRIu32 " destroyed%s",
			 r.done.rotated, r.done.retired, r.done.destroyed,
			 r.done.started ? "; older ones are re-encrypted" : "");
	/* Another generation may be the target of what is under way. */
	if (result == 0 && (r.done.rotated || r.done.started) && reencrypt_look(k->p.reencrypt, &why) < 0)
		log_warning("%s", why.text);
	k->moving |= result == 0 && r.done.started;
	live_keys_look(k->p.keys, remember, k);
}

/* ------------------------------------------------------------------ the thread */

/* The service's policy is another one. */
static bool take_managed(struct keeper *k)
{
	struct managed_policy now;
	struct engine_counts counts;

	/* It is looked at again when something can be done about it. */
	if (live_keys_are_locked(k->p.keys))
		return false;
	lease_managed_policy(k->p.lease, &now);
	/* Without a journal nothing can be re-encrypted (reencrypt.c). */
	engine_counts(k->p.engine, &counts);
	if (!counts.journal_size)
		now.keep = 0;
	if (memcmp(&now, &k->managed, sizeof now) == 0)
		return false;
	k->managed = now;
	return true;
}

/* A re-encryption has ended: what it was about may be retired. */
static bool has_moved(struct keeper *k)
{
	struct reencrypt_status now;
	bool before = k->moving;

	reencrypt_status(k->p.reencrypt, &now);
	k->moving = now.phase == REENCRYPT_WAITING || now.phase == REENCRYPT_MOVING || now.phase == REENCRYPT_VERIFYING;
	return before && !k->moving;
}

static void *keep(void *data)
{
	struct keeper *k = data;
	unsigned look = k->p.every && k->p.every < LOOK_SECONDS ? k->p.every : LOOK_SECONDS;

	live_keys_look(k->p.keys, remember, k);
	for (unsigned waited = POLICY_SECONDS - FIRST_SECONDS; rounds_wait(&k->rounds, look); waited += look) {
		bool much = k->allowed && k->before + unnoted(k) >= k->allowed, other = take_managed(k),
		     moved = has_moved(k);

		if (!much && !other && !moved && unnoted(k) < GRAIN && waited < POLICY_SECONDS)
			continue;
		run_policies(k, false);
		waited = 0;
	}
	if (unnoted(k) && (k->allowed || unnoted(k) >= GRAIN))
		run_policies(k, true);
	fs_thread_end();
	return NULL;
}

int keeper_start(const struct keeper_parts *p, struct keeper **out)
{
	struct keeper *k = calloc(1, sizeof *k);
	int r;

	if (!k)
		return -ENOMEM;
	k->p = *p;
	k->users = (struct generation_users){count, k};
	r = rounds_start(&k->rounds, keep, k);
	if (r < 0)
		free(k);
	else
		*out = k;
	return r;
}

void keeper_stop(struct keeper **kp)
{
	struct keeper *k = *kp;

	if (!k)
		return;
	*kp = NULL;
	rounds_stop(&k->rounds);
	free(k);
}

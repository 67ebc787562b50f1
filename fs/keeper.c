#include "fs/keeper.h"

#include <errno.h>
#include <inttypes.h>

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
	uint64_t noted;           /* of what the engine has sealed */
	uint64_t before, allowed; /* as the keyring says; allowed 0: as much as one likes */
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
	struct policy policy;

	keyring_policy(ring, &policy);
	k->before = keyring_sealed(ring);
	k->allowed = policy.rotate_after;
}

static bool did_something(const struct policy_done *d)
{
	return d->rotated || d->retired || d->destroyed;
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
	const struct policy_facts facts = {.bytes = keyring_sealed(ring) + r->bytes, .users = &r->k->users};
	int result = 0;

	if (r->bytes >= GRAIN || r->last || (r->k->allowed && facts.bytes >= r->k->allowed))
		result = keyring_note_sealed(ring, r->bytes, why);
	else
		r->bytes = 0;
	if (result == 0 && !r->last)
		result = keyring_run_policy(ring, &facts, &r->done, why);
	return result == 0 && !r->bytes && !did_something(&r->done) ? -EALREADY : result;
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
	if (result == 0 && did_something(&r.done))
		log_info("by policy: %" PRIu32 " generations rotated, %" PRIu32 " retired, %" PRIu32 " destroyed",
			 r.done.rotated, r.done.retired, r.done.destroyed);
	/* Another generation may be the target of what is under way. */
	if (result == 0 && r.done.rotated && reencrypt_look(k->p.reencrypt, &why) < 0)
		log_warning("%s", why.text);
	live_keys_look(k->p.keys, remember, k);
}

/* ------------------------------------------------------------------ the thread */

static void *keep(void *data)
{
	struct keeper *k = data;

	live_keys_look(k->p.keys, remember, k);
	for (unsigned waited = POLICY_SECONDS - FIRST_SECONDS; rounds_wait(&k->rounds, LOOK_SECONDS);
	     waited += LOOK_SECONDS) {
		bool much = k->allowed && k->before + unnoted(k) >= k->allowed;

		if (!much && unnoted(k) < GRAIN && waited < POLICY_SECONDS)
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

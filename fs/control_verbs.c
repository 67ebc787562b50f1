#include "fs/control_verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/control_keys.h"
#include "fs/metrics.h"

/* A new verb is one function and one line of the table at the end. */

static struct control_subject *subject(const struct control_call *c)
{
	return c->data;
}

/* ------------------------------------------------------------------ status */

/* In short. */
static void put_reencryption(struct control_call *c, struct reencrypt *r)
{
	struct reencrypt_status now;

	reencrypt_status(r, &now);
	control_put_text(c, "reencryption", reencrypt_phase_name(now.phase));
	control_put_number(c, "reencryption_percent", now.total ? now.done * 100 / now.total : 0);
	control_put_number(c, "reencryption_stuck", now.stuck);
}

static void put_lease(struct control_call *c, struct lease *l)
{
	struct lease_status now;

	if (!l)
		return;
	lease_status(l, &now);
	control_put_text(c, "lease", lease_state_name(now.state));
	control_put_text(c, "lease_by", now.by);
	control_put_text(c, "lease_key", now.key);
	control_put_number(c, "lease_version", now.version);
	control_put_number(c, "lease_renewals", now.renewals);
	control_put_number(c, "lease_age", now.age);
	control_put_number(c, "lease_grace_left", now.grace_left);
	control_put_text(c, "lease_reason", now.reason);
	control_put_number(c, "lease_policy_rotate_every", now.policy.rotate_every);
	control_put_number(c, "lease_policy_rotate_after", now.policy.rotate_after);
	control_put_number(c, "lease_policy_keep", now.policy.keep);
}

static int run_status(struct control_call *c, struct fault *why)
{
	const struct control_subject *s = subject(c);
	struct engine_counts counts;
	struct freeze_status freeze;
	struct store_stat st;
	char volume[64];
	int r = store_stat(s->opened->store, s->opened->dot, &st);

	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot look at .coffer");
	engine_counts(s->engine, &counts);
	freeze_status(s->freeze, &freeze);
	control_put_number(c, "pid", (uint64_t)getpid());
	/* Which directory this is: a copy of the volume has the same instance id. */
	snprintf(volume, sizeof volume, "%" PRIu64 ":%" PRIu64, st.dev, st.ino);
	control_put_text(c, "volume", volume);
	control_put_flag(c, "read_only", s->read_only || counts.read_only);
	control_put_flag(c, "shared_store", s->shared);
	if (s->shared)
		control_put_number(c, "shared_seconds", s->shared_seconds);
	control_put_flag(c, "frozen", freeze.frozen);
	control_put_number(c, "seconds_left", freeze.seconds_left);
	control_put_number(c, "held_requests", freeze.kept);
	control_put_number(c, "nodes", counts.nodes);
	control_put_number(c, "descriptors", counts.descriptors);
	control_put_number(c, "undecryptable_names", counts.undecryptable_names);
	control_put_number(c, "damaged_pages", counts.damaged_pages);
	control_put_flag(c, "recovered", counts.recovered);
	control_put_number(c, "recovered_files", counts.recovered_files);
	control_put_number(c, "recovered_pages", counts.recovered_pages);
	control_put_number(c, "recovery_ms", counts.recovery_ms);
	control_put_number(c, "lost_files", counts.lost);
	control_put_flag(c, "looking", counts.looking);
	control_put_flag(c, "locked", live_keys_are_locked(s->live_keys));
	control_put_number(c, "locked_scopes", live_keys_locked_scopes(s->live_keys));
	put_reencryption(c, s->reencrypt);
	put_lease(c, s->lease);
	return 0;
}

/* ------------------------------------------------------------------ freeze and thaw */

static int refuse_freeze(const struct control_subject *s, int r, struct fault *why)
{
	struct freeze_status now;

	freeze_status(s->freeze, &now);
	switch (r) {
	case -EBUSY:
		return fault_set(why, EXIT_IN_USE, EBUSY,
				 "the mount is frozen already, for %u more seconds; coffer thaw ends that",
				 now.seconds_left);
	case -ETIMEDOUT:
		return fault_set(why, EXIT_FAILED, ETIMEDOUT, "not frozen: a write under way does not end");
	case -ESHUTDOWN:
		return fault_set(why, EXIT_FAILED, ESHUTDOWN, "not frozen: the mount is ending");
	default:
		return fault_errno(why, EXIT_STORE, r, "not frozen: what is to be written could not be written");
	}
}

/* "seconds", and perhaps "hold": then it ends with the connection. */
static int run_freeze(struct control_call *c, struct fault *why)
{
	const struct control_subject *s = subject(c);
	uint64_t number = 0, seconds;
	int r;

	if (!control_get_number(c, "seconds", &seconds) || seconds < 1 || seconds > FREEZE_SECONDS_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "freeze wants a number of seconds from 1 to %d",
				 FREEZE_SECONDS_MAX);
	if (c->held)
		return refuse_freeze(s, -EBUSY, why);
	r = freeze_start(s->freeze, (unsigned)seconds, &number);
	if (r < 0)
		return refuse_freeze(s, r, why);
	if (control_get_flag(c, "hold"))
		c->held = number;
	control_put_number(c, "seconds_left", seconds);
	return 0;
}

/* Of one who asks too late, so that a backup which took longer than its freeze is told so. */
static int refuse_thaw(const struct control_subject *s, struct fault *why)
{
	struct freeze_status now;

	freeze_status(s->freeze, &now);
	if (now.last_end == FREEZE_TIME)
		return fault_set(why, EXIT_REFUSED, ENOENT,
				 "the mount is not frozen: the time of the last freeze ran out, and writes went on");
	if (now.last_end == FREEZE_MEMORY)
		return fault_set(why, EXIT_REFUSED, ENOENT,
				 "the mount is not frozen: the last freeze ended early, too many writes waited");
	return fault_set(why, EXIT_REFUSED, ENOENT, "the mount is not frozen");
}

static int run_thaw(struct control_call *c, struct fault *why)
{
	const struct control_subject *s = subject(c);
	int r = freeze_end(s->freeze, c->held);

	c->held = 0;
	if (r == -EBUSY)
		return fault_set(why, EXIT_IN_USE, EBUSY, "the mount is just being frozen; ask again");
	return r < 0 ? refuse_thaw(s, why) : 0;
}

/* ------------------------------------------------------------------ the end */

/* As by SIGTERM: when nobody uses the mount any more, or the time for that is over. */
static int run_stop(struct control_call *c, struct fault *why)
{
	(void)c;
	return kill(getpid(), SIGTERM) < 0 ? fault_errno(why, EXIT_FAILED, -errno, "cannot end the mount") : 0;
}

bool control_holds(struct control_call *c)
{
	return c->held && !freeze_wait(subject(c)->freeze, c->held, 0);
}

void control_release(struct control_call *c)
{
	if (c->held && freeze_end(subject(c)->freeze, c->held) < 0)
		c->held = 0; /* it was over before */
}

const struct control_verb control_verbs[] = {
	{"status", run_status},
	{"metrics", metrics_run_verb},
	{"freeze", run_freeze},
	{"thaw", run_thaw},
	{"stop", run_stop},
	{"read-keys", control_run_read_keys},
	{"rotate", control_run_rotate},
	{"lock", control_run_lock},
	{"unlock", control_run_unlock},
	{"lock-scope", control_run_lock_scope},
	{"unlock-scope", control_run_unlock_scope},
	{"assign-scope", control_run_assign_scope},
	{"reencryption", control_run_reencryption},
	{"reencrypt", control_run_reencrypt},
	{"users", control_run_users},
	{NULL, NULL},
};

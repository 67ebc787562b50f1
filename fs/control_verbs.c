#include "fs/control_verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* A new verb is one function and one line of the table at the end. */

static struct control_subject *subject(const struct control_call *c)
{
	return c->data;
}

/* ------------------------------------------------------------------ status */

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

/* ------------------------------------------------------------------ keys */

/* The keyring was changed by somebody else. */
static int run_read_keys(struct control_call *c, struct fault *why)
{
	return live_keys_read_again(subject(c)->live_keys, why);
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
	{"status", run_status}, {"freeze", run_freeze}, {"thaw", run_thaw}, {"read-keys", run_read_keys}, {NULL, NULL},
};

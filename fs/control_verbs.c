#include "fs/control_verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

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
	int r = store_stat(s->opened->store, s->opened->dot, &st);

	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot look at .coffer");
	engine_counts(s->engine, &counts);
	freeze_status(s->freeze, &freeze);
	control_say(c, "pid %d", (int)getpid());
	/* Which directory this is: a copy of the volume has the same instance id. */
	control_say(c, "volume %" PRIu64 ":%" PRIu64, st.dev, st.ino);
	control_say(c, "read_only %d", s->read_only || counts.read_only);
	control_say(c, "frozen %d", freeze.frozen);
	control_say(c, "seconds_left %u", freeze.seconds_left);
	control_say(c, "held_requests %u", freeze.kept);
	control_say(c, "nodes %" PRIu64, counts.nodes);
	control_say(c, "descriptors %" PRIu64, counts.descriptors);
	control_say(c, "undecryptable_names %" PRIu64, counts.undecryptable_names);
	control_say(c, "damaged_pages %" PRIu64, counts.damaged_pages);
	control_say(c, "recovered %d", counts.recovered);
	control_say(c, "recovered_files %" PRIu64, counts.recovered_files);
	control_say(c, "recovered_pages %" PRIu64, counts.recovered_pages);
	control_say(c, "recovery_ms %" PRIu64, counts.recovery_ms);
	control_say(c, "lost_files %" PRIu64, counts.lost);
	control_say(c, "looking %d", counts.looking);
	return 0;
}

/* ------------------------------------------------------------------ freeze and thaw */

static int parse_seconds(const char *text, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || n < 1 || n > FREEZE_SECONDS_MAX)
		return -EINVAL;
	*out = (unsigned)n;
	return strcmp(end, "") == 0 || strcmp(end, " hold") == 0 ? 0 : -EINVAL;
}

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

/* "freeze SECONDS [hold]": with `hold` it ends with the connection. */
static int run_freeze(struct control_call *c, struct fault *why)
{
	const struct control_subject *s = subject(c);
	uint64_t number = 0;
	unsigned seconds;
	int r = parse_seconds(c->argument, &seconds);

	if (r < 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "freeze wants a number of seconds from 1 to %d",
				 FREEZE_SECONDS_MAX);
	if (c->held)
		return refuse_freeze(s, -EBUSY, why);
	r = freeze_start(s->freeze, seconds, &number);
	if (r < 0)
		return refuse_freeze(s, r, why);
	if (strchr(c->argument, ' '))
		c->held = number;
	control_say(c, "seconds_left %u", seconds);
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
	{"freeze", run_freeze},
	{"thaw", run_thaw},
	{NULL, NULL},
};

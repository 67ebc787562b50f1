#include "fs/control_verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/assign.h"
#include "fs/metrics.h"
#include "util/base/log.h"

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
	control_put_text(c, "lease_key", now.key);
	control_put_number(c, "lease_version", now.version);
	control_put_number(c, "lease_renewals", now.renewals);
	control_put_number(c, "lease_age", now.age);
	control_put_number(c, "lease_grace_left", now.grace_left);
	control_put_text(c, "lease_reason", now.reason);
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

/* ------------------------------------------------------------------ keys */

/* The keyring was changed by somebody else. */
static int run_read_keys(struct control_call *c, struct fault *why)
{
	int r = live_keys_read_again(subject(c)->live_keys, why);

	/* Another generation may be the target now. */
	return r < 0 ? r : reencrypt_look(subject(c)->reencrypt, why);
}

static int run_lock(struct control_call *c, struct fault *why)
{
	reencrypt_halt(subject(c)->reencrypt);
	return live_keys_lock(subject(c)->live_keys, why);
}

/* The root key is the next packet. */
static int run_unlock(struct control_call *c, struct fault *why)
{
	int r = lease_allows_unlock(subject(c)->lease, why);

	if (r == 0)
		r = live_keys_unlock(subject(c)->live_keys, c->fd, why);

	return r < 0 ? r : reencrypt_look(subject(c)->reencrypt, why);
}

/* ------------------------------------------------------------------ scopes */

/* "scope": its number. */
static int get_scope(struct control_call *c, uint32_t *scope, struct fault *why)
{
	uint64_t number;

	*scope = SCOPE_NONE;
	if (!control_get_number(c, "scope", &number) || number >= SCOPES_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "the number of a scope is wanted");
	*scope = (uint32_t)number;
	return 0;
}

static int run_lock_scope(struct control_call *c, struct fault *why)
{
	const struct control_subject *s = subject(c);
	struct fault ignored = {.status = EXIT_OK};
	uint32_t scope;
	int r = get_scope(c, &scope, why);

	if (r < 0)
		return r;
	reencrypt_halt(s->reencrypt);
	r = live_keys_lock_scope(s->live_keys, scope, why);
	/* What it is about may not be locked. */
	if (reencrypt_look(s->reencrypt, &ignored) < 0)
		log_warning("%s", ignored.text);
	return r;
}

/* The root key is the next packet. */
static int run_unlock_scope(struct control_call *c, struct fault *why)
{
	uint32_t scope;
	int r = get_scope(c, &scope, why);

	if (r == 0)
		r = live_keys_unlock_scope(subject(c)->live_keys, scope, c->fd, why);
	return r < 0 ? r : reencrypt_look(subject(c)->reencrypt, why);
}

/* "path" of a directory in the mount, "scope".  Takes as long as looking at all that is in it. */
static int run_assign_scope(struct control_call *c, struct fault *why)
{
	const struct control_subject *s = subject(c);
	const char *path = control_get_text(c, "path");
	uint32_t scope;
	int r = get_scope(c, &scope, why);

	if (r == 0 && !path)
		r = fault_set(why, EXIT_USAGE, EINVAL, "assign-scope wants the path of a directory in the mount");
	if (r == 0)
		r = assign_scope(s->engine, s->live_keys, path, scope, why);
	return r < 0 ? r : reencrypt_look(s->reencrypt, why);
}

/* ------------------------------------------------------------------ re-encryption */

/* As many paths as an answer holds. */
static int put_stuck(struct control_call *c, struct reencrypt *r, struct fault *why)
{
	json_object *array = json_object_new_array();
	char **list = NULL;
	size_t count = 0, room = CONTROL_ANSWER_MAX / 2;
	int result = reencrypt_stuck(r, &list, &count);

	for (size_t i = 0; i < count; i++) {
		size_t n = 6 * strlen(list[i]) + 8;

		if (n < room) {
			json_object_array_add(array, json_object_new_string(list[i]));
			room -= n;
		}
		free(list[i]);
	}
	free(list);
	json_object_object_add(c->answer, "stuck_paths", array);
	return result < 0 ? fault_errno(why, EXIT_FAILED, result, "cannot tell what is stuck") : 0;
}

static int run_reencryption(struct control_call *c, struct fault *why)
{
	struct reencrypt *r = subject(c)->reencrypt;
	struct reencrypt_status now;

	reencrypt_status(r, &now);
	control_put_text(c, "phase", reencrypt_phase_name(now.phase));
	control_put_number(c, "generation", now.generation);
	control_put_number(c, "done", now.done);
	control_put_number(c, "total", now.total);
	control_put_number(c, "bytes", now.bytes);
	control_put_number(c, "objects", now.objects);
	control_put_number(c, "rate", now.rate);
	control_put_number(c, "stuck", now.stuck);
	if (now.error)
		control_put_text(c, "reason", strerror(-now.error));
	return now.stuck ? put_stuck(c, r, why) : 0;
}

struct step {
	const char *action;
	struct reencryption how;
};

static int take_step(struct keyring *k, void *context, struct fault *why)
{
	const struct step *s = context;

	if (strcmp(s->action, "start") == 0)
		return keyring_start_reencryption(k, &s->how, why);
	if (strcmp(s->action, "pause") == 0)
		return keyring_pause_reencryption(k, true, why);
	if (strcmp(s->action, "resume") == 0)
		return keyring_pause_reencryption(k, false, why);
	if (strcmp(s->action, "stop") == 0)
		return keyring_stop_reencryption(k, why);
	return fault_set(why, EXIT_USAGE, EINVAL, "reencrypt takes start, pause, resume, stop or give-up");
}

static int give_up(struct control_call *c, struct fault *why)
{
	uint64_t count;
	int r = reencrypt_give_up(subject(c)->reencrypt, control_get_text(c, "path"), &count, why);

	control_put_number(c, "given_up", count);
	return r < 0 ? r : reencrypt_look(subject(c)->reencrypt, why);
}

/* "action"; with start also "touch", "idle", "max_rate", "unthrottled", "scope"; with give-up "path", without which it is all. */
static int run_reencrypt(struct control_call *c, struct fault *why)
{
	const struct control_subject *s = subject(c);
	const char *action = control_get_text(c, "action");
	struct step step = {.action = action ? action : "",
			    .how = {.touch = control_get_flag(c, "touch"), .idle = control_get_flag(c, "idle")}};

	uint64_t scope = 0;
	int r;

	if (strcmp(step.action, "give-up") == 0)
		return give_up(c, why);
	step.how.only = control_get_number(c, "scope", &scope);
	if (scope >= SCOPES_MAX || scope == SCOPE_FIELDS)
		return fault_set(why, EXIT_USAGE, EINVAL, "reencrypt wants the number of a scope of files");
	step.how.scope = (uint32_t)scope;
	(void)control_get_number(c, "max_rate", &step.how.max_rate);
	if (control_get_flag(c, "unthrottled"))
		step.how.max_rate = REENCRYPTION_UNTHROTTLED;
	/* What is stuck is tried again. */
	r = live_keys_change(s->live_keys, take_step, &step, why);
	return r < 0 ? r : reencrypt_look(s->reencrypt, why);
}

/* "generation": how many files need it.  Takes as long as looking at all of them. */
static int run_users(struct control_call *c, struct fault *why)
{
	uint64_t generation, count;
	int r;

	if (!control_get_number(c, "generation", &generation) || generation == 0 || generation > UINT32_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "users wants the number of a generation");
	if (live_keys_are_locked(subject(c)->live_keys))
		return fault_set(why, EXIT_REFUSED, ENOKEY, "the mount is locked; coffer unlock ends that");
	r = reencrypt_users(subject(c)->engine, (uint32_t)generation, &count);
	if (r == -EBUSY)
		return fault_set(why, EXIT_IN_USE, EBUSY, "a re-encryption is under way; wait for it, or pause it");
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot look at all files");
	control_put_number(c, "users", count);
	return 0;
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
	{"read-keys", run_read_keys},
	{"lock", run_lock},
	{"unlock", run_unlock},
	{"lock-scope", run_lock_scope},
	{"unlock-scope", run_unlock_scope},
	{"assign-scope", run_assign_scope},
	{"reencryption", run_reencryption},
	{"reencrypt", run_reencrypt},
	{"users", run_users},
	{NULL, NULL},
};

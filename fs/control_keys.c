/* Verbs of the control socket that are about keys: they change, go and come, and data moves from one to another. */
#include "fs/control_keys.h"

#include <errno.h>
#include <string.h>

#include "fs/assign.h"
#include "fs/control_verbs.h"
#include "keymgr/generations.h"
#include "util/base/log.h"

static struct control_subject *subject(const struct control_call *c)
{
	return c->data;
}

/* The keyring was changed by somebody else. */
int control_run_read_keys(struct control_call *c, struct fault *why)
{
	int r = live_keys_read_again(subject(c)->live_keys, why);

	/* Another generation may be the target now. */
	return r < 0 ? r : reencrypt_look(subject(c)->reencrypt, why);
}

int control_run_lock(struct control_call *c, struct fault *why)
{
	reencrypt_halt(subject(c)->reencrypt);
	return live_keys_lock(subject(c)->live_keys, why);
}

/* The root key is the next packet. */
int control_run_unlock(struct control_call *c, struct fault *why)
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

struct rotation {
	uint32_t scope, generation;
};

static int rotate(struct keyring *k, void *context, struct fault *why)
{
	struct rotation *r = context;

	return keyring_rotate(k, r->scope, &r->generation, why);
}

/* "scope"; without it the one of the files. */
int control_run_rotate(struct control_call *c, struct fault *why)
{
	struct rotation rotation = {.scope = SCOPE_DEFAULT};
	uint64_t scope;
	int r = 0;

	if (control_get_number(c, "scope", &scope))
		r = get_scope(c, &rotation.scope, why);
	if (r == 0)
		r = live_keys_change(subject(c)->live_keys, rotate, &rotation, why);
	if (r < 0)
		return r;
	control_put_number(c, "generation", rotation.generation);
	/* It is the target now. */
	return reencrypt_look(subject(c)->reencrypt, why);
}

int control_run_lock_scope(struct control_call *c, struct fault *why)
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
int control_run_unlock_scope(struct control_call *c, struct fault *why)
{
	uint32_t scope;
	int r = get_scope(c, &scope, why);

	if (r == 0)
		r = live_keys_unlock_scope(subject(c)->live_keys, scope, c->fd, why);
	return r < 0 ? r : reencrypt_look(subject(c)->reencrypt, why);
}

/* "path" of a directory in the mount, "scope".  Takes as long as looking at all that is in it. */
int control_run_assign_scope(struct control_call *c, struct fault *why)
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

int control_run_reencryption(struct control_call *c, struct fault *why)
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
int control_run_reencrypt(struct control_call *c, struct fault *why)
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
int control_run_users(struct control_call *c, struct fault *why)
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

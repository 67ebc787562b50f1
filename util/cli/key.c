#include "util/cli/key.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fs/offline.h"
#include "keymgr/backup.h"
#include "util/cli/options.h"
#include "util/cli/reach.h"
#include "util/cli/terminal.h"

enum { TELL_SECONDS = 300, COUNT_SECONDS = 24 * 3600 };

int key_look(struct cli_volume *v, const char *word, struct fault *why)
{
	_cleanup_free_ char *dir = NULL;

	int r = volume_of(word, &dir, why);
	return r < 0 ? r : cli_volume_open(v, dir, why);
}

int key_open(struct key_work *w, const char *word, struct fault *why)
{
	int r = key_look(&w->volume, word, why);
	if (r == 0)
		r = secrets_start(why);
	return r < 0 ? r : cli_volume_unlock(&w->volume, &w->unlock, NULL, why);
}

int key_change(struct cli_volume *v, key_edit edit, void *context, struct fault *why)
{
	struct keyring_change *change;

	int r = keyring_change_begin(v->store, v->dot, v->keyring, &change, why);
	if (r < 0)
		return r;
	r = edit(v->keyring, context, why);
	if (r < 0) {
		keyring_change_abort(&change);
		return r;
	}
	return keyring_change_commit(&change, why);
}

int key_change_generations(struct cli_volume *v, key_edit edit, void *context, struct fault *why)
{
	int r = key_change(v, edit, context, why);

	if (r == 0)
		key_tell_mount(v);
	return r;
}

void key_tell_mount(const struct cli_volume *v)
{
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	struct fault why = {.status = EXIT_OK};
	int r = -ENOENT;

	if (keyring_stands_alone(v->keyring) || volume_hold(v) != HELD_ALONE)
		return;
	_cleanup_close_ int fd = reach_volume(v, &answer);
	if (fd >= 0)
		r = control_ask(fd, "read-keys", NULL, TELL_SECONDS, &answer, &why);
	if (r < 0)
		fprintf(stderr,
			"coffer: %s is mounted, and its mount goes on with the keys it has (%s); unmount it and mount "
			"it "
			"again\n",
			v->dir, why.status ? why.text : "it is not reached");
}

enum { UNBACKED_SHOWN = 8 };

uint32_t unbacked_text(const struct keyring *k, char out[UNBACKED_TEXT])
{
	uint32_t list[UNBACKED_SHOWN], n = keyring_unbacked(k, list, UNBACKED_SHOWN);
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < n && i < UNBACKED_SHOWN; i++)
		used += (size_t)snprintf(out + used, UNBACKED_TEXT - used, "%s%" PRIu32, i ? ", " : "", list[i]);
	if (n > UNBACKED_SHOWN)
		snprintf(out + used, UNBACKED_TEXT - used, " ...");
	return n;
}

json_object *unbacked_json(const struct keyring *k)
{
	json_object *array = json_object_new_array();
	uint32_t n = keyring_unbacked(k, NULL, 0);
	_cleanup_free_ uint32_t *list = calloc(n ? n : 1, sizeof *list);

	n = list ? keyring_unbacked(k, list, n) : 0;
	for (uint32_t i = 0; i < n; i++)
		json_object_array_add(array, json_object_new_uint64(list[i]));
	return array;
}

static int ask_mount(int fd, uint32_t generation, uint64_t *files, struct fault *why)
{
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	json_object *request = json_object_new_object();
	int r;

	json_object_object_add(request, "generation", json_object_new_uint64(generation));
	r = control_ask(fd, "users", request, COUNT_SECONDS, &answer, why);
	if (r == 0 && !control_number(&answer, "users", files))
		r = fault_set(why, EXIT_FAILED, EPROTO, "the mount gives an answer that makes no sense");
	return r;
}

/* By the keys that this process has. */
static int count_here(const struct cli_volume *v, uint32_t generation, uint64_t *files, struct fault *why)
{
	struct fault ignored = {.status = EXIT_OK};
	struct offline o;
	int r = offline_start_with(v->dir, v->keyring, &o, why);

	if (r < 0)
		return r;
	r = reencrypt_users(o.engine, generation, files);
	if (r < 0)
		fault_errno(why, EXIT_STORE, r, "cannot look at all files");
	(void)!offline_stop(&o, &ignored);
	return r;
}

/* A look at everything on the volume, by whoever has it. */
static int count(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	const struct cli_volume *v = context;
	_cleanup_close_ int fd = reach_volume(v, &answer);

	if (fd >= 0)
		return ask_mount(fd, generation, files, why);
	return count_here(v, generation, files, why);
}

struct generation_users key_users(struct cli_volume *v)
{
	return (struct generation_users){count, v};
}

/* ------------------------------------------------------------------ words */

int scope_parse(const struct keyring *k, const char *name, uint32_t *scope, struct fault *why)
{
	*scope = SCOPE_DEFAULT;
	return name ? keyring_scope_named(k, name, scope, why) : 0;
}

int generation_parse(const struct verb *v, const char *word, uint32_t *generation, struct fault *why)
{
	uint64_t n;

	if (number_parse(word, UINT32_MAX, &n) < 0 || n == GENERATION_NONE)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "%s: %s is not the number of a generation; see: coffer key list", v->name, word);
	*generation = (uint32_t)n;
	return 0;
}

int confirm_typed(const char *question, const char *expected, const char *instead, struct fault *why)
{
	char typed[NAME_MAX + 2];

	_cleanup_close_ int tty = terminal_open();
	if (tty < 0)
		return fault_set(why, EXIT_REFUSED, ENOTTY, "no terminal to confirm on; %s", instead);
	int r = terminal_ask(tty, question, typed, sizeof typed);
	if (r < 0 && r != -ENODATA)
		return fault_errno(why, EXIT_FAILED, r, "cannot talk to the terminal");
	if (r < 0 || strcmp(typed, expected) != 0)
		return fault_set(why, EXIT_REFUSED, ECANCELED, "not confirmed; nothing was changed");
	return 0;
}

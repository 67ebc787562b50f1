/* key scope create, assign, list, lock, unlock: parts of a volume with generations of their own. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/assign.h"
#include "util/base/encode.h"
#include "util/cli/mounts.h"
#include "util/cli/options.h"
#include "util/cli/reach.h"
#include "util/cli/reencrypt.h"

enum { LOCK_SECONDS = 300, ASSIGN_SECONDS = 3600, ZONES_SHOWN = 256 };

/* The volume, and the mount that serves it: fd, or -1 if there is none. */
struct scope_work {
	struct key_work key;
	uint32_t scope;
	uint32_t locked; /* a bit for each, as the mount says */
	int fd;
};
#define SCOPE_WORK_NONE ((struct scope_work){.key = KEY_WORK_NONE, .fd = -1})
static inline void scope_work_close(struct scope_work *w)
{
	if (w->fd >= 0)
		close(w->fd);
	key_work_close(&w->key);
}
#define _cleanup_scope_work_ _cleanup_(scope_work_close)

static int look(struct scope_work *w, const char *word, const char *name, struct fault *why)
{
	_cleanup_answer_ struct control_answer status = CONTROL_ANSWER_NONE;
	uint64_t locked = 0;

	int r = key_look(&w->key.volume, word, why);
	if (r < 0)
		return r;
	if (keyring_stands_alone(w->key.volume.keyring))
		return fault_set(why, EXIT_REFUSED, ENOTSUP, "%s stands alone: it has no files to be in a scope", word);
	w->fd = reach_volume(&w->key.volume, &status);
	if (w->fd >= 0 && control_number(&status, "locked_scopes", &locked))
		w->locked = (uint32_t)locked;
	return name ? keyring_scope_named(w->key.volume.keyring, name, &w->scope, why) : 0;
}

static json_object *scope_request(const struct scope_work *w)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "scope", json_object_new_uint64(w->scope));
	return o;
}

/* ------------------------------------------------------------------ create */

struct creation {
	const char *name;
	uint32_t scope;
};

static int create(struct keyring *k, void *context, struct fault *why)
{
	struct creation *c = context;

	return keyring_scope_create(k, c->name, &c->scope, why);
}

int cmd_key_scope_create(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_scope_work_ struct scope_work w = SCOPE_WORK_NONE;
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w.key.unlock), {OPTION_FLAG, 0, 0, "json", &w.key.json}, {0}};
	struct creation c = {0};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	c.name = words.at[1];
	r = key_open(&w.key, words.at[0], why);
	if (r == 0)
		r = key_change_generations(&w.key.volume, create, &c, why);
	if (r < 0)
		return r;
	if (w.key.json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "scope", c.name);
		json_add_number(o, "number", c.scope);
		json_print(o);
	} else {
		printf("made the scope %s; give it a directory: coffer key scope assign %s %s DIR-INSIDE\n", c.name,
		       w.key.volume.dir, c.name);
	}
	return 0;
}

/* ------------------------------------------------------------------ assign */

static bool is_below(const char *path, const char *point)
{
	size_t n = strlen(point);

	return path && strncmp(path, point, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* A path from the top of the volume, or one that leads through its mount. */
static int path_inside(const struct scope_work *w, const char *word, char **out, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};
	const struct mount_entry *m = NULL;
	_cleanup_free_ char *path = NULL;

	*out = NULL;
	if (word[0] != '/') {
		*out = strdup(word);
		return *out ? 0 : fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	}
	int r = path_absolute(word, &path, why);
	if (r == 0)
		r = mounts_read(&mounts, why);
	while (r == 0 && !*out && (m = mounts_of(&mounts, w->key.volume.dir, m)))
		if (is_below(path, m->point))
			*out = strdup(path + strlen(m->point));
	if (r == 0 && !*out)
		r = fault_set(why, EXIT_USAGE, EINVAL,
			      "%s is not in a mount of %s; give a path from the top of the volume, such as "
			      "documents/taxes",
			      word, w->key.volume.dir);
	return r;
}

static void say_assigned(const struct scope_work *w, const char *path, const char *name)
{
	if (!w->key.json)
		printf("%s is in the scope %s now; what was in it is being re-encrypted\n", *path ? path : "/", name);
}

static int assign_by_mount(struct scope_work *w, const char *path, const char *name, struct fault *why)
{
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	json_object *request = scope_request(w);

	json_object_object_add(request, "path", json_object_new_string(path));
	int r = control_ask(w->fd, "assign-scope", request, ASSIGN_SECONDS, &answer, why);
	if (r == 0)
		say_assigned(w, path, name);
	return r;
}

static int assign_here(struct scope_work *w, const char *path, const char *name, struct fault *why)
{
	struct fault later = {.status = EXIT_OK};
	struct offline o = OFFLINE_NONE;

	int r = offline_start(w->key.volume.dir, &w->key.unlock, &o, why);
	if (r < 0)
		return r;
	r = assign_scope(o.engine, o.keys, path, w->scope, why);
	if (r == 0)
		say_assigned(w, path, name);
	if (r == 0)
		r = reencrypt_look(o.reencrypt, why);
	if (r == 0)
		r = reencrypt_follow(&w->key, -1, &o, why);
	int end = offline_stop(&o, &later);
	if (r == 0 && end < 0)
		*why = later;
	return r < 0 ? r : end;
}

int cmd_key_scope_assign(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_scope_work_ struct scope_work w = SCOPE_WORK_NONE;
	bool wait = false;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.key.unlock),
					    {OPTION_FLAG, 0, 0, "wait", &wait},
					    {OPTION_FLAG, 0, 0, "json", &w.key.json},
					    {0}};
	_cleanup_free_ char *path = NULL;
	struct words words;

	int r = options_parse(v, argc, argv, specs, 3, 3, &words, why);
	if (r)
		return r;
	r = look(&w, words.at[0], words.at[1], why);
	if (r == 0)
		r = path_inside(&w, words.at[2], &path, why);
	if (r)
		return r;
	if (w.fd >= 0) {
		r = assign_by_mount(&w, path, words.at[1], why);
		return r == 0 && wait ? reencrypt_follow(&w.key, w.fd, NULL, why) : r;
	}
	r = secrets_start(why);
	return r < 0 ? r : assign_here(&w, path, words.at[1], why);
}

/* ------------------------------------------------------------------ list */

static uint32_t directories_of(const struct keyring *k, uint32_t scope, struct key_zone out[ZONES_SHOWN])
{
	struct key_zone all[ZONES_SHOWN];
	uint32_t n = keyring_zones(k, all, ZONES_SHOWN), count = 0;

	for (uint32_t i = 0; i < n && i < ZONES_SHOWN; i++)
		if (all[i].scope == scope)
			out[count++] = all[i];
	return count;
}

static json_object *scope_json(const struct scope_work *w, const struct scope_info *s)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct key_zone zones[ZONES_SHOWN];
	uint32_t n = directories_of(w->key.volume.keyring, s->number, zones);
	char id[2 * DIRECTORY_ID_SIZE + 1];

	json_add_text(o, "scope", s->name);
	json_add_number(o, "number", s->number);
	json_add_number(o, "active", s->active);
	json_add_number(o, "floor", s->floor);
	json_object_object_add(o, "locked", json_object_new_boolean(w->locked >> s->number & 1));
	for (uint32_t i = 0; i < n; i++) {
		json_object *d = json_object_new_object();

		hex_encode(zones[i].directory, DIRECTORY_ID_SIZE, id);
		json_add_text(d, "id", id);
		json_object_object_add(d, "settled", json_object_new_boolean(zones[i].from == SCOPE_NONE));
		json_object_array_add(list, d);
	}
	json_object_object_add(o, "directories", list);
	return o;
}

static void print_scope(const struct scope_work *w, const struct scope_info *s)
{
	struct key_zone zones[ZONES_SHOWN];
	uint32_t n = directories_of(w->key.volume.keyring, s->number, zones);
	bool settled = true, locked = w->locked >> s->number & 1;

	for (uint32_t i = 0; i < n; i++)
		settled &= zones[i].from == SCOPE_NONE;
	printf("%-16s  %-6" PRIu32 "  %-5" PRIu32 "  %-11" PRIu32 "  %s%s%s\n", s->name, s->active, s->floor, n,
	       locked ? "locked" : "", locked && !settled ? ", " : "", settled ? "" : "being re-encrypted");
}

int cmd_key_scope_list(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_scope_work_ struct scope_work w = SCOPE_WORK_NONE;
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w.key.unlock), {OPTION_FLAG, 0, 0, "json", &w.key.json}, {0}};
	struct scope_info all[SCOPES_MAX];
	json_object *list = NULL;
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = look(&w, words.at[0], NULL, why);
	if (r < 0)
		return r;
	uint32_t n = keyring_scopes(w.key.volume.keyring, all);
	if (w.key.json)
		list = json_object_new_array();
	else
		puts("SCOPE             ACTIVE  FLOOR  DIRECTORIES  STATE");
	for (uint32_t i = 0; i < n; i++) {
		if (list)
			json_object_array_add(list, scope_json(&w, &all[i]));
		else
			print_scope(&w, &all[i]);
	}
	if (list) {
		json_object *o = json_object_new_object();

		json_object_object_add(o, "scopes", list);
		json_print(o);
	}
	return 0;
}

/* ------------------------------------------------------------------ lock and unlock */

static int need_mount(const struct scope_work *w, struct fault *why)
{
	return w->fd >= 0 ? 0
			  : fault_set(why, EXIT_REFUSED, ENOENT,
				      "%s is not mounted: it is a mount that locks a scope, and nothing is open now",
				      w->key.volume.dir);
}

/* The volume and the scope that the words of the command line name, and the mount.  Not 0: it ends here. */
static int begin(const struct verb *v, int argc, char **argv, struct scope_work *w, struct words *words,
		 struct fault *why)
{
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w->key.unlock), {OPTION_FLAG, 0, 0, "json", &w->key.json}, {0}};

	int r = options_parse(v, argc, argv, specs, 2, 2, words, why);
	if (r)
		return r;
	r = look(w, words->at[0], words->at[1], why);
	return r < 0 ? r : need_mount(w, why);
}

int cmd_key_scope_lock(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_scope_work_ struct scope_work w = SCOPE_WORK_NONE;
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	struct words words;

	int r = begin(v, argc, argv, &w, &words, why);
	if (r)
		return r;
	r = control_ask(w.fd, "lock-scope", scope_request(&w), LOCK_SECONDS, &answer, why);
	if (r == 0 && !w.key.json)
		printf("%s is locked; what programs ask for there fails until: coffer key scope unlock %s %s\n",
		       words.at[1], words.at[0], words.at[1]);
	return r;
}

int cmd_key_scope_unlock(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_scope_work_ struct scope_work w = SCOPE_WORK_NONE;
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	struct words words;

	int r = begin(v, argc, argv, &w, &words, why);
	if (r)
		return r;
	if (!(w.locked >> w.scope & 1))
		return fault_set(why, EXIT_REFUSED, EALREADY, "the scope %s is not locked", words.at[1]);
	r = secrets_start(why);
	if (r == 0)
		r = cli_volume_unlock(&w.key.volume, &w.key.unlock, NULL, why);
	if (r < 0)
		return r;
	/* Asking for a passphrase took longer than the mount waits for a silent client. */
	close(w.fd);
	w.fd = reach_volume(&w.key.volume, &answer);
	r = need_mount(&w, why);
	if (r == 0)
		r = control_ask_with_root(w.fd, "unlock-scope", scope_request(&w), w.key.volume.keyring, LOCK_SECONDS,
					  &answer, why);
	if (r == 0 && !w.key.json)
		printf("%s is unlocked\n", words.at[1]);
	return r;
}

#include "keymgr/reencryption.h"

#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"

static json_object *find(const struct keyring *k)
{
	json_object *o;

	return json_object_object_get_ex(k->doc, "reencryption", &o) && json_object_is_type(o, json_type_object) ? o
														 : NULL;
}

static bool flag(json_object *o, const char *name)
{
	struct problem ignored = {0};
	bool value = false;

	return member_bool(o, name, &value, &ignored) == 0 && value;
}

bool keyring_reencryption(const struct keyring *k, struct reencryption *out)
{
	struct problem ignored = {0};
	json_object *o = find(k);
	uint64_t scope = 0;

	*out = (struct reencryption){0};
	if (!o)
		return false;
	out->paused = flag(o, "paused");
	out->touch = flag(o, "touch");
	out->idle = flag(o, "idle");
	if (flag(o, "unthrottled"))
		out->max_rate = REENCRYPTION_UNTHROTTLED;
	else if (member_number(o, "max_rate", 1, DOCUMENT_NUMBER_MAX, &out->max_rate, &ignored) < 0)
		out->max_rate = 0;
	out->only = member_number(o, "scope", 0, k->scope_count - 1, &scope, &ignored) == 0;
	out->scope = (uint32_t)scope;
	if (member_time(o, "started", out->started, &ignored) < 0)
		out->started[0] = '\0';
	return true;
}

static int put_flag(json_object *o, const char *name, bool value)
{
	json_object_object_del(o, name);
	return value ? put_value(o, name, json_object_new_boolean(true)) : 0;
}

static int put_settings(json_object *o, const struct reencryption *how)
{
	bool unthrottled = how->max_rate == REENCRYPTION_UNTHROTTLED;
	int ret = put_flag(o, "touch", how->touch);

	if (ret == 0)
		ret = put_flag(o, "idle", how->idle);
	if (ret == 0)
		ret = put_flag(o, "unthrottled", unthrottled);
	json_object_object_del(o, "max_rate");
	if (ret == 0 && how->max_rate && !unthrottled)
		ret = put_number(o, "max_rate", how->max_rate);
	json_object_object_del(o, "scope");
	if (ret == 0 && how->only)
		ret = put_number(o, "scope", how->scope);
	return ret;
}

static int note(struct keyring *k, const char *what)
{
	json_object *event;
	int ret = keyring_note(k, "reencryption", &event);

	return ret < 0 ? ret : put_string(event, "step", what);
}

static int failed(int ret, struct fault *why)
{
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot note the re-encryption in the keyring") : 0;
}

int keyring_start_reencryption(struct keyring *k, const struct reencryption *how, struct fault *why)
{
	json_object *o = find(k);
	int ret = note(k, o ? "settings" : "start");

	if (ret == 0 && !o) {
		o = json_object_new_object();
		ret = put_value(k->doc, "reencryption", o);
		if (ret == 0)
			ret = put_now(o, "started");
	}
	if (ret == 0)
		ret = put_settings(o, how);
	if (ret == 0)
		ret = put_flag(o, "paused", how->paused);
	return failed(ret, why);
}

static int need(const struct keyring *k, json_object **out, struct fault *why)
{
	*out = find(k);
	return *out ? 0
		    : fault_set(why, EXIT_REFUSED, ENOENT,
				"no re-encryption is under way; begin one with \"coffer key reencrypt start\"");
}

int keyring_pause_reencryption(struct keyring *k, bool paused, struct fault *why)
{
	json_object *o;
	int ret = need(k, &o, why);

	if (ret < 0)
		return ret;
	if (flag(o, "paused") == paused)
		return fault_set(why, EXIT_REFUSED, ENOENT, "the re-encryption is %s",
				 paused ? "paused already" : "not paused");
	ret = note(k, paused ? "pause" : "resume");
	if (ret == 0)
		ret = put_flag(o, "paused", paused);
	return failed(ret, why);
}

int keyring_stop_reencryption(struct keyring *k, struct fault *why)
{
	json_object *o;
	int ret = need(k, &o, why);

	if (ret < 0)
		return ret;
	ret = note(k, "stop");
	json_object_object_del(k->doc, "reencryption");
	return failed(ret, why);
}

static int nothing(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)context;
	(void)generation;
	(void)why;
	*files = 0;
	return 0;
}

/* What lies in a zone that comes from there may still be under any generation of it. */
static int refuse_left(const struct keyring *k, uint32_t scope, struct fault *why)
{
	for (uint32_t i = 0; i < k->zone_count; i++)
		if (k->zones[i].from == scope)
			return fault_set(why, EXIT_REFUSED, EBUSY,
					 "a directory that comes from the scope %s was not looked at",
					 keyring_scope_name(k, scope));
	return 0;
}

static int raise_floor(struct keyring *k, uint32_t scope, uint32_t generation, struct fault *why)
{
	const struct generation_users users = {nothing, NULL};
	int ret = 0;

	if (scope == SCOPE_FIELDS || generation <= k->floor[scope])
		return 0;
	ret = refuse_left(k, scope, why);
	return ret < 0 ? ret : keyring_raise_floor(k, generation, &users, why);
}

int keyring_end_reencryption(struct keyring *k, const uint32_t generations[SCOPES_MAX], struct fault *why)
{
	int ret = note(k, "end");

	for (uint32_t scope = 0; ret == 0 && scope < k->scope_count; scope++)
		if (generations[scope] != GENERATION_NONE)
			ret = zones_settle(k, scope);
	ret = generation_reload(k, ret, why);
	for (uint32_t scope = 0; ret == 0 && scope < k->scope_count; scope++)
		ret = raise_floor(k, scope, generations[scope], why);
	json_object_object_del(k->doc, "reencryption");
	return ret;
}

int keyring_note_given_up(struct keyring *k, const char *path, struct fault *why)
{
	json_object *event;
	int ret = keyring_note(k, "given-up", &event);

	/* Documents hold ASCII without escapes only; the log of the mount has the whole path. */
	if (ret == 0) {
		char shown[256];
		size_t n = 0;

		for (; *path && n < sizeof shown - 1; path++)
			shown[n++] = *path >= ' ' && *path < 0x7f && *path != '"' && *path != '\\' ? *path : '?';
		shown[n] = '\0';
		ret = put_string(event, "path", shown);
	}
	return failed(ret, why);
}

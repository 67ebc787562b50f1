/* 1. A scope's number is its place in the array; scopes and zones only come, and are never removed: what is sealed under their generations may lie
 *    in old copies.
 * 2. One zone at a time is on its way to another scope. */
#include "keymgr/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/reencryption.h"

static const char *const built_in[SCOPES_BUILT_IN] = {[SCOPE_DEFAULT] = "default", [SCOPE_FIELDS] = "fields"};

static bool is_name(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= SCOPE_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

/* ------------------------------------------------------------------ loading */

static int scope_load(struct keyring *k, json_object *o, uint32_t i, struct problem *p)
{
	const char *name = "";
	uint64_t ignored;
	int ret = member_number(o, "scope", i, i, &ignored, p);

	if (ret == 0)
		ret = member_string(o, "name", &name, p);
	if (ret < 0)
		return ret;
	if (!is_name(name) || (i < SCOPES_BUILT_IN && strcmp(name, built_in[i]) != 0))
		return problem_set(p, "scope %u has an impossible name", i);
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(k->scopes[j].name, name) == 0)
			return problem_set(p, "two scopes have one name");
	strcpy(k->scopes[i].name, name);
	return member_u32(o, "floor", 1, &k->floor[i], p);
}

static int optional_scope(const struct keyring *k, json_object *o, const char *name, uint32_t *out, struct problem *p)
{
	uint64_t scope = SCOPE_NONE;
	int ret = 0;

	if (json_object_object_get_ex(o, name, NULL))
		ret = member_number(o, name, 0, k->scope_count - 1, &scope, p);
	*out = (uint32_t)scope;
	return ret == 0 && scope == SCOPE_FIELDS ? problem_set(p, "a directory is in the scope of fields") : ret;
}

static int zone_load(const struct keyring *k, json_object *o, uint32_t i, struct key_zone *z, struct problem *p)
{
	uint64_t number;
	int ret = member_number(o, "zone", i + 1, i + 1, &number, p);

	z->number = i + 1;
	if (ret == 0)
		ret = member_hex(o, "directory", z->directory, sizeof(z->directory), p);
	if (ret == 0)
		ret = optional_scope(k, o, "scope", &z->scope, p);
	if (ret == 0)
		ret = optional_scope(k, o, "from", &z->from, p);
	if (ret == 0)
		ret = optional_scope(k, o, "to", &z->to, p);
	if (ret == 0 && z->scope == SCOPE_NONE)
		ret = problem_set(p, "a zone has no scope");
	for (uint32_t j = 0; ret == 0 && j < i; j++)
		if (memcmp(k->zones[j].directory, z->directory, sizeof(z->directory)) == 0)
			ret = problem_set(p, "two zones begin at one directory");
	return ret;
}

static int zones_load(struct keyring *k, struct problem *p)
{
	json_object *array, *o;
	int ret;

	k->zone_count = 0;
	if (!json_object_object_get_ex(k->doc, "zones", NULL))
		return 0;
	ret = member_array(k->doc, "zones", 0, ZONES_MAX, &array, p);
	for (uint32_t i = 0; ret == 0 && i < json_object_array_length(array); i++) {
		ret = element_object(array, i, &o, p);
		if (ret == 0)
			ret = zone_load(k, o, i, &k->zones[i], p);
		if (ret == 0)
			k->zone_count = i + 1;
	}
	return ret;
}

int scopes_load(struct keyring *k, struct problem *p)
{
	json_object *array, *o;
	int ret = member_array(k->doc, "scopes", SCOPES_BUILT_IN, SCOPES_MAX, &array, p);

	if (ret < 0)
		return ret;
	memset(k->floor, 0, sizeof(k->floor));
	memset(k->active, 0, sizeof(k->active));
	k->scope_count = (uint32_t)json_object_array_length(array);
	for (uint32_t i = 0; ret == 0 && i < k->scope_count; i++) {
		ret = element_object(array, i, &o, p);
		if (ret == 0)
			ret = scope_load(k, o, i, p);
	}
	return ret < 0 ? ret : zones_load(k, p);
}

int scopes_check(const struct keyring *k, struct problem *p)
{
	for (uint32_t i = 0; i < k->scope_count; i++)
		if (k->floor[i] > k->active[i])
			return problem_set(p, "the floor of scope %u is above its active generation", i);
	return 0;
}

/* ------------------------------------------------------------------ looking */

uint32_t keyring_scopes(const struct keyring *k, struct scope_info out[SCOPES_MAX])
{
	for (uint32_t i = 0; i < k->scope_count; i++) {
		out[i] = (struct scope_info){.number = i, .floor = k->floor[i], .active = k->active[i]};
		strcpy(out[i].name, k->scopes[i].name);
	}
	return k->scope_count;
}

const char *keyring_scope_name(const struct keyring *k, uint32_t scope)
{
	return scope < k->scope_count ? k->scopes[scope].name : "?";
}

int keyring_scope_named(const struct keyring *k, const char *name, uint32_t *scope, struct fault *why)
{
	char all[256] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < k->scope_count; i++) {
		if (strcmp(k->scopes[i].name, name) == 0) {
			*scope = i;
			return 0;
		}
		if (used < sizeof(all))
			used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "",
						 k->scopes[i].name);
	}
	return fault_set(why, EXIT_USAGE, ENOENT, "there is no scope %s; there are: %s", name, all);
}

uint32_t keyring_zones(const struct keyring *k, struct key_zone *out, uint32_t room)
{
	for (uint32_t i = 0; i < k->zone_count && i < room; i++)
		out[i] = k->zones[i];
	return k->zone_count;
}

/* ------------------------------------------------------------------ scopes */

static int put_scope(json_object *array, uint32_t number, const char *name, uint32_t floor)
{
	json_object *o = json_object_new_object();
	int ret = put_element(array, o);

	if (ret == 0)
		ret = put_number(o, "scope", number);
	if (ret == 0)
		ret = put_string(o, "name", name);
	return ret < 0 ? ret : put_number(o, "floor", floor);
}

int scopes_put_first(json_object *doc)
{
	json_object *array = json_object_new_array();
	int ret = put_value(doc, "scopes", array);

	for (uint32_t i = 0; ret == 0 && i < SCOPES_BUILT_IN; i++)
		ret = put_scope(array, i, built_in[i], 1);
	return ret;
}

static int put_generation(struct keyring *k, uint32_t scope)
{
	_cleanup_stack_key_ struct stack_key prk;
	struct wrapping root = {prk.b, k->settings.volume_id, NULL};
	struct problem p = {0};
	json_object *array;
	int ret = keyring_root_prk(k, &prk);

	if (ret == 0)
		ret = member_array(k->doc, "generations", 0, GENERATIONS_MAX - 1, &array, &p);
	if (ret == 0)
		ret = generation_put_first(array, k->next_generation, scope, &root);
	return ret < 0 ? ret : put_number(k->doc, "next_generation", (uint64_t)k->next_generation + 1);
}

static int note_scope(struct keyring *k, const char *what, uint32_t scope, json_object **event)
{
	int ret = keyring_note(k, what, event);

	return ret < 0 ? ret : put_string(*event, "scope", keyring_scope_name(k, scope));
}

int keyring_scope_create(struct keyring *k, const char *name, uint32_t *scope, struct fault *why)
{
	struct problem p = {0};
	json_object *array, *event;
	int ret;

	if (!is_name(name))
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "a scope's name has 1 to %d of the characters A-Z a-z 0-9 . _ -", SCOPE_NAME_MAX);
	for (uint32_t i = 0; i < k->scope_count; i++)
		if (strcmp(k->scopes[i].name, name) == 0)
			return fault_set(why, EXIT_REFUSED, EEXIST, "there is a scope %s already", name);
	if (k->scope_count == SCOPES_MAX || k->generation_count >= GENERATIONS_MAX - 1)
		return fault_set(why, EXIT_REFUSED, ENOSPC, "the keyring has no room for another scope");
	*scope = k->scope_count;
	ret = member_array(k->doc, "scopes", SCOPES_BUILT_IN, SCOPES_MAX - 1, &array, &p);
	if (ret == 0)
		ret = put_scope(array, *scope, name, k->next_generation);
	if (ret == 0)
		ret = put_generation(k, *scope);
	ret = generation_reload(k, ret, why);
	if (ret < 0)
		return ret;
	ret = note_scope(k, "scope", *scope, &event);
	/* That a number was given is read there again, where the keyring is lost. */
	if (ret == 0)
		ret = put_number(event, "generation", k->active[*scope]);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot note the new scope") : 0;
}

/* ------------------------------------------------------------------ zones */

static struct key_zone *find_zone(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE])
{
	for (uint32_t i = 0; i < k->zone_count; i++)
		if (memcmp(k->zones[i].directory, directory, DIRECTORY_ID_SIZE) == 0)
			return &k->zones[i];
	return NULL;
}

static json_object *zone_object(const struct keyring *k, const struct key_zone *z)
{
	json_object *array;

	return json_object_object_get_ex(k->doc, "zones", &array) ? json_object_array_get_idx(array, z->number - 1)
								  : NULL;
}

static int put_zone(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], uint32_t scope, json_object **out)
{
	json_object *array, *o;
	int ret = 0;

	if (!json_object_object_get_ex(k->doc, "zones", &array)) {
		array = json_object_new_array();
		ret = put_value(k->doc, "zones", array);
	}
	if (ret < 0)
		return ret;
	*out = o = json_object_new_object();
	ret = put_element(array, o);
	if (ret == 0)
		ret = put_number(o, "zone", k->zone_count + 1);
	if (ret == 0)
		ret = put_hex(o, "directory", directory, DIRECTORY_ID_SIZE);
	return ret < 0 ? ret : put_number(o, "scope", scope);
}

static int note_zone(struct keyring *k, const char *what, const uint8_t directory[DIRECTORY_ID_SIZE], uint32_t scope)
{
	json_object *event;
	int ret = note_scope(k, what, scope, &event);

	return ret < 0 ? ret : put_hex(event, "directory", directory, DIRECTORY_ID_SIZE);
}

static int refuse_reencryption(const struct keyring *k, struct fault *why)
{
	struct reencryption ignored;

	return keyring_reencryption(k, &ignored)
		       ? fault_set(
				 why, EXIT_REFUSED, EBUSY,
				 "a re-encryption is under way; wait until it has ended (coffer key reencrypt status)")
		       : 0;
}

/* (2) */
static int refuse_plan(const struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], struct fault *why)
{
	int ret = refuse_reencryption(k, why);

	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < k->zone_count; i++) {
		const struct key_zone *z = &k->zones[i];
		bool same = memcmp(z->directory, directory, DIRECTORY_ID_SIZE) == 0;

		if (z->from != SCOPE_NONE || (z->to != SCOPE_NONE && !same))
			return fault_set(why, EXIT_REFUSED, EBUSY,
					 "another directory is on its way to a scope; run \"coffer key reencrypt "
					 "start\" to its end first");
	}
	return 0;
}

int keyring_zone_plan(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], uint32_t now, uint32_t to,
		      struct fault *why)
{
	struct key_zone *z = find_zone(k, directory);
	json_object *o = NULL;
	int ret = refuse_plan(k, directory, why);

	if (ret < 0)
		return ret;
	if (to == SCOPE_FIELDS || to >= k->scope_count)
		return fault_set(why, EXIT_REFUSED, EINVAL, "no directory can be in the scope %s",
				 keyring_scope_name(k, to));
	if (now == to)
		return fault_set(why, EXIT_REFUSED, EALREADY, "the directory is in the scope %s already",
				 keyring_scope_name(k, to));
	if (!z && k->zone_count == ZONES_MAX)
		return fault_set(why, EXIT_REFUSED, ENOSPC, "the keyring has no room for another directory's scope");
	if (z)
		o = zone_object(k, z);
	else
		ret = put_zone(k, directory, now, &o);
	if (ret == 0)
		ret = put_number(o, "to", to);
	if (ret == 0)
		ret = note_zone(k, "scope-plan", directory, to);
	return generation_reload(k, ret, why);
}

static int take_planned(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], struct key_zone **z,
			struct fault *why)
{
	*z = find_zone(k, directory);
	return *z && (*z)->to != SCOPE_NONE
		       ? 0
		       : fault_set(why, EXIT_FAILED, ENOENT, "nobody has planned to give the directory another scope");
}

int keyring_zone_assign(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], struct fault *why)
{
	struct reencryption how = {.only = true};
	struct key_zone *z = NULL;
	json_object *o;
	int ret = refuse_reencryption(k, why);

	/* Somebody may have begun one since, of which this would be no part. */
	if (ret == 0)
		ret = take_planned(k, directory, &z, why);
	if (ret < 0)
		return ret;
	o = zone_object(k, z);
	how.scope = z->to;
	json_object_object_del(o, "to");
	ret = put_number(o, "from", z->scope);
	if (ret == 0)
		ret = put_number(o, "scope", how.scope);
	if (ret == 0)
		ret = note_zone(k, "scope-assign", directory, how.scope);
	ret = generation_reload(k, ret, why);
	return ret < 0 ? ret : keyring_start_reencryption(k, &how, why);
}

int keyring_zone_abandon(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], struct fault *why)
{
	struct key_zone *z;
	int ret = take_planned(k, directory, &z, why);

	if (ret < 0)
		return ret;
	json_object_object_del(zone_object(k, z), "to");
	ret = note_zone(k, "scope-abandon", directory, z->to);
	return generation_reload(k, ret, why);
}

int zones_settle(struct keyring *k, uint32_t scope)
{
	for (uint32_t i = 0; i < k->zone_count; i++)
		if (k->zones[i].scope == scope && k->zones[i].from != SCOPE_NONE)
			json_object_object_del(zone_object(k, &k->zones[i]), "from");
	return 0;
}

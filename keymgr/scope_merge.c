/* Scopes and zones of two keyrings of one volume, of which one was restored from a backup and lacks what came later.
 *
 * 1. Scopes only come, so the longer list is the whole one; where a number has two names the two keyrings went separate ways.
 * 2. Of a directory that both know the later keyring says what it is in; those that one of them lacks are added. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"

/* (1) */
static int check_names(const struct keyring *a, const struct keyring *b, struct fault *why)
{
	for (uint32_t i = 0; i < a->scope_count && i < b->scope_count; i++)
		if (strcmp(a->scopes[i].name, b->scopes[i].name) != 0)
			return fault_set(why, EXIT_REFUSED, EPERM,
					 "scope %u is %s in the volume and %s in the backup: the two went separate "
					 "ways; nothing was changed",
					 i, a->scopes[i].name, b->scopes[i].name);
	return 0;
}

static int copy_member(json_object *doc, const char *name, const struct keyring *from)
{
	json_object *theirs, *copy = NULL;

	if (!json_object_object_get_ex(from->doc, name, &theirs)) {
		json_object_object_del(doc, name);
		return 0;
	}
	return json_object_deep_copy(theirs, &copy, NULL) < 0 ? -ENOMEM : put_value(doc, name, copy);
}

static bool has_zone(const struct keyring *k, const struct key_zone *z)
{
	for (uint32_t i = 0; i < k->zone_count; i++)
		if (memcmp(k->zones[i].directory, z->directory, DIRECTORY_ID_SIZE) == 0)
			return true;
	return false;
}

/* What was planned for it is forgotten: who planned it is gone. */
static int add_zone(json_object *doc, const struct key_zone *z)
{
	json_object *array, *o;
	int ret = 0;

	if (!json_object_object_get_ex(doc, "zones", &array)) {
		array = json_object_new_array();
		ret = put_value(doc, "zones", array);
	}
	if (ret < 0)
		return ret;
	if (json_object_array_length(array) == ZONES_MAX)
		return -ENOSPC;
	o = json_object_new_object();
	ret = put_element(array, o);
	if (ret == 0)
		ret = put_number(o, "zone", json_object_array_length(array));
	if (ret == 0)
		ret = put_hex(o, "directory", z->directory, DIRECTORY_ID_SIZE);
	if (ret == 0)
		ret = put_number(o, "scope", z->scope);
	return ret == 0 && z->from != SCOPE_NONE ? put_number(o, "from", z->from) : ret;
}

int scopes_merge(json_object *doc, const struct keyring *ours, const struct keyring *theirs, struct fault *why)
{
	bool newer = theirs->sequence > ours->sequence;
	const struct keyring *later = newer ? theirs : ours, *earlier = newer ? ours : theirs;
	int ret = check_names(ours, theirs, why);

	if (ret < 0)
		return ret;
	ret = copy_member(doc, "scopes", earlier->scope_count > later->scope_count ? earlier : later);
	if (ret == 0)
		ret = copy_member(doc, "zones", later);
	for (uint32_t i = 0; ret == 0 && i < earlier->zone_count; i++)
		if (!has_zone(later, &earlier->zones[i]))
			ret = add_zone(doc, &earlier->zones[i]);
	return ret;
}

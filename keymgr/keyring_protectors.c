/* Adding and removing protectors, in memory; keyring_change_commit() writes. */
#include <errno.h>
#include <inttypes.h>

#include "keymgr/internal.h"
#include "keymgr/protector.h"

static int reload(struct keyring *k, struct fault *why)
{
	struct problem p = {0};
	int ret = keyring_load_protectors(k, &p);

	if (ret == -EBADMSG)
		return fault_set(why, EXIT_FAILED, EBADMSG, "cannot change the protectors: %s", p.text);
	return ret;
}

static int append(struct keyring *k, json_object *o)
{
	json_object *array;
	struct problem p = {0};
	int ret = member_array(k->doc, "protectors", 0, PROTECTORS_MAX, &array, &p);

	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	ret = put_number(k->doc, "next_protector", (uint64_t)k->next_protector + 1);
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	return put_element(array, o);
}

static int note(struct keyring *k, const char *event, uint32_t id, const char *type)
{
	json_object *o;
	int ret = keyring_note(k, event, &o);

	if (ret == 0)
		ret = put_number(o, "protector", id);
	return ret < 0 ? ret : put_string(o, "type", type);
}

int keyring_add_protector(struct keyring *k, const struct unlock_secret *s, uint32_t *id, struct fault *why)
{
	json_object *o;
	int ret;

	if (!k->root)
		return fault_set(why, EXIT_FAILED, ENOKEY, "the keyring is locked");
	if (k->protector_count == PROTECTORS_MAX || k->next_protector == UINT32_MAX)
		return fault_set(why, EXIT_REFUSED, ENOSPC,
				 "the keyring has %d protectors already; remove one first with \"coffer key remove\"",
				 PROTECTORS_MAX);
	*id = k->next_protector;
	ret = protector_make(s, *id, k->settings.volume_id, k->root, &o, why);
	if (ret == 0)
		ret = append(k, o);
	if (ret == 0)
		ret = reload(k, why);
	if (ret == 0)
		ret = note(k, "protector-added", *id, k->protectors[k->protector_count - 1].type);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot add a protector") : 0;
}

/* A keyring that only other programs can open is as good as lost here. */
static bool is_last(const struct keyring *k, uint32_t index)
{
	for (uint32_t i = 0; i < k->protector_count; i++)
		if (i != index && k->protectors[i].handler)
			return false;
	return true;
}

int keyring_remove_protector(struct keyring *k, uint32_t id, struct fault *why)
{
	struct problem p = {0};
	json_object *array;
	uint32_t i = 0;
	int ret;

	while (i < k->protector_count && k->protectors[i].id != id)
		i++;
	if (i == k->protector_count)
		return fault_set(why, EXIT_FAILED, ENOENT, "there is no protector %" PRIu32 "; see \"coffer key list\"",
				 id);
	if (is_last(k, i))
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "protector %" PRIu32 " is the last one that opens this volume; add another one first",
				 id);
	ret = note(k, "protector-removed", id, k->protectors[i].type);
	if (ret == 0)
		ret = member_array(k->doc, "protectors", 1, PROTECTORS_MAX, &array, &p);
	if (ret == 0 && json_object_array_del_idx(array, i, 1) < 0)
		ret = -EINVAL;
	if (ret == 0)
		ret = reload(k, why);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot remove protector %" PRIu32, id) : 0;
}

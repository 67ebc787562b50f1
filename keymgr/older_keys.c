/* Keys of a volume from before its root was replaced (docs/format-keyring.md section 6).
 *
 * 1. A directory key that was replaced counts for records of generations from before the new root only, and no longer than until the floors
 *    have risen above these: finished re-encryptions have written every record anew by then.
 * 2. A journal key that was replaced counts until the journal has a superblock under the new one, and for an empty journal only. */
#include <errno.h>

#include "keymgr/internal.h"
#include "keymgr/rotate_root.h"
#include "util/base/kdf_labels.h"

static const char directories[] = "directory_older", journal[] = "journal_before";

int older_keys_load(struct keyring *k, json_object *keys, struct problem *p)
{
	json_object *array, *o;
	int ret = 0;

	k->older_count = 0;
	k->has_journal_before = json_object_object_get_ex(keys, journal, NULL);
	if (k->has_journal_before)
		ret = member_bytes(keys, journal, k->journal_before, WRAPPED_SIZE, p);
	if (ret < 0 || !json_object_object_get_ex(keys, directories, NULL))
		return ret;
	ret = member_array(keys, directories, 0, AUDIT_SEGMENTS_MAX - 1, &array, p);
	for (uint32_t i = 0; ret == 0 && i < json_object_array_length(array); i++) {
		ret = element_object(array, i, &o, p);
		if (ret == 0)
			ret = member_u32(o, "until", 1, &k->older[i].until, p);
		if (ret == 0)
			ret = member_bytes(o, "wrapped", k->older[i].wrapped, WRAPPED_SIZE, p);
		k->older_count = i + 1;
	}
	return ret;
}

int older_keys_check(const struct keyring *k, const struct wrapping *root)
{
	_cleanup_stack_key_ struct stack_key key;
	int ret = k->has_journal_before ? wrapping_open(root, LABEL_ROOT_WRAP, k->journal_before, key.b) : 0;

	for (uint32_t i = 0; ret == 0 && i < k->older_count; i++)
		ret = wrapping_open(root, LABEL_ROOT_WRAP, k->older[i].wrapped, key.b);
	return ret;
}

/* No record of a directory is of a generation below. */
static uint32_t lowest_floor(const struct keyring *k)
{
	uint32_t lowest = k->floor[SCOPE_DEFAULT];

	for (uint32_t scope = 0; scope < k->scope_count; scope++)
		if (scope != SCOPE_FIELDS && k->floor[scope] < lowest)
			lowest = k->floor[scope];
	return lowest;
}

int older_keys_fill(const struct keyring *k, const struct wrapping *root, struct keys *out)
{
	_cleanup_stack_key_ struct stack_key key;
	int ret = 0;

	if (k->has_journal_before) {
		out->journal_before = secret_new(SHA256_SIZE);
		ret = out->journal_before ? wrapping_open(root, LABEL_ROOT_WRAP, k->journal_before, key.b) : -ENOMEM;
		if (ret == 0)
			ret = kdf_extract(key.b, sizeof(key.b), out->journal_before->bytes);
	}
	out->older = calloc(k->older_count + 1, sizeof(*out->older));
	if (!out->older)
		return -ENOMEM;
	for (uint32_t i = 0; ret == 0 && i < k->older_count; i++) {
		struct older_directory_key *older = &out->older[out->older_count];

		if (lowest_floor(k) >= k->older[i].until)
			continue;
		older->until = k->older[i].until;
		older->key = secret_new(KEY_SIZE);
		if (!older->key)
			return -ENOMEM;
		out->older_count++;
		ret = wrapping_open(root, LABEL_ROOT_WRAP, k->older[i].wrapped, older->key->bytes);
	}
	return ret;
}

void older_keys_drop(struct keyring *k)
{
	uint32_t floor = lowest_floor(k), until;
	struct problem ignored = {0};
	json_object *keys, *array;

	if (member_object(k->doc, "keys", &keys, &ignored) < 0 || !json_object_object_get_ex(keys, directories, &array))
		return;
	for (size_t i = json_object_array_length(array); i > 0; i--)
		if (member_u32(json_object_array_get_idx(array, i - 1), "until", 1, &until, &ignored) == 0 &&
		    until <= floor)
			json_object_array_del_idx(array, i - 1, 1);
	if (json_object_array_length(array) == 0)
		json_object_object_del(keys, directories);
}

bool keyring_journal_is_old(const struct keyring *k)
{
	return k->has_journal_before;
}

int keyring_journal_is_new(struct keyring *k, struct fault *why)
{
	struct problem p = {0};
	json_object *keys;
	int ret = member_object(k->doc, "keys", &keys, &p);

	if (ret == 0)
		json_object_object_del(keys, journal);
	if (ret == 0)
		ret = keyring_load(k, &p, why);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot drop the journal's key from before") : 0;
}

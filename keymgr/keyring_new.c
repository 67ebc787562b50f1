/* The keyring of a new volume. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/protector.h"
#include "util/base/kdf_labels.h"

static int put_root(json_object *doc, const struct wrapping *root)
{
	uint8_t fingerprint[FINGERPRINT_SIZE], commitment[COMMITMENT_SIZE];
	json_object *o = json_object_new_object();
	int ret;

	ret = put_value(doc, "root", o);
	if (ret == 0)
		ret = wrapping_derive(root, LABEL_ROOT_FINGERPRINT, fingerprint, sizeof(fingerprint));
	if (ret == 0)
		ret = wrapping_derive(root, LABEL_ROOT_COMMITMENT, commitment, sizeof(commitment));
	if (ret == 0)
		ret = put_hex(o, "fingerprint", fingerprint, sizeof(fingerprint));
	if (ret == 0)
		ret = put_bytes(o, "commitment", commitment, sizeof(commitment));
	return ret;
}

static int put_root_directory(json_object *doc)
{
	uint8_t id[DIRECTORY_ID_SIZE];
	int ret = crypto_random(id, sizeof(id));

	return ret < 0 ? ret : put_bytes(doc, "root_directory", id, sizeof(id));
}

static int put_protectors(json_object *doc, const struct settings *set, const struct secret *root,
			  const struct unlock_secret *secrets, uint32_t count, struct fault *why)
{
	json_object *array = json_object_new_array(), *o;
	int ret;

	ret = put_number(doc, "next_protector", count + 1);
	if (ret < 0) {
		json_object_put(array);
		return ret;
	}
	ret = put_value(doc, "protectors", array);
	for (uint32_t i = 0; ret == 0 && i < count; i++) {
		ret = protector_make(&secrets[i], i + 1, set->volume_id, root, &o, why);
		if (ret == 0)
			ret = put_element(array, o);
	}
	return ret;
}

static int put_generations(json_object *doc, const struct wrapping *root)
{
	json_object *array = json_object_new_array();
	int ret;

	ret = put_value(doc, "generations", array);
	for (uint32_t scope = 0; ret == 0 && scope < SCOPES_BUILT_IN; scope++)
		ret = generation_put_first(array, scope + 1, scope, root);
	return ret < 0 ? ret : put_number(doc, "next_generation", SCOPES_BUILT_IN + 1);
}

static int put_volume_keys(json_object *doc, const struct wrapping *root)
{
	_cleanup_stack_key_ struct stack_key key;
	json_object *o = json_object_new_object();
	uint8_t wrapped[WRAPPED_SIZE];
	int ret;

	ret = put_value(doc, "keys", o);
	for (size_t i = 0; ret == 0 && i < VOLUME_KEYS; i++) {
		ret = crypto_random(key.b, sizeof(key.b));
		if (ret == 0)
			ret = wrapping_seal(root, LABEL_ROOT_WRAP, key.b, wrapped);
		if (ret == 0)
			ret = put_bytes(o, volume_key_names[i], wrapped, sizeof(wrapped));
	}
	return ret;
}

static int fill(json_object *doc, const struct settings *set, const struct secret *root,
		const struct unlock_secret *secrets, uint32_t count, struct fault *why)
{
	_cleanup_stack_key_ struct stack_key prk;
	struct wrapping w = {prk.b, set->volume_id, NULL};
	int ret;

	ret = kdf_extract(root->bytes, root->size, prk.b);
	if (ret == 0)
		ret = document_put_format(doc, DOCUMENT_KEYRING);
	if (ret == 0)
		ret = put_number(doc, "sequence", 1);
	if (ret == 0)
		ret = put_now(doc, "written");
	if (ret == 0)
		ret = settings_put(doc, set);
	if (ret == 0)
		ret = put_root(doc, &w);
	if (ret == 0)
		ret = put_root_directory(doc);
	if (ret == 0)
		ret = put_protectors(doc, set, root, secrets, count, why);
	if (ret == 0)
		ret = put_generations(doc, &w);
	if (ret == 0)
		ret = put_volume_keys(doc, &w);
	if (ret == 0)
		ret = scopes_put_first(doc);
	if (ret == 0 && set->cipher == CIPHER_AES_256_GCM)
		ret = policy_put(doc, &(struct policy){.rotate_after = POLICY_GCM_BYTES});
	return ret;
}

int keyring_new(const struct settings *set, const struct unlock_secret *secrets, uint32_t count, struct keyring **out,
		struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = calloc(1, sizeof(*k));
	_cleanup_secret_ struct secret *root = secret_new(KEY_SIZE);
	struct problem p = {0};
	int ret;

	*out = NULL;
	if (!k || !root || !(k->doc = json_object_new_object()))
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot make a keyring");
	if (count < 1 || count > PROTECTORS_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "a volume needs 1 to %d protectors", PROTECTORS_MAX);
	ret = crypto_random(root->bytes, root->size);
	if (ret == 0)
		ret = fill(k->doc, set, root, secrets, count, why);
	if (ret == 0)
		ret = keyring_load(k, &p, why);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot make a keyring");
	k->root = secret_move(&root);
	k->opened_by = 1;
	*out = k;
	k = NULL;
	return 0;
}

/* From the keyring's document to the structure: bounds and consistency of everything that can be checked without a secret. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/protector.h"

const char *const volume_key_names[VOLUME_KEYS] = {
	[VOLUME_KEY_DIRECTORY] = "directory",
	[VOLUME_KEY_JOURNAL] = "journal",
	[VOLUME_KEY_AUDIT] = "audit",
};

static int type_load(json_object *o, char out[TYPE_MAX + 1], struct problem *p)
{
	const char *s;
	int ret = member_string(o, "type", &s, p);
	size_t n;

	if (ret < 0)
		return ret;
	n = strlen(s);
	if (n < 1 || n > TYPE_MAX || strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return problem_set(p, "the type of a protector is malformed");
	memcpy(out, s, n + 1);
	return 0;
}

static int protector_load(json_object *o, struct protector *out, struct problem *p)
{
	int ret;

	*out = (struct protector){.json = o};
	ret = member_u32(o, "id", 1, &out->id, p);
	if (ret == 0)
		ret = type_load(o, out->type, p);
	if (ret == 0)
		ret = member_time(o, "created", out->created, p);
	if (ret < 0)
		return ret;
	out->handler = protector_type_named(out->type);
	if (!out->handler)
		return 0;
	ret = member_bytes(o, "commitment", out->commitment, COMMITMENT_SIZE, p);
	if (ret == 0)
		ret = member_bytes(o, "wrapped", out->wrapped, WRAPPED_SIZE, p);
	if (ret == 0)
		ret = out->handler->validate(o, p);
	return ret;
}

int keyring_load_protectors(struct keyring *k, struct problem *p)
{
	json_object *array = NULL, *o;
	int ret;

	k->protector_count = 0;
	ret = member_u32(k->doc, "next_protector", 2, &k->next_protector, p);
	if (ret == 0)
		ret = member_array(k->doc, "protectors", 1, PROTECTORS_MAX, &array, p);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct protector *new = &k->protectors[i];

		ret = element_object(array, i, &o, p);
		if (ret == 0)
			ret = protector_load(o, new, p);
		if (ret == 0 && new->id >= k->next_protector)
			ret = problem_set(p, "\"next_protector\" is not above every protector's id");
		for (size_t j = 0; ret == 0 && j < i; j++)
			if (k->protectors[j].id == new->id)
				ret = problem_set(p, "two protectors have one id");
		if (ret < 0)
			return ret;
		k->protector_count++;
	}
	return 0;
}

static int root_load(struct keyring *k, struct problem *p)
{
	json_object *o;
	int ret;

	ret = member_object(k->doc, "root", &o, p);
	if (ret == 0)
		ret = member_hex(o, "fingerprint", k->fingerprint, FINGERPRINT_SIZE, p);
	if (ret == 0)
		ret = member_bytes(o, "commitment", k->commitment, COMMITMENT_SIZE, p);
	return ret;
}

static int volume_keys_load(struct keyring *k, struct problem *p)
{
	json_object *o;
	int ret;

	ret = member_object(k->doc, "keys", &o, p);
	for (size_t i = 0; ret == 0 && i < VOLUME_KEYS; i++)
		ret = member_bytes(o, volume_key_names[i], k->wrapped_keys[i], WRAPPED_SIZE, p);
	return ret < 0 ? ret : older_keys_load(k, o, p);
}

int keyring_load(struct keyring *k, struct problem *p, struct fault *why)
{
	char written[TIME_TEXT + 1];
	int ret;

	ret = settings_load(k->doc, k->kind, &k->settings, &k->read_only, p, why);
	if (ret == 0)
		ret = member_number(k->doc, "sequence", 1, DOCUMENT_NUMBER_MAX, &k->sequence, p);
	if (ret == 0)
		ret = member_time(k->doc, "written", written, p);
	if (ret == 0)
		ret = root_load(k, p);
	if (ret == 0)
		ret = member_bytes(k->doc, "root_directory", k->root_directory, DIRECTORY_ID_SIZE, p);
	if (ret == 0)
		ret = keyring_load_protectors(k, p);
	if (ret == 0)
		ret = member_u32(k->doc, "next_generation", 3, &k->next_generation, p);
	if (ret == 0)
		ret = scopes_load(k, p);
	if (ret == 0)
		ret = generations_load(k, p);
	if (ret == 0)
		ret = volume_keys_load(k, p);
	if (ret == 0)
		ret = scopes_check(k, p);
	if (ret == 0)
		ret = audit_anchor_load(k, p);
	return ret;
}

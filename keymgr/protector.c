/* Protectors: making and opening one of any type. */
#include "keymgr/protector.h"

#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"
#include "util/base/kdf_labels.h"

static const struct protector_type *const types[] = {
	&protector_passphrase, &protector_key_file, &protector_recovery_key, &protector_shares, &protector_certificate,
	&protector_service,    &protector_pkcs11,   &protector_tpm2,         &protector_kmip,
};

const struct protector_type *protector_type_named(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i]->name, name) == 0)
			return types[i];
	return NULL;
}

const struct protector_type *protector_type_for(enum secret_kind made_of)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i]->made_of == made_of)
			return types[i];
	return NULL;
}

/* What a type is made of; for a recovery key the bytes behind its text, in *raw. */
static int material_of(const struct unlock_secret *s, struct secret **raw, struct unlock_secret *out, struct fault *why)
{
	bool looks_like;
	int ret;

	*out = *s;
	if (s->kind != SECRET_RECOVERY_KEY)
		return 0;
	ret = recovery_key_parse(s->bytes, raw, &looks_like, why);
	out->bytes = *raw;
	return ret;
}

static int put_wrapped(json_object *o, const struct wrapping *w, const struct secret *root)
{
	uint8_t commitment[COMMITMENT_SIZE], wrapped[WRAPPED_SIZE];
	int ret;

	ret = wrapping_derive(w, LABEL_PROTECTOR_COMMITMENT, commitment, sizeof(commitment));
	if (ret == 0)
		ret = wrapping_seal(w, LABEL_PROTECTOR_WRAP, root->bytes, wrapped);
	if (ret == 0)
		ret = put_bytes(o, "commitment", commitment, sizeof(commitment));
	if (ret == 0)
		ret = put_bytes(o, "wrapped", wrapped, sizeof(wrapped));
	return ret;
}

int protector_make(const struct unlock_secret *s, uint32_t id, const uint8_t volume_id[VOLUME_ID_SIZE],
		   const struct secret *root, json_object **out, struct fault *why)
{
	const struct protector_type *type = protector_type_for(s->kind);
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_secret_ struct secret *raw = NULL;
	_cleanup_stack_key_ struct stack_key prk;
	struct unlock_secret material;
	int ret;

	*out = NULL;
	if (!o)
		return -ENOMEM;
	if (!type)
		return -EINVAL;
	ret = material_of(s, &raw, &material, why);
	if (ret == 0)
		ret = put_number(o, "id", id);
	if (ret == 0)
		ret = put_string(o, "type", type->name);
	if (ret == 0)
		ret = put_now(o, "created");
	if (ret == 0)
		ret = type->make(o, &material, &(struct protected){volume_id, root}, prk.b, why);
	if (ret == 0)
		ret = put_wrapped(o, &(struct wrapping){prk.b, volume_id, type->name}, root);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot make a protector of type %s", type->name);
	*out = json_object_get(o);
	return 0;
}

int protector_open(const struct protector *p, const struct unlock_secret *s, const uint8_t volume_id[VOLUME_ID_SIZE],
		   struct secret **root, struct fault *why)
{
	_cleanup_secret_ struct secret *opened = NULL;
	_cleanup_stack_key_ struct stack_key prk;
	uint8_t commitment[COMMITMENT_SIZE];
	struct wrapping w = {prk.b, volume_id, p->type};
	int ret;

	*root = NULL;
	ret = p->handler->open(p->json, s, &(struct protected){volume_id, NULL}, prk.b, why);
	if (ret == 0)
		ret = wrapping_derive(&w, LABEL_PROTECTOR_COMMITMENT, commitment, sizeof(commitment));
	if (ret < 0)
		return ret;
	if (!crypto_equal(commitment, p->commitment, sizeof(commitment)))
		return -EKEYREJECTED;
	opened = secret_new(KEY_SIZE);
	if (!opened)
		return -ENOMEM;
	ret = wrapping_open(&w, LABEL_PROTECTOR_WRAP, p->wrapped, opened->bytes);
	if (ret == 0)
		*root = secret_move(&opened);
	return ret;
}

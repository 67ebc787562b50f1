/* Protectors of a KMIP server: X is 32 random bytes, sealed by an AES key that stays in the server (kmip.h).
 *
 * 1. Whoever may use the key can make one; what comes of that is in pin.h.
 * 2. What is sealed names the volume: an administrator who moves it to the keyring of another volume gains nothing.
 * 3. Addresses and paths are read before anything is verified.  They say whom to ask, never whom to believe: the root has to be known here.
 * 4. Before a new one is relied on, it has been opened. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/kmip.h"
#include "keymgr/protector.h"
#include "keymgr/protector_server.h"

#define AAD_TEXT "coffer kmip"
enum { AAD_TEXT_SIZE = sizeof(AAD_TEXT) - 1, AAD_VERSION = 1, AAD_SIZE = AAD_TEXT_SIZE + 1 + VOLUME_ID_SIZE };

struct members {
	const char *key; /* inside the document */
	struct server_members server;
	struct kmip_sealed sealed;
};

static int load(json_object *o, struct members *out, struct problem *p)
{
	int ret = member_string(o, "key", &out->key, p);
	const char *wrong = ret == 0 ? kmip_key_check(out->key) : NULL;

	if (wrong)
		return problem_set(p, "\"key\" of a protector of a KMIP server: %s", wrong);
	if (ret == 0)
		ret = server_members_load(o, &server_kmip, &out->server, p);
	if (ret == 0)
		ret = member_bytes(o, "iv", out->sealed.iv, sizeof(out->sealed.iv), p);
	return ret == 0 ? member_bytes(o, "value", out->sealed.value, sizeof(out->sealed.value), p) : ret;
}

static int validate(json_object *o, struct problem *p)
{
	struct members ignored;

	return load(o, &ignored, p);
}

static int put(json_object *o, const char *key, const struct service_config *c, const struct kmip_sealed *sealed)
{
	int ret = put_string(o, "key", key);

	if (ret == 0)
		ret = server_members_put(o, c);
	if (ret == 0)
		ret = put_bytes(o, "iv", sealed->iv, sizeof(sealed->iv));
	return ret == 0 ? put_bytes(o, "value", sealed->value, sizeof(sealed->value)) : ret;
}

static void fill_aad(const struct protected *what, uint8_t aad[AAD_SIZE])
{
	memcpy(aad, AAD_TEXT, AAD_TEXT_SIZE);
	aad[AAD_TEXT_SIZE] = AAD_VERSION;
	memcpy(aad + AAD_TEXT_SIZE + 1, what->volume_id, VOLUME_ID_SIZE);
}

/* (4) */
static int seal(struct talk *t, const char *key, const struct protected *what, const struct secret *x,
		struct kmip_sealed *out, struct fault *why)
{
	_cleanup_secret_ struct secret *again = secret_new(KMIP_PLAIN_SIZE);
	uint8_t aad[AAD_SIZE];
	int ret;

	if (!again)
		return -ENOMEM;
	fill_aad(what, aad);
	ret = kmip_seal(t, key, aad, sizeof(aad), x, out, why);
	if (ret == 0)
		ret = kmip_open(t, key, aad, sizeof(aad), out, again, why);
	if (ret == -EKEYREJECTED || (ret == 0 && !crypto_equal(again->bytes, x->bytes, KMIP_PLAIN_SIZE)))
		ret = fault_set(why, EXIT_FAILED, EPROTO, "the KMIP server does not open what it has sealed");
	return ret;
}

static int make(json_object *o, const struct unlock_secret *s, const struct protected *what, uint8_t prk[SHA256_SIZE],
		struct fault *why)
{
	struct talk *t = s->kmip->talk;
	const struct service_config *remembered = &s->kmip->remembered;
	_cleanup_secret_ struct secret *x = secret_new(KMIP_PLAIN_SIZE);
	struct kmip_sealed sealed;
	int ret = t && *s->kmip->key ? 0 : -EINVAL;

	if (ret == 0 && !remembered->urls)
		remembered = talk_config(t);
	if (ret == 0)
		ret = server_paths_check(remembered, why);
	if (ret == 0)
		ret = x ? crypto_random(x->bytes, x->size) : -ENOMEM;
	if (ret == 0)
		ret = seal(t, s->kmip->key, what, x, &sealed, why);
	if (ret == 0)
		ret = put(o, s->kmip->key, remembered, &sealed);
	return ret < 0 ? ret : kdf_extract(x->bytes, x->size, prk);
}

static int talk_as_said(const struct members *m, struct talk **out, struct fault *why)
{
	_cleanup_service_config_ struct service_config config = KMIP_CONFIG_NONE;
	int ret = server_members_config(&m->server, &server_kmip, &config);

	return ret < 0 ? ret : talk_new(&config, out, why);
}

static int open_by_server(json_object *o, const struct unlock_secret *s, const struct protected *what,
			  uint8_t prk[SHA256_SIZE], struct fault *why)
{
	_cleanup_talk_ struct talk *own = NULL;
	_cleanup_secret_ struct secret *x = secret_new(KMIP_PLAIN_SIZE);
	struct members with;
	struct problem p = {0};
	uint8_t aad[AAD_SIZE];
	int ret = x ? load(o, &with, &p) : -ENOMEM;

	fill_aad(what, aad);
	if (ret == 0 && !s->kmip->talk)
		ret = talk_as_said(&with, &own, why);
	if (ret == 0)
		ret = kmip_open(own ? own : s->kmip->talk, with.key, aad, sizeof(aad), &with.sealed, x, why);
	return ret < 0 ? ret : kdf_extract(x->bytes, x->size, prk);
}

static void describe(json_object *o, char *out, size_t n)
{
	struct members with;
	struct problem ignored = {0};

	out[0] = '\0';
	if (load(o, &with, &ignored) == 0 && snprintf(out, n, "%s at %s", with.key, with.server.addresses) >= (int)n)
		memcpy(out + n - 4, "...", 4);
}

const struct protector_type protector_kmip = {
	.name = "kmip",
	.kind = SECRET_KMIP,
	.made_of = SECRET_KMIP,
	.anyone_makes = true,
	.validate = validate,
	.make = make,
	.open = open_by_server,
	.describe = describe,
};

int keyring_kmip(const struct keyring *k, uint32_t id, struct kmip_protector *out)
{
	struct members with;
	struct problem ignored = {0};
	int ret = -ENOENT;

	*out = (struct kmip_protector){.config = KMIP_CONFIG_NONE};
	for (uint32_t i = 0; i < k->protector_count; i++)
		if (k->protectors[i].id == id && k->protectors[i].handler == &protector_kmip)
			ret = load(k->protectors[i].json, &with, &ignored);
	if (ret < 0)
		return ret;
	memcpy(out->key, with.key, strlen(with.key) + 1);
	ret = server_members_config(&with.server, &server_kmip, &out->config);
	if (ret < 0)
		kmip_protector_free(out);
	return ret;
}

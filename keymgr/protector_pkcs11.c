/* Protectors of a PKCS #11 token: X is 32 random bytes, sealed by an AES key that never leaves the token (pkcs11.h).
 *
 * 1. A token may be used by several people, and whoever has its PIN can make one; what comes of that is in pin.h.
 * 2. What is sealed names the volume: an administrator who moves it to the keyring of another volume gains nothing.
 * 3. The URI is read before anything is verified.  It says which of the tokens that are there gets the PIN, never what is loaded. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/pkcs11.h"
#include "keymgr/protector.h"

#define AAD_TEXT "coffer pkcs11"
enum { AAD_TEXT_SIZE = sizeof(AAD_TEXT) - 1, AAD_VERSION = 1, AAD_SIZE = AAD_TEXT_SIZE + 1 + VOLUME_ID_SIZE };

static int load(json_object *o, const char **uri, struct pkcs11_sealed *out, struct problem *p)
{
	int ret = member_string(o, "uri", uri, p);
	const char *wrong = ret == 0 ? pkcs11_uri_check(*uri) : NULL;

	if (wrong)
		return problem_set(p, "\"uri\" of a token: %s", wrong);
	if (ret == 0)
		ret = member_bytes(o, "iv", out->iv, sizeof(out->iv), p);
	return ret == 0 ? member_bytes(o, "value", out->value, sizeof(out->value), p) : ret;
}

static int validate(json_object *o, struct problem *p)
{
	struct pkcs11_sealed ignored;
	const char *uri;

	return load(o, &uri, &ignored, p);
}

static void fill_aad(const struct protected *what, uint8_t aad[AAD_SIZE])
{
	memcpy(aad, AAD_TEXT, AAD_TEXT_SIZE);
	aad[AAD_TEXT_SIZE] = AAD_VERSION;
	memcpy(aad + AAD_TEXT_SIZE + 1, what->volume_id, VOLUME_ID_SIZE);
}

static int make(json_object *o, const struct unlock_secret *s, const struct protected *what, uint8_t prk[SHA256_SIZE],
		struct fault *why)
{
	const struct pkcs11_key key = {s->token_module, s->token_uri, s->bytes};
	_cleanup_secret_ struct secret *x = secret_new(PKCS11_PLAIN_SIZE);
	struct pkcs11_sealed sealed;
	uint8_t aad[AAD_SIZE];
	int ret = x ? crypto_random(x->bytes, x->size) : -ENOMEM;

	fill_aad(what, aad);
	if (ret == 0 && (!key.uri || pkcs11_uri_check(key.uri)))
		ret = -EINVAL;
	if (ret == 0)
		ret = pkcs11_seal(&key, aad, sizeof(aad), x, &sealed, why);
	if (ret == 0)
		ret = put_string(o, "uri", key.uri);
	if (ret == 0)
		ret = put_bytes(o, "iv", sealed.iv, sizeof(sealed.iv));
	if (ret == 0)
		ret = put_bytes(o, "value", sealed.value, sizeof(sealed.value));
	return ret < 0 ? ret : kdf_extract(x->bytes, x->size, prk);
}

static int open_by_token(json_object *o, const struct unlock_secret *s, const struct protected *what,
			 uint8_t prk[SHA256_SIZE], struct fault *why)
{
	struct pkcs11_key key = {s->token_module, NULL, s->bytes};
	_cleanup_secret_ struct secret *x = secret_new(PKCS11_PLAIN_SIZE);
	struct pkcs11_sealed sealed;
	struct problem p = {0};
	uint8_t aad[AAD_SIZE];
	int ret = x ? load(o, &key.uri, &sealed, &p) : -ENOMEM;

	fill_aad(what, aad);
	if (ret == 0)
		ret = pkcs11_open(&key, aad, sizeof(aad), &sealed, x, why);
	return ret != 0 ? ret : kdf_extract(x->bytes, x->size, prk);
}

static void describe(json_object *o, char *out, size_t n)
{
	const char *uri = protector_token_uri(o);
	size_t used = uri ? strlen(uri) : 0;

	if (used < n)
		snprintf(out, n, "%s", uri ? uri : "");
	else
		snprintf(out, n, "%.*s...", (int)n - 4, uri);
}

const char *protector_token_uri(json_object *o)
{
	struct pkcs11_sealed ignored;
	struct problem p = {0};
	const char *uri;

	return load(o, &uri, &ignored, &p) == 0 ? uri : NULL;
}

const struct protector_type protector_pkcs11 = {
	.name = "pkcs11",
	.kind = SECRET_PIN,
	.made_of = SECRET_PIN,
	.anyone_makes = true,
	.validate = validate,
	.make = make,
	.open = open_by_token,
	.describe = describe,
};

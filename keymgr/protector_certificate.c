/* Protectors of a certificate: X is 32 random bytes, encrypted to it (cms.h).
 *
 * 1. Making one needs no secret at all, so anyone can; what comes of that is in pin.h.
 * 2. The certificate is kept whole: a new root is wrapped for it without it being at hand (rotate_root.c says when). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/cms.h"
#include "keymgr/cms_profile.h"
#include "keymgr/protector.h"

enum { X_SIZE = 32 };

static const char key_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

struct parameters {
	const char *key; /* inside the document */
	char expires[TIME_TEXT + 1];
	uint8_t certificate[CERTIFICATE_MAX], cms[CMS_MAX];
	size_t certificate_size, cms_size;
};

static int load(json_object *o, struct parameters *out, struct problem *p)
{
	const char *wrong;
	int ret = member_string(o, "key", &out->key, p);
	size_t n;

	if (ret < 0)
		return ret;
	n = strlen(out->key);
	if (n < 1 || n > CMS_KEY_TEXT || strspn(out->key, key_characters) != n)
		return problem_set(p, "\"key\" of a certificate is malformed");
	ret = member_time(o, "expires", out->expires, p);
	if (ret == 0)
		ret = member_bytes_between(o, "certificate", out->certificate, 1, sizeof(out->certificate),
					   &out->certificate_size, p);
	if (ret == 0)
		ret = member_bytes_between(o, "cms", out->cms, 1, sizeof(out->cms), &out->cms_size, p);
	if (ret < 0)
		return ret;
	wrong = cms_profile_check(out->cms, out->cms_size);
	return wrong ? problem_set(p, "\"cms\" of a certificate: %s", wrong) : 0;
}

static int validate(json_object *o, struct problem *p)
{
	struct parameters ignored;

	return load(o, &ignored, p);
}

static int put_parameters(json_object *o, const struct secret *certificate, const struct cms_made *cms)
{
	int ret = put_string(o, "key", cms->key);

	if (ret == 0)
		ret = put_string(o, "expires", cms->expires);
	if (ret == 0)
		ret = put_bytes(o, "certificate", certificate->bytes, certificate->size);
	return ret < 0 ? ret : put_bytes(o, "cms", cms->der, cms->size);
}

static int make(json_object *o, const struct unlock_secret *s, const struct protected *what, uint8_t prk[SHA256_SIZE],
		struct fault *why)
{
	_cleanup_secret_ struct secret *x = secret_new(X_SIZE);
	struct cms_made cms;
	int ret = x ? crypto_random(x->bytes, x->size) : -ENOMEM;

	(void)what;
	if (ret == 0)
		ret = cms_encrypt(s->bytes, x, &cms, why);
	if (ret == 0)
		ret = put_parameters(o, s->bytes, &cms);
	return ret < 0 ? ret : kdf_extract(x->bytes, x->size, prk);
}

static int open_by_key(json_object *o, const struct unlock_secret *s, const struct protected *what,
		       uint8_t prk[SHA256_SIZE], struct fault *why)
{
	_cleanup_secret_ struct secret *x = NULL;
	struct parameters with;
	struct problem p = {0};
	int ret = load(o, &with, &p);

	(void)what;
	if (ret == 0)
		ret = cms_decrypt(s->bytes, s->passphrase, with.cms, with.cms_size, &x, why);
	if (ret < 0)
		return ret;
	return x->size == X_SIZE ? kdf_extract(x->bytes, x->size, prk) : -EKEYREJECTED;
}

static void describe(json_object *o, char *out, size_t n)
{
	struct parameters with;
	struct problem ignored = {0};

	out[0] = '\0';
	if (load(o, &with, &ignored) == 0)
		snprintf(out, n, "%s, expires %.10s", with.key, with.expires);
}

int protector_certificate_of(json_object *o, struct secret **der)
{
	struct parameters with;
	struct problem ignored = {0};
	int ret = load(o, &with, &ignored);

	*der = ret == 0 ? secret_new(with.certificate_size) : NULL;
	if (*der)
		memcpy((*der)->bytes, with.certificate, with.certificate_size);
	return ret < 0 || *der ? ret : -ENOMEM;
}

void protector_expires(const char *type, json_object *o, char out[TIME_TEXT + 1])
{
	struct problem ignored = {0};

	if (strcmp(type, protector_certificate.name) != 0 || member_time(o, "expires", out, &ignored) < 0)
		out[0] = '\0';
}

const struct protector_type protector_certificate = {
	.name = "certificate",
	.kind = SECRET_IDENTITY,
	.made_of = SECRET_CERTIFICATE,
	.anyone_makes = true,
	.validate = validate,
	.make = make,
	.open = open_by_key,
	.describe = describe,
};

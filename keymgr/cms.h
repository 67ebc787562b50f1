/* Encrypting a secret to a certificate, and back (docs/format-keyring.md section 5), by the helper coffer-cms. */
#ifndef COFFER_KEYMGR_CMS_H
#define COFFER_KEYMGR_CMS_H

#include "keymgr/document.h"
#include "keymgr/helper/protocol.h"
#include "util/base/fault.h"
#include "util/base/secret.h"

enum { CERTIFICATE_MAX = HELPER_CERTIFICATE_MAX, CMS_MAX = HELPER_CMS_MAX, CMS_KEY_TEXT = 15 };

struct cms_made {
	char key[CMS_KEY_TEXT + 1];  /* "rsa-3072", "ec-256" */
	char expires[TIME_TEXT + 1]; /* the certificate */
	uint8_t der[CMS_MAX];
	size_t size;
};

/* The certificate as DER.  -EINVAL, EXIT_REFUSED if it has expired, is not for encryption, or its key is weak or of another kind. */
int cms_encrypt(const struct secret *certificate, const struct secret *plain, struct cms_made *out,
		struct fault *why) MUST_CHECK;
/* The private key as PEM; its passphrase may be NULL.  What is decrypted has passed cms_profile_check() here, whoever looked before.
 * -EKEYREJECTED without a fault: it is for another key, or was changed. */
int cms_decrypt(const struct secret *key, const struct secret *passphrase, const uint8_t *der, size_t n,
		struct secret **plain, struct fault *why) MUST_CHECK;

/* The first certificate of a file, PEM or DER, as DER. */
int certificate_read(const char *path, struct secret **der, struct fault *why) MUST_CHECK;
/* Whether a private key in PEM is encrypted with a passphrase. */
bool private_key_is_encrypted(const struct secret *pem);

#endif

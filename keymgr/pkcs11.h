/* Sealing a secret by a key in a PKCS #11 token, and back (docs/format-keyring.md section 5), by the helper coffer-pkcs11. */
#ifndef COFFER_KEYMGR_PKCS11_H
#define COFFER_KEYMGR_PKCS11_H

#include "keymgr/helper/pkcs11_protocol.h"
#include "util/base/fault.h"
#include "util/base/secret.h"

/* How a key in a token is reached; what the members point to is somebody else's. */
struct pkcs11_key {
	const char *module; /* absolute path; NULL: the modules that p11-kit is configured with */
	const char *uri;    /* RFC 7512 */
	const struct secret *pin;
};

struct pkcs11_sealed {
	uint8_t iv[PKCS11_IV_SIZE], value[PKCS11_VALUE_SIZE];
};

/* NULL if the text names a key in a token and nothing else, else what is wrong, in words.  Refused, whoever wrote it: queries (a PIN, a
 * module) and attributes that RFC 7512 does not have. */
const char *pkcs11_uri_check(const char *uri) MUST_CHECK;

/* plain: PKCS11_PLAIN_SIZE bytes, here and below.  The PIN is tried once.  -EACCES, EXIT_WRONG_SECRET: it is wrong.  -ENODEV: the token is not
 * there (EXIT_UNREACHABLE), or the key is not in it (EXIT_WRONG_SECRET). */
int pkcs11_seal(const struct pkcs11_key *k, const uint8_t *aad, size_t aad_size, const struct secret *plain,
		struct pkcs11_sealed *out, struct fault *why) MUST_CHECK;
/* Also -EKEYREJECTED, without a fault: it is by another key, or was changed. */
int pkcs11_open(const struct pkcs11_key *k, const uint8_t *aad, size_t aad_size, const struct pkcs11_sealed *in,
		struct secret *plain, struct fault *why) MUST_CHECK;

#endif

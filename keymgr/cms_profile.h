/* What of CMS is accepted, looked at before anything is decrypted (docs/format-keyring.md section 5).
 *
 * A ContentInfo (RFC 5652) in DER with AuthEnvelopedData (RFC 5083): content AES-256-GCM (RFC 5084) with a nonce of 12 bytes and a tag of
 * 16; recipients RSAES-OAEP with SHA-256 (RFC 4055), or ECDH with the X9.63 KDF of SHA-256 and AES-256 key wrap (RFC 5753); no
 * attributes.  Libraries accept shorter tags, other ciphers and PKCS #1 v1.5, if they are left to themselves.  Thread-safe. */
#ifndef COFFER_KEYMGR_CMS_PROFILE_H
#define COFFER_KEYMGR_CMS_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include "util/base/cleanup.h"

/* NULL if these n bytes are of the profile, else what is wrong, in words. */
const char *cms_profile_check(const uint8_t *der, size_t n) MUST_CHECK;

#endif

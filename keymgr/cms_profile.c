/* The profile of CMS, as a walk over its DER (X.690).
 *
 * 1. Every length is definite and in its shortest form, and every value ends where its parent says: there is one way to read it.
 * 2. Algorithm identifiers are compared as bytes; parameters that DER lets be left out in two ways are listed in both.
 * 3. Nothing is skipped but what says who the recipient is, an encrypted key, and the ciphertext. */
#include "keymgr/cms_profile.h"

#include <stdbool.h>
#include <string.h>

enum {
	TAG_INTEGER = 0x02,
	TAG_OCTETS = 0x04,
	TAG_OID = 0x06,
	TAG_SEQUENCE = 0x30,
	TAG_SET = 0x31,
	TAG_CONTEXT_0 = 0x80, /* primitive */
	TAG_CONSTRUCTED_0 = 0xa0,
	TAG_CONSTRUCTED_1 = 0xa1,
	RECIPIENTS_MAX = 16,
	NONCE_SIZE = 12,
	TAG_SIZE = 16,
};

/* What is left to be read of one value. */
struct der {
	const uint8_t *at;
	size_t left;
};

static bool take_length(struct der *d, size_t *n)
{
	size_t bytes;

	if (d->left < 1)
		return false;
	*n = d->at[0];
	d->at++;
	d->left--;
	if (*n < 0x80)
		return *n <= d->left;
	bytes = *n & 0x7f;
	if (bytes < 1 || bytes > 3 || bytes > d->left || d->at[0] == 0)
		return false;
	*n = 0;
	for (size_t i = 0; i < bytes; i++)
		*n = *n << 8 | d->at[i];
	d->at += bytes;
	d->left -= bytes;
	return *n >= 0x80 && *n <= d->left;
}

/* The next value, if it has this tag; *out is what it holds. */
static bool take(struct der *d, uint8_t tag, struct der *out)
{
	struct der rest = *d;
	size_t n;

	if (rest.left < 2 || rest.at[0] != tag)
		return false;
	rest.at++;
	rest.left--;
	if (!take_length(&rest, &n))
		return false;
	*out = (struct der){rest.at, n};
	*d = (struct der){rest.at + n, rest.left - n};
	return true;
}

static bool is(const struct der *d, const void *bytes, size_t n)
{
	return d->left == n && memcmp(d->at, bytes, n) == 0;
}

static bool take_bytes(struct der *d, uint8_t tag, const void *bytes, size_t n)
{
	struct der value;

	return take(d, tag, &value) && is(&value, bytes, n);
}

static bool take_version(struct der *d, uint8_t version)
{
	return take_bytes(d, TAG_INTEGER, &version, 1);
}

/* id-ct-authEnvelopedData 1.2.840.113549.1.9.16.1.23; id-data 1.2.840.113549.1.7.1; aes256-GCM 2.16.840.1.101.3.4.1.46 */
static const uint8_t auth_enveloped[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17};
static const uint8_t data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
static const uint8_t aes_256_gcm[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e};

#define SHA256_OID 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01
#define MGF1_OID   0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08
#define OAEP_OID   0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07

/* id-RSAES-OAEP { [0] sha256, [1] mgf1 { sha256 } }; SHA-256 without parameters, and with NULL: RFC 4055 section 2.1 allows both. */
static const uint8_t oaep[] = {OAEP_OID, 0x30, 0x2b, 0xa0, 0x0d,     0x30, 0x0b, SHA256_OID,
			       0xa1,     0x1a, 0x30, 0x18, MGF1_OID, 0x30, 0x0b, SHA256_OID};
static const uint8_t oaep_null[] = {OAEP_OID, 0x30, 0x2f, 0xa0, 0x0f,     0x30, 0x0d, SHA256_OID, 0x05, 0x00,
				    0xa1,     0x1c, 0x30, 0x1a, MGF1_OID, 0x30, 0x0d, SHA256_OID, 0x05, 0x00};
/* dhSinglePass-stdDH-sha256kdf-scheme 1.3.132.1.11.1 { id-aes256-wrap 2.16.840.1.101.3.4.1.45 } */
static const uint8_t ecdh[] = {0x06, 0x06, 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01, 0x30, 0x0b, 0x06,
			       0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d};

/* RecipientIdentifier: by key id, or by issuer and number.  *version: what the version of the recipient has to be. */
static bool take_recipient_id(struct der *d, uint8_t *version)
{
	struct der ignored;

	*version = 2;
	if (take(d, TAG_CONTEXT_0, &ignored))
		return true;
	*version = 0;
	return take(d, TAG_SEQUENCE, &ignored);
}

static bool is_oaep(struct der r)
{
	struct der version, algorithm, key;
	uint8_t expected;

	return take(&r, TAG_INTEGER, &version) && take_recipient_id(&r, &expected) && is(&version, &expected, 1) &&
	       take(&r, TAG_SEQUENCE, &algorithm) &&
	       (is(&algorithm, oaep, sizeof(oaep)) || is(&algorithm, oaep_null, sizeof(oaep_null))) &&
	       take(&r, TAG_OCTETS, &key) && r.left == 0;
}

/* The keys of a key agreement: one, behind who it is for. */
static bool is_agreed_key(struct der keys)
{
	struct der one, id, key;

	return take(&keys, TAG_SEQUENCE, &one) && keys.left == 0 &&
	       (take(&one, TAG_CONSTRUCTED_0, &id) || take(&one, TAG_SEQUENCE, &id)) && take(&one, TAG_OCTETS, &key) &&
	       one.left == 0;
}

/* Without the ukm that may stand behind the originator. */
static bool is_ecdh(struct der r)
{
	struct der originator, algorithm, keys;

	return take_version(&r, 3) && take(&r, TAG_CONSTRUCTED_0, &originator) && take(&r, TAG_SEQUENCE, &algorithm) &&
	       is(&algorithm, ecdh, sizeof(ecdh)) && take(&r, TAG_SEQUENCE, &keys) && r.left == 0 &&
	       is_agreed_key(keys);
}

static const char *check_recipients(struct der set)
{
	struct der one;
	unsigned n = 0;

	for (; set.left > 0; n++) {
		if (take(&set, TAG_SEQUENCE, &one)) {
			if (!is_oaep(one))
				return "a recipient's key is not encrypted by RSAES-OAEP with SHA-256";
		} else if (take(&set, TAG_CONSTRUCTED_1, &one)) {
			if (!is_ecdh(one))
				return "a recipient's key is not agreed on by ECDH with SHA-256 and AES-256 key wrap";
		} else {
			return "a recipient is neither of RSA nor of ECDH";
		}
	}
	return n >= 1 && n <= RECIPIENTS_MAX ? NULL : "there are no recipients, or too many";
}

static const char *check_content(struct der content)
{
	struct der algorithm, parameters, nonce, ciphertext;
	const uint8_t tag_size = TAG_SIZE;

	if (!take_bytes(&content, TAG_OID, data, sizeof(data)) || !take(&content, TAG_SEQUENCE, &algorithm))
		return "its content is not data";
	if (!take_bytes(&algorithm, TAG_OID, aes_256_gcm, sizeof(aes_256_gcm)))
		return "its content is not encrypted by AES-256-GCM";
	if (!take(&algorithm, TAG_SEQUENCE, &parameters) || algorithm.left != 0 ||
	    !take(&parameters, TAG_OCTETS, &nonce) || nonce.left != NONCE_SIZE)
		return "its nonce has not 12 bytes";
	if (!take_bytes(&parameters, TAG_INTEGER, &tag_size, 1) || parameters.left != 0)
		return "its tag is announced with another size than 16 bytes";
	return take(&content, TAG_CONTEXT_0, &ciphertext) && content.left == 0 ? NULL : "its ciphertext is malformed";
}

static const char *check_enveloped(struct der d)
{
	struct der recipients, content, tag;
	const char *wrong;

	if (!take_version(&d, 0) || !take(&d, TAG_SET, &recipients))
		return "it is malformed";
	wrong = check_recipients(recipients);
	if (wrong)
		return wrong;
	if (!take(&d, TAG_SEQUENCE, &content))
		return "it is malformed";
	wrong = check_content(content);
	if (wrong)
		return wrong;
	if (!take(&d, TAG_OCTETS, &tag))
		return "it has attributes, or no tag";
	if (tag.left != TAG_SIZE)
		return "its tag has not 16 bytes";
	return d.left == 0 ? NULL : "it has attributes";
}

const char *cms_profile_check(const uint8_t *der, size_t n)
{
	struct der all = {der, n}, info, outer, enveloped;

	if (!take(&all, TAG_SEQUENCE, &info) || all.left != 0)
		return "it is not DER";
	if (!take_bytes(&info, TAG_OID, auth_enveloped, sizeof(auth_enveloped)))
		return "it is not AuthEnvelopedData";
	if (!take(&info, TAG_CONSTRUCTED_0, &outer) || info.left != 0 || !take(&outer, TAG_SEQUENCE, &enveloped) ||
	    outer.left != 0)
		return "it is malformed";
	return check_enveloped(enveloped);
}

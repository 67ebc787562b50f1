/* Encrypting to a certificate.
 *
 * Its times and what it may be used for are looked at here and nowhere else: what was encrypted in time has to open for ever. */
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "keymgr/helper/cms.h"

enum { RSA_BITS_MIN = 2048, EC_BITS_MIN = 256 };

struct making {
	X509 *certificate;
	EVP_PKEY *key; /* inside the certificate */
	BIO *plain;
	CMS_ContentInfo *cms;
	uint8_t *der;
};

static void making_free(struct making *m)
{
	OPENSSL_free(m->der);
	CMS_ContentInfo_free(m->cms);
	BIO_free(m->plain);
	X509_free(m->certificate);
}

static enum helper_status read_certificate(struct making *m, struct span der)
{
	const uint8_t *at = der.at;

	m->certificate = d2i_X509(NULL, &at, (long)der.size);
	if (!m->certificate || at != der.at + der.size)
		return say(HELPER_BAD_INPUT, "it is not an X.509 certificate");
	m->key = X509_get0_pubkey(m->certificate);
	return m->key ? HELPER_DONE : say(HELPER_BAD_INPUT, "its public key cannot be used");
}

static enum helper_status check_times(const struct making *m)
{
	if (X509_cmp_current_time(X509_get0_notBefore(m->certificate)) >= 0)
		return say(HELPER_BAD_INPUT, "it is not valid yet");
	if (X509_cmp_current_time(X509_get0_notAfter(m->certificate)) <= 0)
		return say(HELPER_BAD_INPUT, "it has expired");
	return HELPER_DONE;
}

/* X509_get_key_usage() says that everything is allowed where the certificate is silent (RFC 5280, section 4.2.1.3). */
static enum helper_status check_key(const struct making *m)
{
	uint32_t usage = X509_get_key_usage(m->certificate);
	int bits = EVP_PKEY_get_bits(m->key);

	switch (EVP_PKEY_get_base_id(m->key)) {
	case EVP_PKEY_RSA:
		if (bits < RSA_BITS_MIN)
			return say(HELPER_BAD_INPUT, "its RSA key has %d bits, less than %d", bits, RSA_BITS_MIN);
		return usage & KU_KEY_ENCIPHERMENT
			       ? HELPER_DONE
			       : say(HELPER_BAD_INPUT, "its key usage does not allow keyEncipherment");
	case EVP_PKEY_EC:
		if (bits < EC_BITS_MIN)
			return say(HELPER_BAD_INPUT, "its EC key has %d bits, less than %d", bits, EC_BITS_MIN);
		return usage & KU_KEY_AGREEMENT ? HELPER_DONE
						: say(HELPER_BAD_INPUT, "its key usage does not allow keyAgreement");
	default:
		return say(HELPER_BAD_INPUT, "its key is neither RSA nor EC");
	}
}

static enum helper_status describe(const struct making *m, char words[HELPER_WORDS_MAX])
{
	struct tm t;

	if (!ASN1_TIME_to_tm(X509_get0_notAfter(m->certificate), &t))
		return say(HELPER_BAD_INPUT, "it does not say when it expires");
	snprintf(words, HELPER_WORDS_MAX, "%s-%d %04d-%02d-%02dT%02d:%02d:%02dZ",
		 EVP_PKEY_get_base_id(m->key) == EVP_PKEY_RSA ? "rsa" : "ec", EVP_PKEY_get_bits(m->key),
		 t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
	return HELPER_DONE;
}

/* What OpenSSL would take without being asked: PKCS #1 v1.5 and SHA-1. */
static bool choose_algorithms(const struct making *m, CMS_RecipientInfo *r)
{
	EVP_PKEY_CTX *how = CMS_RecipientInfo_get0_pkey_ctx(r);

	if (!how)
		return false;
	if (EVP_PKEY_get_base_id(m->key) == EVP_PKEY_EC)
		return EVP_PKEY_CTX_set_ecdh_kdf_md(how, EVP_sha256()) > 0;
	return EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_OAEP_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(how, EVP_sha256()) > 0 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(how, EVP_sha256()) > 0;
}

/* A certificate without a key id is named by its issuer and number. */
static CMS_RecipientInfo *add_recipient(struct making *m)
{
	unsigned flags = CMS_KEY_PARAM | CMS_BINARY;

	if (X509_get0_subject_key_id(m->certificate))
		flags |= CMS_USE_KEYID;
	return CMS_add1_recipient_cert(m->cms, m->certificate, flags);
}

static enum helper_status encrypt(struct making *m, struct span plain)
{
	CMS_RecipientInfo *r;

	m->plain = BIO_new_mem_buf(plain.at, (int)plain.size);
	if (!m->plain)
		return say(HELPER_FAILED, "no memory");
	m->cms = CMS_encrypt(NULL, m->plain, EVP_aes_256_gcm(), CMS_BINARY | CMS_PARTIAL);
	r = m->cms ? add_recipient(m) : NULL;
	if (!r || !choose_algorithms(m, r) || !CMS_final(m->cms, m->plain, NULL, CMS_BINARY))
		return say(HELPER_FAILED, "cannot encrypt to it");
	return HELPER_DONE;
}

enum helper_status certificate_encrypt(struct span certificate, struct span plain, char words[HELPER_WORDS_MAX],
				       uint8_t *out, size_t *n)
{
	_cleanup_(making_free) struct making m = {0};
	enum helper_status s = read_certificate(&m, certificate);
	int size;

	if (s == HELPER_DONE)
		s = check_times(&m);
	if (s == HELPER_DONE)
		s = check_key(&m);
	if (s == HELPER_DONE)
		s = describe(&m, words);
	if (s == HELPER_DONE)
		s = encrypt(&m, plain);
	if (s != HELPER_DONE)
		return s;
	size = i2d_CMS_ContentInfo(m.cms, &m.der);
	if (size < 0 || (size_t)size > *n)
		return say(HELPER_FAILED, "what it gives is too long");
	memcpy(out, m.der, (size_t)size);
	*n = (size_t)size;
	return HELPER_DONE;
}

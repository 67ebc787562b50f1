/* The service's own certificate authority (x509.h).
 *
 * 1. Every certificate carries exactly one purpose, and a path length of zero stands in the authority's: what it issues issues nothing.
 * 2. Serial numbers are 127 random bits (RFC 5280, section 4.1.2.2). */
#include "keymgr/service/x509.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/base/crypto.h"

enum {
	SERIAL_SIZE = 16,
	BACKDATED = 300, /* seconds: clocks differ */
	DAY = 24 * 60 * 60,
	HOST_MAX = 253,
};

const char *openssl_reason(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return reason ? reason : "no reason given";
}

int x509_key_new(enum key_kind kind, EVP_PKEY **out)
{
	*out = kind == KEY_EC_P256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(3072);
	return *out ? 0 : -EIO;
}

bool x509_key_acceptable(EVP_PKEY *key)
{
	char group[32] = "";
	size_t n;

	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_bits(key) <= 4096;
	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), &n) &&
	       (strcmp(group, SN_X9_62_prime256v1) == 0 || strcmp(group, SN_secp384r1) == 0);
}

static bool is_address(const char *host)
{
	uint8_t address[16];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* RFC 1123 names; no wildcard. */
bool x509_host_valid(const char *host)
{
	size_t n = strlen(host), label = 0;

	if (is_address(host))
		return true;
	if (n == 0 || n > HOST_MAX)
		return false;
	for (size_t i = 0; i <= n; i++) {
		char c = host[i];

		if (c == '.' || c == '\0') {
			if (label == 0 || label > 63 || host[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c == '-' && label > 0)))
			return false;
		label++;
	}
	return true;
}

static int put_serial(X509 *cert)
{
	uint8_t random[SERIAL_SIZE];
	BIGNUM *number;
	int ret = crypto_random(random, sizeof(random));

	if (ret < 0)
		return ret;
	random[0] = (random[0] & 0x7f) | 0x40;
	number = BN_bin2bn(random, sizeof(random), NULL);
	ret = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) ? 0 : -EIO;
	BN_free(number);
	return ret;
}

static int put_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *e;
	int ret;

	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ret = e && X509_add_ext(cert, e, -1) ? 0 : -EIO;
	X509_EXTENSION_free(e);
	return ret;
}

static int put_hosts(X509 *cert, const struct x509_wanted *w)
{
	char text[HOSTS_MAX * (HOST_MAX + 8)];
	size_t used = 0;

	if (w->host_count == 0 || w->host_count > HOSTS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < w->host_count; i++) {
		if (!x509_host_valid(w->hosts[i]))
			return -EINVAL;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s:%s", i ? "," : "",
					 is_address(w->hosts[i]) ? "IP" : "DNS", w->hosts[i]);
	}
	return put_extension(cert, NULL, NID_subject_alt_name, text);
}

/* What all of them have, the issuer's name excepted. */
static int make(EVP_PKEY *key, const char *name, int days, X509 **out)
{
	_cleanup_x509_ X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
	int ret;

	if (!cert)
		return -ENOMEM;
	if (!X509_set_version(cert, X509_VERSION_3) || !X509_set_pubkey(cert, key) ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATED) ||
	    !X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * DAY) ||
	    !X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0))
		return -EIO;
	ret = put_serial(cert);
	if (ret < 0)
		return ret;
	*out = cert;
	cert = NULL;
	return 0;
}

int x509_make_ca(EVP_PKEY *key, const char *name, X509 **out)
{
	_cleanup_x509_ X509 *cert = NULL;
	int ret = make(key, name, CA_DAYS, &cert);

	*out = NULL;
	if (ret == 0 && !X509_set_issuer_name(cert, X509_get_subject_name(cert)))
		ret = -EIO;
	if (ret == 0)
		ret = put_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	if (ret == 0)
		ret = put_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	if (ret == 0)
		ret = put_extension(cert, cert, NID_subject_key_identifier, "hash");
	if (ret == 0 && !X509_sign(cert, key, EVP_sha256()))
		ret = -EIO;
	if (ret < 0)
		return ret;
	*out = cert;
	cert = NULL;
	return 0;
}

/* All that is issued, but for the hosts of a server, and unsigned. */
static int make_end(X509 *ca, const struct x509_wanted *w, X509 **out)
{
	int ret = make(w->key, w->name, w->days, out);

	if (ret == 0 && !X509_set_issuer_name(*out, X509_get_subject_name(ca)))
		ret = -EIO;
	if (ret == 0)
		ret = put_extension(*out, ca, NID_basic_constraints, "critical,CA:FALSE");
	if (ret == 0)
		ret = put_extension(*out, ca, NID_key_usage, "critical,digitalSignature");
	if (ret == 0)
		ret = put_extension(*out, ca, NID_ext_key_usage, w->server ? "serverAuth" : "clientAuth");
	if (ret == 0)
		ret = put_extension(*out, ca, NID_subject_key_identifier, "hash");
	return ret == 0 ? put_extension(*out, ca, NID_authority_key_identifier, "keyid:always") : ret;
}

int x509_issue(X509 *ca, EVP_PKEY *ca_key, const struct x509_wanted *w, X509 **out)
{
	_cleanup_x509_ X509 *cert = NULL;
	int ret = make_end(ca, w, &cert);

	*out = NULL;
	if (ret == 0 && w->server)
		ret = put_hosts(cert, w);
	if (ret == 0 && !X509_sign(cert, ca_key, EVP_sha256()))
		ret = -EIO;
	if (ret < 0)
		return ret;
	*out = cert;
	cert = NULL;
	return 0;
}

int x509_renew_server(X509 *ca, EVP_PKEY *ca_key, X509 *old, EVP_PKEY *key, X509 **out)
{
	_cleanup_x509_ X509 *cert = NULL;
	const struct x509_wanted wanted = {.name = "renewed", .server = true, .key = key, .days = SERVER_DAYS};
	int at = X509_get_ext_by_NID(old, NID_subject_alt_name, -1),
	    ret = at < 0 ? -EINVAL : make_end(ca, &wanted, &cert);

	*out = NULL;
	if (ret == 0 && (!X509_set_subject_name(cert, X509_get_subject_name(old)) ||
			 !X509_add_ext(cert, X509_get_ext(old, at), -1) || !X509_sign(cert, ca_key, EVP_sha256())))
		ret = -EIO;
	if (ret < 0)
		return ret;
	*out = cert;
	cert = NULL;
	return 0;
}

bool x509_ends_within(X509 *cert, int days)
{
	time_t then = time(NULL) + (time_t)days * DAY;

	return X509_cmp_time(X509_get0_notAfter(cert), &then) < 0;
}

int x509_spki_hash(X509 *cert, uint8_t out[SPKI_HASH_SIZE])
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	int ret = n > 0 ? sha256(der, (size_t)n, out) : -EIO;

	OPENSSL_free(der);
	return ret;
}

/* --- in and out */

int x509_der(X509 *cert, uint8_t **out, size_t *n)
{
	int size = i2d_X509(cert, NULL);
	unsigned char *at;

	*out = size > 0 ? malloc((size_t)size) : NULL;
	if (!*out)
		return size > 0 ? -ENOMEM : -EIO;
	at = *out;
	*n = (size_t)i2d_X509(cert, &at);
	return 0;
}

int x509_from_der(const uint8_t *der, size_t n, X509 **out)
{
	const unsigned char *at = der;

	*out = d2i_X509(NULL, &at, (long)n);
	if (*out && at == der + n)
		return 0;
	X509_free(*out);
	*out = NULL;
	ERR_clear_error();
	return -EINVAL;
}

int x509_pem(X509 *cert, char **out)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	long n;

	*out = NULL;
	if (b && PEM_write_bio_X509(b, cert) && (n = BIO_get_mem_data(b, &text)) > 0)
		*out = strndup(text, (size_t)n);
	BIO_free(b);
	return *out ? 0 : -EIO;
}

int x509_from_pem(const char *pem, size_t n, X509 **out)
{
	BIO *b = BIO_new_mem_buf(pem, (int)n);

	*out = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
	BIO_free(b);
	ERR_clear_error();
	return *out ? 0 : -EINVAL;
}

/* Takes what was written into a memory BIO that wipes itself. */
static int take_secret(BIO *b, bool written, struct secret **out)
{
	char *at = NULL;
	long n = written ? BIO_get_mem_data(b, &at) : 0;

	*out = n > 0 ? secret_new((size_t)n) : NULL;
	if (*out)
		memcpy((*out)->bytes, at, (size_t)n);
	BIO_free(b);
	return *out ? 0 : n > 0 ? -ENOMEM : -EIO;
}

int x509_key_der(EVP_PKEY *key, struct secret **out)
{
	BIO *b = BIO_new(BIO_s_secmem());

	return take_secret(b, b && i2d_PKCS8PrivateKey_bio(b, key, NULL, NULL, 0, NULL, NULL), out);
}

int x509_key_pem(EVP_PKEY *key, struct secret **out)
{
	BIO *b = BIO_new(BIO_s_secmem());

	return take_secret(b, b && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL), out);
}

int x509_key_from_der(const struct secret *der, EVP_PKEY **out)
{
	const unsigned char *at = der->bytes;

	*out = d2i_AutoPrivateKey(NULL, &at, (long)der->size);
	ERR_clear_error();
	return *out ? 0 : -EINVAL;
}

int x509_p12(EVP_PKEY *key, X509 *cert, X509 *ca, const char *name, struct secret **out)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	PKCS12 *p = NULL;
	BIO *b = BIO_new(BIO_s_secmem());
	int ret;

	if (others && sk_X509_push(others, ca))
		p = PKCS12_create("", name, key, cert, others, 0, 0, 0, 0, 0);
	ret = take_secret(b, b && p && i2d_PKCS12_bio(b, p), out);
	PKCS12_free(p);
	sk_X509_free(others);
	return ret;
}

/* The service's own certificate authority, and what is read out of certificates (RFC 5280).
 *
 * Errors: 0, -ENOMEM, -EINVAL (not such a certificate, key or host), -EIO (OpenSSL failed; openssl_reason says why).  Objects belong to one thread. */
#ifndef COFFER_SERVICE_X509_H
#define COFFER_SERVICE_X509_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/base/cleanup.h"
#include "util/base/secret.h"

enum {
	SPKI_HASH_SIZE = 32, /* SHA-256 of the public key (SubjectPublicKeyInfo, DER): a client's identity */
	CA_DAYS = 3650,
	SERVER_DAYS = 397,
	CLIENT_DAYS = 365,
	HOSTS_MAX = 16,
};

static inline void cleanup_pkey(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
static inline void cleanup_x509(X509 **c)
{
	X509_free(*c);
}
#define _cleanup_pkey_ _cleanup_(cleanup_pkey)
#define _cleanup_x509_ _cleanup_(cleanup_x509)

enum key_kind {
	KEY_EC_P256,
	KEY_RSA_3072,
};
int x509_key_new(enum key_kind kind, EVP_PKEY **out) MUST_CHECK;

/* A certificate of an authority for its own key, that may issue end certificates only. */
int x509_make_ca(EVP_PKEY *key, const char *name, X509 **out) MUST_CHECK;

struct x509_wanted {
	const char *name; /* CN */
	bool server;      /* for serverAuth with these hosts (DNS names or addresses); else for clientAuth */
	const char *const *hosts;
	size_t host_count;
	EVP_PKEY *key; /* its public half is certified */
	int days;
};
int x509_issue(X509 *ca, EVP_PKEY *ca_key, const struct x509_wanted *w, X509 **out) MUST_CHECK;
/* A successor of `old` with the same name, hosts and key. */
int x509_renew_server(X509 *ca, EVP_PKEY *ca_key, X509 *old, EVP_PKEY *key, X509 **out) MUST_CHECK;
/* Whether fewer than `days` are left of it. */
bool x509_ends_within(X509 *cert, int days);
/* Whether it can stand as a host in a certificate. */
bool x509_host_valid(const char *host);

int x509_spki_hash(X509 *cert, uint8_t out[SPKI_HASH_SIZE]) MUST_CHECK;
/* RSA of 2048 to 4096 bits, or P-256 or P-384: what a client may have. */
bool x509_key_acceptable(EVP_PKEY *key);

/* DER and PEM, in memory that the caller frees. */
int x509_der(X509 *cert, uint8_t **out, size_t *n) MUST_CHECK;
int x509_from_der(const uint8_t *der, size_t n, X509 **out) MUST_CHECK;
int x509_pem(X509 *cert, char **out) MUST_CHECK; /* terminated */
int x509_from_pem(const char *pem, size_t n, X509 **out) MUST_CHECK;

/* Private keys as PKCS #8 (RFC 5208), unencrypted. */
int x509_key_der(EVP_PKEY *key, struct secret **out) MUST_CHECK;
int x509_key_from_der(const struct secret *der, EVP_PKEY **out) MUST_CHECK;
int x509_key_pem(EVP_PKEY *key, struct secret **out) MUST_CHECK;
/* PKCS #12 (RFC 7292) with an empty password, for browsers: no safer than the key in PEM. */
int x509_p12(EVP_PKEY *key, X509 *cert, X509 *ca, const char *name, struct secret **out) MUST_CHECK;

/* The reason of OpenSSL's last error, for a log; empties its queue. */
const char *openssl_reason(void);

#endif

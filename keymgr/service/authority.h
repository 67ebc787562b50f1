/* The certificates that the service itself has: its authority's and its server's, their private keys sealed in the store. */
#ifndef COFFER_SERVICE_AUTHORITY_H
#define COFFER_SERVICE_AUTHORITY_H

#include "keymgr/service/ledger.h"
#include "keymgr/service/tls.h"

#define ROW_CA  "tls/ca"
#define ROW_EC  "tls/ec"
#define ROW_RSA "tls/rsa"

static inline void tls_identity_free(struct tls_identity *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->cert);
	sk_X509_pop_free(i->chain, X509_free);
	*i = (struct tls_identity){0};
}

/* Stages the row. */
int identity_put(struct ledger *l, const struct service_keys *keys, const char *row,
		 const struct tls_identity *i) MUST_CHECK;
int identity_get(struct ledger *l, const struct service_keys *keys, const char *row,
		 struct tls_identity *out) MUST_CHECK;

/* From files in PEM: the certificate, its chain behind it; its key, which no passphrase protects. */
int identity_read(const char *cert_file, const char *key_file, struct tls_identity *out, struct fault *why) MUST_CHECK;

/* Certificates in rows: DER in base64url. */
enum { CERTIFICATE_MAX = 4096 };
int certificate_put(json_object *o, const char *member, X509 *cert) MUST_CHECK;
int certificate_get(json_object *o, const char *member, X509 **out) MUST_CHECK;

/* put_bytes of any size. */
int put_blob(json_object *o, const char *member, const uint8_t *bytes, size_t n) MUST_CHECK;

#endif

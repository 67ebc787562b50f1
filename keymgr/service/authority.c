/* The certificates that the service itself has (authority.h). */
#include "keymgr/service/authority.h"

#include <errno.h>
#include <openssl/pem.h>
#include <string.h>

#include "util/base/encode.h"

enum { SEALED_MAX = 4096 };

int put_blob(json_object *o, const char *member, const uint8_t *bytes, size_t n)
{
	_cleanup_free_ char *text = malloc(base64url_size(n) + 1);

	if (!text)
		return -ENOMEM;
	base64url_encode(bytes, n, text);
	return put_string(o, member, text);
}

int certificate_put(json_object *o, const char *member, X509 *cert)
{
	_cleanup_free_ uint8_t *der = NULL;
	size_t n;
	int ret = x509_der(cert, &der, &n);

	if (ret == 0 && n > CERTIFICATE_MAX)
		ret = -EFBIG;
	return ret == 0 ? put_blob(o, member, der, n) : ret;
}

int certificate_get(json_object *o, const char *member, X509 **out)
{
	uint8_t der[CERTIFICATE_MAX];
	struct problem p = {0};
	size_t n;
	int ret = member_bytes_between(o, member, der, 1, sizeof(der), &n, &p);

	*out = NULL;
	return ret == 0 ? x509_from_der(der, n, out) : ret;
}

int identity_put(struct ledger *l, const struct service_keys *keys, const char *row, const struct tls_identity *i)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_secret_ struct secret *der = NULL;
	uint8_t sealed[SEALED_MAX];
	int ret = o ? certificate_put(o, "certificate", i->cert) : -ENOMEM;

	if (ret == 0)
		ret = x509_key_der(i->key, &der);
	if (ret == 0 && der->size + SERVICE_SEALED_MORE > sizeof(sealed))
		ret = -EFBIG;
	if (ret == 0)
		ret = service_private_seal(keys, row, der, sealed);
	if (ret == 0)
		ret = put_blob(o, "sealed", sealed, der->size + SERVICE_SEALED_MORE);
	return ret == 0 ? ledger_put(l, row, o) : ret;
}

int identity_get(struct ledger *l, const struct service_keys *keys, const char *row, struct tls_identity *out)
{
	_cleanup_json_ json_object *o = NULL;
	_cleanup_secret_ struct secret *der = NULL;
	uint8_t sealed[SEALED_MAX];
	struct problem p = {0};
	size_t n;
	int ret = ledger_get(l, row, &o);

	*out = (struct tls_identity){0};
	if (ret == 0)
		ret = certificate_get(o, "certificate", &out->cert);
	if (ret == 0)
		ret = member_bytes_between(o, "sealed", sealed, 1, sizeof(sealed), &n, &p);
	if (ret == 0)
		ret = service_private_open(keys, row, sealed, n, &der);
	if (ret == 0)
		ret = x509_key_from_der(der, &out->key);
	if (ret < 0)
		tls_identity_free(out);
	return ret;
}

/* --- certificates of others */

static int no_passphrase(char *out, int room, int writing, void *context)
{
	(void)out;
	(void)room;
	(void)writing;
	(void)context;
	return -1;
}

static int read_chain(const char *file, struct tls_identity *out)
{
	BIO *b = BIO_new_file(file, "r");
	X509 *next;
	int ret = b ? 0 : -ENOENT;

	if (ret == 0) {
		out->cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
		out->chain = sk_X509_new_null();
		ret = !out->chain ? -ENOMEM : out->cert ? 0 : -EINVAL;
	}
	while (ret == 0 && (next = PEM_read_bio_X509(b, NULL, NULL, NULL)))
		if (!sk_X509_push(out->chain, next)) {
			X509_free(next);
			ret = -ENOMEM;
		}
	BIO_free(b);
	return ret;
}

int identity_read(const char *cert_file, const char *key_file, struct tls_identity *out, struct fault *why)
{
	BIO *b;
	int ret;

	*out = (struct tls_identity){0};
	ret = read_chain(cert_file, out);
	if (ret < 0) {
		tls_identity_free(out);
		return fault_set(why, EXIT_NO_SECRET, EINVAL, "cannot read a certificate in PEM from %s (%s)",
				 cert_file, openssl_reason());
	}
	b = BIO_new_file(key_file, "r");
	out->key = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
	BIO_free(b);
	if (!out->key || !x509_key_acceptable(out->key) || X509_check_private_key(out->cert, out->key) != 1) {
		tls_identity_free(out);
		return fault_set(why, EXIT_NO_SECRET, EINVAL,
				 "%s has no key of %s in PEM without a passphrase, P-256, P-384 or RSA of 2048 to 4096 "
				 "bits (%s)",
				 key_file, cert_file, openssl_reason());
	}
	(void)openssl_reason(); /* the end of the chain is an error to OpenSSL */
	return 0;
}

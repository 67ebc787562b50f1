/* The certificate by which a client of the key service vouches for itself, and what the service puts in its place.
 *
 * A private key is made once, and never replaced.  A certificate is replaced whole, and only by one for the same key. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/service.h"
#include "util/base/encode.h"
#include "util/base/whole_write.h"

enum {
	SERIAL_SIZE = 16,
	BACKDATED = 300, /* seconds: clocks differ */
	DAYS = 30,       /* of a certificate that vouches for itself: until it is accepted */
	HASH_SIZE = 32,
};

/* --- what it is */

static bool vouches_for_itself(X509 *cert)
{
	return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0 &&
	       X509_verify(cert, X509_get0_pubkey(cert)) == 1;
}

static int time_text(const ASN1_TIME *at, char *out, size_t n)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) && strftime(out, n, "%Y-%m-%dT%H:%M:%SZ", &tm) ? 0 : -EINVAL;
}

int service_about(const struct service_setup *s, char *text, size_t n, struct reason *why)
{
	uint8_t hash[HASH_SIZE];
	char fingerprint[2 * HASH_SIZE + 1], ends[24];
	unsigned char *der = NULL;
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	int size, ret = service_load_identity(s, &cert, &key, why);

	if (ret == 0) {
		size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
		if (size <= 0 || !EVP_Digest(der, (size_t)size, hash, NULL, EVP_sha256(), NULL) ||
		    time_text(X509_get0_notAfter(cert), ends, sizeof(ends)) < 0)
			ret = reason_set(why, EINVAL, "%s cannot be read", s->cert);
		OPENSSL_free(der);
	}
	if (ret == 0) {
		hex_encode(hash, sizeof(hash), fingerprint);
		snprintf(text, n, "%s %s %s", fingerprint, ends, vouches_for_itself(cert) ? "self-signed" : "issued");
	}
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
	return ret;
}

/* --- making and replacing */

/* A file that is there as a whole or not at all, also after a power cut.  `fresh`: there must be none yet. */
static int write_file(const char *path, const void *bytes, size_t n, bool fresh, struct reason *why)
{
	char temporary[SERVICE_PATH_MAX + 8], directory[SERVICE_PATH_MAX + 2];
	const char *slash = strrchr(path, '/');
	_cleanup_close_ int fd = -1, dir = -1;
	int ret;

	snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC); /* of mode 0600 */
	if (fd < 0)
		return reason_set(why, EINVAL, "cannot write %s: %s", path, strerrordesc_np(errno));
	ret = whole_write(fd, bytes, n);
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	if (ret == 0 && (fresh ? link(temporary, path) : rename(temporary, path)) < 0)
		ret = -errno;
	if (ret < 0 || fresh)
		unlink(temporary);
	dir = ret == 0 ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (ret == 0 && (dir < 0 || fsync(dir) < 0))
		ret = -errno;
	return ret < 0 ? reason_set(why, EINVAL, "cannot write %s: %s", path, strerrordesc_np(-ret)) : 0;
}

static int write_bio(const char *path, BIO *b, bool fresh, struct reason *why)
{
	char *at = NULL;
	long n = BIO_get_mem_data(b, &at);

	return n > 0 ? write_file(path, at, (size_t)n, fresh, why) : reason_set(why, EINVAL, "cannot write %s", path);
}

static int new_key(const char *path, EVP_PKEY **out, struct reason *why)
{
	BIO *b = BIO_new(BIO_s_secmem());
	int ret = -EINVAL;

	*out = EVP_EC_gen("P-256");
	if (*out && b && PEM_write_bio_PKCS8PrivateKey(b, *out, NULL, NULL, 0, NULL, NULL))
		ret = write_bio(path, b, true, why);
	else
		reason_line(why, "a key pair cannot be made");
	BIO_free(b);
	return ret;
}

static int put_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *e;
	int done;

	X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	done = e && X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	return done;
}

static bool put_serial(X509 *cert)
{
	uint8_t random[SERIAL_SIZE];
	BIGNUM *number = NULL;
	bool done = RAND_bytes(random, sizeof(random)) == 1;

	random[0] = (random[0] & 0x7f) | 0x40;
	if (done)
		number = BN_bin2bn(random, sizeof(random), NULL);
	done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return done;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(cert);

	return X509_set_version(cert, X509_VERSION_3) && put_serial(cert) && X509_set_pubkey(cert, key) &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATED) &&
	       X509_gmtime_adj(X509_getm_notAfter(cert), (long)DAYS * 24 * 3600) &&
	       X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
					  0) &&
	       X509_set_issuer_name(cert, subject) && put_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       put_extension(cert, NID_ext_key_usage, "clientAuth") &&
	       put_extension(cert, NID_subject_key_identifier, "hash") && X509_sign(cert, key, EVP_sha256());
}

static int write_certificate(const char *path, X509 *cert, bool fresh, struct reason *why)
{
	BIO *b = BIO_new(BIO_s_mem());
	int ret = b && PEM_write_bio_X509(b, cert) ? write_bio(path, b, fresh, why)
						   : reason_set(why, EINVAL, "a certificate cannot be written");

	BIO_free(b);
	return ret;
}

/* Where the key is there and the certificate is not, or has ended, only that is made. */
int service_make(const struct service_setup *s, const char *name, char *text, size_t n, struct reason *why)
{
	bool has_key = access(s->key, F_OK) == 0, has_cert = has_key && access(s->cert, F_OK) == 0;
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	int ret = has_key ? service_load_key(s->key, &key, why) : new_key(s->key, &key, why);

	if (ret == 0 && has_cert)
		ret = service_load_certificate(s->cert, &cert, why);
	if (ret == 0 && has_cert && X509_check_private_key(cert, key) &&
	    X509_cmp_current_time(X509_get0_notAfter(cert)) > 0) {
		snprintf(text, n, "kept");
	} else if (ret == 0) {
		X509_free(cert);
		cert = X509_new();
		ret = cert && fill(cert, key, name) ? write_certificate(s->cert, cert, false, why)
						    : reason_set(why, EINVAL, "a certificate cannot be made");
		snprintf(text, n, "made");
	}
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
	return ret;
}

int service_store(const struct service_setup *s, const uint8_t *pem, size_t n, struct reason *why)
{
	BIO *b = BIO_new_mem_buf(pem, (int)n);
	X509 *cert = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = NULL;
	int ret = cert ? service_load_key(s->key, &key, why) : reason_set(why, EINVAL, "that is no certificate");

	if (ret == 0 && !X509_check_private_key(cert, key))
		ret = reason_set(why, EINVAL, "the certificate from the service is not for the key in %s", s->key);
	ERR_clear_error();
	if (ret == 0)
		ret = write_certificate(s->cert, cert, false, why);
	BIO_free(b);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ret;
}

/* The files of a client of the key service: the authority that it goes by, its own certificate and private key.
 *
 * 1. Paths may come out of a keyring that nobody has vouched for yet: nothing but a regular file is read, so nothing waits.
 * 2. A private key is made once, and never replaced.  A certificate is replaced whole, and only by one for the same key. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "keymgr/helper/service.h"
#include "util/base/encode.h"
#include "util/base/secret.h"
#include "util/base/whole_write.h"

enum {
	FILE_MAX = 128 << 10,
	KEY_MAX = 16 << 10,
	SERIAL_SIZE = 16,
	BACKDATED = 300, /* seconds: clocks differ */
	DAYS = 30,       /* of a certificate that vouches for itself: until it is accepted */
	HASH_SIZE = 32,
};

/* (1) */
static int open_regular(const char *path, const char *what, size_t max, size_t *n, struct reason *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error;
	struct stat st;

	if (fd < 0)
		return reason_set(why, EINVAL, "cannot read %s %s: %s", what, path, strerrordesc_np(errno));
	error = fstat(fd, &st) < 0 ? errno : !S_ISREG(st.st_mode) ? EINVAL : (size_t)st.st_size > max ? EFBIG : 0;
	if (error) {
		close(fd);
		return reason_set(why, EINVAL, "cannot read %s %s: %s", what, path, strerrordesc_np(error));
	}
	*n = (size_t)st.st_size;
	return fd;
}

static int read_all(int fd, uint8_t *at, size_t n, size_t *used)
{
	ssize_t got = 1;

	for (*used = 0; *used < n && got > 0; *used += (size_t)(got > 0 ? got : 0))
		got = read(fd, at + *used, n - *used);
	return got < 0 ? -errno : 0;
}

static int read_certificates(const char *path, const char *what, BIO **out, struct reason *why)
{
	size_t n = 0, used = 0;
	_cleanup_close_ int fd = open_regular(path, what, FILE_MAX, &n, why);
	_cleanup_free_ uint8_t *text = fd < 0 ? NULL : malloc(n + 1);

	if (fd < 0)
		return fd;
	if (!text || read_all(fd, text, n, &used) < 0)
		return reason_set(why, EINVAL, "cannot read %s %s", what, path);
	*out = BIO_new(BIO_s_mem());
	if (!*out || (used && BIO_write(*out, text, (int)used) != (int)used)) {
		BIO_free(*out);
		return reason_set(why, EINVAL, "no memory for %s", path);
	}
	return 0;
}

int service_load_trust(const char *path, SSL_CTX *c, struct reason *why)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c);
	BIO *b = NULL;
	X509 *cert;
	int ret = read_certificates(path, "the authority's certificate", &b, why), found = 0;

	while (ret == 0 && (cert = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
		found++;
		if (!X509_STORE_add_cert(store, cert))
			ret = reason_set(why, EINVAL, "%s cannot be used", path);
		X509_free(cert);
	}
	ERR_clear_error();
	BIO_free(b);
	return ret == 0 && !found ? reason_set(why, EINVAL, "there is no certificate in %s", path) : ret;
}

static int load_certificate(const char *path, X509 **out, struct reason *why)
{
	BIO *b = NULL;
	int ret = read_certificates(path, "the client's certificate", &b, why);

	if (ret < 0)
		return ret;
	*out = PEM_read_bio_X509(b, NULL, NULL, NULL);
	BIO_free(b);
	ERR_clear_error();
	return *out ? 0 : reason_set(why, EINVAL, "there is no certificate in %s", path);
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *buffer, int n, int writing, void *data)
{
	(void)buffer, (void)n, (void)writing, (void)data;
	return 0;
}

static int load_key(const char *path, EVP_PKEY **out, struct reason *why)
{
	size_t n = 0, used = 0;
	_cleanup_close_ int fd = open_regular(path, "the client's private key", KEY_MAX, &n, why);
	_cleanup_secret_ struct secret *text = fd < 0 ? NULL : secret_new(n ? n : 1);
	BIO *b;

	if (fd < 0)
		return fd;
	if (!text || read_all(fd, text->bytes, n, &used) < 0)
		return reason_set(why, EINVAL, "cannot read the client's private key %s", path);
	b = BIO_new_mem_buf(text->bytes, (int)used);
	*out = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
	BIO_free(b);
	ERR_clear_error();
	return *out ? 0 : reason_set(why, EINVAL, "there is no private key without a passphrase in %s", path);
}

int service_load_identity(const struct service_setup *s, X509 **cert, EVP_PKEY **key, struct reason *why)
{
	int ret = load_key(s->key, key, why);

	if (ret == 0)
		ret = load_certificate(s->cert, cert, why);
	if (ret == 0 && !X509_check_private_key(*cert, *key))
		ret = reason_set(why, EINVAL, "%s is not for the key in %s", s->cert, s->key);
	ERR_clear_error();
	return ret;
}

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
	int ret = has_key ? load_key(s->key, &key, why) : new_key(s->key, &key, why);

	if (ret == 0 && has_cert)
		ret = load_certificate(s->cert, &cert, why);
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
	int ret = cert ? load_key(s->key, &key, why) : reason_set(why, EINVAL, "that is no certificate");

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

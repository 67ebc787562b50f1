/* The files of a client: the authority that it goes by, its own certificate and private key.
 *
 * Paths may come out of a keyring that nobody has vouched for yet: nothing but a regular file is read, so nothing waits. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#include "keymgr/helper/service.h"
#include "util/base/secret.h"

enum { FILE_MAX = 128 << 10, KEY_MAX = 16 << 10 };

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

int service_load_certificate(const char *path, X509 **out, struct reason *why)
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

int service_load_key(const char *path, EVP_PKEY **out, struct reason *why)
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
	int ret = service_load_key(s->key, key, why);

	if (ret == 0)
		ret = service_load_certificate(s->cert, cert, why);
	if (ret == 0 && !X509_check_private_key(*cert, *key))
		ret = reason_set(why, EINVAL, "%s is not for the key in %s", s->cert, s->key);
	ERR_clear_error();
	return ret;
}

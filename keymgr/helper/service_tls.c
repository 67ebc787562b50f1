/* A connection to the key service, or another server that coffer asks.
 *
 * 1. TLS 1.2 with the eight suites, whatever a configuration file says; the certificate has to be by the given authority, for the host of the address,
 *    and for servers.
 * 2. What comes over a connection counts only if the server has asked for our certificate: else it does not know who it answered.
 * 3. Nothing waits longer than its time. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "keymgr/helper/service.h"
#include "keymgr/service/suites.h"

enum { SECURITY_LEVEL = 2 };

int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short what, int64_t until)
{
	struct pollfd p = {.fd = fd, .events = what};
	int64_t left = until - monotonic_ms();
	int n;

	if (left <= 0)
		return -ETIMEDOUT;
	n = poll(&p, 1, (int)left);
	if (n < 0 && errno != EINTR)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

/* --- the socket */

static int connect_one(const struct addrinfo *a, int64_t until, int *fd)
{
	const int on = 1;
	int error = 0, ret;
	socklen_t n = sizeof(error);

	*fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return -errno;
	setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(*fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (connect(*fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	ret = errno == EINPROGRESS ? wait_for(*fd, POLLOUT, until) : -errno;
	if (ret == 0 && getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (ret < 0 || error) {
		close(*fd);
		*fd = -1;
	}
	return ret < 0 ? ret : -error;
}

static int connect_socket(const struct service_url *to, int64_t until, int *fd, struct reason *why)
{
	const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
	struct addrinfo *all = NULL;
	int r = getaddrinfo(to->host, to->port, &wanted, &all), ret = -EHOSTUNREACH;

	if (r != 0)
		return reason_set(why, EHOSTUNREACH, "%s: %s", to->text, gai_strerror(r));
	for (const struct addrinfo *a = all; a && ret < 0; a = a->ai_next)
		ret = connect_one(a, until, fd);
	freeaddrinfo(all);
	return ret < 0 ? reason_set(why, EHOSTUNREACH, "%s: %s", to->text, strerrordesc_np(-ret)) : 0;
}

/* --- the context */

static int set_protocol(SSL_CTX *c)
{
	SSL_CTX_set_security_level(c, SECURITY_LEVEL);
	SSL_CTX_clear_options(c, SSL_CTX_get_options(c));
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
				       SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) && SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION) &&
			       SSL_CTX_set_cipher_list(c, TLS_SUITES) && SSL_CTX_set_ciphersuites(c, "") &&
			       SSL_CTX_set1_groups_list(c, TLS_GROUPS) &&
			       SSL_CTX_set1_sigalgs_list(c, TLS_SIGNATURES) &&
			       SSL_CTX_set1_client_sigalgs_list(c, TLS_SIGNATURES)
		       ? 0
		       : -EIO;
}

/* (2) */
static int certificate_is_asked_for(SSL *ssl, void *data)
{
	struct service_connection *c = data;

	(void)ssl;
	c->asked = true;
	return 1;
}

/* The files are read anew for each connection: certificates are renewed in their place. */
static int set_identity(const struct service_setup *s, SSL_CTX *c, struct reason *why)
{
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	int ret = service_load_trust(s->ca, c, why);

	if (ret == 0)
		ret = service_load_identity(s, &cert, &key, why);
	if (ret == 0 && !SSL_CTX_use_cert_and_key(c, cert, key, NULL, 1))
		ret = reason_set(why, EINVAL, "%s and %s cannot be used", s->cert, s->key);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ret;
}

static int set_host(SSL *ssl, const struct service_url *to)
{
	uint8_t address[16];

	if (inet_pton(AF_INET, to->host, address) == 1 || inet_pton(AF_INET6, to->host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), to->host) ? 0 : -EIO;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, to->host) && SSL_set_tlsext_host_name(ssl, to->host) ? 0 : -EIO;
}

/* --- the handshake, and what comes behind it */

/* What SSL_get_error says of a call that did not succeed: waits, if it is for that.  -EPIPE: the other end closed. */
static int go_on(struct service_connection *c, int result, int64_t until)
{
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(c->fd, POLLIN, until);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(c->fd, POLLOUT, until);
	case SSL_ERROR_ZERO_RETURN:
		return -EPIPE;
	case SSL_ERROR_SYSCALL:
		return errno ? -errno : -ECONNRESET;
	default:
		return -EPROTO;
	}
}

static int refuse(struct service_connection *c, const struct service_url *to, int error, struct reason *why)
{
	long verdict = SSL_get_verify_result(c->ssl);

	if (verdict != X509_V_OK) {
		ERR_clear_error();
		return reason_set(why, EHOSTUNREACH, "%s: its certificate does not do: %s", to->text,
				  X509_verify_cert_error_string(verdict));
	}
	if (error == -EPROTO)
		return reason_set(why, EHOSTUNREACH, "%s: no TLS connection", to->text);
	return reason_set(why, EHOSTUNREACH, "%s: no TLS connection: %s", to->text,
			  error == -EPIPE ? "it was closed" : strerrordesc_np(-error));
}

static int shake_hands(struct service_connection *c, const struct service_url *to, int64_t until, struct reason *why)
{
	int n, ret = 0;

	do {
		ERR_clear_error();
		errno = 0;
		n = SSL_connect(c->ssl);
		ret = n == 1 ? 0 : go_on(c, n, until);
	} while (ret == 0 && n != 1);
	if (ret < 0)
		return refuse(c, to, ret, why);
	if (!c->asked)
		return reason_set(
			why, EHOSTUNREACH,
			"%s does not ask for a certificate: it does not know whom it answers, or something stands "
			"before it",
			to->text);
	return 0;
}

int service_connect(const struct service_setup *s, const struct service_url *to, struct service_connection *c,
		    struct reason *why)
{
	int64_t until = monotonic_ms() + SERVICE_CONNECT_S * 1000;
	int ret;

	*c = SERVICE_CONNECTION_NONE;
	c->context = SSL_CTX_new(TLS_client_method());
	ret = c->context && set_protocol(c->context) == 0 ? 0 : reason_set(why, EINVAL, "TLS cannot be set up");
	if (ret == 0)
		ret = set_identity(s, c->context, why);
	if (ret == 0)
		ret = connect_socket(to, until, &c->fd, why);
	if (ret == 0) {
		SSL_CTX_set_cert_cb(c->context, certificate_is_asked_for, c);
		c->ssl = SSL_new(c->context);
		if (!c->ssl || set_host(c->ssl, to) < 0 || !SSL_set_fd(c->ssl, c->fd))
			ret = reason_set(why, EHOSTUNREACH, "TLS cannot be set up");
	}
	if (ret == 0)
		ret = shake_hands(c, to, until, why);
	if (ret < 0)
		service_disconnect(c);
	return ret;
}

void service_disconnect(struct service_connection *c)
{
	if (c->ssl)
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	if (c->fd >= 0)
		close(c->fd);
	ERR_clear_error();
	*c = SERVICE_CONNECTION_NONE;
}

bool service_connected(const struct service_connection *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	return c->ssl && poll(&p, 1, 0) == 0;
}

int service_send(struct service_connection *c, const void *bytes, size_t n, int64_t until, struct reason *why)
{
	const uint8_t *at = bytes;

	while (n > 0) {
		int sent, ret;

		ERR_clear_error();
		errno = 0;
		sent = SSL_write(c->ssl, at, (int)n);
		ret = sent > 0 ? 0 : go_on(c, sent, until);
		if (ret < 0)
			return reason_set(why, EHOSTUNREACH, "the request could not be sent: %s",
					  strerrordesc_np(-ret));
		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

int service_receive(struct service_connection *c, void *bytes, size_t n, int64_t until, struct reason *why)
{
	for (;;) {
		int got, ret;

		ERR_clear_error();
		errno = 0;
		got = SSL_read(c->ssl, bytes, (int)n);
		if (got > 0)
			return got;
		ret = go_on(c, got, until);
		if (ret == -EPIPE)
			return 0;
		if (ret < 0)
			return reason_set(why, EHOSTUNREACH, "no answer came: %s", strerrordesc_np(-ret));
	}
}

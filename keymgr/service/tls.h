/* TLS as the key service speaks it: version 1.2 (RFC 5246) with eight cipher suites, both sides with certificates, and nothing else. */
#ifndef COFFER_SERVICE_TLS_H
#define COFFER_SERVICE_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "keymgr/service/suites.h"
#include "keymgr/service/x509.h"
#include "util/base/fault.h"

struct tls_identity {
	EVP_PKEY *key;
	X509 *cert;
	STACK_OF(X509) * chain; /* of a certificate that another authority issued: what is sent along; NULL: nothing */
};

struct tls_setup {
	const struct tls_identity *identities; /* one EC, one RSA; both are served on one port */
	size_t count;
	X509 *ca;         /* of the clients */
	bool require_etm; /* no CBC without encrypt-then-MAC (RFC 7366), nothing without extended master secret (RFC 7627) */
};

/* A new context; SSL_CTX_free.  Does not look at openssl.cnf (if tls_start was called). */
int tls_server(const struct tls_setup *setup, SSL_CTX **out, struct fault *why) MUST_CHECK;
/* Once, before anything else of OpenSSL. */
int tls_start(void) MUST_CHECK;

/* Who is at the other end, after the handshake. */
struct tls_peer {
	uint8_t spki[SPKI_HASH_SIZE];
	X509 *cert;  /* lives as long as the connection */
	bool issued; /* by the service's authority; else it vouches for itself, and may register, no more */
};
int tls_peer(SSL *ssl, struct tls_peer *out) MUST_CHECK;

/* Why a handshake failed, in words, for the log; empties OpenSSL's error queue. */
const char *tls_refusal(SSL *ssl);

#endif

/* TLS as the key service speaks it (tls.h).
 *
 * 1. Everything that decides is set by a call: neither a configuration file nor a default of the library changes it.
 * 2. A certificate that the service's authority did not issue ends the handshake.  One exception: a self-signed one, in date and for a purpose
 *    that fits; whoever comes with it is known by the hash of its key only, and `issued` stays false.
 * 3. No session outlives its connection: no tickets, no cache, no renegotiation. */
#include "keymgr/service/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <string.h>

enum {
	EXTENSION_ENCRYPT_THEN_MAC = 22,
	EXTENSION_EXTENDED_MASTER_SECRET = 23,
	SECURITY_LEVEL = 2,
	CERTIFICATES_MAX = 32 << 10
};

/* What is kept with each connection; the strings are constants. */
static int refusal_index = -1, self_signed_index = -1;
static char yes[] = "yes";

static void set_refusal(SSL *ssl, const char *reason)
{
	SSL_set_ex_data(ssl, refusal_index, (void *)reason);
}

int tls_start(void)
{
	if (!OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL))
		return -EIO;
	refusal_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	self_signed_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return refusal_index < 0 || self_signed_index < 0 ? -EIO : 0;
}

/* --- what a client says first */

static bool offers(SSL *ssl, unsigned extension)
{
	const unsigned char *at;
	size_t n;

	return SSL_client_hello_get0_ext(ssl, extension, &at, &n) == 1;
}

static int refuse_hello(SSL *ssl, int *alert, const char *reason)
{
	*alert = SSL_AD_HANDSHAKE_FAILURE;
	set_refusal(ssl, reason);
	return SSL_CLIENT_HELLO_ERROR;
}

static int look_at_hello(SSL *ssl, int *alert, void *require_etm)
{
	if (SSL_client_hello_isv2(ssl))
		return refuse_hello(ssl, alert, "a hello in the form of SSL 2");
	if (!require_etm)
		return SSL_CLIENT_HELLO_SUCCESS;
	if (!offers(ssl, EXTENSION_EXTENDED_MASTER_SECRET))
		return refuse_hello(ssl, alert, "no extended master secret is offered");
	if (!offers(ssl, EXTENSION_ENCRYPT_THEN_MAC) && !SSL_set_cipher_list(ssl, TLS_SUITES_GCM))
		return refuse_hello(ssl, alert, "out of memory");
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* --- the client's certificate */

static bool vouches_for_itself(X509_STORE_CTX *context)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(context);
	EVP_PKEY *key = cert ? X509_get0_pubkey(cert) : NULL;

	return key && X509_STORE_CTX_get_error_depth(context) == 0 && x509_key_acceptable(key) &&
	       X509_verify(cert, key) == 1;
}

/* Called once for each fault of the chain, and once for each of its certificates that has none. */
static int verify(int good, X509_STORE_CTX *context)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (good)
		return 1;
	if (X509_STORE_CTX_get_error(context) == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT &&
	    vouches_for_itself(context)) {
		SSL_set_ex_data(ssl, self_signed_index, yes);
		return 1;
	}
	set_refusal(ssl, X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
	return 0;
}

int tls_peer(SSL *ssl, struct tls_peer *out)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);

	*out = (struct tls_peer){0};
	if (!cert)
		return -EINVAL;
	out->cert = cert;
	out->issued = !SSL_get_ex_data(ssl, self_signed_index) && SSL_get_verify_result(ssl) == X509_V_OK;
	return x509_spki_hash(cert, out->spki);
}

const char *tls_refusal(SSL *ssl)
{
	const char *own = SSL_get_ex_data(ssl, refusal_index);
	const char *reason = ERR_peek_last_error() ? openssl_reason() : "the connection was closed";

	return own ? own : reason;
}

/* --- the context */

static int set_protocol(SSL_CTX *c, const struct tls_setup *setup)
{
	SSL_CTX_set_security_level(c, SECURITY_LEVEL);
	SSL_CTX_clear_options(c, SSL_CTX_get_options(c));
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
				       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_SSLv3 |
				       SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_3);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(c, 1); /* a record by one call of the system, not two */
	SSL_CTX_set_client_hello_cb(c, look_at_hello, setup->require_etm ? yes : NULL);
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) && SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION) &&
			       SSL_CTX_set_cipher_list(c, TLS_SUITES) && SSL_CTX_set_ciphersuites(c, "") &&
			       SSL_CTX_set1_groups_list(c, TLS_GROUPS) &&
			       SSL_CTX_set1_sigalgs_list(c, TLS_SIGNATURES) &&
			       SSL_CTX_set1_client_sigalgs_list(c, TLS_SIGNATURES)
		       ? 0
		       : -EIO;
}

static int set_clients(SSL_CTX *c, const struct tls_setup *setup)
{
	X509_STORE *trusted = X509_STORE_new();
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(setup->ca));

	if (!trusted || !X509_STORE_add_cert(trusted, setup->ca) || !names || !name ||
	    !sk_X509_NAME_push(names, name)) {
		X509_STORE_free(trusted);
		sk_X509_NAME_free(names);
		X509_NAME_free(name);
		return -ENOMEM;
	}
	SSL_CTX_set_cert_store(c, trusted);
	SSL_CTX_set_client_CA_list(c, names); /* both now belong to the context */
	SSL_CTX_set_verify_depth(c, 1);
	SSL_CTX_set_max_cert_list(c, CERTIFICATES_MAX);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
	return SSL_CTX_set_session_id_context(c, (const unsigned char *)"coffer-keyd", 11) ? 0 : -EIO;
}

static int set_identities(SSL_CTX *c, const struct tls_setup *setup)
{
	for (size_t i = 0; i < setup->count; i++)
		if (!SSL_CTX_use_cert_and_key(c, setup->identities[i].cert, setup->identities[i].key,
					      setup->identities[i].chain, 1))
			return -EIO;
	return 0;
}

int tls_server(const struct tls_setup *setup, SSL_CTX **out, struct fault *why)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	int ret = c ? set_protocol(c, setup) : -ENOMEM;

	*out = NULL;
	if (ret == 0)
		ret = set_identities(c, setup);
	if (ret == 0)
		ret = set_clients(c, setup);
	if (ret < 0) {
		SSL_CTX_free(c);
		return fault_errno(why, EXIT_FAILED, ret, "cannot set up TLS (%s)", openssl_reason());
	}
	*out = c;
	return 0;
}

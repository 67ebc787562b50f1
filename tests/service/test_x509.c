/* The service's authority: what it issues (x509.c (1), (2)), and which hosts and keys it takes. */
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "keymgr/service/authority.h"

static struct tls_identity ca, other;

static void set_up(void)
{
	fixture_set_up();
	ck_assert_int_eq(tls_start(), 0);
	for (struct tls_identity *i = &ca; i; i = i == &ca ? &other : NULL) {
		ck_assert_int_eq(x509_key_new(KEY_EC_P256, &i->key), 0);
		ck_assert_int_eq(x509_make_ca(i->key, i == &ca ? "one" : "two", &i->cert), 0);
	}
}

static void tear_down(void)
{
	tls_identity_free(&ca);
	tls_identity_free(&other);
	fixture_tear_down();
}

/* Whether it is good for that purpose, to whoever trusts `root`. */
static bool verifies(X509 *cert, X509 *root, int purpose, time_t at)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	bool good;

	ck_assert(store && context && X509_STORE_add_cert(store, root) &&
		  X509_STORE_CTX_init(context, store, cert, NULL));
	ck_assert(X509_STORE_CTX_set_purpose(context, purpose));
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), at);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
	good = X509_verify_cert(context) == 1;
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return good;
}

static X509 *issue(bool server, EVP_PKEY *key, const char *const *hosts, size_t count, int days)
{
	const struct x509_wanted w = {
		.name = "somebody", .server = server, .hosts = hosts, .host_count = count, .key = key, .days = days};
	X509 *cert;

	ck_assert_int_eq(x509_issue(ca.cert, ca.key, &w, &cert), 0);
	return cert;
}

START_TEST(issued)
{
	static const char *const hosts[] = {"keys.example", "192.0.2.7", "2001:db8::7"};
	_cleanup_pkey_ EVP_PKEY *key = NULL;
	_cleanup_x509_ X509 *server = NULL, *client = NULL, *again = NULL, *below = NULL;
	const time_t now = time(NULL), day = 24 * 60 * 60;
	struct x509_wanted w = {.name = "below", .days = 1};
	uint8_t a[SPKI_HASH_SIZE], b[SPKI_HASH_SIZE];

	ck_assert_int_eq(x509_key_new(KEY_EC_P256, &key), 0);
	server = issue(true, key, hosts, 3, 10);
	client = issue(false, key, NULL, 0, 10);
	again = issue(false, key, NULL, 0, 10);

	ck_assert(verifies(server, ca.cert, X509_PURPOSE_SSL_SERVER, now));
	ck_assert(!verifies(server, ca.cert, X509_PURPOSE_SSL_CLIENT, now));
	ck_assert(verifies(client, ca.cert, X509_PURPOSE_SSL_CLIENT, now));
	ck_assert(!verifies(client, ca.cert, X509_PURPOSE_SSL_SERVER, now));
	ck_assert(!verifies(client, other.cert, X509_PURPOSE_SSL_CLIENT, now));
	ck_assert(verifies(client, ca.cert, X509_PURPOSE_SSL_CLIENT, now - 200)); /* a clock that is late */
	ck_assert(!verifies(client, ca.cert, X509_PURPOSE_SSL_CLIENT, now - day));
	ck_assert(verifies(client, ca.cert, X509_PURPOSE_SSL_CLIENT, now + 10 * day - 60));
	ck_assert(!verifies(client, ca.cert, X509_PURPOSE_SSL_CLIENT, now + 10 * day + 60));
	ck_assert(X509_check_host(server, "keys.example", 0, 0, NULL) == 1);
	ck_assert(X509_check_host(server, "other.example", 0, 0, NULL) == 0);
	ck_assert(X509_check_ip_asc(server, "192.0.2.7", 0) == 1);
	ck_assert(X509_check_ip_asc(server, "2001:db8::7", 0) == 1);
	ck_assert(X509_check_ip_asc(server, "192.0.2.8", 0) == 0);
	/* Same key, same hash; another number. */
	ck_assert_int_eq(x509_spki_hash(client, a), 0);
	ck_assert_int_eq(x509_spki_hash(server, b), 0);
	ck_assert_mem_eq(a, b, sizeof(a));
	ck_assert_int_ne(ASN1_INTEGER_cmp(X509_get0_serialNumber(client), X509_get0_serialNumber(again)), 0);
	/* Who has a certificate issues nothing by it. */
	w.key = key;
	ck_assert_int_eq(x509_issue(client, key, &w, &below), 0);
	ck_assert(!verifies(below, client, X509_PURPOSE_SSL_CLIENT, now));
}
END_TEST

START_TEST(renewed)
{
	static const char *const hosts[] = {"keys.example", "192.0.2.7"};
	_cleanup_pkey_ EVP_PKEY *key = NULL;
	_cleanup_x509_ X509 *old = NULL, *new = NULL;

	ck_assert_int_eq(x509_key_new(KEY_RSA_3072, &key), 0);
	old = issue(true, key, hosts, 2, 29);
	ck_assert(x509_ends_within(old, 30));
	ck_assert(!x509_ends_within(old, 28));
	ck_assert_int_eq(x509_renew_server(ca.cert, ca.key, old, key, &new), 0);
	ck_assert(!x509_ends_within(new, 390));
	ck_assert(verifies(new, ca.cert, X509_PURPOSE_SSL_SERVER, time(NULL)));
	ck_assert(X509_check_host(new, "keys.example", 0, 0, NULL) == 1);
	ck_assert(X509_check_ip_asc(new, "192.0.2.7", 0) == 1);
	ck_assert_int_eq(X509_NAME_cmp(X509_get_subject_name(old), X509_get_subject_name(new)), 0);
	ck_assert_int_eq(EVP_PKEY_eq(X509_get0_pubkey(new), key), 1);
	X509_free(new);
	new = NULL;
	/* One without hosts is no server's. */
	X509_free(old);
	old = issue(false, key, NULL, 0, 1);
	ck_assert_int_eq(x509_renew_server(ca.cert, ca.key, old, key, &new), -EINVAL);
}
END_TEST

START_TEST(hosts)
{
	static const char *const good[] = {"a",       "localhost", "keys.example", "a-b.c1",
					   "1.2.3.4", "::1",       "2001:db8::1",  "123"};
	static const char *const bad[] = {"",    ".",       "a.",  ".a",  "a..b",     "-a",  "a-",    "a-.b",
					  "a b", "a,DNS:b", "*.a", "a_b", "\xc3\xa4", "a:1", "[::1]", "a/b"};
	const char *const none[1] = {"a,DNS:b"};
	const struct x509_wanted w = {
		.name = "x", .server = true, .hosts = none, .host_count = 1, .key = ca.key, .days = 1};
	char label[66] = "";
	X509 *cert;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!x509_host_valid(good[i]))
			ck_abort_msg("%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (x509_host_valid(bad[i]))
			ck_abort_msg("%s", bad[i]);
	memset(label, 'a', 63);
	ck_assert(x509_host_valid(label));
	label[63] = 'a';
	ck_assert(!x509_host_valid(label));
	ck_assert_int_eq(x509_issue(ca.cert, ca.key, &w, &cert), -EINVAL);
}
END_TEST

START_TEST(keys)
{
	static const struct {
		const char *type, *group;
		int bits;
		bool good;
	} kinds[] = {{"EC", "P-256", 0, true},      {"EC", "P-384", 0, true},  {"EC", "P-521", 0, false},
		     {"EC", "secp256k1", 0, false}, {"RSA", NULL, 2048, true}, {"RSA", NULL, 1024, false},
		     {"ED25519", NULL, 0, false}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		_cleanup_pkey_ EVP_PKEY *key = kinds[i].group  ? EVP_EC_gen(kinds[i].group)
					       : kinds[i].bits ? EVP_RSA_gen((unsigned)kinds[i].bits)
							       : EVP_PKEY_Q_keygen(NULL, NULL, kinds[i].type);

		ck_assert_ptr_nonnull(key);
		if (x509_key_acceptable(key) != kinds[i].good)
			ck_abort_msg("%s %s %d", kinds[i].type, kinds[i].group ? kinds[i].group : "", kinds[i].bits);
	}
}
END_TEST

/* A private key goes into the store and out of it, and only by its own row. */
START_TEST(sealed_keys)
{
	_cleanup_secret_ struct secret *der = NULL, *back = NULL;
	uint8_t sealed[512];
	size_t n;

	ck_assert_int_eq(x509_key_der(ca.key, &der), 0);
	n = der->size + SERVICE_SEALED_MORE;
	ck_assert_uint_le(n, sizeof(sealed));
	ck_assert_int_eq(service_private_seal(&fixture_keys, ROW_CA, der, sealed), 0);
	ck_assert_ptr_null(memmem(sealed, n, der->bytes + der->size / 2, 16));
	ck_assert_int_eq(service_private_open(&fixture_keys, ROW_CA, sealed, n, &back), 0);
	ck_assert_uint_eq(back->size, der->size);
	ck_assert_mem_eq(back->bytes, der->bytes, der->size);
	secret_free(&back);
	ck_assert_int_eq(service_private_open(&fixture_keys, ROW_EC, sealed, n, &back), -EBADMSG);
	for (size_t i = 0; i < n; i++) {
		sealed[i] ^= 1;
		ck_assert_int_eq(service_private_open(&fixture_keys, ROW_CA, sealed, n, &back), -EBADMSG);
		sealed[i] ^= 1;
	}
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(service_private_open(&fixture_keys, ROW_CA, sealed, i, &back), -EBADMSG);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("x509");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, issued);
	tcase_add_test(c, renewed);
	tcase_add_test(c, hosts);
	tcase_add_test(c, keys);
	tcase_add_test(c, sealed_keys);
	return fixture_run("service x509", c);
}

/* Who may: the service's clients, known by the SHA-256 of their public key, their roles, and what is granted to them.
 *
 *     unknown -> pending      client_register: whoever has a certificate in date
 *     pending -> accepted     client_accept: an administrator; issues a certificate for the key
 *     any     -> revoked      client_revoke: for good; another key registers anew
 *
 * Functions stage changes in the ledger and note none of them: the caller writes the line that says who did it. */
#ifndef COFFER_SERVICE_CLIENTS_H
#define COFFER_SERVICE_CLIENTS_H

#include "keymgr/service/authority.h"

enum {
	FINGERPRINT_TEXT = 2 * SPKI_HASH_SIZE,
	CLIENT_NAME_MAX = 64,
	PENDING_MAX = 512, /* that registered within PENDING_S; older ones can still be accepted */
	PENDING_S = 24 * 60 * 60,
};

enum role {
	ROLE_NONE,
	ROLE_ADMIN,    /* everything */
	ROLE_OPERATOR, /* looks at keys, rotates them */
	ROLE_CLIENT,   /* wraps and unwraps with the keys that are granted to it */
	ROLE_AUDITOR,  /* looks at everything, changes nothing */
};
const char *role_name(enum role r);
enum role role_from_name(const char *name); /* ROLE_NONE if unknown */

enum client_state {
	CLIENT_UNKNOWN,
	CLIENT_PENDING,
	CLIENT_ACCEPTED,
	CLIENT_REVOKED,
};
const char *client_state_name(enum client_state s);

struct client {
	char fingerprint[FINGERPRINT_TEXT + 1];
	char name[CLIENT_NAME_MAX + 1];
	enum client_state state;
	enum role role;   /* ROLE_NONE unless accepted */
	json_object *row; /* NULL if unknown */
};
void client_free(struct client *c);

/* Letters, digits and ._@- : safe wherever it is shown. */
bool client_name_valid(const char *name);
bool fingerprint_valid(const char *text); /* 64 lower-case hexadecimal digits */

/* CLIENT_UNKNOWN is no error. */
int client_get(struct ledger *l, const char *fingerprint, struct client *out) MUST_CHECK;
int client_look(struct ledger *l, const char *fingerprint, struct client *out) MUST_CHECK; /* `row` is everybody's */
/* -EALREADY: known (*out is filled).  -EUSERS: too many are pending.  `cert` is what it came with. */
int client_register(struct ledger *l, const char *fingerprint, const char *name, X509 *cert,
		    struct client *out) MUST_CHECK;
/* Also of one that is accepted already: another role, a fresh certificate.  -ENOENT, -EKEYREVOKED. */
int client_accept(struct ledger *l, const struct tls_identity *ca, const char *fingerprint, enum role role,
		  struct client *out) MUST_CHECK;
/* A fresh certificate for the same key. */
int client_renew(struct ledger *l, const struct tls_identity *ca, const char *fingerprint,
		 struct client *out) MUST_CHECK;
/* -ENOENT; -EPERM: the last administrator. */
int client_revoke(struct ledger *l, const char *fingerprint, struct client *out) MUST_CHECK;
/* One that is made here, and accepted at once. */
int client_add(struct ledger *l, const char *name, enum role role, X509 *cert) MUST_CHECK;

/* As the API shows it: fingerprint, name, state, role, since. */
int client_describe(const struct client *c, json_object *out) MUST_CHECK;
/* Its certificate; NULL without one. */
int client_certificate(const struct client *c, X509 **out) MUST_CHECK;

/* Grants.  The key and the client exist. */
int grant_put(struct ledger *l, const char *key, const char *fingerprint, bool granted) MUST_CHECK;
int grant_get(struct ledger *l, const char *key, const char *fingerprint, bool *granted) MUST_CHECK;

#endif

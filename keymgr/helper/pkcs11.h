/* A token and a key in it, inside coffer-pkcs11. */
#ifndef COFFER_KEYMGR_HELPER_PKCS11_H
#define COFFER_KEYMGR_HELPER_PKCS11_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdbool.h>

#include "keymgr/helper/pkcs11_protocol.h"
#include "keymgr/helper/sealer.h"
#include "util/base/cleanup.h"

struct token {
	CK_FUNCTION_LIST **modules; /* all that were loaded, up to a NULL */
	CK_FUNCTION_LIST *one[2];   /* room for it where only one was */
	P11KitUri *uri;
	CK_FUNCTION_LIST *module; /* the one that has the token */
	CK_SLOT_ID slot;
	CK_TOKEN_INFO info;
	CK_SESSION_HANDLE session;
	bool has_session;
};

/* Loads the modules and finds the only token that the URI describes; nothing is sent to any. */
enum pkcs11_status token_find(struct token *t, struct span module, struct span uri) MUST_CHECK;
/* Logs in, once, and finds the only AES key that the URI describes. */
enum pkcs11_status token_login(struct token *t, struct span pin) MUST_CHECK;
enum pkcs11_status token_key(struct token *t, CK_OBJECT_HANDLE *key) MUST_CHECK;
void token_close(struct token *t);

/* AES-256-GCM by the key in the token; token_seal() has opened again what it made. */
enum pkcs11_status token_seal(struct token *t, CK_OBJECT_HANDLE key, struct span aad, struct span plain,
			      uint8_t iv[PKCS11_IV_SIZE], uint8_t value[PKCS11_VALUE_SIZE]) MUST_CHECK;
enum pkcs11_status token_open(struct token *t, CK_OBJECT_HANDLE key, struct span aad, const uint8_t iv[PKCS11_IV_SIZE],
			      const uint8_t value[PKCS11_VALUE_SIZE], uint8_t plain[PKCS11_PLAIN_SIZE]) MUST_CHECK;

#endif

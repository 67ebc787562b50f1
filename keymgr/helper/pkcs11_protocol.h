/* How coffer talks to coffer-pkcs11, the program that alone loads PKCS #11 modules.
 *
 *   coffer-pkcs11 seal    in: module, URI, PIN, associated data, plaintext            out: iv, value
 *   coffer-pkcs11 open    in: module, URI, PIN, associated data, iv, value            out: plaintext
 *
 * In and out are frames (frames.h).  The module is an absolute path, or empty: those that p11-kit is configured with.  The value is the
 * ciphertext and behind it the tag.  On failure one line goes to standard error, and the exit status is one of these. */
#ifndef COFFER_KEYMGR_HELPER_PKCS11_PROTOCOL_H
#define COFFER_KEYMGR_HELPER_PKCS11_PROTOCOL_H

#define PKCS11_HELPER "coffer-pkcs11"

enum pkcs11_status {
	PKCS11_DONE = 0,
	PKCS11_DOES_NOT_OPEN = 1, /* another key's, or changed */
	PKCS11_WRONG_PIN = 2,
	PKCS11_NOT_THERE = 3, /* the token */
	PKCS11_NO_KEY = 4,    /* the token is there, the key is not */
	PKCS11_REFUSED = 5,   /* the PIN is locked or nearly so, the key does not do, the URI says too little */
	PKCS11_FAILED = 6,
};

enum {
	PKCS11_MODULE_MAX = 4095,
	PKCS11_URI_MAX = 1024,
	PKCS11_PIN_MAX = 256,
	PKCS11_AAD_MAX = 64,
	PKCS11_IV_SIZE = 12,
	PKCS11_TAG_SIZE = 16,
	PKCS11_PLAIN_SIZE = 32,
	PKCS11_VALUE_SIZE = PKCS11_PLAIN_SIZE + PKCS11_TAG_SIZE,
	PKCS11_IN_MAX = PKCS11_MODULE_MAX + PKCS11_URI_MAX + PKCS11_PIN_MAX + PKCS11_AAD_MAX + PKCS11_IV_SIZE +
			PKCS11_VALUE_SIZE + 6 * 4,
	PKCS11_OUT_MAX = PKCS11_IV_SIZE + PKCS11_VALUE_SIZE + 2 * 4,
};

#endif

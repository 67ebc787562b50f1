/* How coffer talks to coffer-cms, the program that alone uses OpenSSL.
 *
 *   coffer-cms encrypt      in: certificate (DER), plaintext                         out: words about the certificate, CMS (DER)
 *   coffer-cms decrypt      in: private key (PEM), its passphrase or nothing, CMS    out: plaintext
 *
 * In is standard input, read to its end; out is standard output, written only when all has succeeded.  Both are frames: a length of 4
 * bytes, little-endian, and so many bytes.  The words are "KEY NOT-AFTER", such as "rsa-3072 2027-11-28T01:49:14Z".  On failure one
 * line goes to standard error, and the exit status is one of these. */
#ifndef COFFER_KEYMGR_HELPER_PROTOCOL_H
#define COFFER_KEYMGR_HELPER_PROTOCOL_H

#define CMS_HELPER "coffer-cms"

enum helper_status {
	HELPER_DONE = 0,
	HELPER_DOES_NOT_OPEN = 1,    /* another key's, or changed */
	HELPER_KEY_ENCRYPTED = 2,    /* the private key is, and no passphrase was given */
	HELPER_WRONG_PASSPHRASE = 3, /* of the private key */
	HELPER_BAD_INPUT = 4,        /* the certificate or the key does not do */
	HELPER_TOO_OLD = 5,          /* OpenSSL */
	HELPER_FAILED = 6,
};

enum {
	HELPER_CERTIFICATE_MAX = 8 << 10, /* DER */
	HELPER_KEY_MAX = 32 << 10,
	HELPER_PASSPHRASE_MAX = 1000, /* what OpenSSL takes is 1024 */
	HELPER_CMS_MAX = 4 << 10,
	HELPER_PLAIN_MAX = 256,
	HELPER_WORDS_MAX = 64,
	HELPER_IN_MAX = HELPER_KEY_MAX + HELPER_PASSPHRASE_MAX + HELPER_CMS_MAX + 3 * 4,
	HELPER_OUT_MAX = HELPER_WORDS_MAX + HELPER_CMS_MAX + 2 * 4,
};

#endif

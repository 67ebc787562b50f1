/* How coffer talks to coffer-kmip, the program that alone speaks KMIP (1.4) to other people's key managers.
 *
 *   coffer-kmip talk
 *
 * The conversation is that of service_protocol.h; the addresses are HOST[:PORT].  KEY is the unique identifier of an AES-256 key in the server, which does
 * AES-GCM with it.  Bodies are frames (frames.h).
 *
 *   SEAL KEY         associated data, plaintext            done: iv, value
 *   OPEN KEY         associated data, iv, value            done: plaintext
 *   STATE KEY                                              done active, or pre-active, deactivated, compromised, destroyed, destroyed-compromised
 *
 *   done [TEXT]                     as above
 *   refused WORD TEXT               by a server that has proved who it is, and has asked for our certificate; WORD is one of the words below
 *   unreachable WHY, unusable WHY   as there
 *
 * The value is the ciphertext and behind it the tag.  Sealing needs a key that is Active. */
#ifndef COFFER_KEYMGR_HELPER_KMIP_PROTOCOL_H
#define COFFER_KEYMGR_HELPER_KMIP_PROTOCOL_H

#include "keymgr/helper/service_protocol.h"

#define KMIP_HELPER "coffer-kmip"

#define KMIP_NOT_FOUND     "not-found"  /* there is no such key, for this client */
#define KMIP_DENIED        "denied"     /* this client may not, or not in the key's state */
#define KMIP_DOES_NOT_OPEN "not-open"   /* by another key, or changed */
#define KMIP_UNSUITABLE    "unsuitable" /* the key does not do */
#define KMIP_FAILED        "failed"     /* anything else */

#define KMIP_STATE_ACTIVE "active"

enum {
	KMIP_PORT = 5696,
	KMIP_KEY_MAX = 128,
	KMIP_IV_SIZE = 12,
	KMIP_TAG_SIZE = 16,
	KMIP_PLAIN_SIZE = 32,
	KMIP_VALUE_SIZE = KMIP_PLAIN_SIZE + KMIP_TAG_SIZE,
};

#endif

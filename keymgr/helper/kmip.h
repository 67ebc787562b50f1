/* The inside of coffer-kmip: requests and responses of KMIP 1.4 (OASIS, sections 4, 6, 7; names are the specification's). */
#ifndef COFFER_KEYMGR_HELPER_KMIP_H
#define COFFER_KEYMGR_HELPER_KMIP_H

#include "keymgr/helper/frames.h"
#include "keymgr/helper/kmip_protocol.h"
#include "keymgr/helper/ttlv.h"

enum { KMIP_REQUEST_MAX = 1024, KMIP_SAID_MAX = 200 };

enum kmip_operation { KMIP_GET_ATTRIBUTES = 0x0b, KMIP_ENCRYPT = 0x1f, KMIP_DECRYPT = 0x20 };

/* --- requests: bytes of the message, 0 if they do not fit into the room */

size_t kmip_ask_attributes(const char *key, uint8_t *room, size_t n);
size_t kmip_ask_encrypt(const char *key, struct span aad, const uint8_t iv[KMIP_IV_SIZE], struct span plain,
			uint8_t *room, size_t n);
/* value: the ciphertext, and the tag behind it. */
size_t kmip_ask_decrypt(const char *key, struct span aad, struct span iv, struct span value, uint8_t *room, size_t n);

/* --- responses */

struct kmip_answer {
	const char *refused;       /* NULL: success; else one of the words of kmip_protocol.h */
	char said[KMIP_SAID_MAX];  /* then: the server's message, printable */
	struct ttlv_items payload; /* inside the message */
};
/* False: it is no response to this operation. */
bool kmip_read(const uint8_t *message, size_t n, enum kmip_operation asked, struct kmip_answer *out) MUST_CHECK;

/* What Get Attributes has said of a key. */
struct kmip_attributes {
	const char *state; /* as kmip_protocol.h has it; NULL: it was not said, or is unknown */
	bool aes_256;
};
void kmip_read_attributes(const struct kmip_answer *a, struct kmip_attributes *out);
/* Of Encrypt: the ciphertext, as long as a plaintext, and the tag; false: it is something else. */
bool kmip_read_encrypted(const struct kmip_answer *a, uint8_t value[KMIP_VALUE_SIZE]) MUST_CHECK;
bool kmip_read_decrypted(const struct kmip_answer *a, uint8_t plain[KMIP_PLAIN_SIZE]) MUST_CHECK;

#endif

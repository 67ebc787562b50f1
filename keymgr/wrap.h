/* Wrapping 32-byte secrets: AES-256 key wrap under a derived key (docs/format-keyring.md sections 5 and 6). */
#ifndef COFFER_KEYMGR_WRAP_H
#define COFFER_KEYMGR_WRAP_H

#include "util/base/kdf.h"
#include "util/base/secret.h"

enum { KEY_SIZE = 32, WRAPPED_SIZE = KEY_SIZE + KEY_WRAP_OVERHEAD, COMMITMENT_SIZE = 32 };

/* A key on the stack that is wiped when it goes out of scope: `_cleanup_stack_key_ struct stack_key k;` */
struct stack_key {
	uint8_t b[KEY_SIZE];
};
static inline void stack_key_wipe(struct stack_key *k)
{
	wipe(k->b, sizeof(k->b));
}
#define _cleanup_stack_key_ _cleanup_(stack_key_wipe)

/* Where a wrapping key comes from: the pseudorandom key (HKDF-Extract) of X or of the root, the volume, and the protector's
 * type or NULL for the root. */
struct wrapping {
	const uint8_t *prk;
	const uint8_t *volume_id;
	const char *type;
};

int wrapping_derive(const struct wrapping *w, const char *label, void *out, size_t n) MUST_CHECK;
int wrapping_seal(const struct wrapping *w, const char *label, const uint8_t key[KEY_SIZE],
		  uint8_t wrapped[WRAPPED_SIZE]) MUST_CHECK;
/* -EBADMSG if it does not verify; key is then zero. */
int wrapping_open(const struct wrapping *w, const char *label, const uint8_t wrapped[WRAPPED_SIZE],
		  uint8_t key[KEY_SIZE]) MUST_CHECK;

#endif

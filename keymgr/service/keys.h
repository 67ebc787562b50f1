/* The service's own keyring, and what is derived from it: a lone keyring (keymgr/lone_keyring.h), and that generation of it which the store is
 * under: 1, until the first rekeying (rekey.h).
 *
 * Owned by one thread. */
#ifndef COFFER_SERVICE_KEYS_H
#define COFFER_SERVICE_KEYS_H

#include "keymgr/audit_chain.h"
#include "keymgr/keyring.h"
#include "keymgr/unlock.h"

struct service_keys {
	struct keys *keys;
	uint32_t generation;     /* 0, and nothing below is there, until the store was asked (service_keys_settle) */
	struct audit_keys audit; /* of the log, those of earlier generations too */
	struct secret *row, *anchor; /* HMAC keys */
	/* Of the generation before, if there was one: its number, its key of the anchor, and the last line that was written by the rekeying. */
	struct {
		uint32_t generation;
		struct secret *anchor;
		uint64_t end;
	} before;
};
void service_keys_free(struct service_keys *k);

enum { SERVICE_FIRST_GENERATION = 1 };
/* All is under this generation, and always was.  -EBADMSG: the keyring has no such one, or its floor is above; -ENOKEY: it is suspended. */
int service_keys_at(struct service_keys *k, uint32_t generation) MUST_CHECK;
/* What wraps MAC keys of the generation before. */
int service_older_key(const struct service_keys *k, struct stack_key *out) MUST_CHECK;

/* As keyring_fingerprint() shows it. */
enum { ROOT_TEXT = 2 * FINGERPRINT_SIZE + 8 };
/* Makes the keyring FILE, which opens with `secret`. */
int service_keys_make(const char *file, const struct unlock_secret *secret, struct service_keys *out,
		      char fingerprint[ROOT_TEXT], struct fault *why) MUST_CHECK;
/* By what the source gives, or asking by `prompt` (for a PIN where only a token opens).  `keep`: takes the unlocked keyring; NULL: its root is
 * wiped. */
int service_keys_open(const char *file, const struct unlock_source *from, const char *prompt, struct service_keys *out,
		      struct keyring **keep, struct fault *why) MUST_CHECK;
/* What an unlocked keyring gives, of no generation yet. */
int service_keys_of(const struct keyring *k, struct service_keys *out, struct fault *why) MUST_CHECK;

/* Where the secret of a key lies: the row's name and what is wrapped in it.  Without it none of the key's versions opens. */
struct service_secret {
	const char *row;
	const uint8_t *wrapped; /* WRAPPED_SIZE */
};
int service_secret_make(const struct service_keys *k, const char *row, uint8_t wrapped[WRAPPED_SIZE]) MUST_CHECK;
/* A new random version of that key, wrapped for the row of this name. */
int service_version_make(const struct service_keys *k, const struct service_secret *of, const char *row,
			 uint8_t wrapped[WRAPPED_SIZE]) MUST_CHECK;
/* The AEAD key of what clients have wrapped under that version. */
int service_version_open(const struct service_keys *k, const struct service_secret *of, const char *row,
			 const uint8_t wrapped[WRAPPED_SIZE], uint8_t out[AEAD_KEY]) MUST_CHECK;

/* The same version, wrapped anew: under another secret of its key, which other keys of the service have wrapped. */
int service_version_move(const struct service_keys *from, const struct service_secret *of,
			 const struct service_keys *to, const struct service_secret *to_of, const char *row,
			 uint8_t wrapped[WRAPPED_SIZE]) MUST_CHECK;

/* A private key for the row of this name: nonce, tag, ciphertext; out has SERVICE_SEALED_MORE + n bytes.  AES-256-GCM. */
enum { SERVICE_SEALED_MORE = AEAD_NONCE + AEAD_TAG };
int service_private_seal(const struct service_keys *k, const char *row, const struct secret *in,
			 uint8_t *out) MUST_CHECK;
int service_private_open(const struct service_keys *k, const char *row, const uint8_t *in, size_t n,
			 struct secret **out) MUST_CHECK;

/* The AEAD key of a backup whose head has this hash. */
int service_backup_key(const struct service_keys *k, const uint8_t head[SHA256_SIZE], uint8_t out[AEAD_KEY]) MUST_CHECK;

/* One seal or open of AES-256-GCM, with a handle of its own. */
int service_gcm_seal(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size,
		     const void *in, size_t n, void *out, uint8_t tag[AEAD_TAG]) MUST_CHECK;
int service_gcm_open(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size,
		     const void *in, size_t n, void *out, const uint8_t tag[AEAD_TAG]) MUST_CHECK;

#endif

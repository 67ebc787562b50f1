/* The inside of tokens.  Only token*.c include this. */
#ifndef COFFER_FIELD_TOKEN_INTERNAL_H
#define COFFER_FIELD_TOKEN_INTERNAL_H

#include <sys/un.h>

#include "util/field/token.h"

#define TOKEN_PREFIX "coffer1?." /* ?: the mode */
enum {
	TOKEN_VERSION = 1,
	PREFIX_SIZE = 9,
	HEAD_COMMON = 8, /* keyring id, first 4 bytes; generation 4 */
	NONCE_SIZE = 16,
	KEY_SLOTS = 16,
	LABEL_ROOM = 40,
};

struct token_parts {
	struct token_info info;
	size_t head_size; /* of the first part */
	struct buffer first, second;
};
/* Decodes.  -EBADMSG: not a token. */
int token_split(const char *text, size_t n, struct token_parts *out) MUST_CHECK;
void token_parts_free(struct token_parts *p);
int token_domain_id(const char *name, uint8_t id[4]) MUST_CHECK;

/* A derived key, ready in a handle. */
struct key_slot {
	struct siv *siv; /* NULL: empty */
	uint32_t generation;
	const char *label;                /* one of LABEL_FIELD_*, by address */
	char domain[DOMAIN_NAME_MAX + 1]; /* "" without one */
	uint64_t used;
};

struct mount_link {
	struct sockaddr_un address;
};

struct token_box {
	struct keys *keys; /* NULL: seals to a public key only */
	uint8_t keyring_id[VOLUME_ID_SIZE];
	struct field_domain *domains;
	size_t domain_count;
	uint64_t clock;
	struct key_slot slots[KEY_SLOTS];
	struct siv *once; /* the key of one sealed token */
	uint32_t sealing_generation;
	uint8_t sealing_key[SEALED_PUBLIC_KEY];
	uint8_t pool[64 * NONCE_SIZE]; /* random bytes not yet used */
	size_t pool_left;
	struct buffer ad, bytes,
		padded;           /* of the token under way; kept, as memory for each costs more than its cipher */
	const uint8_t *fixed;     /* test vectors */
	struct mount_link *mount; /* the mount that does it (mount_client.c); NULL: none */
	int remote;               /* descriptor of the agent that does the work, plus 1; 0: none, and `keys` is set */
	uint32_t remote_active;   /* generation */
};

/* One of the box's buffers, empty and wiped. */
static inline struct buffer *box_scratch(struct buffer *b)
{
	buffer_reset(b);
	return b;
}

/* The active generation of the fields' scope. */
int box_active(struct token_box *b, uint32_t *generation) MUST_CHECK;
/* The handle with that key.  -ENOKEY, -ESTALE. */
int box_siv(struct token_box *b, uint32_t generation, const char *label, const char *domain,
	    struct siv **out) MUST_CHECK;
int box_random(struct token_box *b, uint8_t *out, size_t n) MUST_CHECK;
const struct field_domain *box_domain(const struct token_box *b, const char *name);
/* A new key pair for one token, and the handle with the key agreed with the recipient. */
int box_seal_to(struct token_box *b, uint8_t public_key[SEALED_PUBLIC_KEY], uint32_t *generation,
		struct siv **out) MUST_CHECK;
/* The same from the recipient's side. */
int box_open_from(struct token_box *b, uint32_t generation, const uint8_t public_key[SEALED_PUBLIC_KEY],
		  struct siv **out) MUST_CHECK;

/* By the agent (agent_client.c); -ECONNRESET: it ended. */
int remote_seal(struct token_box *b, const struct token_how *how, const struct token_binding *to, const char *source,
		size_t n, const char *value, size_t value_size, struct buffer *out) MUST_CHECK;
int remote_open(struct token_box *b, const struct token_binding *to, const char *text, size_t n,
		struct buffer *out) MUST_CHECK;
int remote_public_key(struct token_box *b, struct buffer *out) MUST_CHECK;

#endif

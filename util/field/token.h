/* Tokens: one encrypted value as text of letters, digits and ".", "_", "-" (docs/format-field.md).
 *
 * What is sealed is the source text of the value, byte for byte, so that its type and its quotes come back with it. */
#ifndef COFFER_FIELD_TOKEN_H
#define COFFER_FIELD_TOKEN_H

#include "keymgr/domain.h"
#include "keymgr/keys.h"
#include "util/base/fault.h"
#include "util/field/buffer.h"

enum {
	TOKEN_VALUE_MAX = 16 << 20, /* bytes of source text */
	TOKEN_PAD = 16,
	TOKEN_PAD_MAX = 4096,
	CONTEXT_MAX = 255,
	SEALED_PUBLIC_KEY = 32,
};

enum token_mode {
	TOKEN_RANDOM = 'r',
	TOKEN_DETERMINISTIC = 'd',
	TOKEN_SEALED = 's',
};

enum token_bind {
	BIND_NONE = 0,
	BIND_KEYS = 1,
	BIND_PATH = 2,
	BIND_RECORD = 3,
};

/* What a token is tied to: the associated data.  `place` is what path_binding() gives, with the record's id behind it where asked for. */
struct token_binding {
	enum token_bind bind;
	const char *context; /* NULL: none */
	const char *place;
	size_t place_size;
};

/* How to seal. */
struct token_how {
	enum token_mode mode;
	const char *domain; /* deterministic */
	uint32_t pad;       /* a multiple of 16; 0: 16 */
};

/* What can be told without a key. */
struct token_info {
	enum token_mode mode;
	uint8_t keyring[4];
	uint32_t generation;
	uint8_t domain[4]; /* deterministic: of the domain's name */
};

enum token_shape {
	TOKEN_NOT,    /* an ordinary value */
	TOKEN_BROKEN, /* begins like a token but cannot be one */
	TOKEN_WHOLE,
};
enum token_shape token_shape(const char *text, size_t n, struct token_info *info);

/* The keys of a keyring, ready for use.  One thread at a time; several boxes may share one `keys`. */
struct token_box;
int token_box_new(struct keys *keys, const struct field_domain *domains, size_t count,
		  struct token_box **out) MUST_CHECK;
/* For sealing only, to a public key as token_public_key() prints it.  -EINVAL: not one. */
int token_box_sealing(const char *public_key, size_t n, struct token_box **out) MUST_CHECK;
void token_box_free(struct token_box **b);

/* Seals n bytes of source text; the token is appended.  `value`: the same without quotes and escapes, for deterministic tokens.
 * -E2BIG too long; -ENOENT no such domain; -ENOKEY the pinned generation is suspended; -EBADMSG it is destroyed; -ENOTSUP. */
int token_seal(struct token_box *b, const struct token_how *how, const struct token_binding *to, const char *source,
	       size_t n, const char *value, size_t value_size, struct buffer *out) MUST_CHECK;

/* Opens a token; its source text is appended.  -EBADMSG: not a token, or not of this place, or not by this keyring;
 * -EXDEV another keyring's; -ENOKEY suspended; -ESTALE unknown, destroyed or refused generation; -ENOENT unknown domain. */
int token_open(struct token_box *b, const struct token_binding *to, const char *text, size_t n,
	       struct buffer *out) MUST_CHECK;

/* Whether the token is already what token_seal would make now: same generation, mode and domain. */
bool token_is_current(const struct token_box *b, const struct token_info *info, const struct token_how *how);
/* Whether it says that it belongs to this keyring. */
bool token_is_of(const struct token_box *b, const struct token_info *info);
/* The name of the domain of a deterministic token; NULL if the keyring does not know it. */
const char *token_domain(const struct token_box *b, const struct token_info *info);

/* Why a token does not open, for people, without its place.  `error`: of token_open, or -EPERM: sealed where that is not accepted. */
enum { TOKEN_REASON_ROOM = 400 };
const char *token_reason(int error, const struct token_info *info, const struct token_box *b, const char *context,
			 char *out, size_t n);

/* Appends the public key of the active generation, as text. */
int token_public_key(struct token_box *b, struct buffer *out) MUST_CHECK;

/* For test vectors only: the next random bytes are these; NULL: random again. */
void token_box_fix_random(struct token_box *b, const uint8_t bytes[32]);

#endif

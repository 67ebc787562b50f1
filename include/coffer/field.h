/* Encrypted fields for programs: a value becomes a token (docs/format-field.md) that fits into a text column, and comes back.
 *
 * Link with -lcoffer-field (pkg-config coffer-field).  All functions are thread-safe; calls on one keyring take turns, so a program of many threads opens
 * one for each.  Opening the first keyring locks memory for secrets, and turns core dumps and tracing of the whole process off.
 *
 * Restrictions of encrypted columns: the column holds text of at least 84 characters (64 for each 48 bytes more, about); sorting, ranges and LIKE see the
 * token, not the value; equality works for deterministic fields that are bound to nothing (coffer_field_place.record NULL and
 * .free set), where equal values have equal tokens.
 *
 * Functions return 0 or a negative errno:
 *   -EBADMSG  not a token, or changed, or of another place, context or keyring's time
 *   -EXDEV    a token of another keyring (another environment): coffer field migrate moves tokens
 *   -ENOKEY   its generation is suspended, or the mount is locked
 *   -ESTALE   its generation is unknown, destroyed or refused
 *   -EACCES   the mount's rules give this user no right to it
 *   -ECONNRESET  the agent ended: open again; or the mount does not answer
 *   -ENOENT   no such domain; -EINVAL the value is not of its type; -E2BIG too long; -ENOMEM */
#ifndef COFFER_FIELD_H
#define COFFER_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct coffer_field_keyring; /* opaque */

/* What decrypting returns, beside 0, where the mount lets this user see masked values only: what came is text like ************1234, whatever the type. */
enum { COFFER_FIELD_MASKED = 1 };

/* Where a value lives; a token opens only there. */
struct coffer_field_place {
	const char *context; /* the environment; NULL: none */
	const char *table;   /* NULL with `free` */
	const char *field;
	const char *record; /* the record's id as text; NULL: bound to table and field only */
	const char *domain; /* deterministic, in this domain; NULL: random */
	bool free;          /* bound to nothing but context and keyring */
};

enum coffer_field_type {
	COFFER_FIELD_TEXT,    /* UTF-8 without zero bytes */
	COFFER_FIELD_INTEGER, /* [-]digits */
	COFFER_FIELD_DECIMAL, /* [-]digits[.digits] */
	COFFER_FIELD_DATE,    /* YYYY-MM-DD */
	COFFER_FIELD_BYTES,
};

/* Opens the keyring of a volume, or one that stands alone in a file (coffer key init), with a key file, or with a passphrase file; with neither, through the user's agent (coffer field agent), which keeps the keys.  On failure `error` (of n bytes) holds one
 * line for people. */
int coffer_field_open(const char *volume, const char *key_file, const char *passphrase_file,
		      struct coffer_field_keyring **out, char *error, size_t n);
/* The same with the private key (PEM) of a certificate that protects the keyring, as each environment has its own; `passphrase_file` is that of
 * the private key, NULL where it has none.  Anyone can encrypt to a certificate: `root` is the fingerprint of the right root key (coffer status), NULL
 * where this host has seen the keyring before. */
int coffer_field_open_identity(const char *volume, const char *identity, const char *passphrase_file, const char *root,
			       struct coffer_field_keyring **out, char *error, size_t n);
/* Through a mount, which has the keys: no secret is asked for, and no key leaves it.  `mount` is the volume's directory, or the path of a control
 * socket (docs/control-socket.md): who names one trusts it.  A value has 40,000 bytes at most (-E2BIG).  While the mount is locked: -ENOKEY. */
int coffer_field_open_mount(const char *mount, struct coffer_field_keyring **out, char *error, size_t n);
void coffer_field_close(struct coffer_field_keyring **k);

/* *token is a new string, freed by coffer_field_free. */
int coffer_field_encrypt(struct coffer_field_keyring *k, const struct coffer_field_place *place,
			 enum coffer_field_type type, const void *value, size_t n, char **token);
/* *value is new, followed by a zero byte that *n does not count; freed by coffer_field_free. */
int coffer_field_decrypt(struct coffer_field_keyring *k, const struct coffer_field_place *place,
			 enum coffer_field_type type, const char *token, void **value, size_t *n);
/* Many values of one field, and back, `records` being their ids (NULL: place->record for all).  Stops at the first failure: *done says how many are made. */
int coffer_field_encrypt_many(struct coffer_field_keyring *k, const struct coffer_field_place *place,
			      enum coffer_field_type type, size_t count, const char *const *records,
			      const void *const *values, const size_t *sizes, char **tokens, size_t *done);
int coffer_field_decrypt_many(struct coffer_field_keyring *k, const struct coffer_field_place *place,
			      enum coffer_field_type type, size_t count, const char *const *records,
			      const char *const *tokens, void **values, size_t *sizes, size_t *done);

/* After a rotation (from and to the same keyring) or for another environment: *renewed is the token as `to` makes it now, NULL where
 * `token` is that already.  The value is not shown. */
int coffer_field_renew(struct coffer_field_keyring *from, struct coffer_field_keyring *to,
		       const struct coffer_field_place *place, const char *token, char **renewed);

/* What an error means, as one line for people without a newline; `token` NULL: there was none yet.  `text` has n bytes. */
void coffer_field_explain(const struct coffer_field_keyring *k, const struct coffer_field_place *place,
			  const char *token, int error, char *text, size_t n);

/* What the edit method of a form calls, once, for reading and for writing.
 *   set false: decrypts *token (NULL or "" is an empty field) into *shown, the value to display.
 *   set true: *token becomes the token of the n bytes at value, or NULL for none (value NULL); a value that equals the old one keeps its token, and
 *   so does a masked one that comes back as it was shown.
 * *token is NULL or was made by this library (coffer_field_copy makes it so); it is replaced.  *shown is new, or NULL for an empty field; freed by coffer_field_free. */
int coffer_edit_encrypted_field(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				enum coffer_field_type type, bool set, const void *value, size_t n, char **token,
				void **shown, size_t *shown_size);
/* The same for strings. */
int coffer_edit_encrypted_string_field(struct coffer_field_keyring *k, const struct coffer_field_place *place, bool set,
				       const char *value, char **token, char **shown);

/* For who may know that there is a value, but not which: all characters of `shown` (UTF-8) but the last `keep` become *, and all of them
 * where it has fewer than twice as many.  *masked is new. */
int coffer_field_mask(const char *shown, size_t keep, char **masked);

/* A copy of the text that this library made. */
int coffer_field_copy(const char *text, char **copy);
/* Wipes and frees; NULL is fine. */
void coffer_field_free(void *p);

#ifdef __cplusplus
}
#endif
#endif

/* Types of protectors: each yields a secret X from what the user gives, and X wraps the root (docs/format-keyring.md section 5).
 *
 * A new type is a new file with one of these tables, listed in protector.c. */
#ifndef COFFER_KEYMGR_PROTECTOR_H
#define COFFER_KEYMGR_PROTECTOR_H

#include "keymgr/document.h"
#include "keymgr/unlock.h"
#include "keymgr/wrap.h"

/* What a protector is about. */
struct protected
{
	const uint8_t *volume_id;
	const struct secret *root; /* NULL where one is opened */
};

struct protector_type {
	const char *name;
	enum secret_kind kind;    /* of the secret that opens it */
	enum secret_kind made_of; /* the same, but where only the public half of it is needed */
	bool anyone_makes;        /* without knowing a secret: what it opens has to be vouched for (pin.h) */
	/* Checks the members of this type; called when a keyring is read, before anything is computed from them. */
	int (*validate)(json_object *o, struct problem *p);
	/* Draws the parameters of a new protector, puts them into o, and gives HKDF-Extract of X.  s holds what the type is made of
	 * (not the text of a recovery key, but the bytes behind it), here and below. */
	int (*make)(json_object *o, const struct unlock_secret *s, const struct protected *what,
		    uint8_t prk[SHA256_SIZE], struct fault *why);
	/* HKDF-Extract of X.  -EKEYREJECTED, without a fault: the secret does not open it. */
	int (*open)(json_object *o, const struct unlock_secret *s, const struct protected *what,
		    uint8_t prk[SHA256_SIZE], struct fault *why);
	/* Words for `key list`, such as the cost. */
	void (*describe)(json_object *o, char *out, size_t n);
};

extern const struct protector_type protector_passphrase, protector_key_file, protector_recovery_key, protector_shares,
	protector_certificate, protector_service, protector_pkcs11, protector_tpm2, protector_kmip;

/* NULL if unknown. */
const struct protector_type *protector_type_named(const char *name);
/* What is made of such a secret. */
const struct protector_type *protector_type_for(enum secret_kind made_of);

/* Protectors of the type certificate: that, as DER; when it expires ("" for other types). */
int protector_certificate_of(json_object *o, struct secret **der) MUST_CHECK;
void protector_expires(const char *type, json_object *o, char out[TIME_TEXT + 1]);

/* Of the type pkcs11: the URI, inside the document. */
const char *protector_token_uri(json_object *o);

/* Of the type tpm2: the PCRs, inside the document, and whether there is a PIN. */
bool protector_tpm2_of(json_object *o, const char **pcrs, bool *pin);

struct protector;
struct keyring;

/* The members of a new protector around `root`. */
int protector_make(const struct unlock_secret *s, uint32_t id, const uint8_t volume_id[VOLUME_ID_SIZE],
		   const struct secret *root, json_object **out, struct fault *why) MUST_CHECK;
/* -EKEYREJECTED: this secret does not open it.  -EBADMSG: it does, and what is wrapped is damaged. */
int protector_open(const struct protector *p, const struct unlock_secret *s, const uint8_t volume_id[VOLUME_ID_SIZE],
		   struct secret **root, struct fault *why) MUST_CHECK;

#endif

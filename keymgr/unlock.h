/* Where a secret that unlocks comes from, and the secret itself. */
#ifndef COFFER_KEYMGR_UNLOCK_H
#define COFFER_KEYMGR_UNLOCK_H

#include <stdbool.h>

#include "keymgr/service_place.h"
#include "util/base/crypto.h"
#include "util/base/fault.h"
#include "util/base/secret.h"

enum secret_kind {
	SECRET_PASSPHRASE, /* also accepted: a recovery key in its printed form */
	SECRET_KEY_FILE,
	SECRET_RECOVERY_KEY,
	SECRET_SHARES,      /* 32 random bytes that were put together from shares */
	SECRET_IDENTITY,    /* a private key, which opens what its certificate protects */
	SECRET_CERTIFICATE, /* no secret: a new protector is made of it, and nothing is opened */
	SECRET_SERVICE,     /* none either: the key service opens, for who has a certificate of its own */
	SECRET_PIN,         /* of a PKCS #11 token, which opens */
	SECRET_TPM,         /* none: the TPM opens, with a PIN or without */
	SECRET_KMIP,        /* none: a KMIP server opens, for who has a certificate */
};

struct service_use;
struct kmip_use;

struct unlock_secret {
	enum secret_kind kind;
	/* passphrase without its newline; contents of the key file; text of the recovery key; private key as PEM; certificate as DER;
	 * PIN */
	struct secret *bytes;
	struct secret *passphrase; /* of the private key; NULL if that is not encrypted.  PIN of the TPM, or NULL */
	/* Where a new protector is made of it: the cost of a passphrase, not below t=3, 64 MiB, p=4; NULL: calibrated to a second. */
	const struct argon2_cost *cost;
	uint8_t share_threshold, share_count; /* where a new protector is made of SECRET_SHARES */
	struct service_use *service;          /* of SECRET_SERVICE (service_use.h) */
	struct kmip_use *kmip;                /* of SECRET_KMIP (kmip.h) */
	/* Of SECRET_PIN (pkcs11.h): NULL, or the driver; the key, where a new protector is made.  They belong to the source. */
	const char *token_module, *token_uri;
	/* Of SECRET_TPM (tpm2.h): NULL, or how it is reached; the PCRs, where a new protector is made.  As above. */
	const char *tpm_tcti, *tpm_pcrs;
};
void unlock_secret_wipe(struct unlock_secret *s);

/* The unlocking options of the command line and of the mount options; at most one source is set. */
struct unlock_source {
	const char *passphrase_file;    /* "-" is standard input */
	int passphrase_fd;              /* -1: none */
	const char *passphrase_command; /* run by /bin/sh -c; its standard output, as a passphrase file */
	const char *key_file;
	const char *credential;       /* a name in $CREDENTIALS_DIRECTORY */
	const char *identity;         /* a file with a private key */
	const char *certificate;      /* a file; only where a new protector is made */
	const char *service_key;      /* the name of a key of the key service; only where a new protector is made */
	struct service_place service; /* where that service is; without a key's name: the service opens */
	const char *kmip_key;         /* the identifier of a key of a KMIP server; only where a new protector is made */
	struct service_place kmip;    /* where that server is; without a key: it opens */
	const char *pin_file;         /* of a token; "-" is standard input */
	const char *pkcs11;           /* the URI of a key in a token; only where a new protector is made */
	/* The token's driver, an absolute path; NULL: as p11-kit is configured.  No source. */
	const char *pkcs11_module;
	bool tpm; /* the TPM opens */
	/* Its PIN, how it is reached and, where a new protector is made, PCRs or "none"; NULL: none, by itself, TPM2_PCRS_DEFAULT.  No
	 * sources. */
	const char *tpm_pin_file, *tpm_tcti, *pcrs;
	/* Of the identity; NULL: asked for if that is encrypted.  No source. */
	const char *identity_passphrase_file;
	/* What the user vouches for (struct trust of host_memory.h): no sources. */
	bool accept_older;
	const char *expect_root;
};
#define UNLOCK_SOURCE_NONE ((struct unlock_source){.passphrase_fd = -1})
bool unlock_source_given(const struct unlock_source *u);

/* Gets the secret.  Nothing given: asks on /dev/tty with echo off (prompt, and twice with `confirm`); no terminal: -ENOTTY,
 * EXIT_NO_SECRET, never a hang.  Exactly one trailing newline of a passphrase is removed; an empty one, or one over 64 KiB: -EINVAL.
 * A key file has 32 bytes to 1 MiB.  The passphrase of an identity that is encrypted is asked for where it is not given. */
int unlock_obtain(const struct unlock_source *u, const char *prompt, bool confirm, struct unlock_secret *out,
		  struct fault *why) MUST_CHECK;

/* Asks for the PIN of a token, or a recovery key in its place. */
int unlock_ask_pin(const struct unlock_source *u, const char *prompt, struct unlock_secret *out,
		   struct fault *why) MUST_CHECK;

/* A recovery key: 240 random bits as 8 groups of 7 characters, "XXXXXXX-XXXXXXX-...": 6 characters of Crockford's base32 and a check
 * character that covers the group's number and its 6 characters, so that a wrong character, two exchanged ones or two exchanged
 * groups are found and the group is named. */
enum { RECOVERY_GROUPS = 8, RECOVERY_TEXT = 8 * 7 + 7 };
int recovery_key_new(struct unlock_secret *out) MUST_CHECK;
/* Parses text (case, spaces and hyphens do not matter; O, I, L are read as 0, 1, 1).  Returns a secret of the 30 raw bytes.
 * looks_like: true if the text has the shape of a recovery key at all.  A typo: -EINVAL, naming the group. */
int recovery_key_parse(const struct secret *text, struct secret **raw, bool *looks_like, struct fault *why) MUST_CHECK;

#endif

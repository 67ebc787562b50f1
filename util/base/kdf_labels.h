/* Every key-derivation label of coffer, in one place.  A label is never reused, not even after its key is retired.
 *
 *   key = HKDF-SHA-256(IKM = secret, salt empty, info = part(label) | part(volume id) | part(cipher) [| part(extra)])
 *   part(x) = length of x in 2 bytes little-endian | x
 *
 * `cipher` is empty for AES-SIV and everything that is not an AEAD key. */
#ifndef COFFER_BASE_KDF_LABELS_H
#define COFFER_BASE_KDF_LABELS_H

/* from a generation key */
#define LABEL_CONTENT          "coffer content"          /* AEAD, 32; extra = file id */
#define LABEL_NAMES            "coffer names"            /* AES-SIV, 64 */
#define LABEL_LONG_NAMES       "coffer long names"       /* HMAC, 32 */
#define LABEL_SYMLINKS         "coffer symlinks"         /* AES-SIV, 64 */
#define LABEL_XATTR_NAMES      "coffer xattr names"      /* AES-SIV, 64 */
#define LABEL_LONG_XATTR_NAMES "coffer long xattr names" /* HMAC, 32 */
#define LABEL_XATTR_VALUES     "coffer xattr values"     /* AES-SIV, 64 */

#define LABEL_FIELD_RANDOM     "coffer field random"     /* AES-SIV, 64 */
#define LABEL_FIELD_VALUE      "coffer field value"      /* AES-SIV, 64; extra = domain: first part, deterministic */
#define LABEL_FIELD_SOURCE     "coffer field source"     /* AES-SIV, 64; extra = domain: second part, deterministic */
#define LABEL_FIELD_SEALED_KEY "coffer field sealed key" /* X25519 private key, 32 */

/* from the X25519 shared secret of a sealed token */
#define LABEL_FIELD_SEALED "coffer field sealed" /* AES-SIV, 64; extra = the token's public key | the recipient's */

/* from the volume's journal key */
#define LABEL_JOURNAL_SUPERBLOCK "coffer journal superblock" /* AEAD, 32; extra = instance id */
#define LABEL_JOURNAL_RECORDS    "coffer journal records"    /* AEAD, 32; extra = random bytes of the mount */

/* from the volume's audit key */
#define LABEL_AUDIT_LINE "coffer audit line" /* HMAC, 32 */

/* from the root key */
#define LABEL_ROOT_WRAP        "coffer root wrap" /* AES key wrap, 32: wraps generations and the volume's own keys */
#define LABEL_ROOT_COMMITMENT  "coffer root commitment"  /* 32, stored in the clear */
#define LABEL_KEYRING_MAC      "coffer keyring mac"      /* HMAC, 32 */
#define LABEL_ROOT_FINGERPRINT "coffer root fingerprint" /* 16, shown to people */
#define LABEL_BACKUP_MAC       "coffer backup mac"       /* HMAC, 32: of a backup of the keyring */
#define LABEL_ROOT_CHAIN       "coffer root chain"       /* AES key wrap, 32: wraps the root that this one replaced */
#define LABEL_ROOT_SUCCESSOR                                                                                           \
	"coffer root successor" /* HMAC, 32: of the fingerprint of the root that replaces this one */

/* from a generation of the key service's keyring */
#define LABEL_SERVICE_ROW     "coffer service row"    /* HMAC, 32: of the rows of its store */
#define LABEL_SERVICE_AUDIT   "coffer service audit"  /* HMAC, 32: of the lines of its log */
#define LABEL_SERVICE_ANCHOR  "coffer service anchor" /* HMAC, 32: of the anchor of its log */
#define LABEL_SERVICE_KEY     "coffer service key"    /* AES key wrap, 32: wraps the secret of a key; extra = row */
#define LABEL_SERVICE_PRIVATE "coffer service private key" /* AEAD, 32: seals keys of certificates; extra = row */
#define LABEL_SERVICE_BACKUP  "coffer service backup"      /* AEAD, 32: of a backup; extra = SHA-256 of its head */
#define LABEL_SERVICE_OLDER   "coffer service older key" /* AES key wrap, 32: wraps MAC keys of the generation before */

/* from the secret of a key of the key service */
#define LABEL_SERVICE_VERSION "coffer service key version" /* AES key wrap, 32: wraps a version; extra = row */

/* from a key version of the key service */
#define LABEL_SERVICE_WRAP "coffer service wrap" /* AEAD, 32: what clients have wrapped; extra = row */

/* from what a protector yields (Argon2id output, key file, recovery key) */
#define LABEL_PROTECTOR_WRAP       "coffer protector wrap"       /* AES key wrap, 32; extra = protector type */
#define LABEL_PROTECTOR_COMMITMENT "coffer protector commitment" /* 32, stored in the clear; extra = protector type */

#endif

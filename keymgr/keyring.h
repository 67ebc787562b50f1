/* The keyring: a volume's keys, wrapped, in one readable file with a seal (docs/format-keyring.md).
 *
 * Life of one: keyring_read -> keyring_unlock -> keyring_keys.  Changes: keyring_change_begin takes keyring.lock and reads the
 * file again, the caller changes the object, keyring_change_commit writes both copies and bumps the sequence.
 * An object belongs to one thread at a time. */
#ifndef COFFER_KEYMGR_KEYRING_H
#define COFFER_KEYMGR_KEYRING_H

#include "keymgr/keys.h"
#include "keymgr/unlock.h"
#include "util/base/fault.h"
#include "util/base/store.h"

enum {
	KEYRING_MAX = 4 << 20, /* bytes */
	PROTECTORS_MAX = 32,
	INSTANCE_ID_SIZE = 16,
	DIRECTORY_ID_SIZE = 16,
	FINGERPRINT_SIZE = 16,
};

/* What .coffer/volume.json says, repeated in the keyring under its MAC; both must agree. */
struct settings {
	uint8_t volume_id[VOLUME_ID_SIZE];
	uint8_t instance_id[INSTANCE_ID_SIZE];
	enum cipher cipher;
	bool portable;         /* directory ids and sidecars in small files instead of symbolic links */
	uint32_t name_max;     /* 255 or 143: longest backing name */
	uint64_t journal_size; /* bytes asked for at init; 0: chosen by free space */
};

struct keyring; /* opaque */

/* One protector, for `key list`. */
struct protector_info {
	uint32_t id;
	char type[16];    /* "passphrase", "key-file", "recovery-key", "certificate" */
	char created[24]; /* 2026-11-28T01:49:14Z */
	char detail[48];  /* "argon2id t=3 m=512MiB p=4"; empty where there is nothing to say */
	char expires[24]; /* a certificate; empty for other types */
};

struct generation_info {
	uint32_t number, scope;
	enum key_state state;
	char created[24];
	char since[24];      /* of its last transition */
	char destroy_at[24]; /* when its key may be wiped; empty: nobody asked for that */
};

/* Reads .coffer/keyring.json and volume.json through directory handle `dot` (.coffer), the second copy of each only where the first does not
 * parse or its hash is wrong (that is said through log_warning).  Checks hashes, bounds, versions, flags; nothing secret yet. */
int keyring_read(struct store *s, int dot, struct keyring **out, struct fault *why) MUST_CHECK;
void keyring_free(struct keyring **k); /* wipes */

/* What differs after every change of the keyring's file, for who holds keys of it for long. */
struct keyring_stamp {
	uint64_t dev, ino, size;
	struct timespec mtime, ctime;
};
int keyring_stamp(struct store *s, int dot, struct keyring_stamp *out) MUST_CHECK;
bool keyring_stamp_same(const struct keyring_stamp *a, const struct keyring_stamp *b);

/* Finds a protector that the secret opens: at most one key derivation for each protector of the secret's kind.  Then verifies the MAC
 * and that the settings agree.  Wrong secret: -EKEYREJECTED, EXIT_WRONG_SECRET, without saying which protector was close. */
int keyring_unlock(struct keyring *k, const struct unlock_secret *with, struct fault *why) MUST_CHECK;

const struct settings *keyring_settings(const struct keyring *k);
/* *read_only: an unknown read-only-compatible feature flag is set. */
bool keyring_read_only(const struct keyring *k);
/* Unlocked only.  The root directory's id. */
const uint8_t *keyring_root_directory(const struct keyring *k);
void keyring_fingerprint(const struct keyring *k, char out[2 * FINGERPRINT_SIZE + 8]); /* hex in groups of 8 */
uint64_t keyring_sequence(const struct keyring *k);
uint32_t keyring_protectors(const struct keyring *k, struct protector_info out[PROTECTORS_MAX]);
uint32_t keyring_generations(const struct keyring *k, struct generation_info *out,
			     uint32_t room); /* returns how many there are */
/* Unlocked only: a new counted object; NULL without memory. */
struct keys *keyring_keys(const struct keyring *k);

/* It has no volume (lone_keyring.h).  Whoever says so of a volume's keyring has its MAC key. */
bool keyring_stands_alone(const struct keyring *k);

/* Puts back a lost keyring: `text` is a copy of its file, which `with` has to open.  volume.json has to be there and to belong to it; where an intact
 * keyring is in place, that is refused.  *out: the keyring, unlocked; the caller judges its root (pin.h). */
int keyring_put_back(struct store *s, int dot, const void *text, size_t n, const struct unlock_secret *with,
		     struct keyring **out, struct fault *why) MUST_CHECK;
/* The volume's id out of volume.json. */
int volume_id_read(struct store *s, int dot, uint8_t id[VOLUME_ID_SIZE], struct fault *why) MUST_CHECK;

/* Writes both copies of volume.json again from the one that belongs to this keyring. */
int keyring_mend_settings(struct store *s, int dot, const struct keyring *k, struct fault *why) MUST_CHECK;

/* --- changes (all need an unlocked keyring) */
struct keyring_change;
/* Takes .coffer/keyring.lock (waiting), reads the keyring again under it, and unlocks it with the root that `k` holds; k is replaced by
 * what was read.  If somebody else's root is in place: -EKEYREJECTED. */
int keyring_change_begin(struct store *s, int dot, struct keyring *k, struct keyring_change **out,
			 struct fault *why) MUST_CHECK;
/* Writes both copies, releases the lock, frees the change.  Fails only if the first copy could not be written; a second copy that
 * could not is said through log_warning, and the next change writes it. */
int keyring_change_commit(struct keyring_change **c, struct fault *why) MUST_CHECK;
/* Nothing was written; what the caller changed in the keyring stays in the object, so that it is good for keyring_free() only. */
void keyring_change_abort(struct keyring_change **c);

/* A new protector that the secret opens; *id out.  The secret is not kept. */
int keyring_add_protector(struct keyring *k, const struct unlock_secret *s, uint32_t *id, struct fault *why) MUST_CHECK;
/* -ENOENT unknown id; -EPERM the last one. */
int keyring_remove_protector(struct keyring *k, uint32_t id, struct fault *why) MUST_CHECK;
/* The id of the protector that keyring_unlock opened. */
uint32_t keyring_opened_by(const struct keyring *k);

/* A new instance id, for a copy that is to be a volume of its own; between keyring_change_begin and _commit. */
int keyring_adopt(struct keyring *k, struct fault *why) MUST_CHECK;
/* Writes volume.json as the keyring has the settings. */
int keyring_write_settings(struct store *s, int dot, const struct keyring *k, struct fault *why) MUST_CHECK;
/* The settings with the instance id from before the last adoption; false: there was none. */
bool keyring_adopted_from(const struct keyring *k, struct settings *out);

/* --- a new volume */
struct new_volume {
	enum cipher cipher; /* CIPHER_NONE: auto */
	bool portable;
	uint64_t journal_size;
	const struct unlock_secret *secrets; /* the first protectors, at least one */
	uint32_t secret_count;
	/* What else belongs into .coffer (`dot`), before the volume is one; NULL: nothing. */
	int (*furnish)(struct store *s, int dot, const struct settings *set, const struct keys *keys,
		       uint64_t journal_size, struct fault *why);
};
/* Makes DIR a volume: DIR must not exist or be an empty directory (or hold only an interrupted init's .coffer-init and an empty data/), and
 * neither be inside a volume nor on one's mount.  Builds in .coffer-init/ and renames it to .coffer last; data/ with its id record is
 * made before that.  A failure removes what it made.  *out: the unlocked keyring. */
int volume_init(const char *dir, const struct new_volume *how, struct keyring **out, struct fault *why) MUST_CHECK;

/* Opens DIR's .coffer: *dot is a handle of it, *data one of data/.  -ENOENT and EXIT_NOT_VOLUME if it is not a volume. */
int volume_open_dir(struct store *s, const char *dir, int *dot, int *data, struct fault *why) MUST_CHECK;
/* Takes .coffer/lock without waiting; -EBUSY and EXIT_IN_USE if a mount holds it.  Returns the handle that holds it. */
int volume_lock(struct store *s, int dot, struct fault *why) MUST_CHECK;
/* Wipes and removes every wrapped key of the volume: both keyring copies are overwritten, synced and unlinked. */
int volume_erase(struct store *s, int dot, struct fault *why) MUST_CHECK;

/* The text of a directory id record (docs/format-volume.md section 4): 55 characters and a terminator. */
enum { DIRECTORY_RECORD_TEXT = 55 };
struct directory_record {
	uint32_t generation, next;
	uint8_t id[DIRECTORY_ID_SIZE];
};
int directory_record_seal(const struct secret *directory_key, const struct directory_record *r,
			  char out[DIRECTORY_RECORD_TEXT + 1]) MUST_CHECK;
int directory_record_open(const struct secret *directory_key, const char *text, size_t n,
			  struct directory_record *r) MUST_CHECK;
/* The same under the directory key of today, or one from before a new root as far as that counts. */
int directory_record_accept(const struct keys *keys, const char *text, size_t n, struct directory_record *r) MUST_CHECK;

#endif

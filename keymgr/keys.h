/* The unlocked keys of a volume, as the filesystem sees them: generations by number, and who may do what with them.
 *
 * A `struct keys` is immutable and counted; when the keyring changes (rotation) a new one takes its place.  Thread-safe. */
#ifndef COFFER_KEYMGR_KEYS_H
#define COFFER_KEYMGR_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/base/kdf.h"
#include "util/base/secret.h"

/* NIST SP 800-57 part 1, section 7. */
enum key_state {
	KEY_PRE_ACTIVE,
	KEY_ACTIVE,      /* exactly one per scope: encrypts and decrypts */
	KEY_SUSPENDED,   /* neither, for now */
	KEY_DEACTIVATED, /* decrypts only */
	KEY_COMPROMISED, /* decrypts only, and status urges re-encryption */
	KEY_DESTROYED,
};

/* The words that files and people use. */
const char *key_state_name(enum key_state s);

/* Scopes: parts of a volume with generations of their own.  Two are always there: of the files, and of values inside files. */
enum { SCOPE_DEFAULT = 0, SCOPE_FIELDS = 1, SCOPES_BUILT_IN = 2, SCOPES_MAX = 32 };
#define SCOPE_NONE UINT32_MAX
enum { GENERATION_NONE = 0 };

/* A zone: a directory, and all below it that is in no further zone.  Its scope is what new data is sealed under there. */
struct key_zone {
	uint32_t number; /* from 1; never used twice */
	uint8_t directory[16];
	uint32_t scope;
	uint32_t
		from; /* a scope whose generations are still accepted, until a re-encryption has ended; or SCOPE_NONE */
	uint32_t to;  /* the scope that it is about to get; or SCOPE_NONE */
};
/* What is in no zone: the scope of files.  ANY: where it is not known what something is in, and it is vouched for otherwise. */
#define ZONE_DEFAULT UINT32_C(0)
#define ZONE_ANY     UINT32_MAX

struct generation_key {
	uint32_t number;
	uint32_t scope;
	enum key_state state;
	struct secret *
		prk; /* HKDF-Extract of K_g, 32 bytes; NULL when suspended (so is one that waits to be destroyed) or destroyed */
};

/* A directory key from before a new root: of id records whose generations are all below `until`, as all were then. */
struct older_directory_key {
	uint32_t until;
	struct secret *key;
};

struct keys {
	unsigned refs; /* atomic */
	uint8_t volume_id[VOLUME_ID_SIZE];
	enum cipher cipher;
	struct secret *directory_key; /* HMAC-SHA-256 of directory id records */
	struct secret *journal_prk;   /* HKDF-Extract of the journal key */
	/* Of a root that was replaced: directory keys until a re-encryption has renewed every record under them; the journal's, NULL but while
	 * its superblock may not be under the new one yet. */
	uint32_t older_count;
	struct older_directory_key *older;
	struct secret *journal_before; /* HKDF-Extract */
	uint32_t count;
	struct generation_key *generations; /* ascending numbers */
	uint32_t scope_count;
	uint32_t floor[SCOPES_MAX];  /* by scope: the lowest generation accepted */
	uint32_t active[SCOPES_MAX]; /* by scope */
	uint32_t locked;             /* a bit for each scope: somebody took its keys away for now */
	uint32_t zone_count;
	struct key_zone *zones;
};

struct keys *keys_ref(struct keys *k);
void keys_unref(struct keys *k);

/* The same volume without the key of any generation: what needs one gives -ENOKEY.  The journal can still be kept, and ids be told from what
 * somebody else made.  NULL without memory. */
struct keys *keys_locked(const struct keys *k);

/* Takes the keys of one scope away from keys that nobody else holds yet. */
void keys_lock_scope(struct keys *k, uint32_t scope);

/* The generation that new data of the scope is sealed under; NULL: there is no such scope. */
const struct generation_key *keys_active(const struct keys *k, uint32_t scope);

/* --- zones
 * The one that begins at a directory; NULL: none does. */
const struct key_zone *keys_zone_at(const struct keys *k, const uint8_t directory[16]);
/* The scope of a zone; SCOPE_NONE if it is not known.  ZONE_ANY: the scope of files. */
uint32_t keys_zone_scope(const struct keys *k, uint32_t zone);
/* The scope of a generation; SCOPE_NONE if it is not known. */
uint32_t keys_scope_of(const struct keys *k, uint32_t generation);
/* What lies in the zone may be under generations of the scope. */
bool keys_zone_accepts(const struct keys *k, uint32_t zone, uint32_t scope);
bool keys_zone_locked(const struct keys *k, uint32_t zone);
/* What lies in one may be moved or linked into the other: they have one scope, and nothing is under way in either. */
bool keys_zones_joined(const struct keys *k, uint32_t a, uint32_t b);
/* The number of the generation that new data is sealed under there; GENERATION_NONE if the zone is not known. */
uint32_t keys_active_in(const struct keys *k, uint32_t zone);
/* As keys_for_open, of what lies in a zone. */
const struct generation_key *keys_for_open_in(const struct keys *k, uint32_t zone, uint32_t generation, int *error);

/* The highest number that the keyring has given to a key; those of a keyring that is older end below. */
uint32_t keys_newest(const struct keys *k);

/* The generation, if data of this scope may be opened with it.  NULL and *error = -ENOKEY if it is suspended, -EBADMSG if it is
 * unknown, destroyed, of another scope, below the floor. */
const struct generation_key *keys_for_open(const struct keys *k, uint32_t scope, uint32_t generation, int *error);

/* derive() of docs/format-volume.md section 2. */
int keys_derive(const struct keys *k, const struct generation_key *g, const char *label, const void *extra,
		size_t extra_size, void *out, size_t out_size) MUST_CHECK;
/* The content key of one file (the volume's cipher is part of it). */
int keys_derive_content(const struct keys *k, const struct generation_key *g, const uint8_t file_id[16],
			uint8_t out[AEAD_KEY]) MUST_CHECK;
/* A key of the journal: `label` is one of LABEL_JOURNAL_*. */
int keys_derive_journal(const struct keys *k, const char *label, const void *extra, size_t extra_size,
			uint8_t out[AEAD_KEY]) MUST_CHECK;

#endif

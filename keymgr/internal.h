/* The inside of a keyring.  Only keymgr/ includes this. */
#ifndef COFFER_KEYMGR_INTERNAL_H
#define COFFER_KEYMGR_INTERNAL_H

#include "keymgr/audit.h"
#include "keymgr/document.h"
#include "keymgr/generations.h"
#include "keymgr/keyring.h"
#include "keymgr/policy.h"
#include "keymgr/scope.h"
#include "keymgr/sealed_file.h"
#include "keymgr/wrap.h"

enum {
	ZONES_MAX = 256,
	GENERATIONS_MAX = 4096,
	HISTORY_MAX = 256,
	TYPE_MAX = 15,
};

#define KEYRING_FILE  "keyring.json"
#define SETTINGS_FILE "volume.json"
#define LOCK_FILE     "keyring.lock"

enum volume_key { VOLUME_KEY_DIRECTORY, VOLUME_KEY_JOURNAL, VOLUME_KEY_AUDIT, VOLUME_KEYS };
extern const char *const volume_key_names[VOLUME_KEYS];

enum document_kind { DOCUMENT_KEYRING, DOCUMENT_VOLUME, DOCUMENT_BACKUP };

struct protector {
	uint32_t id;
	char type[TYPE_MAX + 1];
	char created[TIME_TEXT + 1];
	const struct protector_type *handler; /* NULL: a type that this program does not know; kept as it is */
	uint8_t commitment[COMMITMENT_SIZE], wrapped[WRAPPED_SIZE];
	json_object *json; /* inside the document; the type's own members */
};

struct generation {
	uint32_t number, scope;
	enum key_state state;
	char created[TIME_TEXT + 1];
	char since[TIME_TEXT + 1];      /* of the last transition */
	char destroy_at[TIME_TEXT + 1]; /* empty: does not wait to be destroyed */
	uint8_t wrapped[WRAPPED_SIZE];  /* not when destroyed */
	json_object *json;              /* inside the document */
};

/* The document is what counts: a change edits `doc` and loads the rest from it again, so that members which this program does
 * not know survive. */
struct keyring {
	enum document_kind kind; /* a volume's own, or a backup of it */
	json_object *doc;
	struct sealed_text sealed; /* as read; kept until the MAC has been checked */

	/* loaded from doc (keyring_load.c) */
	struct settings settings;
	bool read_only;
	uint64_t sequence;
	uint32_t next_protector, next_generation;
	uint8_t fingerprint[FINGERPRINT_SIZE], commitment[COMMITMENT_SIZE];
	uint8_t root_directory[DIRECTORY_ID_SIZE];
	uint8_t wrapped_keys[VOLUME_KEYS][WRAPPED_SIZE];
	/* from before new roots (older_keys.c) */
	bool has_journal_before;
	uint8_t journal_before[WRAPPED_SIZE];
	uint32_t older_count;
	struct {
		uint32_t until;
		uint8_t wrapped[WRAPPED_SIZE];
	} older[AUDIT_SEGMENTS_MAX - 1];
	uint32_t protector_count;
	struct protector protectors[PROTECTORS_MAX];
	uint32_t generation_count;
	struct generation *generations; /* ascending numbers */
	uint32_t scope_count;
	struct {
		char name[SCOPE_NAME_MAX + 1];
	} scopes[SCOPES_MAX];
	uint32_t floor[SCOPES_MAX], active[SCOPES_MAX];
	uint32_t zone_count;
	struct key_zone zones[ZONES_MAX];

	/* unlocked only */
	struct secret *root; /* NULL while locked */
	uint32_t opened_by;
	bool by_public_key; /* the root came out of what anyone could have made, and nobody vouches for it (pin.h) */

	/* the audit log: where it stood at the last change; keys of its segments before a new root; what the next commit records */
	struct audit_link audit;
	uint32_t old_audit_count;
	struct {
		uint64_t last; /* the last line under it */
		uint8_t wrapped[WRAPPED_SIZE];
	} old_audit[AUDIT_SEGMENTS_MAX - 1];
	json_object *notes;

	bool approved;   /* by whom the rule asks for, for this change (approval.h) */
	bool recorded;   /* the change is in the audit log already */
	bool remembered; /* the host's memory knows this keyring, and is told of changes */

	bool wipe_replaced; /* the next commit wipes the files that it replaces: they hold a key that is to be gone */
};

/* --- settings.c */
/* The first checks of section 3, then the settings.  -ENOTSUP for an unknown version or flag, in *why. */
int settings_load(json_object *doc, enum document_kind kind, struct settings *out, bool *read_only, struct problem *p,
		  struct fault *why) MUST_CHECK;
int document_put_format(json_object *doc, enum document_kind kind) MUST_CHECK; /* format and version */
int settings_put(json_object *doc, const struct settings *s) MUST_CHECK;
int settings_file_read(struct store *s, int dot, json_object **doc, struct fault *why) MUST_CHECK;
int settings_file_write(struct store *s, int dot, const struct settings *set) MUST_CHECK;
/* Takes keyring.lock: whoever holds it may clear temporary files away. */
int settings_text_write(struct store *s, int dot, const struct sealed_text *t) MUST_CHECK;

/* --- keyring_load.c: from k->doc to the rest of *k */
int keyring_load(struct keyring *k, struct problem *p, struct fault *why) MUST_CHECK;
int keyring_load_protectors(struct keyring *k, struct problem *p) MUST_CHECK;

/* --- older_keys.c */
int older_keys_load(struct keyring *k, json_object *keys, struct problem *p) MUST_CHECK;
/* Every one has to unwrap. */
int older_keys_check(const struct keyring *k, const struct wrapping *root) MUST_CHECK;
/* Those that still count. */
int older_keys_fill(const struct keyring *k, const struct wrapping *root, struct keys *out) MUST_CHECK;
/* Takes those out of the document that do not count any more, as the floors are above what they were for. */
void older_keys_drop(struct keyring *k);

/* --- scope.c */
/* The members "scopes", before "generations" is loaded, and "zones"; scopes_check when all is loaded. */
int scopes_load(struct keyring *k, struct problem *p) MUST_CHECK;
int scopes_check(const struct keyring *k, struct problem *p) MUST_CHECK;
int scopes_put_first(json_object *doc) MUST_CHECK;
/* Nothing of other scopes is left in the zones of this one. */
int zones_settle(struct keyring *k, uint32_t scope) MUST_CHECK;

/* --- scope_merge.c: puts what both say together into `doc`, a copy of the document of `ours` */
int scopes_merge(json_object *doc, const struct keyring *ours, const struct keyring *theirs,
		 struct fault *why) MUST_CHECK;

/* --- generation_load.c */
int generations_load(struct keyring *k, struct problem *p) MUST_CHECK;

/* --- generation.c */
/* A first, active generation of a scope. */
int generation_put_first(json_object *generations, uint32_t number, uint32_t scope,
			 const struct wrapping *root) MUST_CHECK;
/* The generation of this number; NULL if there is none. */
struct generation *generation_find(const struct keyring *k, uint32_t number);
int generation_get(const struct keyring *k, uint32_t number, struct generation **out, struct fault *why) MUST_CHECK;
/* Whether the state machine lets it go that way; and going.  The keyring has to be loaded again after a step. */
int generation_may(const struct generation *g, enum key_event e, struct fault *why) MUST_CHECK;
int generation_step(struct keyring *k, struct generation *g, enum key_event e, struct fault *why) MUST_CHECK;
/* One more step in the history of a generation that is there as JSON. */
int generation_put_history(json_object *o, enum key_state state) MUST_CHECK;
int generation_put_floor(struct keyring *k, uint32_t scope, uint32_t floor) MUST_CHECK;
/* After an edit of the document with this result: loads the keyring from it again. */
int generation_reload(struct keyring *k, int ret, struct fault *why) MUST_CHECK;

/* --- keyring_note.c */
/* An event that keyring_change_commit() records in the audit log; details are put into *out, which belongs to the keyring. */
int keyring_note(struct keyring *k, const char *event, json_object **out) MUST_CHECK;
/* The member "audit" of the document, which older keyrings lack. */
int audit_anchor_load(struct keyring *k, struct problem *p) MUST_CHECK;
/* Records what was noted, and anchors the log in the document.  keyring.lock is held. */
int keyring_record(struct store *s, int dot, struct keyring *k, struct fault *why) MUST_CHECK;

/* --- keyring_read.c */
/* From a text whose seal has not been looked at; takes what it needs out of *t. */
int keyring_from_text(struct sealed_text *t, struct keyring **out, struct fault *why) MUST_CHECK;
/* Whether volume.json belongs to it. */
int keyring_compare_settings(struct store *s, int dot, const struct keyring *k, struct fault *why) MUST_CHECK;
/* Only the keyring's own two copies. */
int keyring_file_read(struct store *s, int dot, struct keyring **out, struct fault *why) MUST_CHECK;

/* --- keyring_unlock.c */
/* Takes the root over if it is this keyring's (commitment), the MAC is right and every key unwraps. */
int keyring_take_root(struct keyring *k, struct secret **root, struct fault *why) MUST_CHECK;
/* The pseudorandom key of the root, from which all is derived. */
int keyring_root_prk(const struct keyring *k, struct stack_key *prk) MUST_CHECK;

/* --- keyring_write.c */
int keyring_seal(const struct keyring *k, struct sealed_text *out) MUST_CHECK;
int keyring_file_write(struct store *s, int dot, struct keyring *k, bool *first) MUST_CHECK;
/* Says what has become of a keyring of this sequence whose first copy could not be written, for `error`.  False: it is in place all the
 * same, and perhaps not durable. */
bool keyring_write_failed(struct store *s, int dot, uint64_t sequence, int error, struct fault *why);

/* Puts what is on disk now into k, opened with the root that k holds. */
int keyring_refresh(struct store *s, int dot, struct keyring *k, struct fault *why) MUST_CHECK;

/* The handle that holds .coffer/keyring.lock, waiting for it. */
int keyring_lock(struct store *s, int dot) MUST_CHECK;

/* --- keyring_roots.c */
/* 0 if the root `known` was replaced by the one of today, in one step or several; the keyring is unlocked. */
int keyring_root_succeeds(const struct keyring *k, const uint8_t known[FINGERPRINT_SIZE]) MUST_CHECK;
/* A link of the chain. */
int keyring_root_link(const struct secret *replaced, const struct secret *successor,
		      const uint8_t volume_id[VOLUME_ID_SIZE], json_object **out) MUST_CHECK;

/* --- backup_list.c, backup.c */
int backup_note_made(struct keyring *k, const struct keyring *backup) MUST_CHECK;
/* Whether what this is a commitment to (in a protector of the type shares) opens a verified backup, and how many shares it takes. */
bool backup_in_shares(const struct keyring *k, const uint8_t commitment[COMMITMENT_SIZE], unsigned *threshold);
/* Whether both keyrings hold the same key as a generation.  Their roots may differ. */
int generation_same_key(const struct keyring *a, const struct generation *x, const struct keyring *b,
			const struct generation *y, bool *same) MUST_CHECK;

/* --- approval.c */
/* Refuses what the rule asks an approval for, where there is none: "... have to agree before WHAT". */
int approval_needed(const struct keyring *k, const char *what, struct fault *why) MUST_CHECK;

/* --- managed_policy.c */
/* One that the policy does not let stay; m NULL: there is none. */
bool generation_is_beyond(const struct keyring *k, const struct generation *g, const struct managed_policy *m);

/* --- policy.c */
int policy_put(json_object *doc, const struct policy *p) MUST_CHECK;

/* --- entry.c */
/* After a change: the host remembers it, if it remembered what was before.  keyring.lock is held. */
void keyring_remember(const struct keyring *k);

/* --- keyring_new.c */
/* A keyring for a new volume, unlocked, with its protectors; nothing is written. */
int keyring_new(const struct settings *set, const struct unlock_secret *secrets, uint32_t count, struct keyring **out,
		struct fault *why) MUST_CHECK;

/* --- volume.c */
/* Puts zeros over the content of a regular file, and syncs it. */
int file_overwrite(struct store *s, int fd) MUST_CHECK;
/* The same to temporary files of changes that were cut short, and removes them; keyring.lock is held. */
int erase_temporaries(struct store *s, int dot) MUST_CHECK;

/* --- volume_init.c */
int volume_init_on(struct store *s, const char *dir, const struct new_volume *how, struct keyring **out,
		   struct fault *why) MUST_CHECK;

#endif

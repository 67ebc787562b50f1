/* Key-encryption keys: named, in versions.  The newest version wraps; older ones unwrap, down to the lowest that is allowed.  No key leaves.
 *
 * Functions that change something stage it in the ledger and note nothing: the caller writes the line that says who did it. */
#ifndef COFFER_SERVICE_KEK_H
#define COFFER_SERVICE_KEK_H

#include "keymgr/managed_policy.h"
#include "keymgr/service/ledger.h"

enum {
	KEK_NAME_MAX = 63,
	KEK_VALUE_MAX = 4096,
	KEK_AAD_MAX = 1024,
	KEK_VERSIONS_MAX = 1 << 20,
	KEK_DELETED_DAYS_MIN = 7, /* how long a deleted key can be recovered */
	KEK_DELETED_DAYS_MAX = 90,
	KEK_ROTATE_DAYS_MAX = 3650,
};
#define KEK_ALGORITHM "A256GCM"

/*     enabled <-> disabled        kek_enable
 *     both    <-> deleted         kek_delete, kek_recover: it comes back as what it was
 *     deleted  -> purged          kek_purge: its secret is gone; the name stays taken, since grants and pins hang on it */
enum kek_state {
	KEK_ENABLED,
	KEK_DISABLED,
	KEK_DELETED,
	KEK_PURGED,
};

struct kek {
	char name[KEK_NAME_MAX + 1];
	enum kek_state state;
	bool keep_until;      /* once on it stays on: nobody purges the key before its time */
	time_t purge_at;      /* of a deleted one: when it is purged */
	uint32_t rotate_days; /* it gets a new version when the newest is so old; 0: by hand only */
	time_t rotated;
	uint32_t latest, lowest;       /* versions; below `lowest` nothing is unwrapped */
	struct managed_policy volumes; /* what mounts of volumes under it are to do */
	json_object *row;
};
static inline void kek_free(struct kek *k)
{
	json_object_put(k->row);
	k->row = NULL;
}

/* A letter or digit, then letters, digits and ._- */
bool kek_name_valid(const char *name);

int kek_get(struct ledger *l, const char *name, struct kek *out) MUST_CHECK; /* -ENOENT */
/* For who uses it and changes nothing: name, state, versions and the policy for volumes, no times; `row` is everybody's (ledger_look). */
int kek_look(struct ledger *l, const char *name, struct kek *out) MUST_CHECK; /* -ENOENT */
int kek_create(struct ledger *l, const struct service_keys *keys, const char *name,
	       struct kek *out) MUST_CHECK; /* -EEXIST */
int kek_rotate(struct ledger *l, const struct service_keys *keys, struct kek *k) MUST_CHECK;
int kek_enable(struct ledger *l, struct kek *k, bool enabled) MUST_CHECK;
/* -ERANGE outside 1 to latest. */
int kek_set_lowest(struct ledger *l, struct kek *k, uint64_t lowest) MUST_CHECK;
/* 0 to KEK_ROTATE_DAYS_MAX; -ERANGE. */
int kek_set_rotation(struct ledger *l, struct kek *k, uint64_t days) MUST_CHECK;
/* In the bounds of managed_policy.h. */
int kek_set_volumes(struct ledger *l, struct kek *k, const struct managed_policy *policy) MUST_CHECK;
int kek_protect(struct ledger *l, struct kek *k) MUST_CHECK;
/* -ERANGE: not a number of days that is allowed. */
int kek_delete(struct ledger *l, struct kek *k, uint64_t days) MUST_CHECK;
int kek_recover(struct ledger *l, struct kek *k) MUST_CHECK;
/* -EINVAL: it is not deleted.  -EPERM: it is protected, and its time has not come. */
int kek_purge(struct ledger *l, struct kek *k) MUST_CHECK;
enum kek_due {
	KEK_NOTHING_DUE,
	KEK_ROTATE_DUE,
	KEK_PURGE_DUE,
};
enum kek_due kek_due(const struct kek *k);
/* All of the above but recover and purge: -EIDRM of one that is deleted or purged. */

/* What was wrapped, and what it needs to be opened. */
struct kek_wrapped {
	uint32_t version;
	uint8_t iv[AEAD_NONCE], tag[AEAD_TAG];
	uint8_t value[KEK_VALUE_MAX];
	size_t size;
	uint8_t aad[KEK_AAD_MAX];
	size_t aad_size;
};
/* 0, or -EKEYREVOKED, -EIDRM. */
int kek_usable(const struct kek *k) MUST_CHECK;
/* Under the newest version.  aad in *w is given; the rest is filled.  -EKEYREVOKED: the key is disabled; -EIDRM: deleted or purged. */
int kek_wrap(struct ledger *l, const struct service_keys *keys, const struct kek *k, const uint8_t *value, size_t n,
	     struct kek_wrapped *w) MUST_CHECK;
/* w->size bytes.  -EKEYREVOKED: disabled; -EIDRM: deleted; -EKEYEXPIRED: of a version below `lowest`; -ENOENT: no such version; -EBADMSG: not wrapped so. */
int kek_unwrap(struct ledger *l, const struct service_keys *keys, const struct kek *k, const struct kek_wrapped *w,
	       uint8_t *out) MUST_CHECK;

/* As the API shows it. */
int kek_describe(const struct kek *k, json_object *out) MUST_CHECK;

#endif

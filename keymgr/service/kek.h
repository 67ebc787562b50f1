/* Key-encryption keys: named, in versions.  The newest version wraps; older ones unwrap, down to the lowest that is allowed.  No key leaves.
 *
 * Functions that change something stage it in the ledger and note nothing: the caller writes the line that says who did it. */
#ifndef COFFER_SERVICE_KEK_H
#define COFFER_SERVICE_KEK_H

#include "keymgr/service/ledger.h"

enum {
	KEK_NAME_MAX = 63,
	KEK_VALUE_MAX = 4096,
	KEK_AAD_MAX = 1024,
	KEK_VERSIONS_MAX = 1 << 20,
};
#define KEK_ALGORITHM "A256GCM"

struct kek {
	char name[KEK_NAME_MAX + 1];
	bool enabled;
	uint32_t latest, lowest; /* versions; below `lowest` nothing is unwrapped */
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
int kek_create(struct ledger *l, const struct service_keys *keys, const char *name,
	       struct kek *out) MUST_CHECK; /* -EEXIST */
int kek_rotate(struct ledger *l, const struct service_keys *keys, struct kek *k) MUST_CHECK;
int kek_enable(struct ledger *l, struct kek *k, bool enabled) MUST_CHECK;
/* -ERANGE outside 1 to latest. */
int kek_set_lowest(struct ledger *l, struct kek *k, uint64_t lowest) MUST_CHECK;

/* What was wrapped, and what it needs to be opened. */
struct kek_wrapped {
	uint32_t version;
	uint8_t iv[AEAD_NONCE], tag[AEAD_TAG];
	uint8_t value[KEK_VALUE_MAX];
	size_t size;
	uint8_t aad[KEK_AAD_MAX];
	size_t aad_size;
};
/* Under the newest version.  aad in *w is given; the rest is filled.  -EKEYREVOKED: the key is disabled. */
int kek_wrap(struct ledger *l, const struct service_keys *keys, const struct kek *k, const uint8_t *value, size_t n,
	     struct kek_wrapped *w) MUST_CHECK;
/* w->size bytes.  -EKEYREVOKED: disabled; -EKEYEXPIRED: of a version below `lowest`; -ENOENT: no such version; -EBADMSG: not wrapped so. */
int kek_unwrap(struct ledger *l, const struct service_keys *keys, const struct kek *k, const struct kek_wrapped *w,
	       uint8_t *out) MUST_CHECK;

/* As the API shows it. */
int kek_describe(const struct kek *k, json_object *out) MUST_CHECK;

#endif

/* The pin: which root key belongs to a volume, as far as a key of the service has wrapped it.
 *
 * Whoever may wrap could wrap a root of his own for somebody else's volume.  So the first root that is wrapped for a volume is pinned by its
 * fingerprint, and another one is refused until an administrator accepts it.  The accepted one takes its place when it is first unwrapped: until then
 * both unwrap, or a client that fails between two writes would be locked out.
 *
 * Functions stage changes in the ledger and note nothing. */
#ifndef COFFER_SERVICE_VOLUMES_H
#define COFFER_SERVICE_VOLUMES_H

#include "keymgr/service/ledger.h"

enum { VOLUME_TEXT = 2 * VOLUME_ID_SIZE, ROOT_SIZE = 32 };

struct volume_pin {
	char key[64], id[VOLUME_TEXT + 1];
	uint8_t root[FINGERPRINT_SIZE], next[FINGERPRINT_SIZE];
	bool has_next;
	json_object *row;
};
static inline void volume_pin_free(struct volume_pin *v)
{
	json_object_put(v->row);
	v->row = NULL;
}

/* 32 lower-case hexadecimal digits; false: not such. */
bool volume_id_parse(const char *text, uint8_t out[VOLUME_ID_SIZE]);
/* The fingerprint of a root key (docs/format-keyring.md section 6). */
int volume_fingerprint(const uint8_t root[ROOT_SIZE], const uint8_t id[VOLUME_ID_SIZE],
		       uint8_t out[FINGERPRINT_SIZE]) MUST_CHECK;

int volume_get(struct ledger *l, const char *key, const char *id, struct volume_pin *out) MUST_CHECK; /* -ENOENT */
int volume_look(struct ledger *l, const char *key, const char *id,
		struct volume_pin *out) MUST_CHECK; /* the same; `row` is everybody's */
int volume_pin_first(struct ledger *l, const char *key, const char *id, const uint8_t root[FINGERPRINT_SIZE],
		     struct volume_pin *out) MUST_CHECK;
/* As the next root; as the first, where none is known. */
int volume_accept(struct ledger *l, const char *key, const char *id, const uint8_t root[FINGERPRINT_SIZE],
		  struct volume_pin *out) MUST_CHECK;
bool volume_may(const struct volume_pin *v, const uint8_t root[FINGERPRINT_SIZE]);
/* It was unwrapped: if it is the next one, it is the one from now on (*changed).  Of one that volume_get gave. */
int volume_unwrapped(struct ledger *l, struct volume_pin *v, const uint8_t root[FINGERPRINT_SIZE],
		     bool *changed) MUST_CHECK;

int volume_describe(const struct volume_pin *v, json_object *out) MUST_CHECK;

#endif

/* Scopes: parts of a volume that have generations of keys of their own, and the directories where they begin (docs/format-keyring.md section 7).
 *
 * A directory gets another scope in three steps, each a change of the keyring: planned, so that nothing is moved or linked across its border
 * any more (who asked then proves that no hard link crosses it already); assigned, so that new data is sealed under the new scope and
 * what was there is still accepted; settled, by the end of a re-encryption.
 *
 * Changes are of an unlocked keyring in memory, between keyring_change_begin() and keyring_change_commit(); after a failure the keyring is good
 * for keyring_change_abort() only. */
#ifndef COFFER_KEYMGR_SCOPE_H
#define COFFER_KEYMGR_SCOPE_H

#include "keymgr/keyring.h"

enum { SCOPE_NAME_MAX = 64 };

struct scope_info {
	uint32_t number;
	char name[SCOPE_NAME_MAX + 1];
	uint32_t floor, active;
};
/* Returns how many there are. */
uint32_t keyring_scopes(const struct keyring *k, struct scope_info out[SCOPES_MAX]);
/* -ENOENT and EXIT_USAGE if there is none of that name; it says which there are. */
int keyring_scope_named(const struct keyring *k, const char *name, uint32_t *scope, struct fault *why) MUST_CHECK;
/* "?" if there is none of that number. */
const char *keyring_scope_name(const struct keyring *k, uint32_t scope);

/* A new scope with a first generation. */
int keyring_scope_create(struct keyring *k, const char *name, uint32_t *scope, struct fault *why) MUST_CHECK;

/* Returns how many zones there are, and the first `room` of them. */
uint32_t keyring_zones(const struct keyring *k, struct key_zone *out, uint32_t room);

/* A directory, whose scope is `now`, is to get the scope `to`.  -EALREADY: it has it.  Refused while another one is on its way. */
int keyring_zone_plan(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], uint32_t now, uint32_t to,
		      struct fault *why) MUST_CHECK;
/* It has it from now on, and what was there is to be re-encrypted.  -EBUSY: so is something else. */
int keyring_zone_assign(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], struct fault *why) MUST_CHECK;
/* It keeps what it had. */
int keyring_zone_abandon(struct keyring *k, const uint8_t directory[DIRECTORY_ID_SIZE], struct fault *why) MUST_CHECK;

#endif

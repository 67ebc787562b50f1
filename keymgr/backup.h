/* Backups of a keyring, and what is restored from them (docs/format-keyring.md section 9).
 *
 * A backup is a keyring document whose only protector is the backup's own: everything but the protectors of the volume. */
#ifndef COFFER_KEYMGR_BACKUP_H
#define COFFER_KEYMGR_BACKUP_H

#include "keymgr/host_memory.h"
#include "keymgr/keyring.h"

enum { BACKUPS_MAX = 64, BACKUP_ID_SIZE = 16 };

/* Makes a backup of an unlocked keyring that `secret` opens, and proves that it does.  *text: n bytes to be written, freed by the
 * caller.  What the keyring notes of it is written by the commit of the change that this belongs to. */
int backup_make(struct keyring *k, const struct unlock_secret *secret, char **text, size_t *n,
		struct fault *why) MUST_CHECK;

/* Reads a backup and unlocks it.  *out: a keyring to be looked at and restored from, not to be written.  A wrong secret:
 * -EKEYREJECTED, EXIT_WRONG_SECRET; no backup, or a damaged one: -EBADMSG, EXIT_DAMAGED. */
int backup_read(const char *text, size_t n, struct keyring **out, struct fault *why) MUST_CHECK;
int backup_unlock(struct keyring *backup, const struct unlock_secret *secret, struct fault *why) MUST_CHECK;
/* The type of what opens it. */
const char *backup_type(const struct keyring *backup);
void backup_created(const struct keyring *backup, char out[24]);

/* Opens the volume's keyring with the root of the backup, if it has the same one: -EKEYREJECTED, without a fault, if not. */
int backup_unlock_volume(const struct keyring *backup, struct keyring *k, struct fault *why) MUST_CHECK;

/* The generations of the unlocked volume that are not destroyed, and that the backup lacks or holds another key of: their numbers, at
 * most `room` of them; returns how many there are, or a negative errno. */
int backup_missing(const struct keyring *backup, const struct keyring *k, uint32_t *out, uint32_t room,
		   struct fault *why) MUST_CHECK;
/* Notes in the keyring that the backup was verified, between keyring_change_begin and _commit. */
int backup_mark_verified(struct keyring *k, const struct keyring *backup, struct fault *why) MUST_CHECK;

struct backup_info {
	char id[2 * BACKUP_ID_SIZE + 1], created[24], verified[24]; /* verified: empty if never */
	char type[16];
	uint32_t generations; /* how many it holds */
};
uint32_t keyring_backups(const struct keyring *k, struct backup_info out[BACKUPS_MAX]);
/* Generations that are not destroyed and in no verified backup.  Returns how many there are. */
uint32_t keyring_unbacked(const struct keyring *k, uint32_t *out, uint32_t room);

/* --- restoring */

struct restoring {
	struct keyring *backup;      /* unlocked */
	struct unlock_secret secret; /* opens the volume afterwards */
	struct trust trust;
	bool nothing_there; /* where it goes there is no volume and no keyring, and so nothing to look for */
};
struct restored {
	struct keyring *keyring; /* unlocked; the caller frees it */
	bool merged;             /* the volume's own keyring was there, and keeps its protectors */
	uint32_t added;          /* generations that the volume's keyring lacked */
	uint32_t
		seen; /* the highest generation that this host or the audit log has seen, if the keyring now lacks it; else 0 */
};
/* Puts a keyring in place in which nothing goes back: generations of both, sequence, floors and numbers above all that the volume or
 * this host has seen; destroyed stays destroyed.  The caller holds the volume's lock.  -EPERM, EXIT_REFUSED where the volume has another
 * root that does not come before the backup's. */
int restore(struct store *s, int dot, const struct restoring *how, struct restored *out, struct fault *why) MUST_CHECK;

#endif

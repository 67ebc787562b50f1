/* Every way in which a keyring is changed, as one table: for the tests that cut, kill or starve each of them. */
#ifndef COFFER_TESTS_KEYMGR_UPDATES_H
#define COFFER_TESTS_KEYMGR_UPDATES_H

#include "keymgr/internal.h"

#define UPDATES_PASSPHRASE "correct horse battery staple"
#define UPDATES_NEW        "something else altogether"

/* A volume whose keyring has something for each of them: generations 1 and 4 deactivated and below the floor, 3 so and waiting to be
 * destroyed, 5 deactivated, 6 suspended, 7 and 2 (fields) active; a second protector; a backup. */
struct updates_place {
	struct store *s;
	int dot;
	struct keyring *k; /* unlocked */
	char *backup;      /* of the keyring as it was before generation 7 */
	size_t backup_size;
};
/* Makes it so, out of a new volume. */
int updates_prepare(struct updates_place *p, struct fault *why);

struct update {
	const char *name;
	int (*run)(struct updates_place *p, struct fault *why);
	int changes;    /* how many changes it makes, one after the other */
	uint32_t wiped; /* the generation whose key is gone afterwards; 0: none */
	bool adopts;
};
extern const struct update updates[];
extern const size_t update_count;

/* Reads the keyring of the place and unlocks it, with whatever secret it has before or after an update. */
int updates_open(struct store *s, int dot, struct keyring **out, struct fault *why);
int updates_enter(struct updates_place *p, struct fault *why);
/* The same behind an update that was cut short: an adoption of which the host did not hear is done again, as the refusal says. */
int updates_enter_after(struct updates_place *p, const struct update *u, struct fault *why);
/* Called each time that a change has been committed. */
extern void (*updates_committed)(void);

#endif

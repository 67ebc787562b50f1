/* What may be done with generations of keys: the life that NIST SP 800-57 part 1 (revision 5, section 7) gives to a key.
 *
 * All of it changes an unlocked keyring in memory, between keyring_change_begin() and keyring_change_commit(); after a failure the
 * keyring is good for keyring_change_abort() only.  A refusal is -EPERM and EXIT_REFUSED, -ENOENT and EXIT_FAILED if there is no
 * such generation; both say what to do. */
#ifndef COFFER_KEYMGR_GENERATIONS_H
#define COFFER_KEYMGR_GENERATIONS_H

#include "keymgr/keyring.h"

enum key_event {
	KEY_EVENT_ACTIVATE,
	KEY_EVENT_SUSPEND,
	KEY_EVENT_RESUME,
	KEY_EVENT_DEACTIVATE,
	KEY_EVENT_COMPROMISE,
	KEY_EVENT_DESTROY,
	KEY_EVENTS,
};
const char *key_event_name(enum key_event e); /* "suspend" */

struct key_transition {
	uint32_t generation, scope;
	enum key_state from, to;
	uint32_t successor; /* the generation that became active first, because `generation` was; 0: none had to */
};

/* A new generation of the scope, active at once; the one that was is deactivated.  *generation: its number. */
int keyring_rotate(struct keyring *k, uint32_t scope, uint32_t *generation, struct fault *why) MUST_CHECK;

/* One step of a generation, except its destruction.  An active one first gets a successor. */
int keyring_transition(struct keyring *k, uint32_t generation, enum key_event event, struct key_transition *out,
		       struct fault *why) MUST_CHECK;

/* How many files (directories, links, attributes) of the volume still need a generation.  Who cannot tell returns a negative errno
 * with *why filled: then nothing that depends on it is done. */
struct generation_users {
	int (*count)(void *context, uint32_t generation, uint64_t *files, struct fault *why);
	void *context;
};

/* Nothing below `generation` is accepted any more in its scope.  In the scope of files this is refused while anything needs an
 * older one; tokens of fields lie in files that nobody can enumerate, there it is the caller's word. */
int keyring_raise_floor(struct keyring *k, uint32_t generation, const struct generation_users *users,
			struct fault *why) MUST_CHECK;

enum { DESTROY_DAYS = 30 };
/* Asks for the destruction of a generation that nothing needs: after DESTROY_DAYS its key may be wiped, or at once with `now`, or if
 * those days are over.  Until then it opens nothing (-ENOKEY), and keyring_undelete() brings it back.
 * *destroyed: the key is gone with the commit of this change. */
int keyring_destroy(struct keyring *k, uint32_t generation, bool now, const struct generation_users *users,
		    bool *destroyed, struct fault *why) MUST_CHECK;
int keyring_undelete(struct keyring *k, uint32_t generation, struct fault *why) MUST_CHECK;

#endif

/* The journal's key after a new root (keymgr/rotate_root.h).
 *
 * 1. The keyring has both keys before the journal is touched, and drops the old one when both superblocks are under the new one, durably.
 * 2. Each superblock is written in its turn, as always: a cut leaves one that is whole, under the old key or the new one. */
#include <errno.h>

#include "fs/journal_parts.h"
#include "keymgr/rotate_root.h"

int journal_take_new_key(struct store *s, int dot, const struct settings *set, const struct keys *keys)
{
	struct journal *j;
	int r = journal_open(s, dot, set, keys, false, &j);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* What is not clean was written under the new key: that was accepted by a mount. */
	for (int i = 0; r == 0 && i < 2 && j->state.clean; i++) {
		struct journal_mark start = j->start;
		struct journal_state state = j->state;

		r = journal_superblock(j, &start, &state, true);
	}
	journal_close(&j);
	return r;
}

static int drop(struct store *s, int dot, struct keyring *k, struct fault *why)
{
	struct keyring_change *c;
	int r = keyring_change_begin(s, dot, k, &c, why);

	if (r < 0)
		return r;
	r = keyring_journal_is_new(k, why);
	if (r == 0)
		return keyring_change_commit(&c, why);
	keyring_change_abort(&c);
	return r;
}

int journal_end_new_root(struct store *s, int dot, struct keyring *k, struct fault *why)
{
	struct keys *keys = keyring_journal_is_old(k) ? keyring_keys(k) : NULL;
	int r;

	if (!keyring_journal_is_old(k))
		return 0;
	if (!keys)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the keys");
	r = journal_take_new_key(s, dot, keyring_settings(k), keys);
	keys_unref(keys);
	if (r < 0)
		return fault_errno(why, r == -EBADMSG ? EXIT_DAMAGED : EXIT_STORE, r,
				   "cannot bring .coffer/journal under its new key");
	return drop(s, dot, k, why);
}

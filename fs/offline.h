/* A volume worked on without a mount: unlocked, locked against mounts, recovered, and brought to its end like one. */
#ifndef COFFER_FS_OFFLINE_H
#define COFFER_FS_OFFLINE_H

#include "fs/reencrypt.h"

struct offline {
	struct opened opened;
	struct freeze *freeze;
	struct engine *engine;
	struct live_keys *keys;
	struct reencrypt *reencrypt;
};
#define OFFLINE_NONE ((struct offline){.opened = {.dot = -1, .data = -1, .lock = -1}})

/* On failure nothing stays open.  Secrets and cryptography have been started (opened_prepare, or the verbs' own way). */
int offline_start(const char *dir, const struct unlock_source *unlock, struct offline *out,
		  struct fault *why) MUST_CHECK;
/* To look only, with a keyring that has been unlocked and entered, and outlives it: `keys` and `reencrypt` are NULL. */
int offline_start_with(const char *dir, struct keyring *unlocked, struct offline *out, struct fault *why) MUST_CHECK;
int offline_stop(struct offline *o, struct fault *why);

/* Calls `each` for every file, link and directory with its path in the mount and its times, until it returns non-zero, which is then
 * returned. */
int offline_walk(struct offline *o, int (*each)(void *data, const char *path, const struct store_stat *st),
		 void *data) MUST_CHECK;

#endif

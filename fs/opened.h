/* A volume opened and unlocked by this process: what a mount, a check and the path tool begin with. */
#ifndef COFFER_FS_OPENED_H
#define COFFER_FS_OPENED_H

#include "fs/engine.h"

struct opened {
	struct store *store;
	int dot, data, lock;
	struct keyring *keyring;
	struct keys *keys;
	bool read_only; /* the store is, or a feature flag asks it */
};

/* Starts secrets and cryptography in this process; once, after the last fork. */
int opened_prepare(struct fault *why) MUST_CHECK;

/* Opens and unlocks `dir`; with `lock` nobody else may have it mounted meanwhile.  On failure nothing stays open. */
int opened_start(const char *dir, const struct unlock_source *unlock, bool lock, struct opened *out,
		 struct fault *why) MUST_CHECK;
void opened_stop(struct opened *o);

#endif

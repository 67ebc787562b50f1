/* Giving a directory, and all below it, another scope (keymgr/scope.h), while programs go on.
 *
 *  1. First the border: from the change of the keyring that plans it on, nothing is linked or moved across.
 *  2. Then the proof that no file below has a name outside already: half of its names would be refused otherwise.  Where one has, the directory keeps
 *     the scope that it had.
 *  3. Then the scope: new data is sealed under it, and what was there is accepted until a re-encryption, which begins by itself, has ended.
 *
 * Not from inside an operation. */
#ifndef COFFER_FS_ASSIGN_H
#define COFFER_FS_ASSIGN_H

#include "fs/live_keys.h"

/* The directory of a path in the mount, from its top.  -EBUSY, -EALREADY, -EMLINK (2), -ENOENT, -ENOTDIR, all in *why. */
int assign_scope(struct engine *e, struct live_keys *keys, const char *path, uint32_t scope,
		 struct fault *why) MUST_CHECK;

#endif

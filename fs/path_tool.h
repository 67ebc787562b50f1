/* Where a name of the mount lies below, and back, without a mount. */
#ifndef COFFER_FS_PATH_TOOL_H
#define COFFER_FS_PATH_TOOL_H

#include "keymgr/unlock.h"

/* dir: the volume, absolute.  path: relative to the mount's root ("a/b/c"), or with `decrypt` relative to DIR/data; without leading slash,
 * without "." and ".." components, "" for the root.  *out, freed by the caller: the other one, relative in the same way.
 * Works beside a running mount (takes no lock, changes nothing).  A component that does not exist: -ENOENT, named in *why. */
int volume_path(const char *dir, const struct unlock_source *unlock, const char *path, bool decrypt, char **out,
		struct fault *why) MUST_CHECK;

#endif

/* Who beside a mount's own user and root may have its values sealed and opened: a file of rules (docs/fields.md).
 *
 * One rule a line, "uid N RIGHTS CONTEXT..." or "gid N RIGHTS CONTEXT..."; RIGHTS of seal, open, mask with commas between; a CONTEXT is a name, "-" for
 * none, "*" for all; "#" begins a comment.  What any rule gives, is given.
 *
 *   (1) The file is read for each request, so what it says is so at once.  One that cannot be read, has a mistake, or could be written by
 *       somebody else than root and the mount's user, gives nobody anything.
 *   (2) Users and groups are the kernel's numbers, by SO_PEERCRED and SO_PEERGROUPS: no name is looked up, which could ask the mount itself. */
#ifndef COFFER_CLI_MOUNT_RIGHTS_H
#define COFFER_CLI_MOUNT_RIGHTS_H

#include "util/base/fault.h"

enum {
	RIGHT_SEAL = 1,
	RIGHT_OPEN = 2,
	RIGHT_MASK = 4, /* see the last characters */
};

/* What the process at the other end of the socket may in a context ("": none; NULL: in any). */
int rights_of_peer(const char *path, int fd, const char *context, unsigned *out, struct fault *why) MUST_CHECK;
/* Whether the file can be gone by. */
int rights_check(const char *path, struct fault *why) MUST_CHECK;

#endif

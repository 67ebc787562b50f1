/* Where the control socket of a mount is, and how large its packets are: what the mount and its clients agree on (docs/control-socket.md). */
#ifndef COFFER_KEYMGR_CONTROL_PATH_H
#define COFFER_KEYMGR_CONTROL_PATH_H

#include <stdbool.h>
#include <sys/un.h>

#include "keymgr/keyring.h"

enum {
	CONTROL_VERSION = 1,
	CONTROL_REQUEST_MAX = 65536,
	CONTROL_ANSWER_MAX = 65536,
};

/* The directory to be tried as number `i` (0, 1, ...): for root /run/coffer first, then $XDG_RUNTIME_DIR/coffer, then
 * /run/user/UID/coffer where /run/user/UID exists.  False: there are no more. */
bool control_directory(unsigned i, char out[108]) MUST_CHECK;

/* The address of INSTANCE.sock in a directory.  -ENAMETOOLONG: an address of a socket cannot be so long. */
int control_address(const char *directory, const uint8_t instance[INSTANCE_ID_SIZE],
		    struct sockaddr_un *out) MUST_CHECK;

#endif

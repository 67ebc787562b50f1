/* The name of a mount's control socket: made, replaced where dead, removed. */
#ifndef COFFER_FS_CONTROL_SOCKET_H
#define COFFER_FS_CONTROL_SOCKET_H

#include <sys/un.h>

#include "keymgr/keyring.h"

struct control_socket {
	int fd; /* listening; -1: there is none */
	struct sockaddr_un address;
};

/* Makes and listens; `volume` is for messages; `to_all`: every user may connect.  Without a place for a socket: 0, fd -1, and a warning is logged.  -EBUSY: a living mount has that instance id. */
int control_socket_open(const char *volume, const uint8_t instance[INSTANCE_ID_SIZE], bool to_all,
			struct control_socket *out, struct fault *why) MUST_CHECK;
void control_socket_close(struct control_socket *s);

#endif

#include "keymgr/hand_over.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "keymgr/internal.h"

enum { ROOT_SIZE = 32 };

int keyring_send_root(const struct keyring *k, int fd)
{
	return send(fd, k->root->bytes, k->root->size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int keyring_receive_root(struct keyring *k, int fd, unsigned seconds, struct fault *why)
{
	const struct timeval patience = {.tv_sec = seconds};
	_cleanup_secret_ struct secret *root = secret_new(ROOT_SIZE);
	ssize_t n;

	if (!root)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for secrets");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	n = recv(fd, root->bytes, ROOT_SIZE, MSG_TRUNC);
	if (n != ROOT_SIZE)
		return fault_set(why, EXIT_USAGE, EPROTO, "no root key came with the request");
	return keyring_take_root(k, &root, why);
}

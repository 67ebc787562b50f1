#include "keymgr/control_path.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "util/base/encode.h"

enum { ROOM = sizeof((struct sockaddr_un *)0)->sun_path };

bool control_directory(unsigned i, char out[108])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	char own[32];
	int n;

	/* Root in a namespace may find /run closed, and goes on like others. */
	if (geteuid() == 0 && i-- == 0) {
		snprintf(out, ROOM, "/run/coffer");
		return true;
	}
	if (runtime && runtime[0] == '/' && i-- == 0) {
		n = snprintf(out, ROOM, "%s/coffer", runtime);
		if (n > 0 && n < ROOM)
			return true;
		i = 0;
	}
	snprintf(own, sizeof own, "/run/user/%u", (unsigned)geteuid());
	if (i != 0 || stat(own, &st) < 0)
		return false;
	snprintf(out, ROOM, "%s/coffer", own);
	return true;
}

int control_address(const char *directory, const uint8_t instance[INSTANCE_ID_SIZE], struct sockaddr_un *out)
{
	char hex[2 * INSTANCE_ID_SIZE + 1];
	int n;

	hex_encode(instance, INSTANCE_ID_SIZE, hex);
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(out->sun_path, sizeof out->sun_path, "%s/%s.sock", directory, hex);
	return n < 0 || (size_t)n >= sizeof out->sun_path ? -ENAMETOOLONG : 0;
}

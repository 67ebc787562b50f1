/* Asking a mount over its control socket. */
#ifndef COFFER_FS_CONTROL_CLIENT_H
#define COFFER_FS_CONTROL_CLIENT_H

#include <stdbool.h>

#include "fs/control.h"

struct control_answer {
	char text[CONTROL_ANSWER_MAX + 1];
};

/* Connects to the mount with this instance id: as root also to another user's.  Returns a descriptor, whose closing ends what was
 * asked for on it; -ENOENT: no such mount is reached. */
int control_connect(const uint8_t instance[INSTANCE_ID_SIZE]) MUST_CHECK;

/* Asks and waits for the answer, so long at most.  What the mount refuses with comes back in *why. */
int control_ask(int fd, const char *request, unsigned seconds, struct control_answer *out,
		struct fault *why) MUST_CHECK;

/* The number on the line `name`; false if there is no such line. */
bool control_number(const struct control_answer *a, const char *name, uint64_t *out);
/* The text on the line `name`, cut to fit. */
bool control_text(const struct control_answer *a, const char *name, char *out, size_t room);

#endif

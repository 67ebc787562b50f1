/* Asking a mount over its control socket. */
#ifndef COFFER_KEYMGR_CONTROL_CLIENT_H
#define COFFER_KEYMGR_CONTROL_CLIENT_H

#include <json-c/json.h>
#include <stdbool.h>

#include "keymgr/keyring.h"

struct control_answer {
	json_object *members; /* NULL: nothing was answered */
};
#define CONTROL_ANSWER_NONE ((struct control_answer){NULL})
/* What it holds is wiped. */
void control_answer_free(struct control_answer *a);
#define _cleanup_answer_ _cleanup_(control_answer_free)

/* Wipes the strings in it, and lets go of it. */
void control_json_free(json_object *o);

/* Connects to the mount with this instance id: as root also to another user's.  Returns a descriptor, whose closing ends what was
 * asked for on it; -ENOENT: no such mount is reached. */
int control_connect(const uint8_t instance[INSTANCE_ID_SIZE]) MUST_CHECK;

/* Asks for a verb, with what it takes (taken over, on failure too; NULL: nothing; not wiped), and waits for the answer, so long at most.  What the mount
 * refuses with comes back in *why.  *out is freed first. */
int control_ask(int fd, const char *verb, json_object *arguments, unsigned seconds, struct control_answer *out,
		struct fault *why) MUST_CHECK;

/* The same with the root of an unlocked keyring as a packet of its own behind the request. */
int control_ask_with_root(int fd, const char *verb, json_object *request, const struct keyring *k, unsigned seconds,
			  struct control_answer *out, struct fault *why) MUST_CHECK;

/* Members of an answer; false, NULL if there is none of this name and kind. */
bool control_number(const struct control_answer *a, const char *name, uint64_t *out);
bool control_flag(const struct control_answer *a, const char *name);
const char *control_text(const struct control_answer *a, const char *name);

#endif

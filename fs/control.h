/* The control socket of a mount: other processes of its user, and root, ask it things by name (docs/control-socket.md).
 *
 * A connection carries packets (SOCK_SEQPACKET).  Each request is one, a JSON object with "version", "verb" and what the verb takes; each
 * answer is one: {"ok": true, ...} or {"ok": false, "status": a status of fault.h, "error": text}.
 *
 *  1. Only the mount's own user and root are answered (SO_PEERCRED), and for some verbs those whom the service admits: they find no other verbs,
 *     and take CONTROL_OTHERS places at most.  Others are disconnected without a word.
 *  2. Nothing here waits in a thread that serves the mount.  Each client has a thread, of which there are CONTROL_CLIENTS at most; who says
 *     nothing for CONTROL_IDLE_SECONDS, or does not take its answers, is disconnected.
 *  3. Whoever holds the lock of a volume owns the name of its socket: a dead socket is replaced.  One that answers belongs to a mount of
 *     another directory with the same instance id; it is left alone and the mount is refused.
 *  4. What a connection holds (a freeze) ends with it. */
#ifndef COFFER_FS_CONTROL_H
#define COFFER_FS_CONTROL_H

#include <json-c/json.h>
#include <stdbool.h>

#include "keymgr/control_path.h"

enum {
	CONTROL_CLIENTS = 16,
	CONTROL_IDLE_SECONDS = 10,
	CONTROL_OTHERS = 8, /* of the clients */
};

struct control; /* the socket and its threads */

/* One request, and what its connection holds. */
struct control_call {
	void *data; /* of control_open */
	const void *rights;
	json_object *request, *answer;
	int fd;        /* of the connection, for verbs that want more than a request */
	bool other;    /* it is neither the mount's user nor root who asks */
	uint64_t held; /* what this connection holds; 0: nothing */
};

/* A verb returns 0, having said what there is to say, or a negative errno with *why filled. */
struct control_verb {
	const char *name;
	int (*run)(struct control_call *c, struct fault *why);
	bool for_others;
};

struct control_service {
	const struct control_verb *verbs;        /* ends with a NULL name */
	const struct control_verb *more_verbs;   /* the same; NULL: there are none */
	bool (*holds)(struct control_call *c);   /* it still holds something: not idle */
	void (*release)(struct control_call *c); /* its connection is over */
	void (*at_end)(void);                    /* called in each thread before it ends */
	/* Whether a process that is neither the user's nor root's is answered; NULL: none is, and nobody else reaches the socket. */
	bool (*admits)(const void *rights, int fd);
	const void *rights;
	void *data;
};

/* Puts a member into the answer. */
void control_put_number(struct control_call *c, const char *name, uint64_t value);
void control_put_flag(struct control_call *c, const char *name, bool value);
void control_put_text(struct control_call *c, const char *name, const char *value);
/* A member of the request.  False, NULL: it is not there, or not of this kind. */
bool control_get_number(const struct control_call *c, const char *name, uint64_t *out);
bool control_get_flag(const struct control_call *c, const char *name);
const char *control_get_text(const struct control_call *c, const char *name);

/* Makes the socket.  *out is NULL, and a warning was logged, where there is no place for one.  -EBUSY: rule 3. */
int control_open(const char *volume, const uint8_t instance[INSTANCE_ID_SIZE], const struct control_service *service,
		 struct control **out, struct fault *why) MUST_CHECK;
/* Starts to answer. */
int control_serve(struct control *c) MUST_CHECK;
/* Disconnects everybody, waits for requests under way, removes the socket. */
void control_close(struct control **c);

#endif

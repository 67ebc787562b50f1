/* The agent: a process of the user that holds the keys of one keyring in locked memory, and seals and opens tokens for his other processes.
 *
 *   (1) Keys never leave it.  It answers with tokens, with values, and with what is public.
 *   (2) It answers processes of its own user only, and a process asks only an agent of its own user: both look at SO_PEERCRED.
 *   (3) It ends, and its keys with it: when nobody asked for a while, when its time is up (both also count while the machine sleeps), when the keyring
 *       has changed or cannot be reached, when its socket is gone, at SIGTERM, SIGINT, SIGHUP, and when it is told to.
 *   (4) One process, one thread: a request is answered whole before the next one is looked at.
 *
 * Whoever can run programs as the user can have values opened while the agent lives, as with ssh-agent; he gets no key to take away. */
#ifndef COFFER_FIELD_AGENT_H
#define COFFER_FIELD_AGENT_H

#include <sys/un.h>

#include "keymgr/keyring.h"
#include "util/field/token.h"

/* --- the client */

/* A box whose tokens are sealed and opened by the user's agent for that keyring, if it is the one of this file: copies of a keyring have one id, but may
 * have other generations.  -ENOENT: there is none.  Where the agent ends later, calls on the box
 * return -ECONNRESET. */
int agent_box(const uint8_t keyring_id[VOLUME_ID_SIZE], const struct keyring_stamp *file,
	      struct token_box **out) MUST_CHECK;

struct agent_state {
	uint32_t pid;
	uint32_t left, idle_left; /* seconds */
};
int agent_ask_state(const uint8_t keyring_id[VOLUME_ID_SIZE], struct agent_state *out) MUST_CHECK;
/* Tells it to end. */
int agent_stop(const uint8_t keyring_id[VOLUME_ID_SIZE]) MUST_CHECK;

/* --- the agent */

struct agent {
	struct token_box *box;
	uint32_t seconds, idle_seconds;      /* how long it lives, and how long without a request */
	struct keyring_stamp stamp;          /* of the keyring that the box was made of */
	bool (*keyring_same)(void *context); /* it is still that one */
	void *context;
};

struct agent_socket {
	int fd; /* -1: none */
	struct sockaddr_un address;
	uint64_t dev, ino; /* of the socket's name */
};
#define AGENT_SOCKET_NONE ((struct agent_socket){.fd = -1})

/* Makes the socket, mode 0600, in the user's runtime directory.  -EBUSY: an agent for the keyring is there. */
int agent_listen(const uint8_t keyring_id[VOLUME_ID_SIZE], struct agent_socket *out, struct fault *why) MUST_CHECK;
/* Answers until its end; removes the socket. */
int agent_serve(const struct agent *a, struct agent_socket *s, struct fault *why) MUST_CHECK;
void agent_socket_close(struct agent_socket *s);

#endif

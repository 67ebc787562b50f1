/* What agent and clients say to each other, over a stream socket.  Only agent_*.c include this.
 *
 * A frame is: length of what follows 4 | code 4 | parts.  A part is: length 4 | bytes.  Integers are little-endian.  The code of a request is an enum
 * agent_verb, that of an answer 0 or a negative errno.  Both ends are of one build: a hello of another version is refused. */
#ifndef COFFER_FIELD_AGENT_WIRE_H
#define COFFER_FIELD_AGENT_WIRE_H

#include "util/field/agent.h"

enum {
	AGENT_VERSION = 1,
	AGENT_FRAME_MAX = 2 * (TOKEN_VALUE_MAX + TOKEN_PAD_MAX) + (1 << 20), /* source and value */
	AGENT_HEAD = 8,
};

enum agent_verb {
	/* version 4, then device 8 | inode 8 of the keyring's file -> keyring id, active generation 4, then for each domain its name and generation 4 */
	AGENT_HELLO = 1,
	AGENT_SEAL, /* mode 1, pad 4, domain, bind 1, context, place, source, value -> token */
	AGENT_OPEN, /* bind 1, context, place, token -> source */
	AGENT_PUBLIC_KEY,
	AGENT_STATE, /* -> pid 4, left 4, idle left 4 */
	AGENT_STOP,
};

/* --- making frames */
int frame_begin(struct buffer *b, int32_t code) MUST_CHECK;
int frame_add(struct buffer *b, const void *bytes, size_t n) MUST_CHECK;
int frame_add_number(struct buffer *b, uint32_t v) MUST_CHECK;
/* Its length is known now. */
void frame_end(struct buffer *b);

/* --- reading them */
struct frame {
	int32_t code;
	const char *bytes; /* parts not yet read */
	size_t size;
};
/* The whole frame at the beginning of the bytes, `total` long.  -EAGAIN: it is not all there; -EBADMSG: none can be. */
int frame_read(const char *bytes, size_t n, struct frame *out, size_t *total) MUST_CHECK;
/* The next part.  -EBADMSG: there is none. */
int frame_take(struct frame *f, const char **bytes, size_t *n) MUST_CHECK;
int frame_take_number(struct frame *f, uint32_t *out) MUST_CHECK;
/* As text, without zero bytes, into `out`; empty text is fine. */
int frame_take_text(struct frame *f, char *out, size_t room) MUST_CHECK;

int frame_send(int fd, const struct buffer *b) MUST_CHECK;

/* --- where */
/* The directory of the sockets is the user's own, and nobody else may write there: checked, and made if `make`. */
int agent_address(const uint8_t keyring_id[VOLUME_ID_SIZE], bool make, struct sockaddr_un *out) MUST_CHECK;
/* The other end is a process of this user. */
bool agent_peer_is_ours(int fd);

#endif

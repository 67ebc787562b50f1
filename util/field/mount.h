/* Tokens by a mount: it has the keys of the scope "fields", and seals and opens over its control socket (docs/control-socket.md).
 *
 *   (1) No key leaves the mount, and none of its secrets is asked for here.
 *   (2) A connection lasts as long as one call: a mount has few places.
 *   (3) A request that was cut off is asked again: sealing and opening change nothing. */
#ifndef COFFER_FIELD_MOUNT_H
#define COFFER_FIELD_MOUNT_H

#include <sys/un.h>

#include "util/field/token.h"

/* One value of a call, or one token. */
struct token_item {
	const char *place, *bytes;
	size_t place_size, size;
	struct buffer where; /* for who makes up the place */
	struct buffer out;   /* what is made of it */
};

/* A box whose tokens are sealed and opened by the mount that listens at the address.  -ECONNRESET: none does, or it does not answer this user;
 * -ENOKEY: it is locked. */
int mount_box(const struct sockaddr_un *address, struct token_box **out) MUST_CHECK;
bool box_is_mounts(const struct token_box *b);
/* Asks again which generations are active. */
int mount_box_renew(struct token_box *b) MUST_CHECK;

/* All values of one column, in as few requests as they fit into.  Stops at the first that fails: *done says how many are made.
 * -E2BIG: longer than a packet (about 40,000 bytes); -ENOKEY: the mount is locked, or the generation suspended; -EACCES: this user may not; otherwise as
 * token_seal() and token_open(). */
int mount_seal(struct token_box *b, const struct token_how *how, const struct token_binding *to,
	       struct token_item *items, size_t count, size_t *done) MUST_CHECK;
/* masked: this user may see of the values what mask.h lets through, and that came.  `sealed`: such tokens are accepted. */
int mount_open(struct token_box *b, const struct token_binding *to, bool sealed, struct token_item *items, size_t count,
	       size_t *done, bool *masked) MUST_CHECK;

/* The words of requests, by enum token_bind. */
extern const char *const bind_names[4];

#endif

/* What coffer-service-client and coffer-kmip have in common: they answer requests about a server until their input ends (service_protocol.h).
 *
 * 1. They alone map OpenSSL and hold the client's private key; the processes that hold a volume's keys do not.
 * 2. They are not dumpable; requests and short answers, in which roots are, lie in locked memory.
 * 3. Servers are tried in turn, beginning with the one that answered last.  A request that a server may have carried out goes to no other one, unless
 *    that does no harm. */
#ifndef COFFER_KEYMGR_HELPER_TALK_PROGRAM_H
#define COFFER_KEYMGR_HELPER_TALK_PROGRAM_H

#include "keymgr/helper/service.h"
#include "util/base/secret.h"

struct talk {
	struct service_setup setup;
	struct service_connection connection;
	size_t connected_to;
};

/* One question, put to one server. */
struct talk_exchange {
	/* 0: answered, and no other server has to be asked.  -EHOSTUNREACH: not; *sent: the server may have done it. */
	int (*run)(struct talk_exchange *x, struct service_connection *c, const struct service_url *to, bool *sent,
		   struct reason *why);
	bool twice; /* no harm is done by a second time */
};
/* (3).  -EINVAL: a file does not do; -EHOSTUNREACH. */
int talk_to_servers(struct talk *t, struct talk_exchange *x, struct reason *why) MUST_CHECK;

/* Writes an answer: "word text", and bytes. */
int talk_answer(const char *word, const char *text, const void *body, size_t n) MUST_CHECK;
/* The same for who was not answered. */
int talk_refuse(int error, const struct reason *why) MUST_CHECK;

struct talk_program {
	const struct url_form *addresses;
	/* Answers one request; `line` may be changed, `n` bytes of the body are there.  Negative: the conversation ends. */
	int (*serve)(struct talk *t, char *line, const struct secret *body, size_t n);
};
/* The whole of main(). */
int talk_main(const struct talk_program *p, int argc, char **argv) MUST_CHECK;

#endif

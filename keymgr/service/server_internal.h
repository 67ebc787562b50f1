/* The inside of the server: one connection.  Only server.c and connection.c include this. */
#ifndef COFFER_SERVICE_SERVER_INTERNAL_H
#define COFFER_SERVICE_SERVER_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "keymgr/service/server.h"

enum connection_state {
	HANDSHAKING,
	READING, /* a request, or nothing yet */
	WAITING, /* for the commit */
	WRITING, /* the answer */
	LINGERING, /* all is said; what still comes is thrown away, or the answer could be lost with it (RFC 9112, section 9.6) */
};

struct connection {
	TAILQ_ENTRY(connection) all, waiting;
	struct server *server;
	enum connection_state state;
	int fd;
	SSL *ssl;
	struct event io, deadline;
	int64_t ends, timer; /* of the deadline, and when its timer calls; CLOCK_MONOTONIC in ms */
	short wants;         /* EV_READ or EV_WRITE: what `io` waits for; 0: nothing */
	struct tls_peer peer;
	char address[ADDRESS_TEXT], network[ADDRESS_TEXT];
	char *in; /* what has come and was not used yet */
	size_t in_used, in_room;
	size_t expected;  /* bytes of the request, once its head is read: until then it need not be looked at again */
	uint64_t heard;   /* bytes from the network before this request */
	bool begun, keep; /* a request has begun; the connection goes on behind its answer */
	struct answer answer;
	char *out; /* head and text of the answer */
	size_t out_size, out_done;
};

struct server {
	struct event_base *base;
	SSL_CTX *tls;
	struct server_limits limits;
	struct server_handler handler;
	int fd;
	struct event accepting, ticking, terminated, interrupted, committing;
	bool accept_paused;
	TAILQ_HEAD(all_connections, connection) all;
	TAILQ_HEAD(waiting_connections, connection) waiting;
	int count, waiting_count;
	struct server_counts counts;
	int log_budget, log_dropped; /* lines about refused peers in this second */
	int result;
};

/* Takes fd over.  Nothing is said to a peer that is one too many. */
void connection_new(struct server *s, int fd, const char *address, const char *network);
void connection_free(struct connection *c);
/* Behind the commit: failed says that there was none. */
void connection_answer(struct connection *c, bool failed);

/* server.c */
void server_wait_for_commit(struct server *s, struct connection *c);
void server_log_refused(struct server *s, const char *address, const char *reason);

#endif

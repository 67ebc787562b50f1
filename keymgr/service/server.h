/* The port of the key service: connections, handshakes, deadlines, requests in and answers out.  What a request means is the handler's.
 *
 * One thread, one loop.  Answers of one turn of the loop wait for one commit, so that many requests share one sync. */
#ifndef COFFER_SERVICE_SERVER_H
#define COFFER_SERVICE_SERVER_H

#include "keymgr/service/answer.h"
#include "keymgr/service/http.h"
#include "keymgr/service/port.h"
#include "keymgr/service/tls.h"

struct server_limits {
	int connections; /* in all; 1024 */
	int per_address; /* from one address; 64 */
	int per_client;  /* of one client, after the handshake; 32 */
	int handshake_s; /* 10: from the connection to the end of the handshake */
	int request_s;   /* 30: from a request's first byte to its answer's last, however it drips */
	int idle_s;      /* 75: between requests */
};
extern const struct server_limits server_limits_default;

struct server_handler {
	void *context;
	/* Stages whatever it does and fills the answer.  `address` is the peer's, without its port. */
	void (*handle)(void *context, const struct tls_peer *peer, const char *address, const struct http_request *r,
		       struct answer *a);
	/* Makes durable what was staged; only then is anything answered.  -EUCLEAN ends the server. */
	int (*commit)(void *context);
	/* Once a second. */
	void (*tick)(void *context);
};

struct server;
/* Binds ADDR:PORT (numeric; IPv6 in brackets; port 0: any).  `shown`: what was bound.  The context and handler are the caller's. */
int server_new(const char *listen_on, SSL_CTX *tls, const struct server_limits *limits,
	       const struct server_handler *handler, struct server **out, char shown[ADDRESS_TEXT],
	       struct fault *why) MUST_CHECK;
/* Since the start. */
struct server_counts {
	uint64_t connections,
		refused; /* peers let in, and refused: at the door, in the handshake, for what they sent or did not send */
	uint64_t answers[6]; /* by the first digit of their status */
	uint64_t commits;
	int open; /* connections now */
};
struct server_counts server_counts(const struct server *s);
struct event_base;
struct event_base *server_base(struct server *s);
/* Until SIGTERM or SIGINT (0), or an error that ends it. */
int server_run(struct server *s) MUST_CHECK;
/* Ends server_run with this result. */
void server_end(struct server *s, int result);
void server_free(struct server **s);

#endif

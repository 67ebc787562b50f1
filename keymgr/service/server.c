/* The port of the key service (server.h).
 *
 * 1. Requests that came in one turn of the loop share one commit.  The commit has a lower priority than everything that brings requests, and
 *    is due at the latest when BATCH_MAX of them wait.
 * 2. Where there are too many connections, those without a handshake go first, then those of peers with no certificate of the service.
 * 3. Whoever is not known yet cannot fill the log: a second has room for so many lines about refused peers, the rest are counted. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "keymgr/service/server_internal.h"
#include "util/base/log.h"

enum { BATCH_MAX = 64, ACCEPTS_A_TURN = 16, LOG_LINES_A_SECOND = 200 };

const struct server_limits server_limits_default = {
	.connections = 1024,
	.per_address = 64,
	.per_client = 32,
	.handshake_s = 10,
	.request_s = 30,
	.idle_s = 75,
};

void server_log_refused(struct server *s, const char *address, const char *reason)
{
	s->counts.refused++;
	if (s->log_budget > 0) {
		s->log_budget--;
		log_info("refused %s: %s", address, reason);
	} else {
		s->log_dropped++;
	}
}

/* --- commits */

static void commit_all(struct server *s)
{
	struct waiting_connections ready = TAILQ_HEAD_INITIALIZER(ready);
	struct connection *c;
	int ret = s->handler.commit(s->handler.context);

	s->counts.commits++;
	TAILQ_CONCAT(&ready, &s->waiting, waiting);
	s->waiting_count = 0;
	while ((c = TAILQ_FIRST(&ready))) {
		TAILQ_REMOVE(&ready, c, waiting);
		connection_answer(c, ret < 0);
	}
	if (ret == -EUCLEAN)
		server_end(s, ret);
}

static void on_commit(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	commit_all(context);
}

void server_wait_for_commit(struct server *s, struct connection *c)
{
	TAILQ_INSERT_TAIL(&s->waiting, c, waiting);
	/* Higher than what brings requests, once enough wait: then the next thing that the loop does. */
	if (++s->waiting_count == BATCH_MAX) {
		event_del(&s->committing);
		event_assign(&s->committing, s->base, -1, 0, on_commit, s);
		event_priority_set(&s->committing, 0);
	} else if (s->waiting_count == 1) {
		event_del(&s->committing);
		event_assign(&s->committing, s->base, -1, 0, on_commit, s);
		event_priority_set(&s->committing, 1);
	} else {
		return;
	}
	event_active(&s->committing, EV_TIMEOUT, 1);
}

/* --- accepting */

static int connections_from(const struct server *s, const char *network)
{
	const struct connection *c;
	int n = 0;

	TAILQ_FOREACH(c, &s->all, all)
	n += strcmp(c->network, network) == 0;
	return n;
}

/* Of those that nobody knows yet, the one that has taken longest.  Silent connections must not keep out who has something to say, nor must
 * who has made his own certificate. */
static struct connection *oldest_stranger(const struct server *s)
{
	struct connection *uncertified = NULL;

	for (struct connection *c = TAILQ_FIRST(&s->all); c; c = TAILQ_NEXT(c, all)) {
		if (c->state == HANDSHAKING || c->state == LINGERING)
			return c;
		if (!uncertified && !c->peer.issued && c->state == READING)
			uncertified = c;
	}
	return uncertified;
}

static void welcome(struct server *s, int fd, const union address *from)
{
	struct connection *stranger = s->count >= s->limits.connections ? oldest_stranger(s) : NULL;
	char address[ADDRESS_TEXT], network[ADDRESS_TEXT];

	address_text(from, address);
	address_network(from, network);
	if (stranger) {
		server_log_refused(s, stranger->address,
				   "there are too many connections; it was the oldest of a stranger");
		connection_free(stranger);
	}
	if (s->count >= s->limits.connections) {
		server_log_refused(s, address, "there are too many connections");
		close(fd);
	} else if (connections_from(s, network) >= s->limits.per_address) {
		server_log_refused(s, address, "there are too many connections from there");
		close(fd);
	} else {
		s->counts.connections++;
		connection_new(s, fd, address, network);
	}
}

static void on_accept(evutil_socket_t listening, short what, void *context)
{
	struct server *s = context;
	union address from = {0};

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		socklen_t size = sizeof(from);
		int fd = accept4(listening, &from.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			welcome(s, fd, &from);
			continue;
		}
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* Out of descriptors or memory: asked again at the next tick, not at once and for ever. */
		log_error("cannot accept a connection: %s", strerror(errno));
		event_del(&s->accepting);
		s->accept_paused = true;
		return;
	}
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct server *s = context;

	(void)fd;
	(void)what;
	if (s->log_dropped)
		log_info("refused %d more peers", s->log_dropped);
	s->log_dropped = 0;
	s->log_budget = LOG_LINES_A_SECOND;
	if (s->accept_paused)
		event_add(&s->accepting, NULL);
	s->accept_paused = false;
	s->handler.tick(s->handler.context);
}

static void on_signal(evutil_socket_t fd, short what, void *context)
{
	struct server *s = context;

	(void)fd;
	(void)what;
	event_base_loopbreak(s->base);
}

/* --- making one */

static int set_events(struct server *s)
{
	const struct timeval second = {.tv_sec = 1};
	struct event_config *config = event_config_new();
	int ret = 0;

	if (config)
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	s->base = config ? event_base_new_with_config(config) : NULL;
	if (config)
		event_config_free(config);
	if (!s->base || event_base_priority_init(s->base, 2) < 0)
		return -ENOMEM;
	ret |= event_assign(&s->accepting, s->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	ret |= event_assign(&s->ticking, s->base, -1, EV_PERSIST, on_tick, s);
	ret |= event_assign(&s->committing, s->base, -1, 0, on_commit, s);
	ret |= evsignal_assign(&s->terminated, s->base, SIGTERM, on_signal, s);
	ret |= evsignal_assign(&s->interrupted, s->base, SIGINT, on_signal, s);
	event_priority_set(&s->accepting, 0);
	event_priority_set(&s->ticking, 0);
	ret |= event_add(&s->accepting, NULL) | event_add(&s->ticking, &second) | evsignal_add(&s->terminated, NULL) |
	       evsignal_add(&s->interrupted, NULL);
	return ret ? -ENOMEM : 0;
}

int server_new(const char *listen_on, SSL_CTX *tls, const struct server_limits *limits,
	       const struct server_handler *handler, struct server **out, char shown[ADDRESS_TEXT], struct fault *why)
{
	struct server *s = calloc(1, sizeof(*s));
	int ret;

	*out = NULL;
	if (!s)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot listen");
	TAILQ_INIT(&s->all);
	TAILQ_INIT(&s->waiting);
	s->tls = tls;
	s->limits = *limits;
	s->handler = *handler;
	s->log_budget = LOG_LINES_A_SECOND;
	s->fd = port_open(listen_on, false, shown, why);
	ret = s->fd < 0 ? s->fd : set_events(s);
	if (ret < 0) {
		server_free(&s);
		return fault_errno(why, EXIT_FAILED, ret, "cannot listen on %s", listen_on);
	}
	*out = s;
	return 0;
}

struct server_counts server_counts(const struct server *s)
{
	struct server_counts n = s->counts;

	n.open = s->count;
	return n;
}

struct event_base *server_base(struct server *s)
{
	return s->base;
}

int server_run(struct server *s)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* the write then fails, which is known how to deal with */
	if (event_base_dispatch(s->base) < 0)
		return -EIO;
	if (s->waiting_count && s->result == 0)
		commit_all(s);
	return s->result;
}

void server_end(struct server *s, int result)
{
	s->result = result;
	event_base_loopbreak(s->base);
}

void server_free(struct server **s)
{
	struct connection *c;

	while ((c = TAILQ_FIRST(&(*s)->all)))
		connection_free(c);
	if ((*s)->base) {
		event_del(&(*s)->accepting);
		event_del(&(*s)->ticking);
		event_del(&(*s)->committing);
		event_del(&(*s)->terminated);
		event_del(&(*s)->interrupted);
		event_base_free((*s)->base);
	}
	if ((*s)->fd >= 0)
		close((*s)->fd);
	free(*s);
	*s = NULL;
}

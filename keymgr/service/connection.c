/* One connection of the key service.
 *
 * 1. Nothing is read from a peer before the handshake is done and its certificate known.
 * 2. A deadline always runs, and only a finished handshake, the first byte of a request or the last of its answer sets a new one: dripping bytes do
 *    not.  The first byte is that of the record which the request comes in, so that records cannot drip either.
 * 3. Bytes that may hold secrets are wiped as soon as they are used.
 *
 *     HANDSHAKING -> READING -> WAITING -> WRITING -> READING | LINGERING
 *
 * advance() goes as far as it can without waiting. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "keymgr/service/page.h"
#include "keymgr/service/server_internal.h"
#include "util/base/log.h"
#include "util/base/secret.h"

enum { FIRST_ROOM = 4096, LINGER_S = 2 };

static void advance(struct connection *c);

/* --- deadlines: `ends` is the one that counts.  The timer may be early; it then goes on for what is left. */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void start_timer(struct connection *c, int64_t ms)
{
	const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	c->timer = c->ends;
	evtimer_add(&c->deadline, &t);
}

static void set_deadline(struct connection *c, int seconds)
{
	c->ends = now_ms() + seconds * INT64_C(1000);
	if (!c->timer || c->ends < c->timer)
		start_timer(c, seconds * INT64_C(1000));
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	struct connection *c = context;
	int64_t left = c->ends - now_ms();

	(void)fd;
	(void)what;
	if (left > 0) {
		start_timer(c, left);
		return;
	}
	if (c->state == HANDSHAKING)
		server_log_refused(c->server, c->address, "the handshake took too long");
	else if (c->begun)
		server_log_refused(c->server, c->address, "the request took too long");
	connection_free(c);
}

/* --- waiting */

static void on_io(evutil_socket_t fd, short what, void *context);

static void wait_for(struct connection *c, short what)
{
	if (c->wants == what)
		return;
	if (c->wants)
		event_del(&c->io);
	c->wants = what;
	if (what) {
		event_assign(&c->io, c->server->base, c->fd, (short)(what | EV_PERSIST), on_io, c);
		event_priority_set(&c->io, 0);
		event_add(&c->io, NULL);
	}
}

/* While the commit is waited for, nothing is read: what comes then would call again and again.  Mostly nothing comes. */
static void on_io(evutil_socket_t fd, short what, void *context)
{
	struct connection *c = context;

	(void)fd;
	(void)what;
	if (c->state == WAITING)
		wait_for(c, 0);
	else
		advance(c);
}

void connection_new(struct server *s, int fd, const char *address, const char *network)
{
	struct connection *c = calloc(1, sizeof(*c));
	const int on = 1;

	if (!c || !(c->ssl = SSL_new(s->tls)) || !SSL_set_fd(c->ssl, fd)) {
		log_error("no memory for a connection");
		if (c)
			SSL_free(c->ssl);
		free(c);
		close(fd);
		return;
	}
	/* Answers are small; with Nagle's algorithm each would wait for an acknowledgement. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	SSL_set_accept_state(c->ssl);
	c->server = s;
	c->fd = fd;
	c->state = HANDSHAKING;
	snprintf(c->address, sizeof(c->address), "%s", address);
	snprintf(c->network, sizeof(c->network), "%s", network);
	TAILQ_INSERT_TAIL(&s->all, c, all);
	s->count++;
	evtimer_assign(&c->deadline, s->base, on_deadline, c);
	set_deadline(c, s->limits.handshake_s);
	wait_for(c, EV_READ);
}

void connection_free(struct connection *c)
{
	if (c->state == WAITING) {
		TAILQ_REMOVE(&c->server->waiting, c, waiting);
		c->server->waiting_count--;
	}
	TAILQ_REMOVE(&c->server->all, c, all);
	c->server->count--;
	wait_for(c, 0);
	event_del(&c->deadline);
	SSL_free(c->ssl);
	close(c->fd);
	answer_free(&c->answer);
	if (c->out)
		wipe(c->out, c->out_size);
	if (c->in)
		wipe(c->in, c->in_room);
	free(c->out);
	free(c->in);
	free(c);
}

/* No more is said or heard; true: there may be something to throw away. */
static bool linger(struct connection *c)
{
	(void)shutdown(c->fd, SHUT_WR);
	c->state = LINGERING;
	c->begun = false;
	set_deadline(c, LINGER_S);
	wait_for(c, EV_READ);
	return true;
}

/* What to do about a call of OpenSSL that gave no result; false: the connection is gone. */
static bool wait_or_end(struct connection *c, int result)
{
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		wait_for(c, EV_READ);
		return true;
	case SSL_ERROR_WANT_WRITE:
		wait_for(c, EV_WRITE);
		return true;
	default:
		if (c->state != HANDSHAKING) {
			connection_free(c);
			return false;
		}
		server_log_refused(c->server, c->address, tls_refusal(c->ssl));
		linger(c);
		advance(c);
		return false;
	}
}

static uint64_t heard(const struct connection *c)
{
	return BIO_number_read(SSL_get_rbio(c->ssl));
}

static void begin_request(struct connection *c)
{
	if (c->begun)
		return;
	c->begun = true;
	set_deadline(c, c->server->limits.request_s);
}

static void begin_reading(struct connection *c)
{
	c->state = READING;
	c->begun = false;
	c->heard = heard(c);
	set_deadline(c, c->server->limits.idle_s);
	if (SSL_has_pending(c->ssl)) /* read ahead */
		begin_request(c);
}

/* --- HANDSHAKING */

static int connections_of(const struct server *s, const struct tls_peer *peer)
{
	const struct connection *c;
	int n = 0;

	TAILQ_FOREACH(c, &s->all, all)
	n += c->state != HANDSHAKING && memcmp(c->peer.spki, peer->spki, SPKI_HASH_SIZE) == 0;
	return n;
}

/* Each of these returns whether to go on at once. */
static bool shake_hands(struct connection *c)
{
	int r = SSL_do_handshake(c->ssl);

	if (r != 1) {
		(void)wait_or_end(c, r);
		return false;
	}
	if (tls_peer(c->ssl, &c->peer) < 0 || connections_of(c->server, &c->peer) >= c->server->limits.per_client) {
		server_log_refused(c->server, c->address, "it has too many connections");
		connection_free(c);
		return false;
	}
	begin_reading(c);
	return true;
}

/* --- READING */

static bool make_room(struct connection *c)
{
	size_t room = c->in_room ? c->in_room * 2 : FIRST_ROOM;
	char *larger;

	if (c->in_used < c->in_room)
		return true;
	if (room > HTTP_HEAD_MAX + HTTP_BODY_MAX)
		room = HTTP_HEAD_MAX + HTTP_BODY_MAX;
	larger = room > c->in_used ? malloc(room) : NULL;
	if (!larger)
		return false;
	if (c->in) {
		memcpy(larger, c->in, c->in_used);
		wipe(c->in, c->in_used);
		free(c->in);
	}
	c->in = larger;
	c->in_room = room;
	return true;
}

static void take(struct connection *c, const struct http_request *r)
{
	c->keep = r->keep;
	c->server->handler.handle(c->server->handler.context, &c->peer, c->address, r, &c->answer);
	memmove(c->in, c->in + r->size, c->in_used - r->size);
	wipe(c->in + c->in_used - r->size, r->size);
	c->in_used -= r->size;
}

/* Whether there was a request in what has come. */
static bool look(struct connection *c)
{
	struct http_request r;
	const char *reason;
	int status = HTTP_MORE;

	if (c->in_used > 0 && c->in_used >= c->expected) {
		status = http_parse(c->in, c->in_used, &r, &reason);
		c->expected = status == HTTP_MORE ? r.size : 0;
	}
	if (c->in_used)
		begin_request(c);
	if (status == HTTP_MORE)
		return false;
	if (status == HTTP_WHOLE) {
		take(c, &r);
	} else {
		c->keep = false;
		server_log_refused(c->server, c->address, reason);
		if (answer_error(&c->answer, status, "bad_request", "%s", reason) < 0)
			answer_free(&c->answer);
	}
	return true;
}

static bool read_some(struct connection *c)
{
	int r;

	if (!look(c)) {
		if (!make_room(c)) {
			log_error("no memory for a request");
			connection_free(c);
			return false;
		}
		r = SSL_read(c->ssl, c->in + c->in_used, (int)(c->in_room - c->in_used));
		if (r <= 0) {
			if (heard(c) != c->heard) /* a piece of a record */
				begin_request(c);
			(void)wait_or_end(c, r);
			return false;
		}
		c->in_used += (size_t)r;
		return true;
	}
	c->state = WAITING;
	server_wait_for_commit(c->server, c);
	return false;
}

/* --- WRITING */

static bool compose(struct connection *c)
{
	char head[1024], retry[48] = "";
	size_t n;

	if (c->answer.retry_after)
		snprintf(retry, sizeof(retry), "Retry-After: %d\r\n", c->answer.retry_after);
	n = (size_t)snprintf(head, sizeof(head),
			     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			     "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n" PAGE_POLICY "%s%s\r\n",
			     c->answer.status, http_phrase(c->answer.status),
			     c->answer.type ? c->answer.type : "application/json", c->answer.size, retry,
			     c->keep ? "" : "Connection: close\r\n");
	c->out = c->answer.text ? malloc(n + c->answer.size) : NULL;
	if (!c->out)
		return false;
	memcpy(c->out, head, n);
	memcpy(c->out + n, c->answer.text, c->answer.size);
	c->out_size = n + c->answer.size;
	c->out_done = 0;
	answer_free(&c->answer);
	return true;
}

void connection_answer(struct connection *c, bool failed)
{
	int ret = failed ? answer_error(&c->answer, 503, "unavailable", "the store took nothing; try again") : 0;

	c->state = WRITING;
	c->server->counts.answers[c->answer.status / 100 % 6]++;
	if (ret < 0 || !compose(c)) {
		log_error("no memory for an answer");
		connection_free(c);
		return;
	}
	advance(c);
}

static bool write_some(struct connection *c)
{
	int r = SSL_write(c->ssl, c->out + c->out_done, (int)(c->out_size - c->out_done));

	if (r <= 0) {
		(void)wait_or_end(c, r);
		return false;
	}
	c->out_done += (size_t)r;
	if (c->out_done < c->out_size)
		return true;
	wipe(c->out, c->out_size);
	free(c->out);
	c->out = NULL;
	if (c->keep) {
		begin_reading(c);
		if (c->in_used || SSL_has_pending(c->ssl))
			return true;
		wait_for(c, EV_READ);
		return false;
	}
	(void)SSL_shutdown(c->ssl);
	return linger(c);
}

/* --- LINGERING */

static bool throw_away(struct connection *c)
{
	char bytes[4096];
	ssize_t n = read(c->fd, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		connection_free(c);
	return false; /* once a turn: whoever sends without end must not keep the others waiting */
}

static void advance(struct connection *c)
{
	bool more = true;

	while (more) {
		if (ERR_peek_error()) /* the queue is the thread's: what another connection left there is not this one's */
			ERR_clear_error();
		switch (c->state) {
		case HANDSHAKING:
			more = shake_hands(c);
			break;
		case READING:
			more = read_some(c);
			break;
		case WRITING:
			more = write_some(c);
			break;
		case LINGERING:
			more = throw_away(c);
			break;
		default:
			more = false;
		}
	}
}

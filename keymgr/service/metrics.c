/* Metrics and health (metrics.h).
 *
 * Small on purpose: one request a connection, CONNECTIONS of them at a time, each for so many seconds in total, all of it in the loop of the
 * service. */
#include "keymgr/service/metrics.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "keymgr/service/port.h"
#include "util/base/log.h"

enum { CONNECTIONS = 8, IN_MAX = 4096, TEXT_MAX = 16 << 10 };

struct visitor {
	struct metrics *metrics; /* NULL: this one is free */
	int fd;
	struct event io, deadline;
	char in[IN_MAX];
	size_t used;
};

struct metrics {
	struct event_base *base;
	struct metrics_source source;
	int fd, seconds;
	struct event accepting;
	struct visitor visitors[CONNECTIONS];
};

static void end(struct visitor *v)
{
	event_del(&v->io);
	event_del(&v->deadline);
	close(v->fd);
	v->metrics = NULL;
}

static void answer(struct visitor *v, int status, const char *type, const char *text)
{
	char out[TEXT_MAX + 256];
	int n = snprintf(out, sizeof(out),
			 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
			 status, http_phrase(status), type, strlen(text), text);

	/* Smaller than any socket's buffer. */
	if (send(v->fd, out, (size_t)n, MSG_NOSIGNAL) < n)
		log_warning("a reader of the metrics did not take them");
}

static bool is(struct http_text path, const char *name)
{
	return path.size == strlen(name) && memcmp(path.at, name, path.size) == 0;
}

static void answer_request(struct visitor *v, const struct http_request *r)
{
	struct metrics *m = v->metrics;
	char text[TEXT_MAX] = "", why[128] = "";

	if (r->method == HTTP_GET && is(r->path, "/metrics")) {
		m->source.metrics(m->source.context, text, sizeof(text));
		answer(v, 200, "text/plain; version=0.0.4; charset=utf-8", text);
	} else if (r->method == HTTP_GET && is(r->path, "/health")) {
		bool well = m->source.health(m->source.context, why, sizeof(why));

		snprintf(text, sizeof(text), "{\"status\":\"%s\"%s%s%s}\n", well ? "ok" : "failing",
			 *why ? ",\"why\":\"" : "", why, *why ? "\"" : "");
		answer(v, well ? 200 : 503, "application/json", text);
	} else {
		answer(v, 404, "text/plain", "there are /metrics and /health\n");
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	end(context);
}

static void on_io(evutil_socket_t fd, short what, void *context)
{
	struct visitor *v = context;
	struct http_request r;
	const char *reason;
	ssize_t n = recv(fd, v->in + v->used, sizeof(v->in) - v->used, 0);
	int status;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(v);
		return;
	}
	v->used += (size_t)n;
	status = http_parse(v->in, v->used, &r, &reason);
	if (status == HTTP_MORE && v->used < sizeof(v->in))
		return;
	if (status == HTTP_WHOLE)
		answer_request(v, &r);
	else
		answer(v, status == HTTP_MORE ? 431 : status, "text/plain", "this is no request\n");
	end(v);
}

static void on_accept(evutil_socket_t listening, short what, void *context)
{
	struct metrics *m = context;
	const struct timeval limit = {.tv_sec = m->seconds};
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd < 0)
		return;
	for (int i = 0; i < CONNECTIONS; i++) {
		struct visitor *v = &m->visitors[i];

		if (v->metrics)
			continue;
		v->metrics = m;
		v->fd = fd;
		v->used = 0;
		event_assign(&v->io, m->base, fd, EV_READ | EV_PERSIST, on_io, v);
		event_priority_set(&v->io, 0);
		event_add(&v->io, NULL);
		evtimer_assign(&v->deadline, m->base, on_deadline, v);
		event_priority_set(&v->deadline, 0);
		evtimer_add(&v->deadline, &limit);
		return;
	}
	close(fd);
}

int metrics_new(struct event_base *base, const char *listen_on, int seconds, const struct metrics_source *source,
		struct metrics **out, char shown[ADDRESS_TEXT], struct fault *why)
{
	struct metrics *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (!m)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot listen");
	m->base = base;
	m->seconds = seconds;
	m->source = *source;
	m->fd = port_open(listen_on, true, shown, why);
	if (m->fd < 0) {
		int ret = m->fd;

		free(m);
		return ret;
	}
	event_assign(&m->accepting, base, m->fd, EV_READ | EV_PERSIST, on_accept, m);
	event_priority_set(&m->accepting, 0);
	event_add(&m->accepting, NULL);
	*out = m;
	return 0;
}

void metrics_free(struct metrics **m)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if ((*m)->visitors[i].metrics)
			end(&(*m)->visitors[i]);
	event_del(&(*m)->accepting);
	close((*m)->fd);
	free(*m);
	*m = NULL;
}

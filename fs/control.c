#include "fs/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fs/control_socket.h"
#include "util/base/log.h"

enum { SEND_SECONDS = 5, LOOK_MS = 1000, BACKLOG_PAUSE_MS = 100 };

struct client {
	struct control *control;
	pthread_t thread;
	int fd; /* -1: nobody */
	bool started, ended;
};

struct control {
	struct control_service service;
	struct control_socket socket;
	pthread_t thread;
	bool serving;
	pthread_mutex_t lock; /* of the clients, and `stopping` */
	bool stopping;
	struct client clients[CONTROL_CLIENTS];
};

/* ------------------------------------------------------------------ one request */

void control_say(struct control_call *c, const char *format, ...)
{
	size_t room = sizeof c->answer - c->used;
	va_list args;
	int n;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): wrong when it inlines a function of variable arguments */
	n = vsnprintf(c->answer + c->used, room, format, args);
	va_end(args);
	/* A line that does not fit is left out whole. */
	if (n < 0 || (size_t)n + 1 >= room)
		return;
	c->used += (size_t)n;
	c->answer[c->used++] = '\n';
}

static const struct control_verb *find_verb(const struct control *k, char *request, const char **argument)
{
	char *blank = strchr(request, ' ');

	*argument = blank ? blank + 1 : "";
	if (blank)
		*blank = '\0';
	for (const struct control_verb *v = k->service.verbs; v->name; v++)
		if (strcmp(v->name, request) == 0)
			return v;
	return NULL;
}

static bool is_text(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	return n > 0;
}

/* Makes the answer.  request has room for a terminator. */
static void answer(const struct control *k, struct control_call *c, char *request, size_t n)
{
	struct fault why = {.status = EXIT_OK};
	const struct control_verb *v = NULL;
	int r;

	c->used = 0;
	control_say(c, "ok");
	request[n < CONTROL_REQUEST_MAX ? n : 0] = '\0';
	if (n < CONTROL_REQUEST_MAX && is_text(request, n))
		v = find_verb(k, request, &c->argument);
	r = v ? v->run(c, &why) : fault_set(&why, EXIT_USAGE, EINVAL, "the mount knows no such request");
	if (r >= 0)
		return;
	c->used = 0;
	control_say(c, "error %d %s", why.status ? (int)why.status : EXIT_FAILED, why.text);
}

/* ------------------------------------------------------------------ one client */

static bool is_stopping(struct control *k)
{
	pthread_mutex_lock(&k->lock);

	bool stopping = k->stopping;

	pthread_mutex_unlock(&k->lock);
	return stopping;
}

/* Waits for something to read.  False: it is time to part. */
static bool wait_for_request(struct control *k, struct control_call *c, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (int idle = 0; idle < CONTROL_IDLE_SECONDS * 1000; idle += LOOK_MS) {
		int r = poll(&p, 1, LOOK_MS);

		if (is_stopping(k))
			return false;
		if (r > 0)
			return true;
		if (k->service.holds(c))
			idle = 0;
	}
	return false;
}

static void talk(struct control *k, struct control_call *c, int fd)
{
	char request[CONTROL_REQUEST_MAX + 1];
	ssize_t n;

	while (wait_for_request(k, c, fd)) {
		/* What fills the buffer is too long; a packet is never cut in two. */
		n = recv(fd, request, CONTROL_REQUEST_MAX, 0);
		if (n <= 0)
			return;
		answer(k, c, request, (size_t)n);
		if (send(fd, c->answer, c->used, MSG_NOSIGNAL) < 0)
			return;
	}
}

static void *serve_client(void *data)
{
	struct client *me = data;
	struct control *k = me->control;
	struct control_call *c = calloc(1, sizeof *c);

	if (c) {
		c->data = k->service.data;
		talk(k, c, me->fd);
		k->service.release(c);
	}
	free(c);
	k->service.at_end();
	pthread_mutex_lock(&k->lock);
	close(me->fd);
	me->fd = -1;
	me->ended = true;
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

/* ------------------------------------------------------------------ clients coming */

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

/* A place for one more, with the thread of whoever had it before joined; NULL: all are taken.  Under the lock. */
static struct client *free_place(struct control *k)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &k->clients[i];

		if (c->started && !c->ended)
			continue;
		if (c->started)
			pthread_join(c->thread, NULL);
		*c = (struct client){.control = k, .fd = -1};
		return c;
	}
	return NULL;
}

static void admit(struct control *k, int fd)
{
	const struct timeval patience = {.tv_sec = SEND_SECONDS};
	struct client *c;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	pthread_mutex_lock(&k->lock);
	c = k->stopping || !may_ask(fd) ? NULL : free_place(k);
	if (c) {
		c->fd = fd;
		c->started = pthread_create(&c->thread, NULL, serve_client, c) == 0;
	}
	if (!c || !c->started)
		close(fd);
	pthread_mutex_unlock(&k->lock);
}

static void *accept_clients(void *data)
{
	struct control *k = data;

	while (!is_stopping(k)) {
		int fd = accept4(k->socket.fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			admit(k, fd);
		else if (errno != EINTR && errno != ECONNABORTED && !is_stopping(k))
			poll(NULL, 0, BACKLOG_PAUSE_MS); /* no descriptors, no memory: later */
	}
	return NULL;
}

/* ------------------------------------------------------------------ begin and end */

int control_open(const char *volume, const uint8_t instance[INSTANCE_ID_SIZE], const struct control_service *service,
		 struct control **out, struct fault *why)
{
	struct control *k = calloc(1, sizeof *k);
	int r;

	*out = NULL;
	if (!k)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	k->service = *service;
	pthread_mutex_init(&k->lock, NULL);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		k->clients[i].fd = -1;
	r = control_socket_open(volume, instance, &k->socket, why);
	if (r == 0 && k->socket.fd >= 0)
		*out = k;
	else
		control_close(&k);
	return r;
}

int control_serve(struct control *k)
{
	int r = -pthread_create(&k->thread, NULL, accept_clients, k);

	k->serving = r == 0;
	return r;
}

void control_close(struct control **kp)
{
	struct control *k = *kp;

	if (!k)
		return;
	*kp = NULL;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		if (k->clients[i].fd >= 0)
			shutdown(k->clients[i].fd, SHUT_RDWR);
	pthread_mutex_unlock(&k->lock);
	if (k->serving) {
		shutdown(k->socket.fd, SHUT_RDWR); /* wakes accept */
		pthread_join(k->thread, NULL);
	}
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		if (k->clients[i].started)
			pthread_join(k->clients[i].thread, NULL);
	control_socket_close(&k->socket);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

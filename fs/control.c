#include "fs/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "fs/control_socket.h"
#include "keymgr/control_client.h"
#include "util/base/cleanup.h"

enum { SEND_SECONDS = 5, LOOK_MS = 1000, BACKLOG_PAUSE_MS = 100, REQUEST_DEPTH = 4 };

struct client {
	struct control *control;
	pthread_t thread;
	int fd;     /* -1: nobody */
	bool other; /* neither the user nor root */
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

void control_put_number(struct control_call *c, const char *name, uint64_t value)
{
	json_object_object_add(c->answer, name, json_object_new_uint64(value));
}

void control_put_flag(struct control_call *c, const char *name, bool value)
{
	json_object_object_add(c->answer, name, json_object_new_boolean(value));
}

void control_put_text(struct control_call *c, const char *name, const char *value)
{
	json_object_object_add(c->answer, name, json_object_new_string(value));
}

bool control_get_number(const struct control_call *c, const char *name, uint64_t *out)
{
	json_object *o;

	if (!json_object_object_get_ex(c->request, name, &o) || !json_object_is_type(o, json_type_int))
		return false;
	*out = json_object_get_uint64(o);
	return json_object_get_int64(o) >= 0;
}

bool control_get_flag(const struct control_call *c, const char *name)
{
	json_object *o;

	return json_object_object_get_ex(c->request, name, &o) && json_object_is_type(o, json_type_boolean) &&
	       json_object_get_boolean(o);
}

const char *control_get_text(const struct control_call *c, const char *name)
{
	json_object *o;

	return json_object_object_get_ex(c->request, name, &o) && json_object_is_type(o, json_type_string)
		       ? json_object_get_string(o)
		       : NULL;
}

static const struct control_verb *find_in(const struct control_verb *list, const char *name, bool other)
{
	for (const struct control_verb *v = list; v && v->name; v++)
		if (strcmp(v->name, name) == 0 && (v->for_others || !other))
			return v;
	return NULL;
}

static const struct control_verb *find_verb(const struct control *k, const struct control_call *c)
{
	const char *name = control_get_text(c, "verb");
	const struct control_verb *v = name ? find_in(k->service.verbs, name, c->other) : NULL;

	return v || !name ? v : find_in(k->service.more_verbs, name, c->other);
}

/* An object and nothing else; NULL. */
static json_object *parse(const char *text, size_t n)
{
	json_tokener *t = json_tokener_new_ex(REQUEST_DEPTH);
	json_object *o = t ? json_tokener_parse_ex(t, text, (int)n) : NULL;
	bool whole = t && json_tokener_get_error(t) == json_tokener_success && json_tokener_get_parse_end(t) == n;

	if (t)
		json_tokener_free(t);
	if (o && (!whole || !json_object_is_type(o, json_type_object))) {
		json_object_put(o);
		o = NULL;
	}
	return o;
}

static int run(const struct control *k, struct control_call *c, struct fault *why)
{
	const struct control_verb *v = c->request ? find_verb(k, c) : NULL;
	uint64_t version;

	if (!c->answer)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	if (!c->request || !control_get_number(c, "version", &version))
		return fault_set(why, EXIT_USAGE, EINVAL, "the mount does not understand the request");
	if (version != CONTROL_VERSION)
		return fault_set(
			why, EXIT_UNSUPPORTED, ENOTSUP,
			"the mount speaks version %d of the protocol; it was started by another coffer than this",
			CONTROL_VERSION);
	return v ? v->run(c, why) : fault_set(why, EXIT_USAGE, EINVAL, "the mount knows no such request");
}

/* Makes the answer. */
static void answer(const struct control *k, struct control_call *c, const char *request, size_t n)
{
	struct fault why = {.status = EXIT_OK};
	int r;

	c->request = parse(request, n);
	c->answer = json_object_new_object();
	if (c->answer)
		control_put_flag(c, "ok", true);
	r = run(k, c, &why);
	if (r < 0) {
		control_json_free(c->answer);
		c->answer = json_object_new_object();
		if (!c->answer)
			return;
		control_put_flag(c, "ok", false);
		control_put_number(c, "status", why.status ? why.status : EXIT_FAILED);
		control_put_text(c, "error", why.text);
	}
}

static ssize_t send_answer(const struct control_call *c, int fd)
{
	const char *text = c->answer ? json_object_to_json_string_ext(c->answer, JSON_C_TO_STRING_PLAIN) : NULL;
	size_t n = text ? strlen(text) : 0;
	ssize_t sent = n && n <= CONTROL_ANSWER_MAX ? send(fd, text, n, MSG_NOSIGNAL) : -1;

	wipe((char *)(uintptr_t)text, n); /* json-c's own; it may hold values */
	return sent;
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
	_cleanup_free_ char *request = malloc(CONTROL_REQUEST_MAX);
	ssize_t n, sent = 0;

	while (request && sent >= 0 && wait_for_request(k, c, fd)) {
		/* What is too long is cut, and then no request; a packet is never cut in two. */
		n = recv(fd, request, CONTROL_REQUEST_MAX, 0);
		if (n <= 0)
			return;
		answer(k, c, request, (size_t)n);
		wipe(request, (size_t)n);
		sent = send_answer(c, fd);
		control_json_free(c->request);
		control_json_free(c->answer);
		c->request = c->answer = NULL;
	}
}

static void *serve_client(void *data)
{
	struct client *me = data;
	struct control *k = me->control;
	struct control_call *c = calloc(1, sizeof *c);

	if (c) {
		c->data = k->service.data;
		c->rights = k->service.rights;
		c->fd = me->fd;
		c->other = me->other;
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

static bool is_own(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

/* Under the lock. */
static unsigned count_others(const struct control *k)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		count += k->clients[i].started && !k->clients[i].ended && k->clients[i].other;
	return count;
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
	const bool other = !is_own(fd);
	const bool may_ask = !other || (k->service.admits && k->service.admits(k->service.rights, fd));
	struct client *c;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	pthread_mutex_lock(&k->lock);
	c = k->stopping || !may_ask || (other && count_others(k) >= CONTROL_OTHERS) ? NULL : free_place(k);
	if (c) {
		c->fd = fd;
		c->other = other;
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
	r = control_socket_open(volume, instance, service->admits != NULL, &k->socket, why);
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

/* A client of etcd's JSON gateway (etcd.h). */
#include "keymgr/service/etcd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "util/base/encode.h"
#include "util/base/log.h"
#include "util/base/number.h"

enum { ANSWER_MAX = 64 << 20, PAUSE_MS = 50 };

struct etcd {
	struct sockaddr_in servers[ETCD_SERVERS_MAX];
	int count, at; /* the one that answered last */
};

int64_t etcd_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t); /* a lease ends while the machine sleeps, too */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- servers */

static int add_server(struct etcd *e, const char *url)
{
	struct sockaddr_in *s = &e->servers[e->count];
	char text[INET_ADDRSTRLEN];
	const char *host = url + strlen("http://"), *colon;
	uint64_t port;

	if (strncmp(url, "http://", strlen("http://")) != 0 || e->count == ETCD_SERVERS_MAX)
		return -EINVAL;
	colon = strchr(host, ':');
	if (!colon || (size_t)(colon - host) >= sizeof(text) || number_parse(colon + 1, 65535, &port) < 0)
		return -EINVAL;
	memcpy(text, host, (size_t)(colon - host));
	text[colon - host] = '\0';
	*s = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (inet_pton(AF_INET, text, &s->sin_addr) != 1 || ntohl(s->sin_addr.s_addr) >> 24 != 127)
		return -EINVAL;
	e->count++;
	return 0;
}

int etcd_new(const char *urls, struct etcd **out, struct fault *why)
{
	_cleanup_free_ char *copy = strdup(urls);
	_cleanup_(etcd_free) struct etcd *e = calloc(1, sizeof(*e));
	char *rest = copy, *url;

	*out = NULL;
	if (!copy || !e)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot reach etcd");
	while ((url = strsep(&rest, ",")))
		if (add_server(e, url) < 0)
			return fault_set(
				why, EXIT_USAGE, EINVAL,
				"--etcd %s: give http://127.0.0.1:PORT, up to %d with a comma between them; what lies "
				"on other machines is reached through a tunnel",
				urls, ETCD_SERVERS_MAX);
	*out = e;
	e = NULL;
	return 0;
}

void etcd_free(struct etcd **e)
{
	free(*e);
	*e = NULL;
}

/* --- one try */

static int wait_for(int fd, short what, int64_t until)
{
	struct pollfd p = {.fd = fd, .events = what};
	int64_t left = until - etcd_now();
	int n = left > 0 ? poll(&p, 1, (int)left) : 0;

	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static int dial(const struct sockaddr_in *to, int64_t until)
{
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0, ret = 0;
	socklen_t size = sizeof(error);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0) {
		ret = errno == EINPROGRESS ? wait_for(fd, POLLOUT, until) : -errno;
		if (ret == 0 && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error))
			ret = error ? -error : -errno;
	}
	if (ret < 0)
		close(fd);
	return ret < 0 ? ret : fd;
}

static int send_all(int fd, const char *bytes, size_t n, int64_t until)
{
	while (n > 0) {
		ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);

		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (done < 0) {
			int ret = wait_for(fd, POLLOUT, until);

			if (ret < 0)
				return ret;
			continue;
		}
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Up to the end of the connection. */
static int receive_all(int fd, char **out, size_t *n, int64_t until)
{
	size_t room = 16 << 10;

	*n = 0;
	*out = malloc(room);
	while (*out) {
		ssize_t got = recv(fd, *out + *n, room - 1 - *n, 0);

		if (got == 0) {
			(*out)[*n] = '\0';
			return 0;
		}
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got < 0) {
			int ret = wait_for(fd, POLLIN, until);

			if (ret < 0)
				return ret;
			continue;
		}
		*n += (size_t)got;
		if (*n == room - 1) {
			char *more = room < ANSWER_MAX ? realloc(*out, room * 2) : NULL;

			if (!more)
				return -EFBIG;
			*out = more;
			room *= 2;
		}
	}
	return -ENOMEM;
}

/* Takes the chunks of a body together, where it is (RFC 9112, section 7.1). */
static int join_chunks(char *body)
{
	char *to = body, *from = body, *end = body + strlen(body);

	while (from < end) {
		char *line;
		unsigned long size = strtoul(from, &line, 16);

		if (line == from || strncmp(line, "\r\n", 2) != 0 || size > (unsigned long)(end - line) - 2)
			return -EPROTO;
		from = line + 2;
		if (size == 0) {
			*to = '\0';
			return 0;
		}
		memmove(to, from, size);
		to += size;
		from += size + 2;
	}
	return -EPROTO;
}

static int parse_answer(char *text, int *status, json_object **out)
{
	char *body = strstr(text, "\r\n\r\n");

	if (sscanf(text, "HTTP/1.1 %d", status) != 1 || !body)
		return -EPROTO;
	*body = '\0';
	body += 4;
	if (strcasestr(text, "\r\nTransfer-Encoding: chunked") && join_chunks(body) < 0)
		return -EPROTO;
	if (*status == 404)
		return -ENOTSUP;
	*out = json_tokener_parse(body);
	return json_object_is_type(*out, json_type_object) ? 0 : -EPROTO;
}

/* *asked: the request has been sent, so that nobody knows whether it was carried out if no answer comes. */
static int try_one(const struct sockaddr_in *to, const char *path, const char *body, int64_t until, bool *asked,
		   int *status, json_object **out)
{
	_cleanup_free_ char *request = NULL, *answer = NULL;
	int size = asprintf(&request,
			    "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
			    "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
			    path, strlen(body), body);
	_cleanup_close_ int fd = size < 0 ? -ENOMEM : dial(to, until);
	size_t n;
	int ret = fd;

	if (size < 0)
		request = NULL;
	if (ret >= 0) {
		*asked = true;
		ret = send_all(fd, request, (size_t)size, until);
	}
	if (ret == 0)
		ret = receive_all(fd, &answer, &n, until);
	return ret == 0 ? parse_answer(answer, status, out) : ret;
}

/* --- calls */

/* Refusals that pass: there is no leader, it is changing, the quorum does not answer. */
static bool passes(json_object *answer)
{
	int64_t code = etcd_number(answer, "code");

	return code == 4 || code == 13 || code == 14;
}

static int refused(json_object *answer)
{
	log_error("etcd refused: %.300s", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
	return -EPROTO;
}

int etcd_call(struct etcd *e, const char *path, json_object *body, int64_t until, json_object **out, bool *sure)
{
	const char *text =
		json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	int ret = text ? -EHOSTUNREACH : -ENOMEM;

	*out = NULL;
	for (int tries = 0; ret == -EHOSTUNREACH && (tries == 0 || etcd_now() < until); tries++) {
		const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};
		int64_t end = etcd_now() + ETCD_TRY_MS;
		bool asked = false;
		int status = 0;

		if (tries > 0 && tries % e->count == 0)
			nanosleep(&pause, NULL);
		ret = try_one(&e->servers[e->at], path, text, end < until ? end : until, &asked, &status, out);
		if (ret == 0 && status == 200)
			break;
		if (ret == -ENOTSUP) {
			log_error("etcd has no JSON gateway there (enable-grpc-gateway, --enable-grpc-gateway)");
			ret = -EPROTO;
			break;
		}
		if (ret == 0 && !passes(*out)) {
			ret = refused(*out);
			break;
		}
		json_object_put(*out);
		*out = NULL;
		*sure = *sure && !asked;
		e->at = (e->at + 1) % e->count;
		ret = -EHOSTUNREACH;
	}
	if (ret < 0) {
		json_object_put(*out);
		*out = NULL;
	}
	json_object_put(body);
	return ret;
}

/* --- what the gateway writes */

json_object *etcd_bytes(const void *bytes, size_t n)
{
	_cleanup_free_ char *text = malloc(base64url_size(n) + 4);
	size_t used;

	if (!text)
		return NULL;
	used = base64url_encode(bytes, n, text);
	for (size_t i = 0; i < used; i++)
		text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	while (used % 4)
		text[used++] = '=';
	return json_object_new_string_len(text, (int)used);
}

int etcd_take_bytes(json_object *o, const char *member, char **out, size_t *n)
{
	_cleanup_free_ char *text = NULL;
	json_object *value;
	size_t used;
	ssize_t size;

	*n = 0;
	*out = NULL;
	if (!json_object_object_get_ex(o, member, &value)) /* an empty one is left out */
		return (*out = calloc(1, 1)) ? 0 : -ENOMEM;
	text = strdup(json_object_get_string(value));
	if (!text)
		return -ENOMEM;
	for (char *c = text; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	used = strcspn(text, "=");
	*out = malloc(base64url_decoded_size(used) + 1);
	if (!*out)
		return -ENOMEM;
	size = base64url_decode(text, used, *out, base64url_decoded_size(used));
	if (size < 0)
		return -EPROTO;
	(*out)[size] = '\0';
	*n = (size_t)size;
	return 0;
}

int64_t etcd_number(json_object *o, const char *member)
{
	json_object *value;

	return json_object_object_get_ex(o, member, &value) ? json_object_get_int64(value) : 0;
}

/* Talking with a helper (helper_talk.h).
 *
 * 1. The helper is started when it is needed, and again if it ended; it keeps its connection.
 * 2. Nothing here waits longer than its time, whatever the helper does. */
#include "keymgr/helper_talk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "keymgr/helper_run.h"
#include "util/base/bytes.h"
#include "util/base/log.h"

enum {
	LOCKED_MAX = 16 << 10,
	SECONDS_MAX = 30, /* for one question, however many servers there are */
	SAID_MAX = 200,
};

struct talk {
	struct service_config config;
	struct helper helper;
	int cancelled; /* an eventfd(2) */
	unsigned seconds;
};

static unsigned seconds_for(const char *urls)
{
	unsigned servers = 1;

	for (; *urls; urls++)
		servers += *urls == '\n';
	servers = 2 + servers * (SERVICE_CONNECT_S + SERVICE_ANSWER_S);
	return servers < SECONDS_MAX ? servers : SECONDS_MAX;
}

int talk_new(const struct service_config *config, struct talk **out, struct fault *why)
{
	struct talk *t;
	int ret = service_config_check(config, why);

	*out = NULL;
	if (ret < 0)
		return ret;
	t = calloc(1, sizeof(*t));
	if (!t)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for %s", config->kind->who);
	t->helper = HELPER_NONE;
	t->cancelled = eventfd(0, EFD_CLOEXEC);
	t->seconds = seconds_for(config->urls);
	ret = t->cancelled < 0 ? -errno : service_config_copy(config, &t->config);
	if (ret < 0) {
		talk_free(&t);
		return fault_errno(why, EXIT_FAILED, ret, "cannot ask %s", config->kind->who);
	}
	*out = t;
	return 0;
}

void talk_free(struct talk **tp)
{
	struct talk *t = *tp;

	if (!t)
		return;
	*tp = NULL;
	helper_end(&t->helper);
	if (t->cancelled >= 0)
		close(t->cancelled);
	service_config_free(&t->config);
	free(t);
}

const struct service_config *talk_config(const struct talk *t)
{
	return &t->config;
}

void talk_cancel(struct talk *t)
{
	const uint64_t one = 1;

	if (write(t->cancelled, &one, sizeof(one)) < 0)
		log_warning("%s: a question under way cannot be ended", t->config.kind->who);
}

/* --- frames */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(struct talk *t, short what, int64_t until)
{
	struct pollfd p[] = {{.fd = t->helper.fd, .events = what}, {.fd = t->cancelled, .events = POLLIN}};
	int64_t left = until - now_ms();

	if (left <= 0 || poll(p, 2, (int)left) == 0)
		return -ETIMEDOUT;
	return p[1].revents ? -ECANCELED : 0;
}

static int send_bytes(struct talk *t, const void *bytes, size_t n, int64_t until)
{
	const uint8_t *at = bytes;

	while (n > 0) {
		ssize_t sent = send(t->helper.fd, at, n, MSG_NOSIGNAL);
		int ret = sent >= 0 || errno == EINTR ? 0 : errno == EAGAIN ? wait_for(t, POLLOUT, until) : -errno;

		if (ret < 0)
			return ret;
		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

static int send_frame(struct talk *t, const void *bytes, size_t n, int64_t until)
{
	uint8_t size[4];
	int ret;

	put_le32(size, (uint32_t)n);
	ret = send_bytes(t, size, sizeof(size), until);
	return ret < 0 ? ret : send_bytes(t, bytes, n, until);
}

static int receive_bytes(struct talk *t, void *bytes, size_t n, int64_t until)
{
	uint8_t *at = bytes;

	while (n > 0) {
		ssize_t got = recv(t->helper.fd, at, n, 0);
		int ret = got > 0 || (got < 0 && errno == EINTR)    ? 0
			  : got == 0                                ? -EPIPE
			  : errno == EAGAIN || errno == EWOULDBLOCK ? wait_for(t, POLLIN, until)
								    : -errno;

		if (ret < 0)
			return ret;
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
	return 0;
}

static int receive_size(struct talk *t, size_t max, size_t *n, int64_t until)
{
	uint8_t size[4];
	int ret = receive_bytes(t, size, sizeof(size), until);

	*n = ret == 0 ? get_le32(size) : 0;
	return ret == 0 && *n > max ? -EMSGSIZE : ret;
}

void talk_reply_free(struct talk_reply *r)
{
	if (!r->locked)
		free(r->bytes);
	secret_free(&r->locked);
}

static int receive_reply(struct talk *t, struct talk_reply *r, int64_t until)
{
	size_t n;
	int ret = receive_size(t, sizeof(r->line) - 1, &n, until);

	if (ret == 0)
		ret = receive_bytes(t, r->line, n, until);
	if (ret == 0) {
		r->line[n] = '\0';
		ret = receive_size(t, SERVICE_ANSWER_MAX, &r->size, until);
	}
	if (ret < 0)
		return ret;
	if (r->size < LOCKED_MAX) {
		r->locked = secret_new(r->size + 1);
		r->bytes = r->locked ? r->locked->bytes : NULL;
	} else {
		r->bytes = malloc(r->size + 1);
	}
	if (!r->bytes)
		return -ENOMEM;
	ret = receive_bytes(t, r->bytes, r->size, until);
	r->bytes[r->size] = '\0';
	return ret;
}

/* --- the helper */

static int start(struct talk *t, int64_t until, struct fault *why)
{
	const char *setup[] = {t->config.urls, t->config.ca, t->config.cert, t->config.key};
	int ret = helper_start(t->config.kind->helper, "talk", &t->helper, why);

	for (size_t i = 0; ret == 0 && i < sizeof(setup) / sizeof(setup[0]); i++)
		ret = send_frame(t, setup[i], strlen(setup[i]), until);
	return ret;
}

static int exchange(struct talk *t, const char *line, const struct secret *body, struct talk_reply *r,
		    struct fault *why)
{
	int64_t until = now_ms() + t->seconds * 1000;
	int ret = t->helper.pid ? 0 : start(t, until, why);

	if (ret == 0)
		ret = send_frame(t, line, strlen(line), until);
	if (ret == 0)
		ret = send_frame(t, body ? body->bytes : (const uint8_t *)"", body ? body->size : 0, until);
	return ret == 0 ? receive_reply(t, r, until) : ret;
}

/* Ends a helper that has failed, and keeps what it had to say. */
static int told(struct talk *t, int error, char said[SAID_MAX])
{
	if (error < 0) {
		helper_said(&t->helper, said, SAID_MAX);
		helper_end(&t->helper);
	}
	return error;
}

/* (1), (2): what has failed in between is started anew the next time.  A helper that ended meanwhile is started at once. */
int talk_ask(struct talk *t, const char *line, const struct secret *body, struct talk_reply *r, struct fault *why)
{
	const char *who = t->config.kind->who;
	bool kept = t->helper.pid != 0;
	char said[SAID_MAX] = "";
	int ret;

	*r = (struct talk_reply){0};
	ret = told(t, exchange(t, line, body, r, why), said);
	if (ret < 0) {
		talk_reply_free(r);
		*r = (struct talk_reply){0};
	}
	if (kept && (ret == -EPIPE || ret == -ECONNRESET))
		ret = told(t, exchange(t, line, body, r, why), said);
	if (ret == -ETIMEDOUT)
		return fault_set(why, EXIT_UNREACHABLE, EHOSTUNREACH, "%s does not answer in time", who);
	if (ret == -EPIPE || ret == -ECONNRESET)
		return fault_set(why, EXIT_FAILED, EIO, "%s ended without an answer%s%s", t->config.kind->helper,
				 *said ? ": " : "", said);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot ask %s", who) : 0;
}

const char *talk_behind(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 && line[n] == ' ' ? line + n + 1 : NULL;
}

int talk_not_answered(const struct talk *t, const char *line, struct fault *why)
{
	const char *who = t->config.kind->who;
	const char *text;

	if ((text = talk_behind(line, "unreachable")))
		return fault_set(why, EXIT_UNREACHABLE, EHOSTUNREACH, "%s cannot be reached: %s", who, text);
	if ((text = talk_behind(line, "unusable")))
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: %s", who, text);
	return fault_set(why, EXIT_FAILED, EPROTO, "%s answered with something else than was asked for",
			 t->config.kind->helper);
}

/* Asking the key service (service_client.h).
 *
 * 1. The helper is started when it is needed, and again if it ended; it keeps its connection.
 * 2. The member "value" of an answer, which may be a root, is decoded into locked memory and wiped where it came in, before anything else is made of
 *    the answer.
 * 3. Nothing here waits longer than its time, whatever the helper does. */
#include "keymgr/service_client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "keymgr/document.h"
#include "keymgr/helper/service_protocol.h"
#include "keymgr/helper_run.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum {
	LOCKED_MAX = 16 << 10,
	SECONDS_MAX = 30, /* for one question, however many servers there are */
	DEPTH_MAX = 16,
	VALUE_MAX = 4096,
	SAID_MAX = 200,
};

struct service_client {
	struct service_config config;
	struct helper helper;
	int cancelled; /* an eventfd(2) */
	unsigned seconds;
};

void service_answer_free(struct service_answer *a)
{
	json_object_put(a->body);
	secret_free(&a->value);
	*a = (struct service_answer){0};
}

static unsigned seconds_for(const char *urls)
{
	unsigned servers = 1;

	for (; *urls; urls++)
		servers += *urls == '\n';
	servers = 2 + servers * (SERVICE_CONNECT_S + SERVICE_ANSWER_S);
	return servers < SECONDS_MAX ? servers : SECONDS_MAX;
}

int service_client_new(const struct service_config *config, struct service_client **out, struct fault *why)
{
	struct service_client *c;
	int ret = service_config_check(config, why);

	*out = NULL;
	if (ret < 0)
		return ret;
	c = calloc(1, sizeof(*c));
	if (!c)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
	c->helper = HELPER_NONE;
	c->cancelled = eventfd(0, EFD_CLOEXEC);
	c->seconds = seconds_for(config->urls);
	ret = c->cancelled < 0 ? -errno : service_config_copy(config, &c->config);
	if (ret < 0) {
		service_client_free(&c);
		return fault_errno(why, EXIT_FAILED, ret, "cannot ask the key service");
	}
	*out = c;
	return 0;
}

void service_client_free(struct service_client **cp)
{
	struct service_client *c = *cp;

	if (!c)
		return;
	*cp = NULL;
	helper_end(&c->helper);
	if (c->cancelled >= 0)
		close(c->cancelled);
	service_config_free(&c->config);
	free(c);
}

const struct service_config *service_client_config(const struct service_client *c)
{
	return &c->config;
}

void service_client_cancel(struct service_client *c)
{
	const uint64_t one = 1;

	if (write(c->cancelled, &one, sizeof(one)) < 0)
		log_warning("the key service: a question under way cannot be ended");
}

/* --- frames */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(struct service_client *c, short what, int64_t until)
{
	struct pollfd p[] = {{.fd = c->helper.fd, .events = what}, {.fd = c->cancelled, .events = POLLIN}};
	int64_t left = until - now_ms();

	if (left <= 0 || poll(p, 2, (int)left) == 0)
		return -ETIMEDOUT;
	return p[1].revents ? -ECANCELED : 0;
}

static int send_bytes(struct service_client *c, const void *bytes, size_t n, int64_t until)
{
	const uint8_t *at = bytes;

	while (n > 0) {
		ssize_t sent = send(c->helper.fd, at, n, MSG_NOSIGNAL);
		int ret = sent >= 0 || errno == EINTR ? 0 : errno == EAGAIN ? wait_for(c, POLLOUT, until) : -errno;

		if (ret < 0)
			return ret;
		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

static int send_frame(struct service_client *c, const void *bytes, size_t n, int64_t until)
{
	uint8_t size[4];
	int ret;

	put_le32(size, (uint32_t)n);
	ret = send_bytes(c, size, sizeof(size), until);
	return ret < 0 ? ret : send_bytes(c, bytes, n, until);
}

static int receive_bytes(struct service_client *c, void *bytes, size_t n, int64_t until)
{
	uint8_t *at = bytes;

	while (n > 0) {
		ssize_t got = recv(c->helper.fd, at, n, 0);
		int ret = got > 0 || (got < 0 && errno == EINTR)    ? 0
			  : got == 0                                ? -EPIPE
			  : errno == EAGAIN || errno == EWOULDBLOCK ? wait_for(c, POLLIN, until)
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

static int receive_size(struct service_client *c, size_t max, size_t *n, int64_t until)
{
	uint8_t size[4];
	int ret = receive_bytes(c, size, sizeof(size), until);

	*n = ret == 0 ? get_le32(size) : 0;
	return ret == 0 && *n > max ? -EMSGSIZE : ret;
}

/* What the helper answered: a line, and bytes in locked memory if they are few. */
struct reply {
	char line[SERVICE_LINE_MAX];
	uint8_t *bytes; /* followed by a zero */
	size_t size;
	struct secret *locked;
};

static void reply_free(struct reply *r)
{
	if (!r->locked)
		free(r->bytes);
	secret_free(&r->locked);
}

static int receive_reply(struct service_client *c, struct reply *r, int64_t until)
{
	size_t n;
	int ret = receive_size(c, sizeof(r->line) - 1, &n, until);

	if (ret == 0)
		ret = receive_bytes(c, r->line, n, until);
	if (ret == 0) {
		r->line[n] = '\0';
		ret = receive_size(c, SERVICE_ANSWER_MAX, &r->size, until);
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
	ret = receive_bytes(c, r->bytes, r->size, until);
	r->bytes[r->size] = '\0';
	return ret;
}

/* --- the helper */

static int start(struct service_client *c, int64_t until, struct fault *why)
{
	const char *setup[] = {c->config.urls, c->config.ca, c->config.cert, c->config.key};
	int ret = helper_start(SERVICE_HELPER, "talk", &c->helper, why);

	for (size_t i = 0; ret == 0 && i < sizeof(setup) / sizeof(setup[0]); i++)
		ret = send_frame(c, setup[i], strlen(setup[i]), until);
	return ret;
}

static int exchange(struct service_client *c, const char *line, const struct secret *body, struct reply *r,
		    struct fault *why)
{
	int64_t until = now_ms() + c->seconds * 1000;
	int ret = c->helper.pid ? 0 : start(c, until, why);

	if (ret == 0)
		ret = send_frame(c, line, strlen(line), until);
	if (ret == 0)
		ret = send_frame(c, body ? body->bytes : (const uint8_t *)"", body ? body->size : 0, until);
	return ret == 0 ? receive_reply(c, r, until) : ret;
}

/* Ends a helper that has failed, and keeps what it had to say. */
static int told(struct service_client *c, int error, char said[SAID_MAX])
{
	if (error < 0) {
		helper_said(&c->helper, said, SAID_MAX);
		helper_end(&c->helper);
	}
	return error;
}

/* (1), (3): what has failed in between is started anew the next time.  A helper that ended meanwhile is started at once. */
static int talk(struct service_client *c, const char *line, const struct secret *body, struct reply *r,
		struct fault *why)
{
	bool kept = c->helper.pid != 0;
	char said[SAID_MAX] = "";
	int ret;

	*r = (struct reply){0};
	ret = told(c, exchange(c, line, body, r, why), said);
	if (ret < 0) {
		reply_free(r);
		*r = (struct reply){0};
	}
	if (kept && (ret == -EPIPE || ret == -ECONNRESET))
		ret = told(c, exchange(c, line, body, r, why), said);
	if (ret == -ETIMEDOUT)
		return fault_set(why, EXIT_UNREACHABLE, EHOSTUNREACH, "the key service does not answer in time");
	if (ret == -EPIPE || ret == -ECONNRESET)
		return fault_set(why, EXIT_FAILED, EIO, SERVICE_HELPER " ended without an answer%s%s",
				 *said ? ": " : "", said);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot ask the key service") : 0;
}

/* The words behind the first one, if that is `word`. */
static const char *behind(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 && line[n] == ' ' ? line + n + 1 : NULL;
}

static int not_answered(const char *line, struct fault *why)
{
	const char *text;

	if ((text = behind(line, "unreachable")))
		return fault_set(why, EXIT_UNREACHABLE, EHOSTUNREACH, "the key service cannot be reached: %s", text);
	if ((text = behind(line, "unusable")))
		return fault_set(why, EXIT_USAGE, EINVAL, "the key service: %s", text);
	return fault_set(why, EXIT_FAILED, EPROTO, SERVICE_HELPER " answered with something else than was asked for");
}

/* --- answers */

/* (2) */
static int take_value(char *text, struct secret **out)
{
	static const char name[] = "\"value\":\"";
	char *at = strstr(text, name), *end;
	struct secret *s;
	ssize_t n;

	if (!at)
		return 0;
	at += strlen(name);
	end = strchr(at, '"');
	if (!end || end == at)
		return -EPROTO;
	s = secret_new(base64url_decoded_size((size_t)(end - at)));
	if (!s)
		return -ENOMEM;
	n = base64url_decode(at, (size_t)(end - at), s->bytes, s->size);
	memset(at, '-', (size_t)(end - at));
	if (n < 0) {
		secret_free(&s);
		return -EPROTO;
	}
	*out = s;
	return 0;
}

static int parse(const struct reply *r, json_object **out)
{
	struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);

	if (!t)
		return -ENOMEM;
	*out = json_tokener_parse_ex(t, (const char *)r->bytes, (int)r->size);
	json_tokener_free(t);
	if (json_object_is_type(*out, json_type_object))
		return 0;
	json_object_put(*out);
	*out = NULL;
	return -EPROTO;
}

static void copy_text(json_object *o, const char *name, char *out, size_t n)
{
	json_object *member;

	out[0] = '\0';
	if (json_object_object_get_ex(o, name, &member) && json_object_is_type(member, json_type_string))
		log_escape(json_object_get_string(member), out, n);
}

static int judge(struct reply *r, const char *words, struct service_answer *out)
{
	json_object *error;
	int ret;

	out->status = atoi(words);
	ret = strlen((const char *)r->bytes) == r->size ? take_value((char *)r->bytes, &out->value) : -EPROTO;
	if (ret == 0)
		ret = parse(r, &out->body);
	if (ret < 0)
		return ret;
	if (out->status >= 300) {
		if (!json_object_object_get_ex(out->body, "error", &error) ||
		    !json_object_is_type(error, json_type_object))
			return -EPROTO;
		copy_text(error, "code", out->code, sizeof(out->code));
		copy_text(error, "message", out->message, sizeof(out->message));
	}
	return out->status < 200 || (out->status >= 300 && !*out->code) ? -EPROTO : 0;
}

static int call(struct service_client *c, enum service_method method, const char *path, const struct secret *body,
		struct service_answer *out, struct fault *why)
{
	static const char *const words[] = {"GET", "POST", "ASK"};
	_cleanup_(reply_free) struct reply r = {0};
	char line[SERVICE_LINE_MAX];
	const char *answered;
	int ret;

	*out = (struct service_answer){0};
	if (snprintf(line, sizeof(line), "%s /v1/%s", words[method], path) >= (int)sizeof(line))
		return fault_set(why, EXIT_USAGE, EINVAL, "a name is too long for the key service");
	ret = talk(c, line, body, &r, why);
	if (ret < 0)
		return ret;
	answered = behind(r.line, "answered");
	if (!answered)
		return not_answered(r.line, why);
	ret = judge(&r, answered, out);
	if (ret < 0)
		service_answer_free(out);
	if (ret == -EPROTO)
		return fault_set(why, EXIT_UNREACHABLE, EHOSTUNREACH,
				 "the key service cannot be reached: what answers is not one");
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot read the key service's answer") : 0;
}

int service_call(struct service_client *c, enum service_method method, const char *path, json_object *body,
		 struct service_answer *out, struct fault *why)
{
	_cleanup_secret_ struct secret *s = NULL;
	const char *text = NULL;
	size_t n = 0;

	if (body) {
		text = document_render(body, &n);
		s = text ? secret_new(n) : NULL;
		if (!s)
			return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
		memcpy(s->bytes, text, n);
	}
	return call(c, method, path, s, out, why);
}

int service_call_with(struct service_client *c, const char *path, json_object *body, const struct secret *value,
		      struct service_answer *out, struct fault *why)
{
	static const char name[] = "\"value\":\"";
	_cleanup_secret_ struct secret *s = NULL;
	size_t n = 0, used;
	const char *text = document_render(body, &n);
	char *at;

	*out = (struct service_answer){0};
	s = text && value->size <= VALUE_MAX ? secret_new(n + sizeof(name) + base64url_size(value->size) + 4) : NULL;
	if (!s || n < 2 || text[0] != '{')
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
	at = (char *)s->bytes;
	used = (size_t)sprintf(at, "{%s", name);
	used += base64url_encode(value->bytes, value->size, at + used);
	memcpy(at + used, "\",", 2);
	memcpy(at + used + 2, text + 1, n - 1);
	secret_shrink(s, used + 2 + n - 1);
	return call(c, SERVICE_ASK, path, s, out, why);
}

bool service_took_away(const struct service_answer *a)
{
	static const char *const codes[] = {"client_revoked", "key_disabled", "key_deleted", "not_granted"};
	bool found = false;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		found |= strcmp(a->code, codes[i]) == 0;
	return a->status == 403 && found;
}

int service_check(const struct service_answer *a, struct fault *why)
{
	if (a->status < 300)
		return 0;
	return fault_set(why, EXIT_REFUSED, EACCES, "the key service refuses: %s (%s)", a->message, a->code);
}

/* --- the certificate */

static int local(struct service_client *c, const char *line, const struct secret *body, char text[SERVICE_LINE_MAX],
		 struct fault *why)
{
	_cleanup_(reply_free) struct reply r = {0};
	const char *words;
	int ret = talk(c, line, body, &r, why);

	if (ret < 0)
		return ret;
	words = behind(r.line, "done");
	if (!words)
		return not_answered(r.line, why);
	memcpy(text, words, strlen(words) + 1);
	return 0;
}

int service_identity(struct service_client *c, struct service_identity *out, struct fault *why)
{
	char text[SERVICE_LINE_MAX], ends[TIME_TEXT + 1], by[16];
	int ret = local(c, "ABOUT", NULL, text, why);

	if (ret < 0)
		return ret;
	if (sscanf(text, "%64[0-9a-f] %20s %15s", out->fingerprint, ends, by) != 3 || time_parse(ends, &out->ends) < 0)
		return not_answered("", why);
	out->issued = strcmp(by, "issued") == 0;
	return 0;
}

int service_make_identity(struct service_client *c, const char *name, bool *made, struct fault *why)
{
	char line[SERVICE_LINE_MAX], text[SERVICE_LINE_MAX];
	int ret;

	snprintf(line, sizeof(line), "MAKE %s", name);
	ret = local(c, line, NULL, text, why);
	*made = ret == 0 && strcmp(text, "made") == 0;
	return ret;
}

int service_store_certificate(struct service_client *c, const char *pem, struct fault *why)
{
	_cleanup_secret_ struct secret *body = secret_new(strlen(pem));
	char text[SERVICE_LINE_MAX];

	if (!body)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for a certificate");
	memcpy(body->bytes, pem, strlen(pem));
	return local(c, "STORE", body, text, why);
}

static int renew(struct service_client *c, struct fault *why)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	struct problem p = {0};
	const char *pem;
	int ret = service_call(c, SERVICE_ASK, "self/renew", NULL, &a, why);

	if (ret == 0)
		ret = service_check(&a, why);
	if (ret < 0)
		return ret;
	if (member_string(a.body, "certificate", &pem, &p) < 0)
		return fault_set(why, EXIT_FAILED, EPROTO, "the key service answered without a certificate");
	return service_store_certificate(c, pem, why);
}

void service_renew_if_due(struct service_client *c)
{
	struct service_identity who;
	struct fault why = {.status = EXIT_OK};
	char ends[TIME_TEXT + 1];
	int ret = service_identity(c, &who, &why);

	if (ret < 0 && ret != -ECANCELED)
		log_warning("%s", why.text);
	if (ret < 0 || !who.issued || who.ends - document_now() > (time_t)c->config.renew_days * 86400)
		return;
	ret = renew(c, &why);
	if (ret == 0)
		log_info("the certificate %s was renewed", c->config.cert);
	else if (ret != -ECANCELED) {
		time_text_of(who.ends, ends);
		log_warning("the certificate for the key service ends at %s and could not be renewed: %s", ends,
			    why.text);
	}
}

/* HTTP/1.1 (RFC 9112), as far as the key service speaks it: one request, one answer of a known length. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "keymgr/helper/service.h"
#include "util/base/number.h"
#include "util/base/secret.h"

enum { HEAD_MAX = 16 << 10, LOCKED_MAX = 16 << 10 };

void service_reply_free(struct service_reply *r)
{
	if (!r->locked)
		free(r->body);
	secret_free(&r->locked);
	*r = (struct service_reply){0};
}

/* --- the head */

/* One line "Name: value"; the value without white space around it, or NULL if it has another name. */
static const char *field(char *line, const char *name)
{
	size_t n = strlen(name);
	char *value, *end;

	if (strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	value = line + n + 1;
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	return value;
}

static int take_field(char *line, struct service_reply *out, uint64_t *size, bool *has_size, struct reason *why)
{
	const char *value = field(line, "Content-Length");

	if (value) {
		if (*has_size || number_parse(value, SERVICE_ANSWER_MAX, size) < 0)
			return reason_set(why, EHOSTUNREACH, "the answer is malformed: Content-Length");
		*has_size = true;
		return 0;
	}
	if (field(line, "Transfer-Encoding"))
		return reason_set(why, EHOSTUNREACH, "the answer is malformed: Transfer-Encoding");
	value = field(line, "Connection");
	out->last |= value && strcasecmp(value, "close") == 0;
	return 0;
}

/* "HTTP/1.1 200 OK", lines that end in CR LF, and nothing behind the last one. */
static int parse_head(char *head, struct service_reply *out, uint64_t *size, struct reason *why)
{
	char *rest = head, *line = strsep(&rest, "\r");
	bool has_size = false;
	int ret = 0;

	if (strncmp(line, "HTTP/1.1 ", 9) != 0 || strspn(line + 9, "0123456789") != 3 || (line[12] && line[12] != ' '))
		return reason_set(why, EHOSTUNREACH, "the answer is malformed: not HTTP/1.1");
	out->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
	while (ret == 0 && rest && *rest++ == '\n' && *rest) {
		line = strsep(&rest, "\r");
		ret = take_field(line, out, size, &has_size, why);
	}
	if (ret == 0 && !has_size)
		ret = reason_set(why, EHOSTUNREACH, "the answer is malformed: it has no Content-Length");
	return ret;
}

/* --- the answer */

static int make_room(struct service_reply *out, size_t n, struct reason *why)
{
	out->size = n;
	if (n <= LOCKED_MAX) {
		out->locked = secret_new(n ? n : 1);
		out->body = out->locked ? out->locked->bytes : NULL;
	} else {
		out->body = malloc(n);
	}
	return out->body ? 0 : reason_set(why, EHOSTUNREACH, "no memory for the answer");
}

static int read_head(struct service_connection *c, char *head, size_t *used, char **end, int64_t until,
		     struct reason *why)
{
	*used = 0;
	for (;;) {
		int n = *used < HEAD_MAX ? service_receive(c, head + *used, HEAD_MAX - *used, until, why) : 0;

		if (n < 0)
			return n;
		if (n == 0)
			return reason_set(why, EHOSTUNREACH, *used ? "the answer is cut short" : "no answer came");
		*used += (size_t)n;
		*end = memmem(head, *used, "\r\n\r\n", 4);
		if (*end)
			return 0;
	}
}

static int read_answer(struct service_connection *c, struct secret *room, struct service_reply *out, int64_t until,
		       struct reason *why)
{
	char *head = (char *)room->bytes, *end = NULL;
	uint64_t size = 0;
	size_t used, have;
	int ret = read_head(c, head, &used, &end, until, why);

	if (ret < 0)
		return ret;
	have = used - (size_t)(end + 4 - head);
	*end = '\0';
	if (strlen(head) != (size_t)(end - head))
		return reason_set(why, EHOSTUNREACH, "the answer is malformed: a zero byte");
	ret = parse_head(head, out, &size, why);
	if (ret == 0 && have > size)
		ret = reason_set(why, EHOSTUNREACH, "the answer is malformed: something is behind it");
	if (ret == 0)
		ret = make_room(out, (size_t)size, why);
	if (ret < 0)
		return ret;
	memcpy(out->body, end + 4, have);
	while (ret == 0 && have < out->size) {
		int n = service_receive(c, out->body + have, out->size - have, until, why);

		if (n <= 0)
			ret = n < 0 ? n : reason_set(why, EHOSTUNREACH, "the answer is cut short");
		else
			have += (size_t)n;
	}
	return ret;
}

static int send_request(struct service_connection *c, const struct service_url *to, const char *method,
			const char *path, const uint8_t *body, size_t n, int64_t until, struct reason *why)
{
	char head[SERVICE_LINE_MAX + SERVICE_HOST_MAX + 200];
	bool v6 = strchr(to->host, ':'), post = strcmp(method, "POST") == 0;
	int used = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s%s%s:%s\r\n", method, path, v6 ? "[" : "",
			    to->host, v6 ? "]" : "", to->port);

	if (post && used > 0 && (size_t)used < sizeof(head))
		used += snprintf(head + used, sizeof(head) - (size_t)used,
				 "Content-Type: application/json\r\nContent-Length: %zu\r\n", n);
	if (used < 0 || (size_t)used + 2 >= sizeof(head))
		return reason_set(why, EINVAL, "the request is too long");
	memcpy(head + used, "\r\n", 2);
	used = service_send(c, head, (size_t)used + 2, until, why);
	return used < 0 || !post ? used : service_send(c, body, n, until, why);
}

int service_ask(struct service_connection *c, const struct service_url *to, const char *method, const char *path,
		const uint8_t *body, size_t n, struct service_reply *out, bool *sent, struct reason *why)
{
	int64_t until = monotonic_ms() + SERVICE_ANSWER_S * 1000;
	_cleanup_secret_ struct secret *room = secret_new(HEAD_MAX + 1);
	int ret = room ? 0 : reason_set(why, EHOSTUNREACH, "no memory for the answer");

	*out = (struct service_reply){0};
	*sent = false;
	if (ret == 0)
		ret = send_request(c, to, method, path, body, n, until, why);
	if (ret < 0)
		return ret;
	*sent = true;
	ret = read_answer(c, room, out, until, why);
	if (ret < 0)
		service_reply_free(out);
	return ret;
}

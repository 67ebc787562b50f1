/* coffer-service-client: talks to the key service for coffer (service_protocol.h; talk.h has what it is bound to). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/talk.h"

/* --- the service */

struct call {
	struct talk_exchange exchange;
	const char *method, *path;
	const uint8_t *body;
	size_t n;
	struct service_reply reply;
};

static int run(struct talk_exchange *x, struct service_connection *c, const struct service_url *to, bool *sent,
	       struct reason *why)
{
	struct call *call = (struct call *)x;
	int ret = service_ask(c, to, call->method, call->path, call->body, call->n, &call->reply, sent, why);

	if (ret == 0 && call->reply.status >= 500) {
		ret = reason_set(why, EHOSTUNREACH, "%s answered with status %d", to->text, call->reply.status);
		service_reply_free(&call->reply);
		*sent = false;
	}
	return ret;
}

static int serve_call(struct talk *t, struct call *call)
{
	struct reason why = {0};
	char text[SERVICE_LINE_MAX - 20];
	int ret;

	call->exchange.run = run;
	ret = talk_to_servers(t, &call->exchange, &why);
	if (ret < 0)
		return talk_refuse(ret, &why);
	snprintf(text, sizeof(text), "%d %s", call->reply.status, t->setup.urls[t->connected_to].text);
	ret = talk_answer("answered", text, call->reply.body, call->reply.size);
	if (call->reply.last)
		service_disconnect(&t->connection);
	service_reply_free(&call->reply);
	return ret;
}

static int serve_local(struct talk *t, const char *word, const char *rest, const struct secret *body, size_t n)
{
	char text[SERVICE_LINE_MAX - 20] = "";
	struct reason why = {0};
	int ret;

	if (strcmp(word, "ABOUT") == 0)
		ret = service_about(&t->setup, text, sizeof(text), &why);
	else if (strcmp(word, "MAKE") == 0)
		ret = service_make(&t->setup, rest, text, sizeof(text), &why);
	else if (strcmp(word, "STORE") == 0)
		ret = service_store(&t->setup, body->bytes, n, &why);
	else
		ret = reason_set(&why, EINVAL, "no request %s", word);
	/* Another certificate may be there now. */
	service_disconnect(&t->connection);
	return talk_answer(ret < 0 ? "unusable" : "done", ret < 0 ? why.text : text, NULL, 0);
}

static int serve(struct talk *t, char *line, const struct secret *body, size_t n)
{
	char *rest = line + strcspn(line, " ");
	struct call call = {.exchange.twice = true, .method = "POST", .body = body->bytes, .n = n};

	if (*rest)
		*rest++ = '\0';
	call.path = rest;
	if (strcmp(line, "GET") == 0) {
		call.method = "GET";
		call.n = 0;
		return serve_call(t, &call);
	}
	if (strcmp(line, "POST") == 0) {
		call.exchange.twice = false;
		return serve_call(t, &call);
	}
	return strcmp(line, "ASK") == 0 ? serve_call(t, &call) : serve_local(t, line, rest, body, n);
}

int main(int argc, char **argv)
{
	static const struct url_form addresses = {
		.scheme = "https://", .port = SERVICE_PORT, .whose = "a key service", .example = "https://HOST[:PORT]"};
	static const struct talk_program program = {&addresses, serve};

	return talk_main(&program, argc, argv);
}

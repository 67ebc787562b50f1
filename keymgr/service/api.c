/* The API of the key service: who may call what, and what is recorded of it.
 *
 * 1. A call that fails or is refused leaves nothing staged but the line about the refusal.
 * 2. Whoever has not been accepted may register, and nothing else; the answer to everything else is the same whatever exists.
 * 3. What changes something is not taken from a page of another origin (RFC 6454): a browser would show the administrator's certificate to anybody's.
 * 4. What strangers can cause is bounded: lines about them in a second, registrations that wait. */
#include "keymgr/service/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/audit_actor.h"
#include "keymgr/service/api_internal.h"
#include "keymgr/service/page.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum {
	ANYBODY = 0, /* also a stranger */
	ADMIN = 1 << ROLE_ADMIN,
	OPERATOR = 1 << ROLE_OPERATOR,
	CLIENT = 1 << ROLE_CLIENT,
	AUDITOR = 1 << ROLE_AUDITOR,
	ACCEPTED = ADMIN | OPERATOR | CLIENT | AUDITOR,
};

static const struct route {
	enum http_method method;
	const char *path; /* behind /v1/; "*" stands for one segment */
	unsigned roles;
	int (*run)(struct call *c);
	bool counted; /* asked every few seconds: its refusals have lines as those of strangers do */
} routes[] = {
	/* What is asked all the time comes first. */
	{HTTP_POST, "keys/*/lease", ADMIN | CLIENT, api_lease, true},
	{HTTP_POST, "keys/*/wrapkey", ADMIN | CLIENT, api_wrap},
	{HTTP_POST, "keys/*/*/unwrapkey", ADMIN | CLIENT, api_unwrap},
	{HTTP_POST, "clients/register", ANYBODY, api_register},
	{HTTP_GET, "self", ACCEPTED, api_self},
	{HTTP_POST, "self/renew", ACCEPTED, api_self_renew},
	{HTTP_GET, "clients", ADMIN | AUDITOR, api_clients_list},
	{HTTP_POST, "clients/*/accept", ADMIN, api_client_accept},
	{HTTP_POST, "clients/*/revoke", ADMIN, api_client_revoke},
	{HTTP_GET, "keys", ACCEPTED, api_keys_list},
	{HTTP_GET, "keys/*", ACCEPTED, api_key_show},
	{HTTP_POST, "keys/*", ADMIN, api_key_create},
	{HTTP_POST, "keys/*/rotate", ADMIN | OPERATOR, api_key_rotate},
	{HTTP_POST, "keys/*/enable", ADMIN, api_key_enable},
	{HTTP_POST, "keys/*/disable", ADMIN, api_key_disable},
	{HTTP_POST, "keys/*/config", ADMIN, api_key_config},
	{HTTP_POST, "keys/*/delete", ADMIN, api_key_delete},
	{HTTP_POST, "keys/*/recover", ADMIN, api_key_recover},
	{HTTP_POST, "keys/*/purge", ADMIN, api_key_purge},
	{HTTP_POST, "keys/*/grant", ADMIN, api_key_grant},
	{HTTP_POST, "keys/*/ungrant", ADMIN, api_key_ungrant},
	{HTTP_POST, "keys/*/rewrap", ADMIN | CLIENT, api_rewrap},
	{HTTP_GET, "keys/*/volumes", ADMIN | OPERATOR | AUDITOR, api_volumes_list},
	{HTTP_POST, "keys/*/volumes/*/accept", ADMIN, api_volume_accept},
	{HTTP_POST, "keys/*/volumes/*/keyring", ADMIN | CLIENT, api_keyring_put},
	{HTTP_GET, "keys/*/volumes/*/keyring", ADMIN | CLIENT, api_keyring_get},
	{HTTP_GET, "audit/*", ADMIN | AUDITOR, api_audit},
	{HTTP_POST, "backup", ADMIN | OPERATOR, api_backup},
	{HTTP_GET, "status", ADMIN | OPERATOR | AUDITOR, api_status},
};

/* Outside of /v1: the files of the page. */
static const struct route page_route = {HTTP_GET, "", ADMIN, api_page, false};

/* --- what handlers share */

int call_refuse(struct call *c, int status, const char *code, const char *format, ...)
{
	char message[200];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	c->code = code;
	return answer_error(c->answer, status, code, "%s", message);
}

int call_refuse_errno(struct call *c, int error)
{
	switch (error) {
	case -ENOENT:
		return call_refuse(c, 404, "not_found", "there is no such thing");
	case -EEXIST:
		return call_refuse(c, 409, "exists", "there is one of that name already");
	case -EPERM:
		return call_refuse(c, 409, "last_admin", "nobody would be left to accept and revoke");
	case -EUSERS:
		return call_refuse(c, 429, "too_many_pending", "too many clients wait to be accepted");
	case -EKEYREVOKED:
		return call_refuse(c, 409, "client_revoked", "that client was revoked, which is for good");
	case -ERANGE:
		return call_refuse(c, 400, "bad_value", "that number is not allowed");
	case -EIDRM:
		return call_refuse(c, 409, "key_deleted", "the key was deleted");
	default:
		return error;
	}
}

json_object *call_detail(const char *member, const char *text)
{
	json_object *o = json_object_new_object();

	if (o && audit_put_text(o, member, text) < 0) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

json_object *call_line(const char *event)
{
	json_object *o = json_object_new_object();

	if (o && put_string(o, "event", event) < 0) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

int call_note_line(struct call *c, json_object *line)
{
	_cleanup_json_ json_object *o = line;
	int ret = o ? put_string(o, "client", c->client.fingerprint) : -ENOMEM;

	if (ret == 0 && *c->client.name)
		ret = put_string(o, "name", c->client.name);
	if (ret == 0)
		ret = put_string(o, "peer", c->address);
	return ret == 0 ? ledger_note(c->api->ledger, o) : ret;
}

int call_note(struct call *c, const char *event, json_object *more)
{
	_cleanup_json_ json_object *given = more;
	json_object *o = call_line(event);
	int ret = o ? 0 : -ENOMEM;

	if (given) {
		json_object_object_foreach(given, name, value)
		{
			if (ret == 0)
				ret = put_value(o, name, json_object_get(value));
		}
	}
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	return call_note_line(c, o);
}

bool call_members(struct call *c, const char *const *names, int *ret)
{
	*ret = 0;
	if (!c->body)
		return true;
	json_object_object_foreach(c->body, name, value)
	{
		int i = 0;

		(void)value;
		while (names[i] && strcmp(names[i], name) != 0)
			i++;
		if (!names[i]) {
			*ret = call_refuse(c, 400, "unknown_member", "member \"%.40s\" means nothing here", name);
			return false;
		}
	}
	return true;
}

/* --- one call */

/* The segments behind "/v1/".  False: it has another form, and so no route. */
static bool split(struct call *c, struct http_text path)
{
	const char *at = path.at + 4, *end = path.at + path.size;

	if (path.size <= 4 || memcmp(path.at, "/v1/", 4) != 0)
		return false;
	while (at <= end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t n = (size_t)((slash ? slash : end) - at);

		if (c->segments == SEGMENTS_MAX || n > SEGMENT_MAX)
			return false;
		memcpy(c->segment[c->segments], at, n);
		c->segment[c->segments++][n] = '\0';
		at += n + 1;
	}
	return true;
}

static bool matches(const struct call *c, const char *pattern)
{
	for (int i = 0; i < c->segments; i++) {
		size_t n = strcspn(pattern, "/");

		if (n == 0 || ((n != 1 || *pattern != '*') &&
			       (strlen(c->segment[i]) != n || memcmp(c->segment[i], pattern, n) != 0)))
			return false;
		pattern += n + (pattern[n] == '/');
	}
	return *pattern == '\0';
}

static int find_route(struct call *c, const struct http_request *r, const struct route **out)
{
	bool other = false;

	*out = NULL;
	c->page = page_find(r->path);
	if (c->page && r->method == HTTP_GET) {
		*out = &page_route;
		return 0;
	}
	other = c->page != NULL;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (c->segments && matches(c, routes[i].path)) {
			if (routes[i].method == r->method) {
				*out = &routes[i];
				return 0;
			}
			other = true;
		}
	return other ? call_refuse(c, 405, "bad_method", "not with this method")
		     : call_refuse(c, 404, "no_route", "nothing has that path");
}

/* Refuses who may not.  What strangers hear does not depend on the path. */
static int check_caller(struct call *c, const struct route *route)
{
	if (c->client.state == CLIENT_REVOKED)
		return call_refuse(c, 403, "client_revoked", "this client was revoked");
	if (route && route->roles == ANYBODY)
		return 0;
	if (c->client.state == CLIENT_PENDING)
		return call_refuse(c, 403, "client_pending", "this client was not accepted yet");
	if (c->client.state != CLIENT_ACCEPTED)
		return call_refuse(c, 403, "client_unknown", "this client is not known; it can register");
	if (!c->peer->issued)
		return call_refuse(
			c, 403, "certificate_needed",
			"this client was accepted: register again gives it its certificate, to be used from now on");
	if (route && !(route->roles & 1u << c->client.role))
		return call_refuse(c, 403, "role", "the role %s may not do that", role_name(c->client.role));
	return 0;
}

/* Of those that were accepted; strangers are held back otherwise (4). */
static int check_rate(struct call *c)
{
	struct timespec now;
	int ret;

	if (c->client.state != CLIENT_ACCEPTED)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ret = rate_take(&c->api->rates, c->client.fingerprint,
			(uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, &c->rate);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	c->api->counts.over_rate++;
	ret = call_refuse(c, 429, RATE_CODE, "this client may send %u requests a second; wait",
			  c->api->rates.per_second);
	c->answer->retry_after = c->rate.retry_after;
	return ret;
}

/* (3) Programs send no origin. */
static int check_origin(struct call *c, const struct http_request *r)
{
	static const char scheme[] = "https://";
	const size_t n = sizeof(scheme) - 1;

	if (r->method == HTTP_GET || !r->origin.at)
		return 0;
	if (r->origin.size == n + r->host.size && memcmp(r->origin.at, scheme, n) == 0 &&
	    memcmp(r->origin.at + n, r->host.at, r->host.size) == 0)
		return 0;
	return call_refuse(c, 403, "other_origin", "a page of another origin may not do that");
}

static int read_body(struct call *c, const struct http_request *r)
{
	_cleanup_free_ char *text = NULL;
	struct problem p = {0};
	int ret;

	if (r->method == HTTP_POST && !r->json)
		return call_refuse(c, 415, "not_json", "a POST wants Content-Type: application/json");
	if (r->body.size == 0)
		return 0;
	text = malloc(r->body.size + 2);
	if (!text)
		return -ENOMEM;
	memcpy(text, r->body.at, r->body.size);
	memcpy(text + r->body.size, "\n", 2);
	ret = memchr(text, '\0', r->body.size) ? problem_set(&p, "it has a zero byte")
					       : document_parse(text, r->body.size + 1, &c->body, &p);
	wipe(text, r->body.size);
	return ret == -EBADMSG ? call_refuse(c, 400, "bad_json", "%s", p.text) : ret;
}

/* Strings of a body may be keys that are to be wrapped. */
static void free_body(json_object *body)
{
	if (!body)
		return;
	json_object_object_foreach(body, name, value)
	{
		(void)name;
		if (json_object_is_type(value, json_type_string))
			wipe((char *)json_object_get_string(value), (size_t)json_object_get_string_len(value));
	}
	json_object_put(body);
}

static int run(struct call *c, const struct http_request *r)
{
	const struct route *route = NULL;
	char fingerprint[FINGERPRINT_TEXT + 1];
	int ret;

	hex_encode(c->peer->spki, SPKI_HASH_SIZE, fingerprint);
	ret = client_look(c->api->ledger, fingerprint, &c->client);
	if (ret < 0)
		return ret;
	ret = check_rate(c);
	if (ret < 0 || c->code)
		return ret;
	if (!split(c, r->path))
		c->segments = 0;
	ret = find_route(c, r, &route);
	c->counted = route && route->counted;
	if (ret == 0 && (!c->code || c->client.state != CLIENT_ACCEPTED)) {
		c->code = NULL;
		ret = check_caller(c, route);
	}
	if (ret == 0 && !c->code)
		ret = check_origin(c, r);
	if (ret == 0 && !c->code)
		ret = read_body(c, r);
	return ret == 0 && !c->code && route ? route->run(c) : ret;
}

/* The line about a refusal.  Strangers, and who asks all the time, get only so many. */
static int note_refusal(struct call *c, const struct http_request *r)
{
	const bool rate = strcmp(c->code, RATE_CODE) == 0;
	uint64_t *dropped = rate ? &c->rate.untold : &c->api->refusals_dropped;
	json_object *more;
	char path[HTTP_TARGET_MAX + 8];
	int ret = 0;

	if (rate && !c->rate.tell)
		return 0;
	if (!rate && (c->client.state != CLIENT_ACCEPTED || c->counted)) {
		if (c->api->refusals_left == 0) {
			c->api->refusals_dropped++;
			return 0;
		}
		c->api->refusals_left--;
	}
	snprintf(path, sizeof(path), "%s %.*s", r->method == HTTP_GET ? "GET" : "POST", (int)r->path.size, r->path.at);
	more = call_detail("code", c->code);
	ret = more ? audit_put_text(more, "request", path) : -ENOMEM;
	if (ret == 0 && *dropped)
		ret = put_number(more, "not_recorded", *dropped);
	ret = ret == 0 ? call_note(c, "refused", more) : ret;
	if (ret == 0)
		*dropped = 0;
	return ret;
}

void api_handle(struct api *api, const struct tls_peer *peer, const char *address, const struct http_request *r,
		struct answer *a)
{
	struct call c = {.api = api, .peer = peer, .address = address, .answer = a};
	const struct ledger_mark mark = ledger_mark(api->ledger);
	int ret = run(&c, r);

	if (ret < 0 || c.code)
		ledger_back(api->ledger, &mark);
	api->counts.refused += ret == 0 && c.code;
	if (ret == 0 && c.code)
		ret = note_refusal(&c, r);
	if (ret < 0) {
		log_error("a request from %s failed: %s", address, strerror(-ret));
		ledger_back(api->ledger, &mark);
		if (answer_error(a, ret == -ENOMEM || ret == -ENOBUFS ? 503 : 500,
				 ret == -EBADMSG ? "store_damaged" : "internal",
				 "the service could not do that; its log says why") < 0)
			answer_free(a);
	}
	client_free(&c.client);
	free_body(c.body);
}

void api_tick(struct api *api)
{
	if (api->refusals_left < API_REFUSALS_MAX)
		api->refusals_left++;
}

void api_end(struct api *api)
{
	leases_free(&api->leases);
	rates_free(&api->rates);
}

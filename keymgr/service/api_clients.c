/* The API's calls about clients, and the log. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/api_internal.h"
#include "util/base/number.h"

enum { AUDIT_BYTES_MAX = 256 << 10 };

/* What a client is told of itself; its certificate once it has one. */
static int answer_client(struct call *c, int status, const struct client *client)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_x509_ X509 *cert = NULL;
	_cleanup_free_ char *pem = NULL, *ca = NULL;
	int ret = o ? client_describe(client, o) : -ENOMEM;

	if (ret == 0)
		ret = client_certificate(client, &cert);
	if (ret == 0 && cert) {
		ret = x509_pem(cert, &pem);
		if (ret == 0)
			ret = x509_pem(c->api->ca->cert, &ca);
		if (ret == 0)
			ret = put_string(o, "certificate", pem);
		if (ret == 0)
			ret = put_string(o, "ca", ca);
	}
	return ret == 0 ? answer_json(c->answer, status, o) : ret;
}

int api_self(struct call *c)
{
	return answer_client(c, 200, &c->client);
}

int api_self_renew(struct call *c)
{
	static const char *const members[] = {NULL};
	_cleanup_(client_free) struct client renewed = {0};
	int ret;

	if (!call_members(c, members, &ret))
		return ret;
	ret = client_renew(c->api->ledger, c->api->ca, c->client.fingerprint, &renewed);
	if (ret == 0)
		ret = call_note(c, "client.renew", NULL);
	return ret == 0 ? answer_client(c, 200, &renewed) : call_refuse_errno(c, ret);
}

int api_register(struct call *c)
{
	static const char *const members[] = {"name", NULL};
	_cleanup_(client_free) struct client client = {0};
	struct problem p = {0};
	const char *name;
	int ret;

	if (c->client.state != CLIENT_UNKNOWN)
		return answer_client(c, 200, &c->client);
	if (!call_members(c, members, &ret))
		return ret;
	if (!c->body || member_string(c->body, "name", &name, &p) < 0 || !client_name_valid(name))
		return call_refuse(c, 400, "bad_name", "\"name\" wants 1 to 64 letters, digits and ._@-");
	if (!x509_key_acceptable(X509_get0_pubkey(c->peer->cert)))
		return call_refuse(c, 400, "bad_key", "a key is P-256, P-384, or RSA of 2048 to 4096 bits");
	ret = client_register(c->api->ledger, c->client.fingerprint, name, c->peer->cert, &client);
	if (ret == -EFBIG)
		return call_refuse(c, 400, "bad_certificate", "the certificate is larger than 4 KiB");
	if (ret == 0)
		ret = call_note(c, "client.register", call_detail("as", name));
	return ret == 0 ? answer_client(c, 202, &client) : call_refuse_errno(c, ret);
}

static bool name_client(struct call *c, int *ret)
{
	*ret = 0;
	if (fingerprint_valid(c->segment[1]))
		return true;
	*ret = call_refuse(c, 400, "bad_fingerprint", "a fingerprint is 64 lower-case hexadecimal digits");
	return false;
}

int api_client_accept(struct call *c)
{
	static const char *const members[] = {"role", NULL};
	_cleanup_(client_free) struct client client = {0};
	const char *role = "client";
	struct problem p = {0};
	json_object *more;
	int ret;

	if (!name_client(c, &ret) || !call_members(c, members, &ret))
		return ret;
	if (c->body && json_object_object_get_ex(c->body, "role", NULL) &&
	    member_string(c->body, "role", &role, &p) < 0)
		role = "";
	if (role_from_name(role) == ROLE_NONE)
		return call_refuse(c, 400, "bad_role", "a role is admin, operator, client or auditor");
	ret = client_accept(c->api->ledger, c->api->ca, c->segment[1], role_from_name(role), &client);
	if (ret < 0)
		return call_refuse_errno(c, ret);
	more = call_detail("accepted", client.fingerprint);
	ret = more ? put_string(more, "role", role) : -ENOMEM;
	if (ret == 0)
		ret = call_note(c, "client.accept", more);
	return ret == 0 ? answer_client(c, 200, &client) : ret;
}

int api_client_revoke(struct call *c)
{
	static const char *const members[] = {NULL};
	_cleanup_(client_free) struct client client = {0};
	int ret;

	if (!name_client(c, &ret) || !call_members(c, members, &ret))
		return ret;
	ret = client_revoke(c->api->ledger, c->segment[1], &client);
	if (ret == 0)
		ret = call_note(c, "client.revoke", call_detail("revoked", client.fingerprint));
	return ret == 0 ? answer_client(c, 200, &client) : call_refuse_errno(c, ret);
}

/* --- lists */

struct listing {
	struct ledger *l;
	json_object *array;
};

static int list_client(void *context, const char *row)
{
	struct listing *list = context;
	_cleanup_(client_free) struct client client = {0};
	json_object *o;
	int ret = client_get(list->l, strrchr(row, '/') + 1, &client);

	if (ret < 0)
		return ret;
	o = json_object_new_object();
	ret = o ? client_describe(&client, o) : -ENOMEM;
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	return put_element(list->array, o);
}

int api_clients_list(struct call *c)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	struct listing list = {c->api->ledger, json_object_new_array()};
	int ret = o ? put_value(o, "clients", list.array) : -ENOMEM;

	if (ret == 0)
		ret = ledger_each(c->api->ledger, "client/", list_client, &list);
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

/* Lines are JSON already, and stay what they are to the byte. */
struct gathering {
	struct answer *answer;
	size_t used;
	bool full;
};

static int gather(void *context, const struct line *line)
{
	struct gathering *g = context;

	if (g->full || g->used + line->size + 16 > g->answer->size) {
		g->full = true;
		return 0;
	}
	g->used += (size_t)snprintf(g->answer->text + g->used, g->answer->size - g->used, "%s%s",
				    g->answer->text[g->used - 1] == '[' ? "" : ",", line->text);
	return 0;
}

int api_audit(struct call *c)
{
	struct gathering g = {.answer = c->answer};
	uint64_t from;
	int ret;

	if (number_parse(c->segment[1], DOCUMENT_NUMBER_MAX, &from) < 0)
		return call_refuse(c, 400, "bad_value", "that is not the number of a line");
	ret = answer_room(c->answer, 200, AUDIT_BYTES_MAX);
	if (ret < 0)
		return ret;
	g.used = (size_t)snprintf(c->answer->text, AUDIT_BYTES_MAX, "{\"last\":%" PRIu64 ",\"lines\":[",
				  ledger_last(c->api->ledger));
	ret = ledger_lines(c->api->ledger, from, gather, &g);
	if (ret < 0)
		return ret;
	g.used += (size_t)snprintf(c->answer->text + g.used, AUDIT_BYTES_MAX - g.used, "]}\n");
	c->answer->size = g.used;
	return 0;
}

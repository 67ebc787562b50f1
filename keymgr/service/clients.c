/* Who may (clients.h). */
#include "keymgr/service/clients.h"

#include <stdio.h>
#include <string.h>

#include "util/base/encode.h"

#define PREFIX_CLIENT "client/"
#define PREFIX_GRANT  "grant/"

static const char *const roles[] = {
	[ROLE_ADMIN] = "admin",
	[ROLE_OPERATOR] = "operator",
	[ROLE_CLIENT] = "client",
	[ROLE_AUDITOR] = "auditor",
};
static const char *const states[] = {
	[CLIENT_UNKNOWN] = "unknown",
	[CLIENT_PENDING] = "pending",
	[CLIENT_ACCEPTED] = "accepted",
	[CLIENT_REVOKED] = "revoked",
};

const char *role_name(enum role r)
{
	return roles[r] ? roles[r] : "none";
}

enum role role_from_name(const char *name)
{
	for (enum role r = ROLE_ADMIN; r <= ROLE_AUDITOR; r++)
		if (strcmp(name, roles[r]) == 0)
			return r;
	return ROLE_NONE;
}

const char *client_state_name(enum client_state s)
{
	return states[s];
}

void client_free(struct client *c)
{
	json_object_put(c->row);
	c->row = NULL;
}

bool client_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= CLIENT_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-") == n;
}

bool fingerprint_valid(const char *text)
{
	return strlen(text) == FINGERPRINT_TEXT && strspn(text, "0123456789abcdef") == FINGERPRINT_TEXT;
}

/* --- rows */

static const char *row_of(const char *fingerprint, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, PREFIX_CLIENT "%s", fingerprint);
	return out;
}

static int load(struct client *c)
{
	const char *name, *state = "", *role = NULL;
	struct problem p = {0};
	int ret = member_string(c->row, "name", &name, &p);

	if (ret == 0)
		ret = member_string(c->row, "state", &state, &p);
	if (ret < 0)
		return ret;
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->state = CLIENT_UNKNOWN;
	for (enum client_state s = CLIENT_PENDING; s <= CLIENT_REVOKED; s++)
		if (strcmp(state, states[s]) == 0)
			c->state = s;
	if (c->state == CLIENT_ACCEPTED)
		ret = member_string(c->row, "role", &role, &p);
	c->role = role ? role_from_name(role) : ROLE_NONE;
	return ret == 0 && c->state == CLIENT_UNKNOWN ? -EBADMSG : ret;
}

static int read_client(struct ledger *l, const char *fingerprint, struct client *out,
		       int (*read)(struct ledger *l, const char *name, json_object **out))
{
	char row[ROW_NAME_MAX + 1];
	int ret;

	*out = (struct client){.state = CLIENT_UNKNOWN};
	snprintf(out->fingerprint, sizeof(out->fingerprint), "%s", fingerprint);
	ret = read(l, row_of(fingerprint, row), &out->row);
	if (ret == -ENOENT)
		return 0;
	if (ret == 0)
		ret = load(out);
	if (ret < 0)
		client_free(out);
	return ret;
}

int client_get(struct ledger *l, const char *fingerprint, struct client *out)
{
	return read_client(l, fingerprint, out, ledger_get);
}

int client_look(struct ledger *l, const char *fingerprint, struct client *out)
{
	return read_client(l, fingerprint, out, ledger_look);
}

/* Writes c->row with another state, and loads it again. */
static int save(struct ledger *l, struct client *c, enum client_state state, enum role role)
{
	char row[ROW_NAME_MAX + 1];
	int ret = put_string(c->row, "state", states[state]);

	if (ret == 0)
		ret = put_string(c->row, "role", role_name(role));
	if (ret == 0)
		ret = put_now(c->row, "since");
	if (ret == 0)
		ret = ledger_put(l, row_of(c->fingerprint, row), c->row);
	return ret == 0 ? load(c) : ret;
}

/* --- counting */

struct count {
	struct ledger *l;
	size_t pending, admins;
};

/* Strangers can make rows wait; they must not keep everybody else out for ever. */
static bool is_recent(const struct client *c)
{
	struct problem p = {0};
	const char *since;
	time_t then;

	return member_string(c->row, "since", &since, &p) < 0 || time_parse(since, &then) < 0 ||
	       document_now() - then < PENDING_S;
}

static int count_one(void *context, const char *name)
{
	_cleanup_(client_free) struct client c;
	struct count *n = context;
	int ret = client_get(n->l, name + strlen(PREFIX_CLIENT), &c);

	if (ret < 0)
		return ret;
	n->pending += c.state == CLIENT_PENDING && is_recent(&c);
	n->admins += c.role == ROLE_ADMIN;
	return 0;
}

static int count(struct ledger *l, struct count *n)
{
	*n = (struct count){.l = l};
	return ledger_each(l, PREFIX_CLIENT, count_one, n);
}

/* --- changes */

int client_register(struct ledger *l, const char *fingerprint, const char *name, X509 *cert, struct client *out)
{
	struct count n;
	int ret = client_get(l, fingerprint, out);

	if (ret < 0)
		return ret;
	if (out->state != CLIENT_UNKNOWN)
		return -EALREADY;
	ret = count(l, &n);
	if (ret == 0 && n.pending >= PENDING_MAX)
		ret = -EUSERS;
	if (ret < 0)
		return ret;
	out->row = json_object_new_object();
	ret = out->row ? put_string(out->row, "name", name) : -ENOMEM;
	if (ret == 0)
		ret = certificate_put(out->row, "request", cert);
	return ret == 0 ? save(l, out, CLIENT_PENDING, ROLE_NONE) : ret;
}

static int certify(const struct tls_identity *ca, struct client *c)
{
	_cleanup_x509_ X509 *request = NULL, *cert = NULL;
	int ret = certificate_get(c->row, "request", &request);

	if (ret == 0) {
		const struct x509_wanted wanted = {
			.name = c->name,
			.key = X509_get0_pubkey(request),
			.days = CLIENT_DAYS,
		};
		ret = x509_issue(ca->cert, ca->key, &wanted, &cert);
	}
	return ret == 0 ? certificate_put(c->row, "certificate", cert) : ret;
}

static int known(struct ledger *l, const char *fingerprint, struct client *out)
{
	int ret = client_get(l, fingerprint, out);

	if (ret == 0 && out->state == CLIENT_UNKNOWN)
		ret = -ENOENT;
	if (ret == 0 && out->state == CLIENT_REVOKED)
		ret = -EKEYREVOKED;
	return ret;
}

/* What would leave nobody who can accept and revoke is refused. */
static int check_admins(struct ledger *l, const struct client *c)
{
	struct count n;
	int ret = c->role == ROLE_ADMIN ? count(l, &n) : 0;

	return ret == 0 && c->role == ROLE_ADMIN && n.admins < 2 ? -EPERM : ret;
}

int client_accept(struct ledger *l, const struct tls_identity *ca, const char *fingerprint, enum role role,
		  struct client *out)
{
	int ret = known(l, fingerprint, out);

	if (ret == 0 && role != ROLE_ADMIN)
		ret = check_admins(l, out);
	if (ret == 0)
		ret = certify(ca, out);
	return ret == 0 ? save(l, out, CLIENT_ACCEPTED, role) : ret;
}

int client_renew(struct ledger *l, const struct tls_identity *ca, const char *fingerprint, struct client *out)
{
	int ret = known(l, fingerprint, out);

	if (ret == 0)
		ret = certify(ca, out);
	return ret == 0 ? save(l, out, CLIENT_ACCEPTED, out->role) : ret;
}

int client_revoke(struct ledger *l, const char *fingerprint, struct client *out)
{
	int ret = known(l, fingerprint, out);

	if (ret == -EKEYREVOKED)
		return 0;
	if (ret == 0)
		ret = check_admins(l, out);
	return ret == 0 ? save(l, out, CLIENT_REVOKED, ROLE_NONE) : ret;
}

int client_add(struct ledger *l, const char *name, enum role role, X509 *cert)
{
	_cleanup_(client_free) struct client c = {.row = json_object_new_object()};
	uint8_t hash[SPKI_HASH_SIZE];
	int ret = c.row ? x509_spki_hash(cert, hash) : -ENOMEM;

	if (ret == 0)
		ret = put_string(c.row, "name", name);
	if (ret == 0)
		ret = certificate_put(c.row, "request", cert);
	if (ret == 0)
		ret = certificate_put(c.row, "certificate", cert);
	if (ret < 0)
		return ret;
	hex_encode(hash, sizeof(hash), c.fingerprint);
	return save(l, &c, CLIENT_ACCEPTED, role);
}

/* --- what is shown */

int client_describe(const struct client *c, json_object *out)
{
	const char *since = "";
	struct problem p = {0};
	int ret = put_string(out, "fingerprint", c->fingerprint);

	if (ret == 0)
		ret = put_string(out, "name", c->name);
	if (ret == 0)
		ret = put_string(out, "state", states[c->state]);
	if (ret == 0)
		ret = put_string(out, "role", role_name(c->role));
	if (ret == 0 && c->row)
		ret = member_string(c->row, "since", &since, &p);
	return ret == 0 && c->row ? put_string(out, "since", since) : ret;
}

int client_certificate(const struct client *c, X509 **out)
{
	*out = NULL;
	if (c->state != CLIENT_ACCEPTED || !json_object_object_get_ex(c->row, "certificate", NULL))
		return 0;
	return certificate_get(c->row, "certificate", out);
}

/* --- grants */

static const char *grant_row(const char *key, const char *fingerprint, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, PREFIX_GRANT "%s/%s", key, fingerprint);
	return out;
}

int grant_put(struct ledger *l, const char *key, const char *fingerprint, bool granted)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char row[ROW_NAME_MAX + 1];
	int ret = o ? put_value(o, "granted", json_object_new_boolean(granted)) : -ENOMEM;

	if (ret == 0)
		ret = put_now(o, "since");
	return ret == 0 ? ledger_put(l, grant_row(key, fingerprint, row), o) : ret;
}

int grant_get(struct ledger *l, const char *key, const char *fingerprint, bool *granted)
{
	_cleanup_json_ json_object *o = NULL;
	char row[ROW_NAME_MAX + 1];
	struct problem p = {0};
	int ret = ledger_look(l, grant_row(key, fingerprint, row), &o);

	*granted = false;
	if (ret == -ENOENT)
		return 0;
	return ret == 0 ? member_bool(o, "granted", granted, &p) : ret;
}

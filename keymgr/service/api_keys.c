/* The API's calls about keys.  wrapkey and unwrapkey have the shape of Azure Key Vault's, the rest that of Vault's transit engine. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/api_internal.h"
#include "util/base/encode.h"
#include "util/base/number.h"

static const char *const no_members[] = {NULL};

/* --- which key, and whether it may be used */

int call_granted(struct call *c, const char *name, bool *out)
{
	*out = c->client.role != ROLE_CLIENT;
	return *out ? 0 : grant_get(c->api->ledger, name, c->client.fingerprint, out);
}

static bool find_key(struct call *c, struct kek *k, int (*read)(struct ledger *l, const char *name, struct kek *out),
		     int *ret)
{
	const char *name = c->segment[1];
	bool may = false;

	*k = (struct kek){0};
	*ret = 0;
	if (!kek_name_valid(name)) {
		*ret = call_refuse(
			c, 400, "bad_name",
			"a key's name is 1 to 63 letters, digits and ._-, and begins with a letter or digit");
		return false;
	}
	*ret = call_granted(c, name, &may);
	if (*ret == 0 && !may) {
		*ret = call_refuse(c, 403, "not_granted", "this key is not granted to this client");
		return false;
	}
	if (*ret == 0)
		*ret = read(c->api->ledger, name, k);
	if (*ret == -ENOENT) {
		*ret = call_refuse(c, 404, "not_found", "there is no key of that name");
		return false;
	}
	return *ret == 0;
}

bool call_key(struct call *c, struct kek *k, int *ret)
{
	return find_key(c, k, kek_get, ret);
}

bool call_key_to_use(struct call *c, struct kek *k, int *ret)
{
	return find_key(c, k, kek_look, ret);
}

static int answer_key(struct call *c, int status, const struct kek *k)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? kek_describe(k, o) : -ENOMEM;

	return ret == 0 ? answer_json(c->answer, status, o) : ret;
}

int call_note_key(struct call *c, const char *event, const struct kek *k, uint32_t version)
{
	json_object *more = call_detail("key", k->name);
	int ret = more ? put_number(more, "version", version) : -ENOMEM;

	if (ret < 0) {
		json_object_put(more);
		return ret;
	}
	return call_note(c, event, more);
}

/* --- looking */

struct listing {
	struct call *c;
	json_object *array;
};

static int list_key(void *context, const char *row)
{
	struct listing *list = context;
	_cleanup_(kek_free) struct kek k = {0};
	const char *name = strchr(row, '/') + 1;
	json_object *o;
	bool may;
	int ret = call_granted(list->c, name, &may);

	if (ret < 0 || !may)
		return ret;
	ret = kek_get(list->c->api->ledger, name, &k);
	if (ret < 0)
		return ret;
	o = json_object_new_object();
	ret = o ? kek_describe(&k, o) : -ENOMEM;
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	return put_element(list->array, o);
}

int api_keys_list(struct call *c)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	struct listing list = {c, json_object_new_array()};
	int ret = o ? put_value(o, "keys", list.array) : -ENOMEM;

	if (ret == 0)
		ret = ledger_each(c->api->ledger, "key/", list_key, &list);
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

int api_key_show(struct call *c)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	return call_key(c, &k, &ret) ? answer_key(c, 200, &k) : ret;
}

/* --- changing */

int api_key_create(struct call *c)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	if (!call_members(c, no_members, &ret))
		return ret;
	if (!kek_name_valid(c->segment[1]))
		return call_refuse(
			c, 400, "bad_name",
			"a key's name is 1 to 63 letters, digits and ._-, and begins with a letter or digit");
	ret = kek_create(c->api->ledger, c->api->keys, c->segment[1], &k);
	if (ret == 0)
		ret = call_note_key(c, "key.create", &k, 1);
	return ret == 0 ? answer_key(c, 201, &k) : call_refuse_errno(c, ret);
}

int api_key_rotate(struct call *c)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	if (!call_members(c, no_members, &ret) || !call_key(c, &k, &ret))
		return ret;
	ret = kek_rotate(c->api->ledger, c->api->keys, &k);
	if (ret == 0)
		ret = call_note_key(c, "key.rotate", &k, k.latest);
	return ret == 0 ? answer_key(c, 200, &k) : call_refuse_errno(c, ret);
}

static int enable(struct call *c, bool enabled)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	if (!call_members(c, no_members, &ret) || !call_key(c, &k, &ret))
		return ret;
	ret = kek_enable(c->api->ledger, &k, enabled);
	if (ret == 0)
		ret = call_note_key(c, enabled ? "key.enable" : "key.disable", &k, k.latest);
	return ret == 0 ? answer_key(c, 200, &k) : call_refuse_errno(c, ret);
}

int api_key_enable(struct call *c)
{
	return enable(c, true);
}

int api_key_disable(struct call *c)
{
	return enable(c, false);
}

/* What a body of `config` says; each member may be left out. */
struct config {
	uint64_t lowest, days; /* lowest 0: not given */
	struct managed_policy volumes;
	bool rotation, protect, policy;
};

static bool has(const struct call *c, const char *member)
{
	return c->body && json_object_object_get_ex(c->body, member, NULL);
}

/* False: refused, or *ret. */
static bool take_config(struct call *c, const struct kek *k, struct config *out, int *ret)
{
	struct problem p = {0};

	*out = (struct config){.rotation = has(c, "auto_rotate_days"), .volumes = k->volumes};
	*ret = 0;
	if (has(c, "min_decryption_version") &&
	    member_number(c->body, "min_decryption_version", 1, UINT32_MAX, &out->lowest, &p) < 0)
		*ret = call_refuse(c, 400, "bad_value", "\"min_decryption_version\" wants a number");
	else if (out->rotation &&
		 member_number(c->body, "auto_rotate_days", 0, KEK_ROTATE_DAYS_MAX, &out->days, &p) < 0)
		*ret = call_refuse(c, 400, "bad_value", "\"auto_rotate_days\" wants a number up to %d",
				   KEK_ROTATE_DAYS_MAX);
	else if (has(c, "purge_protection") && member_bool(c->body, "purge_protection", &out->protect, &p) < 0)
		*ret = call_refuse(c, 400, "bad_value", "\"purge_protection\" wants true");
	else if (has(c, "purge_protection") && !out->protect)
		*ret = call_refuse(c, 409, "purge_protected", "purge protection cannot be switched off");
	else if (c->body && managed_policy_change(c->body, "volumes_", &out->volumes, &out->policy, &p) < 0)
		*ret = call_refuse(c, 400, "bad_value", "%s", p.text);
	else if (!out->lowest && !out->rotation && !out->protect && !out->policy)
		*ret = call_refuse(c, 400, "bad_value", "nothing is to be configured");
	return !c->code && *ret == 0;
}

static int note_config(struct call *c, const struct kek *k)
{
	json_object *more = call_detail("key", k->name);
	int ret = more ? put_number(more, "min_decryption_version", k->lowest) : -ENOMEM;

	if (ret == 0)
		ret = put_number(more, "auto_rotate_days", k->rotate_days);
	if (ret == 0)
		ret = managed_policy_put(more, "volumes_", &k->volumes);
	if (ret == 0 && k->keep_until)
		ret = put_value(more, "purge_protection", json_object_new_boolean(true));
	if (ret < 0) {
		json_object_put(more);
		return ret;
	}
	return call_note(c, "key.config", more);
}

int api_key_config(struct call *c)
{
	static const char *const members[] = {"min_decryption_version",
					      "auto_rotate_days",
					      "purge_protection",
					      "volumes_rotate_every",
					      "volumes_rotate_after",
					      "volumes_keep",
					      NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct config config;
	int ret;

	if (!call_members(c, members, &ret) || !call_key(c, &k, &ret) || !take_config(c, &k, &config, &ret))
		return ret;
	ret = config.lowest ? kek_set_lowest(c->api->ledger, &k, config.lowest) : 0;
	if (ret == 0 && config.rotation)
		ret = kek_set_rotation(c->api->ledger, &k, config.days);
	if (ret == 0 && config.policy)
		ret = kek_set_volumes(c->api->ledger, &k, &config.volumes);
	if (ret == 0 && config.protect)
		ret = kek_protect(c->api->ledger, &k);
	if (ret == 0)
		ret = note_config(c, &k);
	return ret == 0 ? answer_key(c, 200, &k) : call_refuse_errno(c, ret);
}

int api_key_delete(struct call *c)
{
	static const char *const members[] = {"days", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	uint64_t days = KEK_DELETED_DAYS_MAX;
	struct problem p = {0};
	int ret;

	if (!call_members(c, members, &ret) || !call_key(c, &k, &ret))
		return ret;
	if (c->body && json_object_object_get_ex(c->body, "days", NULL) &&
	    member_number(c->body, "days", KEK_DELETED_DAYS_MIN, KEK_DELETED_DAYS_MAX, &days, &p) < 0)
		return call_refuse(c, 400, "bad_value", "\"days\" wants a number from %d to %d", KEK_DELETED_DAYS_MIN,
				   KEK_DELETED_DAYS_MAX);
	ret = kek_delete(c->api->ledger, &k, days);
	if (ret == 0)
		ret = call_note_key(c, "key.delete", &k, k.latest);
	return ret == 0 ? answer_key(c, 200, &k) : call_refuse_errno(c, ret);
}

static int refuse_not_deleted(struct call *c, int error)
{
	if (error == -EINVAL)
		return call_refuse(c, 409, "not_deleted", "the key is not among the deleted ones");
	if (error == -EPERM)
		return call_refuse(c, 409, "purge_protected", "the key is protected until its time has come");
	return error;
}

int api_key_recover(struct call *c)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	if (!call_members(c, no_members, &ret) || !call_key(c, &k, &ret))
		return ret;
	ret = kek_recover(c->api->ledger, &k);
	if (ret == 0)
		ret = call_note_key(c, "key.recover", &k, k.latest);
	return ret == 0 ? answer_key(c, 200, &k) : refuse_not_deleted(c, ret);
}

int api_key_purge(struct call *c)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	if (!call_members(c, no_members, &ret) || !call_key(c, &k, &ret))
		return ret;
	ret = kek_purge(c->api->ledger, &k);
	if (ret == 0)
		ret = call_note_key(c, "key.purge", &k, k.latest);
	return ret == 0 ? answer_key(c, 200, &k) : refuse_not_deleted(c, ret);
}

static int grant(struct call *c, bool give)
{
	static const char *const members[] = {"client", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	_cleanup_(client_free) struct client client = {0};
	struct problem p = {0};
	const char *fingerprint;
	json_object *more;
	int ret;

	if (!call_members(c, members, &ret) || !call_key(c, &k, &ret))
		return ret;
	if (!c->body || member_string(c->body, "client", &fingerprint, &p) < 0 || !fingerprint_valid(fingerprint))
		return call_refuse(c, 400, "bad_fingerprint",
				   "\"client\" wants a fingerprint of 64 lower-case hexadecimal digits");
	ret = client_get(c->api->ledger, fingerprint, &client);
	if (ret < 0)
		return ret;
	if (client.state != CLIENT_ACCEPTED && give)
		return call_refuse(c, 409, "client_not_accepted", "that client is %s", client_state_name(client.state));
	ret = grant_put(c->api->ledger, k.name, fingerprint, give);
	more = call_detail("key", k.name);
	if (ret == 0)
		ret = more ? put_string(more, "to", fingerprint) : -ENOMEM;
	if (ret < 0) {
		json_object_put(more);
		return ret;
	}
	ret = call_note(c, give ? "key.grant" : "key.ungrant", more);
	return ret == 0 ? answer_key(c, 200, &k) : ret;
}

int api_key_grant(struct call *c)
{
	return grant(c, true);
}

int api_key_ungrant(struct call *c)
{
	return grant(c, false);
}

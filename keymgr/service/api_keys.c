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

static int granted(struct call *c, const char *name, bool *out)
{
	*out = c->client.role != ROLE_CLIENT;
	return *out ? 0 : grant_get(c->api->ledger, name, c->client.fingerprint, out);
}

/* The key that the path names.  False: the call was refused, or *ret says why not.  A client hears the same of a key that does not
 * exist as of one that is not granted to it. */
static bool take_key(struct call *c, struct kek *k, int *ret)
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
	*ret = granted(c, name, &may);
	if (*ret == 0 && !may) {
		*ret = call_refuse(c, 403, "not_granted", "this key is not granted to this client");
		return false;
	}
	if (*ret == 0)
		*ret = kek_get(c->api->ledger, name, k);
	if (*ret == -ENOENT) {
		*ret = call_refuse(c, 404, "not_found", "there is no key of that name");
		return false;
	}
	return *ret == 0;
}

static int answer_key(struct call *c, int status, const struct kek *k)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? kek_describe(k, o) : -ENOMEM;

	return ret == 0 ? answer_json(c->answer, status, o) : ret;
}

static int note_key(struct call *c, const char *event, const struct kek *k, uint32_t version)
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
	int ret = granted(list->c, name, &may);

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

	return take_key(c, &k, &ret) ? answer_key(c, 200, &k) : ret;
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
		ret = note_key(c, "key.create", &k, 1);
	return ret == 0 ? answer_key(c, 201, &k) : call_refuse_errno(c, ret);
}

int api_key_rotate(struct call *c)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	if (!call_members(c, no_members, &ret) || !take_key(c, &k, &ret))
		return ret;
	ret = kek_rotate(c->api->ledger, c->api->keys, &k);
	if (ret == 0)
		ret = note_key(c, "key.rotate", &k, k.latest);
	return ret == 0 ? answer_key(c, 200, &k) : ret;
}

static int enable(struct call *c, bool enabled)
{
	_cleanup_(kek_free) struct kek k = {0};
	int ret;

	if (!call_members(c, no_members, &ret) || !take_key(c, &k, &ret))
		return ret;
	ret = kek_enable(c->api->ledger, &k, enabled);
	if (ret == 0)
		ret = note_key(c, enabled ? "key.enable" : "key.disable", &k, k.latest);
	return ret == 0 ? answer_key(c, 200, &k) : ret;
}

int api_key_enable(struct call *c)
{
	return enable(c, true);
}

int api_key_disable(struct call *c)
{
	return enable(c, false);
}

int api_key_config(struct call *c)
{
	static const char *const members[] = {"min_decryption_version", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct problem p = {0};
	uint64_t lowest;
	int ret;

	if (!call_members(c, members, &ret) || !take_key(c, &k, &ret))
		return ret;
	if (!c->body || member_number(c->body, "min_decryption_version", 1, UINT32_MAX, &lowest, &p) < 0)
		return call_refuse(c, 400, "bad_value", "\"min_decryption_version\" wants a number");
	ret = kek_set_lowest(c->api->ledger, &k, lowest);
	if (ret == 0)
		ret = note_key(c, "key.config", &k, (uint32_t)lowest);
	return ret == 0 ? answer_key(c, 200, &k) : call_refuse_errno(c, ret);
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

	if (!call_members(c, members, &ret) || !take_key(c, &k, &ret))
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

/* --- using */

/* A member in base64url; one that is not there is empty. */
static bool take_bytes(struct call *c, const char *name, uint8_t *out, size_t min, size_t max, size_t *n, int *ret)
{
	struct problem p = {0};

	*n = 0;
	*ret = 0;
	if (min == 0 && !(c->body && json_object_object_get_ex(c->body, name, NULL)))
		return true;
	if (c->body && member_bytes_between(c->body, name, out, min, max, n, &p) == 0)
		return true;
	*ret = call_refuse(c, 400, "bad_value", "\"%s\" wants %zu to %zu bytes in base64url without padding", name, min,
			   max);
	return false;
}

static bool take_algorithm(struct call *c, int *ret)
{
	struct problem p = {0};
	const char *alg;

	*ret = 0;
	if (c->body && member_string(c->body, "alg", &alg, &p) == 0 && strcmp(alg, KEK_ALGORITHM) == 0)
		return true;
	*ret = call_refuse(c, 400, "bad_algorithm", "\"alg\" is " KEK_ALGORITHM);
	return false;
}

static bool take_wrapped(struct call *c, struct kek_wrapped *w, int *ret)
{
	size_t n;

	return take_bytes(c, "value", w->value, 1, sizeof(w->value), &w->size, ret) &&
	       take_bytes(c, "aad", w->aad, 0, sizeof(w->aad), &w->aad_size, ret) &&
	       take_bytes(c, "iv", w->iv, sizeof(w->iv), sizeof(w->iv), &n, ret) &&
	       take_bytes(c, "tag", w->tag, sizeof(w->tag), sizeof(w->tag), &n, ret);
}

static int refuse_use(struct call *c, int error)
{
	switch (error) {
	case -EKEYREVOKED:
		return call_refuse(c, 403, "key_disabled", "this key is disabled");
	case -EKEYEXPIRED:
		return call_refuse(c, 403, "version_retired", "this version of the key unwraps no more");
	case -ENOENT:
		return call_refuse(c, 404, "no_version", "this key has no such version");
	case -EBADMSG:
		return call_refuse(c, 400, "unwrap_failed",
				   "this was not wrapped by this version of the key with this aad");
	default:
		return error;
	}
}

static void kid(const struct kek *k, uint32_t version, char *out, size_t n)
{
	snprintf(out, n, "/v1/keys/%s/%" PRIu32, k->name, version);
}

static int answer_wrapped(struct call *c, const struct kek *k, const struct kek_wrapped *w)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char id[KEK_NAME_MAX + 32];
	int ret;

	kid(k, w->version, id, sizeof(id));
	ret = o ? put_string(o, "kid", id) : -ENOMEM;
	if (ret == 0)
		ret = put_number(o, "version", w->version);
	if (ret == 0)
		ret = put_string(o, "alg", KEK_ALGORITHM);
	if (ret == 0)
		ret = put_blob(o, "value", w->value, w->size);
	if (ret == 0)
		ret = put_bytes(o, "iv", w->iv, sizeof(w->iv));
	if (ret == 0)
		ret = put_bytes(o, "tag", w->tag, sizeof(w->tag));
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

/* The plaintext goes from its buffer into the answer, and nowhere else. */
static int answer_plain(struct call *c, const struct kek *k, uint32_t version, const uint8_t *plain, size_t n)
{
	char id[KEK_NAME_MAX + 32];
	size_t used;
	int ret;

	kid(k, version, id, sizeof(id));
	ret = answer_room(c->answer, 200, 128 + sizeof(id) + base64url_size(n));
	if (ret < 0)
		return ret;
	used = (size_t)snprintf(c->answer->text, c->answer->size,
				"{\"kid\":\"%s\",\"version\":%" PRIu32 ",\"value\":\"", id, version);
	used += base64url_encode(plain, n, c->answer->text + used);
	memcpy(c->answer->text + used, "\"}\n", 4);
	c->answer->size = used + 3;
	return 0;
}

int api_wrap(struct call *c)
{
	static const char *const members[] = {"alg", "value", "aad", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w = {0};
	uint8_t plain[KEK_VALUE_MAX];
	size_t n;
	int ret;

	if (!take_key(c, &k, &ret) || !call_members(c, members, &ret) || !take_algorithm(c, &ret) ||
	    !take_bytes(c, "aad", w.aad, 0, sizeof(w.aad), &w.aad_size, &ret) ||
	    !take_bytes(c, "value", plain, 1, sizeof(plain), &n, &ret))
		return ret;
	ret = kek_wrap(c->api->ledger, c->api->keys, &k, plain, n, &w);
	wipe(plain, sizeof(plain));
	if (ret == 0)
		ret = note_key(c, "wrap", &k, w.version);
	return ret == 0 ? answer_wrapped(c, &k, &w) : refuse_use(c, ret);
}

int api_unwrap(struct call *c)
{
	static const char *const members[] = {"alg", "value", "aad", "iv", "tag", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w = {0};
	uint8_t plain[KEK_VALUE_MAX];
	uint64_t version;
	int ret;

	if (!take_key(c, &k, &ret) || !call_members(c, members, &ret) || !take_algorithm(c, &ret) ||
	    !take_wrapped(c, &w, &ret))
		return ret;
	if (number_parse(c->segment[2], UINT32_MAX, &version) < 0)
		return call_refuse(c, 404, "no_version", "this key has no such version");
	w.version = (uint32_t)version;
	ret = kek_unwrap(c->api->ledger, c->api->keys, &k, &w, plain);
	if (ret == 0)
		ret = note_key(c, "unwrap", &k, w.version);
	if (ret == 0)
		ret = answer_plain(c, &k, w.version, plain, w.size);
	wipe(plain, sizeof(plain));
	return ret == 0 ? 0 : refuse_use(c, ret);
}

/* From an older version to the newest, without the plaintext leaving. */
int api_rewrap(struct call *c)
{
	static const char *const members[] = {"alg", "version", "value", "aad", "iv", "tag", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w = {0};
	uint8_t plain[KEK_VALUE_MAX];
	struct problem p = {0};
	int ret;

	if (!take_key(c, &k, &ret) || !call_members(c, members, &ret) || !take_algorithm(c, &ret) ||
	    !take_wrapped(c, &w, &ret))
		return ret;
	if (member_u32(c->body, "version", 1, &w.version, &p) < 0)
		return call_refuse(c, 400, "bad_value",
				   "\"version\" wants the number of the version that it is wrapped by");
	ret = kek_unwrap(c->api->ledger, c->api->keys, &k, &w, plain);
	if (ret == 0)
		ret = kek_wrap(c->api->ledger, c->api->keys, &k, plain, w.size, &w);
	wipe(plain, sizeof(plain));
	if (ret == 0)
		ret = note_key(c, "rewrap", &k, w.version);
	return ret == 0 ? answer_wrapped(c, &k, &w) : refuse_use(c, ret);
}

/* The API's calls that use keys: wrapkey, unwrapkey, rewrap.  The first two have the shape of Azure Key Vault's.
 *
 * With "volume" what is wrapped is the root of a volume; its id is the associated data, and the pin (volumes.h) says which root it may be. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/api_internal.h"
#include "util/base/encode.h"
#include "util/base/number.h"

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
	       take_bytes(c, "iv", w->iv, sizeof(w->iv), sizeof(w->iv), &n, ret) &&
	       take_bytes(c, "tag", w->tag, sizeof(w->tag), sizeof(w->tag), &n, ret);
}

int call_refuse_use(struct call *c, int error)
{
	switch (error) {
	case -EKEYREVOKED:
		return call_refuse(c, 403, "key_disabled", "this key is disabled");
	case -EIDRM:
		return call_refuse(c, 403, "key_deleted", "this key was deleted");
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

/* --- the root of a volume */

struct root {
	bool given; /* the call names a volume */
	char volume[VOLUME_TEXT + 1];
	uint8_t id[VOLUME_ID_SIZE], fingerprint[FINGERPRINT_SIZE];
};

/* "aad", or the id of the volume in its place. */
static bool take_aad(struct call *c, struct kek_wrapped *w, struct root *root, int *ret)
{
	struct problem p = {0};
	const char *id;

	root->given = c->body && json_object_object_get_ex(c->body, "volume", NULL);
	if (!root->given)
		return take_bytes(c, "aad", w->aad, 0, sizeof(w->aad), &w->aad_size, ret);
	if (member_string(c->body, "volume", &id, &p) < 0 || !volume_id_parse(id, root->id) ||
	    json_object_object_get_ex(c->body, "aad", NULL)) {
		*ret = call_refuse(c, 400, "bad_value",
				   "\"volume\" wants 32 lower-case hexadecimal digits, and no \"aad\" beside it");
		return false;
	}
	snprintf(root->volume, sizeof(root->volume), "%s", id);
	memcpy(w->aad, root->id, VOLUME_ID_SIZE);
	w->aad_size = VOLUME_ID_SIZE;
	return true;
}

static int refuse_root(struct call *c)
{
	return call_refuse(c, 409, "other_root",
			   "this is not the root that is known for that volume; an administrator can accept it");
}

/* Holds a root against the pin.  False: refused, or *ret.  A wrapped one is pinned if it is the first, an unwrapped one is never. */
static bool check_root(struct call *c, const struct kek *k, struct root *root, const uint8_t *plain, size_t n,
		       bool wrapping, int *ret)
{
	_cleanup_(volume_pin_free) struct volume_pin v = {0};
	bool changed;

	*ret = 0;
	if (!root->given)
		return true;
	if (n != ROOT_SIZE) {
		*ret = call_refuse(c, 400, "bad_value", "the root of a volume has 32 bytes");
		return false;
	}
	*ret = volume_fingerprint(plain, root->id, root->fingerprint);
	if (*ret == 0)
		*ret = volume_look(c->api->ledger, k->name, root->volume, &v);
	if (*ret == -ENOENT && wrapping) {
		*ret = volume_pin_first(c->api->ledger, k->name, root->volume, root->fingerprint, &v);
		return *ret == 0;
	}
	if (*ret == -ENOENT || (*ret == 0 && !volume_may(&v, root->fingerprint))) {
		*ret = refuse_root(c);
		return false;
	}
	if (wrapping || !v.has_next)
		return *ret == 0;
	volume_pin_free(&v); /* it may change */
	*ret = volume_get(c->api->ledger, k->name, root->volume, &v);
	if (*ret == 0)
		*ret = volume_unwrapped(c->api->ledger, &v, root->fingerprint, &changed);
	return *ret == 0;
}

/* The line about a use. */
static int note_use(struct call *c, const char *event, const struct kek *k, uint32_t version, const struct root *root)
{
	json_object *line = call_line(event);
	int ret = line ? put_string(line, "key", k->name) : -ENOMEM;

	if (ret == 0)
		ret = put_number(line, "version", version);
	if (ret == 0 && root->given)
		ret = put_string(line, "volume", root->volume);
	if (ret == 0 && root->given)
		ret = put_hex(line, "root", root->fingerprint, FINGERPRINT_SIZE);
	if (ret < 0) {
		json_object_put(line);
		return ret;
	}
	return call_note_line(c, line);
}

/* --- answers, as text: nothing in them needs escaping, and a plaintext goes from its buffer into the answer and nowhere else */

enum { ANSWER_ROOM = 192 + KEK_NAME_MAX + 2 * FINGERPRINT_SIZE }; /* besides the value */

static int begin(struct call *c, const struct kek *k, uint32_t version, size_t n, size_t *used)
{
	int ret = answer_room(c->answer, 200, ANSWER_ROOM + base64url_size(n));

	*used = 0;
	if (ret == 0)
		*used = (size_t)snprintf(c->answer->text, c->answer->size,
					 "{\"kid\":\"/v1/keys/%s/%" PRIu32 "\",\"version\":%" PRIu32, k->name, version,
					 version);
	return ret;
}

static void add_bytes(struct answer *a, size_t *used, const char *member, const uint8_t *bytes, size_t n)
{
	*used += (size_t)snprintf(a->text + *used, a->size - *used, ",\"%s\":\"", member);
	*used += base64url_encode(bytes, n, a->text + *used);
	a->text[(*used)++] = '"';
}

static void add_root(struct answer *a, size_t *used, const struct root *root)
{
	char fingerprint[2 * FINGERPRINT_SIZE + 1];

	if (!root->given)
		return;
	hex_encode(root->fingerprint, FINGERPRINT_SIZE, fingerprint);
	*used += (size_t)snprintf(a->text + *used, a->size - *used, ",\"root\":\"%s\"", fingerprint);
}

static void end(struct answer *a, size_t used)
{
	memcpy(a->text + used, "}\n", 3);
	a->size = used + 2;
}

static int answer_wrapped(struct call *c, const struct kek *k, const struct kek_wrapped *w, const struct root *root)
{
	static const char algorithm[] = ",\"alg\":\"" KEK_ALGORITHM "\"";
	size_t used;
	int ret = begin(c, k, w->version, w->size, &used);

	if (ret < 0)
		return ret;
	memcpy(c->answer->text + used, algorithm, sizeof(algorithm) - 1);
	used += sizeof(algorithm) - 1;
	add_bytes(c->answer, &used, "value", w->value, w->size);
	add_bytes(c->answer, &used, "iv", w->iv, sizeof(w->iv));
	add_bytes(c->answer, &used, "tag", w->tag, sizeof(w->tag));
	add_root(c->answer, &used, root);
	end(c->answer, used);
	return 0;
}

static int answer_plain(struct call *c, const struct kek *k, uint32_t version, const uint8_t *plain, size_t n,
			const struct root *root)
{
	size_t used;
	int ret = begin(c, k, version, n, &used);

	if (ret < 0)
		return ret;
	add_root(c->answer, &used, root);
	add_bytes(c->answer, &used, "value", plain, n);
	end(c->answer, used);
	return 0;
}

/* --- the calls */

int api_wrap(struct call *c)
{
	static const char *const members[] = {"alg", "value", "aad", "volume", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w = {0};
	struct root root = {0};
	uint8_t plain[KEK_VALUE_MAX];
	size_t n;
	int ret;

	if (!call_key_to_use(c, &k, &ret) || !call_members(c, members, &ret) || !take_algorithm(c, &ret) ||
	    !take_aad(c, &w, &root, &ret) || !take_bytes(c, "value", plain, 1, sizeof(plain), &n, &ret))
		return ret;
	ret = kek_wrap(c->api->ledger, c->api->keys, &k, plain, n, &w);
	if (ret < 0 || !check_root(c, &k, &root, plain, n, true, &ret)) {
		wipe(plain, sizeof(plain));
		return ret < 0 ? call_refuse_use(c, ret) : 0;
	}
	wipe(plain, sizeof(plain));
	ret = note_use(c, "wrap", &k, w.version, &root);
	c->api->counts.wraps += ret == 0;
	return ret == 0 ? answer_wrapped(c, &k, &w, &root) : ret;
}

int api_unwrap(struct call *c)
{
	static const char *const members[] = {"alg", "value", "aad", "volume", "iv", "tag", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w = {0};
	struct root root = {0};
	uint8_t plain[KEK_VALUE_MAX];
	uint64_t version;
	int ret;

	if (!call_key_to_use(c, &k, &ret) || !call_members(c, members, &ret) || !take_algorithm(c, &ret) ||
	    !take_wrapped(c, &w, &ret) || !take_aad(c, &w, &root, &ret))
		return ret;
	if (number_parse(c->segment[2], UINT32_MAX, &version) < 0)
		return call_refuse(c, 404, "no_version", "this key has no such version");
	w.version = (uint32_t)version;
	ret = kek_unwrap(c->api->ledger, c->api->keys, &k, &w, plain);
	if (ret < 0)
		return call_refuse_use(c, ret);
	if (check_root(c, &k, &root, plain, w.size, false, &ret))
		ret = note_use(c, "unwrap", &k, w.version, &root);
	c->api->counts.unwraps += ret == 0 && !c->code;
	if (ret == 0 && !c->code)
		ret = answer_plain(c, &k, w.version, plain, w.size, &root);
	wipe(plain, sizeof(plain));
	return ret;
}

/* From an older version to the newest, without the plaintext leaving. */
int api_rewrap(struct call *c)
{
	static const char *const members[] = {"alg", "version", "value", "aad", "volume", "iv", "tag", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	struct kek_wrapped w = {0};
	struct root root = {0};
	uint8_t plain[KEK_VALUE_MAX];
	struct problem p = {0};
	int ret;

	if (!call_key_to_use(c, &k, &ret) || !call_members(c, members, &ret) || !take_algorithm(c, &ret) ||
	    !take_wrapped(c, &w, &ret) || !take_aad(c, &w, &root, &ret))
		return ret;
	if (member_u32(c->body, "version", 1, &w.version, &p) < 0)
		return call_refuse(c, 400, "bad_value",
				   "\"version\" wants the number of the version that it is wrapped by");
	ret = kek_unwrap(c->api->ledger, c->api->keys, &k, &w, plain);
	if (ret < 0)
		return call_refuse_use(c, ret);
	if (check_root(c, &k, &root, plain, w.size, false, &ret)) {
		ret = kek_wrap(c->api->ledger, c->api->keys, &k, plain, w.size, &w);
		if (ret == 0)
			ret = note_use(c, "rewrap", &k, w.version, &root);
		c->api->counts.rewraps += ret == 0;
		if (ret == 0)
			ret = answer_wrapped(c, &k, &w, &root);
	}
	wipe(plain, sizeof(plain));
	return ret;
}

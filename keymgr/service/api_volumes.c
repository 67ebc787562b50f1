/* The API's calls about volumes: which root is theirs, and the lease by which their mounts go on. */
#include <errno.h>
#include <string.h>

#include "keymgr/service/api_internal.h"
#include "util/base/encode.h"

/* --- looking */

struct listing {
	struct call *c;
	const struct kek *key;
	json_object *array;
};

static int put_state(json_object *o, const struct managed_state *s, const struct managed_policy *policy)
{
	char rotated[TIME_TEXT + 1];
	int ret = put_number(o, "generations", s->kept);

	time_text_of(s->rotated, rotated);
	if (ret == 0)
		ret = put_number(o, "floor", s->floor);
	if (ret == 0)
		ret = put_number(o, "sealed", s->sealed);
	if (ret == 0)
		ret = put_string(o, "rotated", rotated);
	if (ret < 0 || managed_policy_empty(policy))
		return ret;
	return put_value(o, "behind", json_object_new_boolean(managed_policy_behind(policy, s, document_now())));
}

static int put_report(json_object *o, const struct lease_report *r, const struct managed_policy *policy)
{
	int ret = *r->host ? put_string(o, "host", r->host) : 0;

	if (ret == 0 && *r->coffer)
		ret = put_string(o, "coffer", r->coffer);
	if (ret == 0 && r->has_generation)
		ret = put_number(o, "generation", r->generation);
	if (ret == 0 && r->has_percent)
		ret = put_number(o, "reencryption_percent", r->percent);
	if (ret == 0 && r->has_backup)
		ret = put_number(o, "backup_days", r->backup_days);
	return ret == 0 && r->has_state ? put_state(o, &r->state, policy) : ret;
}

static int put_lease(json_object *o, const struct lease *lease, const struct managed_policy *policy)
{
	int ret = put_string(o, "client", lease->client);

	if (ret == 0)
		ret = put_string(o, "seen", lease->seen);
	if (ret == 0)
		ret = put_number(o, "renewals", lease->renewals);
	if (ret == 0 && lease->version)
		ret = put_number(o, "version", lease->version);
	return ret == 0 ? put_report(o, &lease->report, policy) : ret;
}

static int list_volume(void *context, const char *row)
{
	struct listing *list = context;
	_cleanup_(volume_pin_free) struct volume_pin v = {0};
	const struct lease *lease;
	json_object *o;
	int ret = volume_get(list->c->api->ledger, list->key->name, strrchr(row, '/') + 1, &v);

	if (ret < 0)
		return ret;
	o = json_object_new_object();
	ret = o ? volume_describe(&v, o) : -ENOMEM;
	lease = lease_find(&list->c->api->leases, v.key, v.id);
	if (ret == 0 && lease)
		ret = put_lease(o, lease, &list->key->volumes);
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	return put_element(list->array, o);
}

int api_volumes_list(struct call *c)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_(kek_free) struct kek k = {0};
	struct listing list = {c, &k, json_object_new_array()};
	char prefix[ROW_NAME_MAX + 1];
	int ret = o ? put_value(o, "volumes", list.array) : -ENOMEM;

	if (ret < 0 || !call_key(c, &k, &ret))
		return ret;
	snprintf(prefix, sizeof(prefix), "volume/%s/", k.name);
	ret = ledger_each(c->api->ledger, prefix, list_volume, &list);
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

/* --- changing */

int api_volume_accept(struct call *c)
{
	static const char *const members[] = {"root", NULL};
	_cleanup_(volume_pin_free) struct volume_pin v = {0};
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_(kek_free) struct kek k = {0};
	uint8_t id[VOLUME_ID_SIZE], root[FINGERPRINT_SIZE];
	char text[2 * FINGERPRINT_SIZE + 1];
	struct problem p = {0};
	json_object *more;
	int ret;

	if (!call_members(c, members, &ret) || !call_key(c, &k, &ret))
		return ret;
	if (!volume_id_parse(c->segment[3], id))
		return call_refuse(c, 400, "bad_value", "a volume's id is 32 lower-case hexadecimal digits");
	if (!c->body || member_hex(c->body, "root", root, sizeof(root), &p) < 0)
		return call_refuse(c, 400, "bad_value",
				   "\"root\" wants a fingerprint of 32 lower-case hexadecimal digits");
	ret = volume_accept(c->api->ledger, k.name, c->segment[3], root, &v);
	if (ret < 0)
		return ret;
	hex_encode(root, sizeof(root), text);
	more = call_detail("key", k.name);
	ret = more ? put_string(more, "volume", v.id) : -ENOMEM;
	if (ret == 0)
		ret = put_string(more, "root", text);
	if (ret < 0) {
		json_object_put(more);
		return ret;
	}
	ret = call_note(c, "volume.accept", more);
	if (ret == 0)
		ret = o ? volume_describe(&v, o) : -ENOMEM;
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

/* --- the lease */

static bool take_word(struct call *c, const char *name, char out[LEASE_WORD_MAX + 1], int *ret)
{
	struct problem p = {0};
	const char *word = "";

	*ret = 0;
	if (!json_object_object_get_ex(c->body, name, NULL))
		return true;
	if (member_string(c->body, name, &word, &p) == 0 && client_name_valid(word)) {
		snprintf(out, LEASE_WORD_MAX + 1, "%s", word);
		return true;
	}
	*ret = call_refuse(c, 400, "bad_value", "\"%s\" wants 1 to 64 letters, digits and ._@-", name);
	return false;
}

static bool take_count(struct call *c, const char *name, uint64_t max, uint32_t *out, bool *has, int *ret)
{
	struct problem p = {0};
	uint64_t n = 0;

	*ret = 0;
	*has = json_object_object_get_ex(c->body, name, NULL);
	if (*has && member_number(c->body, name, 0, max, &n, &p) < 0) {
		*ret = call_refuse(c, 400, "bad_value", "\"%s\" wants a number", name);
		return false;
	}
	*out = (uint32_t)n;
	return true;
}

/* All of it, or nothing. */
static bool take_state(struct call *c, struct lease_report *r, int *ret)
{
	struct problem p = {0};
	char rotated[TIME_TEXT + 1];

	*ret = 0;
	if (!json_object_object_get_ex(c->body, "rotated", NULL))
		return true;
	if (member_time(c->body, "rotated", rotated, &p) < 0 || time_parse(rotated, &r->state.rotated) < 0 ||
	    member_number(c->body, "sealed", 0, DOCUMENT_NUMBER_MAX, &r->state.sealed, &p) < 0 ||
	    member_u32(c->body, "generations", 0, &r->state.kept, &p) < 0 ||
	    member_u32(c->body, "floor", 0, &r->state.floor, &p) < 0) {
		*ret = call_refuse(c, 400, "bad_value",
				   "\"rotated\" wants a time, with \"sealed\", \"generations\" and \"floor\"");
		return false;
	}
	r->has_state = true;
	return true;
}

static bool take_report(struct call *c, struct lease_report *r, int *ret)
{
	return take_word(c, "host", r->host, ret) && take_word(c, "coffer", r->coffer, ret) &&
	       take_count(c, "generation", UINT32_MAX, &r->generation, &r->has_generation, ret) &&
	       take_count(c, "reencryption_percent", 100, &r->percent, &r->has_percent, ret) &&
	       take_count(c, "backup_days", UINT32_MAX, &r->backup_days, &r->has_backup, ret) && take_state(c, r, ret);
}

static int put_policy(json_object *o, const struct managed_policy *policy)
{
	json_object *of = json_object_new_object();
	int ret = put_value(o, "policy", of);

	return ret == 0 ? managed_policy_put(of, "", policy) : ret;
}

/* Stages nothing: a renewal is counted, not recorded.  A key that is disabled, or no longer granted, is the answer that locks a mount. */
int api_lease(struct call *c)
{
	static const char *const members[] = {
		"volume",      "version", "host",   "coffer", "generation",  "reencryption_percent",
		"backup_days", "rotated", "sealed", "floor",  "generations", NULL};
	struct lease_report report = {0};
	_cleanup_(volume_pin_free) struct volume_pin v = {0};
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_(kek_free) struct kek k = {0};
	uint8_t id[VOLUME_ID_SIZE];
	struct problem p = {0};
	const char *volume = "";
	uint32_t version = 0;
	int ret;

	if (!call_key_to_use(c, &k, &ret) || !call_members(c, members, &ret))
		return ret;
	if (!c->body || member_string(c->body, "volume", &volume, &p) < 0 || !volume_id_parse(volume, id))
		return call_refuse(c, 400, "bad_value", "\"volume\" wants 32 lower-case hexadecimal digits");
	if (json_object_object_get_ex(c->body, "version", NULL) && member_u32(c->body, "version", 1, &version, &p) < 0)
		return call_refuse(c, 400, "bad_value", "\"version\" wants the number of a version");
	if (!take_report(c, &report, &ret))
		return ret;
	ret = kek_usable(&k);
	if (ret < 0)
		return call_refuse_use(c, ret);
	ret = volume_look(c->api->ledger, k.name, volume, &v);
	if (ret == -ENOENT)
		return call_refuse(c, 404, "not_found", "no root of that volume was ever wrapped by this key");
	if (ret == 0)
		ret = lease_renew(&c->api->leases, k.name, volume, c->client.fingerprint, version, &report);
	c->api->counts.leases += ret == 0;
	if (ret == 0)
		ret = o ? put_string(o, "state", "enabled") : -ENOMEM;
	if (ret == 0)
		ret = put_number(o, "latest", k.latest);
	if (ret == 0)
		ret = put_number(o, "min_decryption_version", k.lowest);
	if (ret == 0)
		ret = put_number(o, "renew_after", LEASE_RENEW_S);
	if (ret == 0 && !managed_policy_empty(&k.volumes))
		ret = put_policy(o, &k.volumes);
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

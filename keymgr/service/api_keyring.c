/* The API's calls that keep the sealed keyring of a volume (kept_keyring.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/api_internal.h"
#include "keymgr/service/kept_keyring.h"
#include "util/base/encode.h"

/* The key, and a volume whose root it has wrapped. */
static bool take_volume(struct call *c, struct kek *k, int *ret)
{
	_cleanup_(volume_pin_free) struct volume_pin v = {0};
	uint8_t id[VOLUME_ID_SIZE];

	if (!call_key(c, k, ret))
		return false;
	if (!volume_id_parse(c->segment[3], id)) {
		*ret = call_refuse(c, 400, "bad_value", "a volume's id is 32 lower-case hexadecimal digits");
		return false;
	}
	*ret = volume_get(c->api->ledger, k->name, c->segment[3], &v);
	if (*ret == -ENOENT)
		*ret = call_refuse(c, 404, "not_found", "no root of that volume was ever wrapped by this key");
	return *ret == 0 && !c->code;
}

static int note(struct call *c, const char *event, const struct kek *k, uint64_t sequence)
{
	json_object *more = call_detail("key", k->name);
	int ret = more ? put_string(more, "volume", c->segment[3]) : -ENOMEM;

	if (ret == 0)
		ret = put_number(more, "sequence", sequence);
	if (ret < 0) {
		json_object_put(more);
		return ret;
	}
	return call_note(c, event, more);
}

static int answer_sequence(struct call *c, uint64_t sequence, bool kept)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? put_string(o, "volume", c->segment[3]) : -ENOMEM;

	if (ret == 0)
		ret = put_number(o, "sequence", sequence);
	if (ret == 0)
		ret = put_value(o, "kept", json_object_new_boolean(kept));
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

/* False: the body is no part of a keyring. */
static bool parse_part(json_object *body, struct keyring_part *p, uint8_t *room)
{
	struct problem ignored = {0};

	if (!body || member_number(body, "sequence", 1, DOCUMENT_NUMBER_MAX, &p->sequence, &ignored) < 0 ||
	    member_bytes_between(body, "text", room, 1, KEYRING_PART_MAX, &p->size, &ignored) < 0)
		return false;
	p->text = room;
	p->parts = 1;
	if (!json_object_object_get_ex(body, "part", NULL) && !json_object_object_get_ex(body, "parts", NULL))
		return true;
	return member_number(body, "parts", 2, KEYRING_PARTS_MAX, &p->parts, &ignored) == 0 &&
	       member_number(body, "part", 0, p->parts - 1, &p->part, &ignored) == 0;
}

int api_keyring_put(struct call *c)
{
	static const char *const members[] = {"sequence", "text", "part", "parts", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	_cleanup_free_ uint8_t *room = malloc(KEYRING_PART_MAX);
	struct keyring_part p = {.client = c->client.fingerprint};
	enum keyring_took took;
	int ret;

	if (!room)
		return -ENOMEM;
	if (!call_members(c, members, &ret) || !take_volume(c, &k, &ret))
		return ret;
	if (!parse_part(c->body, &p, room))
		return call_refuse(c, 400, "bad_value",
				   "a keyring wants \"sequence\" and \"text\", 1 to %d bytes; in parts, \"part\" below "
				   "\"parts\", 2 to %d of them",
				   KEYRING_PART_MAX, KEYRING_PARTS_MAX);
	/* Who sends many parts hears of it at the next one. */
	ret = kek_usable(&k);
	if (ret < 0)
		return call_refuse_use(c, ret);
	ret = kept_keyring_take(c->api->ledger, k.name, c->segment[3], &p, &took);
	if (ret < 0)
		return ret;
	if (took == KEYRING_OLDER)
		return call_refuse(c, 409, "older_keyring", "a newer keyring of that volume is here");
	if (took == KEYRING_OUT_OF_ORDER)
		return call_refuse(c, 409, "out_of_order",
				   "that is not the next part of that keyring; begin with part 0");
	if (took == KEYRING_WHOLE || took == KEYRING_PART)
		ret = note(c, took == KEYRING_WHOLE ? "volume.keyring" : "volume.keyring.part", &k, p.sequence);
	return ret == 0 ? answer_sequence(c, p.sequence, took == KEYRING_WHOLE || took == KEYRING_SAME) : ret;
}

int api_keyring_get(struct call *c)
{
	_cleanup_json_ json_object *out = json_object_new_object();
	_cleanup_(kek_free) struct kek k = {0};
	_cleanup_(kept_keyring_free) struct kept_keyring kept = {0};
	int ret;

	if (!out)
		return -ENOMEM;
	if (!take_volume(c, &k, &ret))
		return ret;
	ret = kept_keyring_get(c->api->ledger, k.name, c->segment[3], &kept);
	if (ret == -ENOENT)
		return call_refuse(c, 404, "not_found", "no keyring of that volume is kept here");
	if (ret == 0)
		ret = put_string(out, "volume", c->segment[3]);
	if (ret == 0)
		ret = put_number(out, "sequence", kept.sequence);
	if (ret == 0)
		ret = put_string(out, "at", kept.at);
	if (ret == 0)
		ret = put_blob(out, "text", kept.text, kept.size);
	if (ret == 0)
		ret = note(c, "volume.keyring.read", &k, kept.sequence);
	/* It costs as much as so many requests. */
	if (ret == 0)
		rate_charge(&c->api->rates, c->client.fingerprint, kept.size / KEYRING_PART_MAX);
	return ret == 0 ? answer_json(c->answer, 200, out) : ret;
}

/* The pin: which root key belongs to a volume (volumes.h). */
#include "keymgr/service/volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/base/encode.h"
#include "util/base/kdf_labels.h"

#define PREFIX_VOLUME "volume/"

bool volume_id_parse(const char *text, uint8_t out[VOLUME_ID_SIZE])
{
	return strlen(text) == VOLUME_TEXT && strspn(text, "0123456789abcdef") == VOLUME_TEXT &&
	       hex_decode(text, VOLUME_TEXT, out, VOLUME_ID_SIZE) == 0;
}

int volume_fingerprint(const uint8_t root[ROOT_SIZE], const uint8_t id[VOLUME_ID_SIZE], uint8_t out[FINGERPRINT_SIZE])
{
	_cleanup_stack_key_ struct stack_key prk;
	int ret = kdf_extract(root, ROOT_SIZE, prk.b);

	return ret == 0 ? kdf_expand(prk.b, LABEL_ROOT_FINGERPRINT, id, "", NULL, 0, out, FINGERPRINT_SIZE) : ret;
}

static const char *row_of(const char *key, const char *id, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, PREFIX_VOLUME "%s/%s", key, id);
	return out;
}

static int load(struct volume_pin *v)
{
	struct problem p = {0};
	int ret = member_hex(v->row, "root", v->root, FINGERPRINT_SIZE, &p);

	v->has_next = json_object_object_get_ex(v->row, "next", NULL);
	return ret == 0 && v->has_next ? member_hex(v->row, "next", v->next, FINGERPRINT_SIZE, &p) : ret;
}

static int read_volume(struct ledger *l, const char *key, const char *id, struct volume_pin *out,
		       int (*read)(struct ledger *l, const char *name, json_object **out))
{
	char row[ROW_NAME_MAX + 1];
	int ret;

	*out = (struct volume_pin){0};
	snprintf(out->key, sizeof(out->key), "%s", key);
	snprintf(out->id, sizeof(out->id), "%s", id);
	ret = read(l, row_of(key, id, row), &out->row);
	if (ret == 0)
		ret = load(out);
	if (ret < 0)
		volume_pin_free(out);
	return ret;
}

int volume_get(struct ledger *l, const char *key, const char *id, struct volume_pin *out)
{
	return read_volume(l, key, id, out, ledger_get);
}

int volume_look(struct ledger *l, const char *key, const char *id, struct volume_pin *out)
{
	return read_volume(l, key, id, out, ledger_look);
}

static int save(struct ledger *l, struct volume_pin *v)
{
	char row[ROW_NAME_MAX + 1];
	int ret = put_now(v->row, "since");

	if (ret == 0)
		ret = ledger_put(l, row_of(v->key, v->id, row), v->row);
	return ret == 0 ? load(v) : ret;
}

int volume_pin_first(struct ledger *l, const char *key, const char *id, const uint8_t root[FINGERPRINT_SIZE],
		     struct volume_pin *out)
{
	int ret;

	*out = (struct volume_pin){0};
	snprintf(out->key, sizeof(out->key), "%s", key);
	snprintf(out->id, sizeof(out->id), "%s", id);
	out->row = json_object_new_object();
	ret = out->row ? put_hex(out->row, "root", root, FINGERPRINT_SIZE) : -ENOMEM;
	return ret == 0 ? save(l, out) : ret;
}

int volume_accept(struct ledger *l, const char *key, const char *id, const uint8_t root[FINGERPRINT_SIZE],
		  struct volume_pin *out)
{
	int ret = volume_get(l, key, id, out);

	if (ret == -ENOENT)
		return volume_pin_first(l, key, id, root, out);
	/* The one of today again: whatever was to come is not to come. */
	if (ret == 0 && memcmp(out->root, root, FINGERPRINT_SIZE) == 0)
		json_object_object_del(out->row, "next");
	else if (ret == 0)
		ret = put_hex(out->row, "next", root, FINGERPRINT_SIZE);
	return ret == 0 ? save(l, out) : ret;
}

bool volume_may(const struct volume_pin *v, const uint8_t root[FINGERPRINT_SIZE])
{
	return memcmp(v->root, root, FINGERPRINT_SIZE) == 0 ||
	       (v->has_next && memcmp(v->next, root, FINGERPRINT_SIZE) == 0);
}

int volume_unwrapped(struct ledger *l, struct volume_pin *v, const uint8_t root[FINGERPRINT_SIZE], bool *changed)
{
	int ret;

	*changed = v->has_next && memcmp(v->next, root, FINGERPRINT_SIZE) == 0;
	if (!*changed)
		return 0;
	ret = put_hex(v->row, "root", root, FINGERPRINT_SIZE);
	json_object_object_del(v->row, "next");
	return ret == 0 ? save(l, v) : ret;
}

int volume_describe(const struct volume_pin *v, json_object *out)
{
	struct problem p = {0};
	const char *since = "";
	int ret = put_string(out, "volume", v->id);

	if (ret == 0)
		ret = put_hex(out, "root", v->root, FINGERPRINT_SIZE);
	if (ret == 0 && v->has_next)
		ret = put_hex(out, "next", v->next, FINGERPRINT_SIZE);
	if (ret == 0)
		ret = member_string(v->row, "since", &since, &p);
	return ret == 0 ? put_string(out, "since", since) : ret;
}

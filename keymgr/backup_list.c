/* What a keyring knows of its backups: its member `backups`, oldest first. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/backup.h"
#include "keymgr/internal.h"
#include "keymgr/protector.h"
#include "util/base/encode.h"

static json_object *list_of(const struct keyring *k)
{
	struct problem ignored = {0};
	json_object *list;

	if (!json_object_object_get_ex(k->doc, "backups", NULL) ||
	    member_array(k->doc, "backups", 0, BACKUPS_MAX, &list, &ignored) < 0)
		return NULL;
	return list;
}

static const char *id_of(const struct keyring *backup)
{
	struct problem ignored = {0};
	json_object *o;
	const char *id;

	return member_object(backup->doc, "backup", &o, &ignored) < 0 || member_string(o, "id", &id, &ignored) < 0 ||
			       strlen(id) != 2 * BACKUP_ID_SIZE
		       ? NULL
		       : id;
}

static int put_generations(json_object *o, const struct keyring *backup)
{
	json_object *array = json_object_new_array();
	int ret = put_value(o, "generations", array);

	for (uint32_t i = 0; ret == 0 && i < backup->generation_count; i++)
		if (backup->generations[i].state != KEY_DESTROYED)
			ret = put_element(array, json_object_new_int64(backup->generations[i].number));
	return ret;
}

static int put_record(json_object *o, const struct keyring *backup)
{
	const char *id = id_of(backup);
	char created[24];
	int ret = id ? put_string(o, "id", id) : -EBADMSG;

	backup_created(backup, created);
	if (ret == 0)
		ret = put_string(o, "created", created);
	if (ret == 0)
		ret = put_string(o, "type", backup_type(backup));
	return ret < 0 ? ret : put_generations(o, backup);
}

static json_object *find(json_object *list, const char *id)
{
	struct problem ignored = {0};
	const char *other;

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);

		if (json_object_is_type(o, json_type_object) && member_string(o, "id", &other, &ignored) == 0 &&
		    strcmp(id, other) == 0)
			return o;
	}
	return NULL;
}

/* The record of this backup; where there is none, a new one, in the place of the oldest if the list is full. */
static int record_of(struct keyring *k, const struct keyring *backup, json_object **out)
{
	const char *id = id_of(backup);
	json_object *list = list_of(k);
	int ret;

	*out = id ? find(list, id) : NULL;
	if (*out)
		return 0;
	if (!list) {
		list = json_object_new_array();
		ret = put_value(k->doc, "backups", list);
		if (ret < 0)
			return ret;
	}
	if (json_object_array_length(list) >= BACKUPS_MAX)
		json_object_array_del_idx(list, 0, 1);
	*out = json_object_new_object();
	ret = put_element(list, *out);
	return ret < 0 ? ret : put_record(*out, backup);
}

static int note(struct keyring *k, const char *event, const struct keyring *backup)
{
	const char *id = id_of(backup);
	json_object *o;
	int ret = keyring_note(k, event, &o);

	if (ret == 0 && id)
		ret = put_string(o, "backup", id);
	return ret < 0 ? ret : put_string(o, "type", backup_type(backup));
}

/* Of a backup in shares, what tells its shares again (approval.h). */
static int put_shares(json_object *record, const struct keyring *backup)
{
	const struct protector *p = &backup->protectors[0];
	struct problem ignored = {0};
	uint64_t threshold;
	int ret;

	if (p->handler != &protector_shares)
		return 0;
	ret = member_number(p->json, "threshold", 1, UINT8_MAX, &threshold, &ignored);
	if (ret == 0)
		ret = put_number(record, "threshold", threshold);
	return ret < 0 ? ret : put_bytes(record, "commitment", p->commitment, COMMITMENT_SIZE);
}

bool backup_in_shares(const struct keyring *k, const uint8_t commitment[COMMITMENT_SIZE], unsigned *threshold)
{
	json_object *list = list_of(k);
	struct problem ignored = {0};
	uint8_t other[COMMITMENT_SIZE];
	uint64_t n;

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);

		if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "verified", NULL) ||
		    member_bytes(o, "commitment", other, sizeof(other), &ignored) < 0 ||
		    member_number(o, "threshold", 1, UINT8_MAX, &n, &ignored) < 0 ||
		    !crypto_equal(commitment, other, sizeof(other)))
			continue;
		*threshold = (unsigned)n;
		return true;
	}
	return false;
}

int backup_note_made(struct keyring *k, const struct keyring *backup)
{
	json_object *o;
	int ret = record_of(k, backup, &o);

	if (ret == 0)
		ret = put_shares(o, backup);
	return ret < 0 ? ret : note(k, "backup", backup);
}

int backup_mark_verified(struct keyring *k, const struct keyring *backup, struct fault *why)
{
	json_object *o;
	int ret = record_of(k, backup, &o);

	if (ret == 0)
		ret = put_now(o, "verified");
	if (ret == 0)
		ret = put_shares(o, backup);
	if (ret == 0)
		ret = note(k, "backup-verified", backup);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot note that the backup was verified") : 0;
}

static void copy_text(json_object *o, const char *name, char *out, size_t room)
{
	struct problem ignored = {0};
	const char *text;

	snprintf(out, room, "%s", member_string(o, name, &text, &ignored) < 0 ? "" : text);
}

uint32_t keyring_backups(const struct keyring *k, struct backup_info out[BACKUPS_MAX])
{
	json_object *list = list_of(k), *held;
	uint32_t n = 0;

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		struct backup_info *b = &out[n];

		if (!json_object_is_type(o, json_type_object))
			continue;
		n++;
		*b = (struct backup_info){0};
		copy_text(o, "id", b->id, sizeof(b->id));
		copy_text(o, "created", b->created, sizeof(b->created));
		copy_text(o, "verified", b->verified, sizeof(b->verified));
		copy_text(o, "type", b->type, sizeof(b->type));
		if (json_object_object_get_ex(o, "generations", &held) && json_object_is_type(held, json_type_array))
			b->generations = (uint32_t)json_object_array_length(held);
	}
	return n;
}

static bool holds(json_object *record, uint32_t generation)
{
	json_object *held;

	if (!json_object_is_type(record, json_type_object) || !json_object_object_get_ex(record, "verified", NULL) ||
	    !json_object_object_get_ex(record, "generations", &held) || !json_object_is_type(held, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(held); i++)
		if (json_object_get_int64(json_object_array_get_idx(held, i)) == generation)
			return true;
	return false;
}

uint32_t keyring_unbacked(const struct keyring *k, uint32_t *out, uint32_t room)
{
	json_object *list = list_of(k);
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->generation_count; i++) {
		bool held = k->generations[i].state == KEY_DESTROYED;

		for (size_t j = 0; list && !held && j < json_object_array_length(list); j++)
			held = holds(json_object_array_get_idx(list, j), k->generations[i].number);
		if (!held && n < room)
			out[n] = k->generations[i].number;
		n += !held;
	}
	return n;
}

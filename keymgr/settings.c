/* The settings of a volume: volume.json, and their repetition in the keyring (docs/format-keyring.md section 3). */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "keymgr/internal.h"

enum { FORMAT_VERSION = 1, FLAGS_MAX = 64, NAME_MAX_LONG = 255, NAME_MAX_SHORT = 143 };
#define JOURNAL_SIZE_MAX DOCUMENT_NUMBER_MAX

static const struct {
	const char *format, *file;
} kinds[] = {
	[DOCUMENT_VOLUME] = {"coffer volume", ".coffer/" SETTINGS_FILE},
	[DOCUMENT_KEYRING] = {"coffer keyring", ".coffer/" KEYRING_FILE},
	[DOCUMENT_BACKUP] = {"coffer key backup", "the backup"},
};

static int check_format(json_object *doc, enum document_kind kind, struct problem *p, struct fault *why)
{
	const char *format;
	uint64_t version;
	int ret;

	ret = member_string(doc, "format", &format, p);
	if (ret == 0 && strcmp(format, kinds[kind].format) != 0)
		ret = problem_set(p, "\"format\" is not \"%s\"", kinds[kind].format);
	if (ret == 0)
		ret = member_number(doc, "version", 0, DOCUMENT_NUMBER_MAX, &version, p);
	if (ret == 0 && version != FORMAT_VERSION)
		ret = fault_set(why, EXIT_UNSUPPORTED, ENOTSUP,
				"%s has format version %" PRIu64
				", and this coffer knows version %d only; use a newer coffer",
				kinds[kind].file, version, FORMAT_VERSION);
	return ret;
}

/* No flag is defined so far, so each one is unknown.  *first: one of them, NULL if there is none. */
static int flags_load(json_object *features, const char *name, const char **first, struct problem *p)
{
	json_object *array, *flag;
	int ret;

	*first = NULL;
	ret = member_array(features, name, 0, FLAGS_MAX, &array, p);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		flag = json_object_array_get_idx(array, i);
		if (!json_object_is_type(flag, json_type_string))
			return problem_set(p, "a feature flag is not a string");
		if (!*first)
			*first = json_object_get_string(flag);
	}
	return 0;
}

static int check_features(json_object *settings, enum document_kind kind, bool *read_only, struct problem *p,
			  struct fault *why)
{
	const char *incompatible = NULL, *read_only_compatible = NULL, *compatible;
	json_object *features;
	int ret;

	ret = member_object(settings, "features", &features, p);
	if (ret == 0)
		ret = flags_load(features, "incompatible", &incompatible, p);
	if (ret == 0)
		ret = flags_load(features, "read_only_compatible", &read_only_compatible, p);
	if (ret == 0)
		ret = flags_load(features, "compatible", &compatible, p);
	if (ret < 0)
		return ret;
	*read_only = read_only_compatible != NULL;
	if (incompatible)
		return fault_set(why, EXIT_UNSUPPORTED, ENOTSUP,
				 "%s asks for the feature \"%.64s\", which this coffer does not know; use a "
				 "newer coffer",
				 kinds[kind].file, incompatible);
	return 0;
}

int settings_load(json_object *doc, enum document_kind kind, struct settings *out, bool *read_only, struct problem *p,
		  struct fault *why)
{
	uint64_t name_max = 0;
	const char *cipher;
	json_object *o;
	int ret;

	ret = check_format(doc, kind, p, why);
	if (ret == 0)
		ret = member_object(doc, "settings", &o, p);
	if (ret == 0)
		ret = check_features(o, kind, read_only, p, why);
	if (ret == 0)
		ret = member_hex(o, "volume_id", out->volume_id, VOLUME_ID_SIZE, p);
	if (ret == 0)
		ret = member_hex(o, "instance_id", out->instance_id, INSTANCE_ID_SIZE, p);
	if (ret == 0)
		ret = member_string(o, "cipher", &cipher, p);
	if (ret == 0 && (out->cipher = cipher_from_name(cipher)) == CIPHER_NONE)
		ret = problem_set(p, "\"cipher\" is unknown");
	if (ret == 0)
		ret = member_bool(o, "portable", &out->portable, p);
	if (ret == 0)
		ret = member_number(o, "name_max", NAME_MAX_SHORT, NAME_MAX_LONG, &name_max, p);
	if (ret == 0 && name_max != NAME_MAX_SHORT && name_max != NAME_MAX_LONG)
		ret = problem_set(p, "\"name_max\" is neither 143 nor 255");
	if (ret == 0)
		ret = member_number(o, "journal_size", 0, JOURNAL_SIZE_MAX, &out->journal_size, p);
	out->name_max = (uint32_t)name_max;
	return ret;
}

static int put_features(json_object *settings)
{
	json_object *features = json_object_new_object();
	int ret = put_value(settings, "features", features);

	if (ret == 0)
		ret = put_value(features, "incompatible", json_object_new_array());
	if (ret == 0)
		ret = put_value(features, "read_only_compatible", json_object_new_array());
	if (ret == 0)
		ret = put_value(features, "compatible", json_object_new_array());
	return ret;
}

int document_put_format(json_object *doc, enum document_kind kind)
{
	int ret = put_string(doc, "format", kinds[kind].format);

	return ret < 0 ? ret : put_number(doc, "version", FORMAT_VERSION);
}

int settings_put(json_object *doc, const struct settings *s)
{
	json_object *o = json_object_new_object();
	int ret;

	ret = put_value(doc, "settings", o);
	if (ret == 0)
		ret = put_hex(o, "volume_id", s->volume_id, VOLUME_ID_SIZE);
	if (ret == 0)
		ret = put_hex(o, "instance_id", s->instance_id, INSTANCE_ID_SIZE);
	if (ret == 0)
		ret = put_string(o, "cipher", cipher_name(s->cipher));
	if (ret == 0)
		ret = put_value(o, "portable", json_object_new_boolean(s->portable));
	if (ret == 0)
		ret = put_number(o, "name_max", s->name_max);
	if (ret == 0)
		ret = put_number(o, "journal_size", s->journal_size);
	if (ret == 0)
		ret = put_features(o);
	return ret;
}

/* As the keyring's document has them: members that this program does not know included. */
int settings_text_write(struct store *s, int dot, const struct sealed_text *t)
{
	int ret, lock = keyring_lock(s, dot);
	bool first;

	if (lock < 0)
		return lock;
	ret = sealed_file_write(s, dot, SETTINGS_FILE, t, &first);
	store_close(s, lock);
	return ret;
}

int keyring_write_settings(struct store *s, int dot, const struct keyring *k, struct fault *why)
{
	_cleanup_(sealed_text_free) struct sealed_text t = {0};
	_cleanup_json_ json_object *doc = json_object_new_object();
	json_object *settings, *copy = NULL;
	int ret = -ENOMEM;

	if (doc && json_object_object_get_ex(k->doc, "settings", &settings) &&
	    json_object_deep_copy(settings, &copy, NULL) == 0)
		ret = document_put_format(doc, DOCUMENT_VOLUME);
	if (ret == 0)
		ret = put_value(doc, "settings", json_object_get(copy));
	json_object_put(copy);
	if (ret == 0)
		ret = seal_make(doc, SEAL_HASH, NULL, &t);
	if (ret == 0)
		ret = settings_text_write(s, dot, &t);
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot write .coffer/%s", SETTINGS_FILE) : 0;
}

static int accept_settings(struct sealed_text *t, void *context, struct problem *p, struct fault *why)
{
	_cleanup_json_ json_object *doc = NULL;
	json_object **out = context;
	struct settings ignored;
	bool read_only;
	int ret;

	ret = document_parse(t->text, t->document_size, &doc, p);
	if (ret == 0)
		ret = settings_load(doc, DOCUMENT_VOLUME, &ignored, &read_only, p, why);
	if (ret == 0)
		*out = json_object_get(doc);
	return ret;
}

int settings_file_read(struct store *s, int dot, json_object **doc, struct fault *why)
{
	*doc = NULL;
	return sealed_file_read(s, dot, SETTINGS_FILE, SEAL_HASH, accept_settings, doc, why);
}

int settings_file_write(struct store *s, int dot, const struct settings *set)
{
	_cleanup_(sealed_text_free) struct sealed_text t = {0};
	_cleanup_json_ json_object *doc = json_object_new_object();
	bool first;
	int ret;

	if (!doc)
		return -ENOMEM;
	ret = document_put_format(doc, DOCUMENT_VOLUME);
	if (ret == 0)
		ret = settings_put(doc, set);
	if (ret == 0)
		ret = seal_make(doc, SEAL_HASH, NULL, &t);
	return ret < 0 ? ret : sealed_file_write(s, dot, SETTINGS_FILE, &t, &first);
}

/* Reading the keyring and volume.json, each from the copy that is whole. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"

static int accept_keyring(struct sealed_text *t, void *context, struct problem *p, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = calloc(1, sizeof(*k));
	struct keyring **out = context;
	int ret;

	if (!k)
		return -ENOMEM;
	ret = document_parse(t->text, t->document_size, &k->doc, p);
	if (ret == 0)
		ret = keyring_load(k, p, why);
	if (ret < 0)
		return ret;
	k->sealed = *t;
	*t = (struct sealed_text){0};
	*out = k;
	k = NULL;
	return 0;
}

int keyring_from_text(struct sealed_text *t, struct keyring **out, struct fault *why)
{
	struct problem p = {0};
	int ret = seal_check(t, SEAL_MAC_HASH, &p);

	*out = NULL;
	if (ret == 0)
		ret = accept_keyring(t, out, &p, why);
	return ret == -EBADMSG ? fault_set(why, EXIT_DAMAGED, EBADMSG, "that is no intact keyring: %s", p.text) : ret;
}

int keyring_file_read(struct store *s, int dot, struct keyring **out, struct fault *why)
{
	*out = NULL;
	return sealed_file_read(s, dot, KEYRING_FILE, SEAL_MAC_HASH, accept_keyring, out, why);
}

/* An adoption that was cut short: volume.json still has the instance id from before. */
static bool agree_but_for_adoption(json_object *volume, json_object *keyring, json_object *adopted_from)
{
	_cleanup_json_ json_object *copy = NULL;
	json_object *id;

	if (!json_object_object_get_ex(volume, "instance_id", &id) || !json_object_equal(id, adopted_from) ||
	    json_object_deep_copy(keyring, &copy, NULL) < 0 ||
	    json_object_object_add(copy, "instance_id", json_object_get(id)) < 0)
		return false;
	return json_object_equal(volume, copy);
}

/* Members that this program does not know count too: a newer one may go by them. */
static bool settings_agree(json_object *volume, json_object *keyring)
{
	json_object *a, *b, *adopted_from;

	if (!json_object_object_get_ex(volume, "settings", &a) || !json_object_object_get_ex(keyring, "settings", &b))
		return false;
	return json_object_equal(a, b) || (json_object_object_get_ex(keyring, "adopted_from", &adopted_from) &&
					   agree_but_for_adoption(a, b, adopted_from));
}

bool keyring_stands_alone(const struct keyring *k)
{
	json_object *alone;

	return json_object_object_get_ex(k->doc, "alone", &alone) && json_object_get_boolean(alone);
}

int keyring_compare_settings(struct store *s, int dot, const struct keyring *k, struct fault *why)
{
	_cleanup_json_ json_object *volume = NULL;
	int ret = settings_file_read(s, dot, &volume, why);

	if (ret < 0)
		return ret;
	if (!settings_agree(volume, k->doc))
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 ".coffer/%s and .coffer/%s are both whole but do not belong together; put back both "
				 "from one backup",
				 SETTINGS_FILE, KEYRING_FILE);
	return 0;
}

int keyring_read(struct store *s, int dot, struct keyring **out, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	int ret;

	*out = NULL;
	ret = keyring_file_read(s, dot, &k, why);
	if (ret == 0 && !keyring_stands_alone(k))
		ret = keyring_compare_settings(s, dot, k, why);
	if (ret < 0)
		return ret;
	*out = k;
	k = NULL;
	return 0;
}

struct mended {
	const struct keyring *keyring;
	struct sealed_text text;
};

static int accept_own_settings(struct sealed_text *t, void *context, struct problem *p, struct fault *why)
{
	_cleanup_json_ json_object *doc = NULL;
	struct mended *m = context;
	int ret = document_parse(t->text, t->document_size, &doc, p);

	(void)why;
	if (ret < 0)
		return ret;
	if (!settings_agree(doc, m->keyring->doc))
		return problem_set(p, "it does not belong to the keyring");
	m->text = *t;
	*t = (struct sealed_text){0};
	return 0;
}

int keyring_mend_settings(struct store *s, int dot, const struct keyring *k, struct fault *why)
{
	struct mended m = {.keyring = k};
	int ret;

	ret = sealed_file_read(s, dot, SETTINGS_FILE, SEAL_HASH, accept_own_settings, &m, why);
	if (ret < 0)
		return ret;
	ret = settings_text_write(s, dot, &m.text);
	sealed_text_free(&m.text);
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot write .coffer/%s", SETTINGS_FILE) : 0;
}

/* Giving a copied volume an instance id of its own (docs/format-keyring.md section 3).
 *
 * The keyring changes first, and names the id from before; volume.json may follow later. */
#include <errno.h>

#include "keymgr/internal.h"

static int put_instance(struct keyring *k)
{
	uint8_t id[INSTANCE_ID_SIZE];
	struct problem p = {0};
	json_object *settings, *event;
	int ret = member_object(k->doc, "settings", &settings, &p);

	if (ret == 0)
		ret = keyring_note(k, "adopt", &event);
	if (ret == 0)
		ret = put_hex(event, "from", k->settings.instance_id, INSTANCE_ID_SIZE);
	if (ret == 0)
		ret = put_hex(k->doc, "adopted_from", k->settings.instance_id, INSTANCE_ID_SIZE);
	if (ret == 0)
		ret = crypto_random(id, sizeof(id));
	return ret < 0 ? ret : put_hex(settings, "instance_id", id, sizeof(id));
}

int keyring_adopt(struct keyring *k, struct fault *why)
{
	struct problem p = {0};
	int ret = k->root ? put_instance(k) : -ENOKEY;

	if (ret == 0)
		ret = keyring_load(k, &p, why);
	k->remembered = true; /* as what it is from now on */
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot adopt the volume") : 0;
}

bool keyring_adopted_from(const struct keyring *k, struct settings *out)
{
	struct problem ignored = {0};

	*out = k->settings;
	return json_object_object_get_ex(k->doc, "adopted_from", NULL) &&
	       member_hex(k->doc, "adopted_from", out->instance_id, INSTANCE_ID_SIZE, &ignored) == 0;
}

/* Putting back a keyring of which nothing intact is left on the volume.
 *
 * Everything is looked at before anything is written: the seal, that it belongs to the volume, that the secret opens it and its MAC is right, and that
 * its root is not a stranger's. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/pin.h"

int volume_id_read(struct store *s, int dot, uint8_t id[VOLUME_ID_SIZE], struct fault *why)
{
	_cleanup_json_ json_object *doc = NULL;
	struct settings set = {0};
	struct problem p = {0};
	bool read_only;
	int ret = settings_file_read(s, dot, &doc, why);

	if (ret == 0)
		ret = settings_load(doc, DOCUMENT_VOLUME, &set, &read_only, &p, why);
	if (ret < 0)
		return fault_errno(why, EXIT_DAMAGED, ret, "cannot read .coffer/%s", SETTINGS_FILE);
	memcpy(id, set.volume_id, VOLUME_ID_SIZE);
	return 0;
}

static bool is_there(struct store *s, int dot)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	struct fault ignored = {.status = EXIT_OK};

	return keyring_read(s, dot, &k, &ignored) == 0;
}

static int copy_text(const void *text, size_t n, struct sealed_text *out)
{
	*out = (struct sealed_text){.text = malloc(n + 1), .size = n};
	if (!out->text)
		return -ENOMEM;
	memcpy(out->text, text, n);
	out->text[n] = '\0';
	return 0;
}

static int open_it(struct store *s, int dot, struct sealed_text *t, const struct unlock_secret *with,
		   struct keyring **out, struct fault *why)
{
	const struct trust trust = {.older = true};
	int ret = keyring_from_text(t, out, why);

	if (ret == 0)
		ret = keyring_compare_settings(s, dot, *out, why);
	if (ret == 0)
		ret = keyring_unlock(*out, with, why);
	return ret == 0 ? pin_check(*out, &trust, why) : ret;
}

int keyring_put_back(struct store *s, int dot, const void *text, size_t n, const struct unlock_secret *with,
		     struct keyring **out, struct fault *why)
{
	_cleanup_(sealed_text_free) struct sealed_text looked_at = {0}, written = {0};
	_cleanup_(keyring_free) struct keyring *k = NULL;
	bool first = false;
	int lock, ret;

	if (is_there(s, dot))
		return fault_set(why, EXIT_REFUSED, EEXIST,
				 "the volume has an intact keyring: there is nothing to put back");
	ret = copy_text(text, n, &looked_at);
	if (ret == 0)
		ret = copy_text(text, n, &written);
	if (ret == 0)
		ret = open_it(s, dot, &looked_at, with, &k, why);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot put back the keyring");
	lock = keyring_lock(s, dot);
	ret = lock < 0 ? lock : sealed_file_write(s, dot, KEYRING_FILE, &written, &first);
	store_close(s, lock);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot write .coffer/%s", KEYRING_FILE);
	*out = k;
	k = NULL;
	return 0;
}

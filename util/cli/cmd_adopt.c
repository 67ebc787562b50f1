/* A copy of a volume becomes a volume of its own.
 *
 * Order: the journal is brought in place under the old id; the keyring, then volume.json get the new id; the journal follows.  Cut
 * anywhere, the same command finishes it. */
#include <errno.h>
#include <stdio.h>

#include "fs/journal.h"
#include "keymgr/pin.h"
#include "util/base/encode.h"
#include "util/cli/key.h"
#include "util/cli/options.h"
#include "util/cli/settle.h"

/* The root is judged by what the host knows; not the rest: a copy is older than what it is a copy of. */
static int unlock(struct key_work *w, struct fault *why)
{
	const struct trust trust = {.root = w->unlock.expect_root};
	struct unlock_secret secret = {0};

	int r = cli_volume_obtain(&w->volume, &w->unlock, &secret, why);
	if (r == 0)
		r = keyring_unlock(w->volume.keyring, &secret, why);
	unlock_secret_wipe(&secret);
	return r < 0 ? r : pin_check(w->volume.keyring, &trust, why);
}

static int follow(const struct cli_volume *v, struct keys *keys, struct fault *why)
{
	const struct settings *set = keyring_settings(v->keyring);
	struct settings before;

	return keyring_adopted_from(v->keyring, &before) ? journal_follow(v->store, v->dot, &before, set, keys, why)
							 : 0;
}

static int recover(const struct cli_volume *v, struct keys *keys, struct fault *why)
{
	/* What an adoption that was cut short has left. */
	int r = follow(v, keys, why);
	return r < 0 ? r : settle(v, keys, why);
}

static int edit(struct keyring *k, void *context, struct fault *why)
{
	(void)context;
	return keyring_adopt(k, why);
}

static int adopt(struct cli_volume *v, struct fault *why)
{
	struct keys *keys = keyring_keys(v->keyring);

	if (!keys)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot adopt %s", v->dir);
	int r = recover(v, keys, why);
	if (r == 0)
		r = key_change(v, edit, NULL, why);
	if (r == 0)
		r = keyring_write_settings(v->store, v->dot, v->keyring, why);
	if (r == 0)
		r = follow(v, keys, why);
	keys_unref(keys);
	return r;
}

static void report(const struct key_work *w)
{
	char id[2 * INSTANCE_ID_SIZE + 1];

	hex_encode(keyring_settings(w->volume.keyring)->instance_id, INSTANCE_ID_SIZE, id);
	if (w->json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "instance_id", id);
		json_print(o);
	} else {
		printf("%s is a volume of its own now\ninstance id  %s\n", w->volume.dir, id);
	}
}

int cmd_adopt(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.unlock), {OPTION_FLAG, 0, 0, "json", &w.json}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = cli_volume_open(&w.volume, words.at[0], why);
	if (r == 0 && keyring_stands_alone(w.volume.keyring))
		r = fault_set(why, EXIT_NOT_VOLUME, EINVAL,
			      "%s is a keyring that stands alone: a copy needs no adoption", words.at[0]);
	if (r == 0)
		r = secrets_start(why);
	if (r < 0)
		return r;
	int lock = volume_lock(w.volume.store, w.volume.dot, why);
	if (lock < 0)
		return lock;
	r = unlock(&w, why);
	if (r == 0)
		r = adopt(&w.volume, why);
	if (r == 0)
		report(&w);
	store_close(w.volume.store, lock);
	return r;
}

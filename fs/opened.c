#include "fs/opened.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/mount_point.h"
#include "util/base/crypto.h"

enum { ASK_TRIES = 3, LOCK_TRIES = 500 /* 10 seconds */, ARENA_SIZE = 3 << 20, ARENA_SMALL = 256 << 10 };

int opened_prepare(struct fault *why)
{
	int r = secret_start(ARENA_SIZE);

	/* A plain user may lock little; a key file of a megabyte does not fit then, everything else does. */
	if (r < 0)
		r = secret_start(ARENA_SMALL);
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r,
				   "cannot lock memory for keys; raise the limit (ulimit -l, LimitMEMLOCK=)");
	r = crypto_start();
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot start the cryptographic library") : 0;
}

/* Whoever types a passphrase may mistype it: a person is asked up to three times, a script's secret is tried once. */
static int unlock_patiently(struct opened *o, const char *dir, const struct unlock_source *from, struct fault *why)
{
	char prompt[PATH_MAX + 32];
	int r = -EKEYREJECTED;

	snprintf(prompt, sizeof prompt, "Passphrase of %s: ", dir);
	for (int tries = unlock_source_given(from) ? 1 : ASK_TRIES; tries > 0 && r == -EKEYREJECTED; tries--) {
		struct unlock_secret secret = {0};

		if (why->status != EXIT_OK)
			fprintf(stderr, "coffer: %s\n", why->text);
		*why = (struct fault){0};
		r = unlock_obtain(from, prompt, false, &secret, why);
		if (r == 0)
			r = keyring_unlock(o->keyring, &secret, why);
		unlock_secret_wipe(&secret);
	}
	return r;
}

static int unlock_keyring(struct opened *o, const char *dir, const struct unlock_source *from, struct fault *why)
{
	int r = keyring_read(o->store, o->dot, &o->keyring, why);

	if (r < 0)
		return r;
	if (!cipher_usable(keyring_settings(o->keyring)->cipher))
		return fault_set(why, EXIT_UNSUPPORTED, ENOTSUP, "%s uses %s, which this host refuses in FIPS mode",
				 dir, cipher_name(keyring_settings(o->keyring)->cipher));
	r = unlock_patiently(o, dir, from, why);
	if (r < 0)
		return r;
	o->keys = keyring_keys(o->keyring);
	return o->keys ? 0 : fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the keys");
}

/* Who has just been unmounted still holds the lock while it writes the last things back: that is waited for.  A volume that is
 * mounted is not. */
static int lock_volume(struct opened *o, const char *dir, struct fault *why)
{
	const struct timespec pause = {0, 20 * 1000 * 1000};
	struct fault last = {0};
	int r;

	for (int tries = 0; tries < LOCK_TRIES; tries++) {
		last = (struct fault){0};
		r = volume_lock(o->store, o->dot, &last);
		if (r != -EBUSY || mount_point_volume_is_mounted(dir))
			break;
		nanosleep(&pause, NULL);
	}
	if (r == -EBUSY)
		return fault_set(why, EXIT_IN_USE, EBUSY,
				 "%s is mounted, or another command works on it; unmount it first", dir);
	if (r < 0)
		*why = last;
	return r;
}

int opened_start(const char *dir, const struct unlock_source *unlock, bool lock, struct opened *out, struct fault *why)
{
	struct statvfs fs;
	int r;

	*out = (struct opened){.store = store_posix_new(), .dot = -1, .data = -1, .lock = -1};
	if (!out->store)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	r = volume_open_dir(out->store, dir, &out->dot, &out->data, why);
	if (r == 0 && out->store->ops->statvfs(out->store, out->dot, &fs) == 0)
		out->read_only = fs.f_flag & ST_RDONLY;
	if (r == 0 && lock) {
		r = lock_volume(out, dir, why);
		out->lock = r;
	}
	if (r >= 0)
		r = unlock_keyring(out, dir, unlock, why);
	if (r < 0) {
		opened_stop(out);
		return r;
	}
	out->read_only |= keyring_read_only(out->keyring);
	return 0;
}

void opened_stop(struct opened *o)
{
	keys_unref(o->keys);
	if (o->keyring)
		keyring_free(&o->keyring);
	store_close(o->store, o->data);
	store_close(o->store, o->dot);
	store_close(o->store, o->lock);
	if (o->store)
		o->store->ops->destroy(o->store);
	*o = (struct opened){.dot = -1, .data = -1, .lock = -1};
}

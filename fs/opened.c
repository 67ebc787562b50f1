#include "fs/opened.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "fs/journal.h"
#include "fs/mount_point.h"
#include "keymgr/entry.h"
#include "keymgr/pin.h"
#include "keymgr/rotate_root.h"
#include "keymgr/unlock_from.h"
#include "util/base/crypto.h"
#include "util/base/log.h"

enum { ASK_TRIES = 3, LOCK_TRIES = 500 /* 10 seconds */, ARENA_SIZE = 3 << 20, ARENA_SMALL = 256 << 10 };

int opened_prepare(struct fault *why)
{
	int r = secret_start(ARENA_SIZE);

	/* A plain user may lock little; a key file of a megabyte does not fit then, nor do the keys of more than some 1,900 generations. */
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

	snprintf(prompt, sizeof prompt, "Passphrase of %s: ", dir);
	return keyring_unlock_from(o->keyring, from, prompt, ASK_TRIES, NULL, why);
}

/* An older copy is none of the host's business: neither its memory nor the log of the copy hear of it.  Its root has to be one that the
 * host knows, today's or one before. */
static int enter(struct opened *o, const struct unlock_source *from, struct fault *why)
{
	const struct entry entry = {
		.trust = {from->accept_older, from->expect_root},
		.looks_only = o->how != OPENED_LOCKED || o->store_read_only,
	};

	const struct trust old = {.older = true, .root = from->expect_root};

	return o->how == OPENED_OLD_COPY ? pin_check(o->keyring, &old, why)
					 : keyring_enter(o->store, o->dot, o->keyring, &entry, why);
}

/* Asked again while the volume is open: as now, by paths that do not depend on where this process is. */
static int note_service(struct opened *o, const struct unlock_source *from, struct fault *why)
{
	struct service_protector *p = calloc(1, sizeof *p);
	int r = p ? keyring_service(o->keyring, keyring_opened_by(o->keyring), p) : -ENOMEM;

	if (r < 0) {
		free(p);
		return r == -ENOENT ? 0 : fault_errno(why, EXIT_FAILED, r, "cannot note the key service");
	}
	o->service = p;
	if (!service_place_given(&from->service))
		return 0;
	service_config_free(&p->config);
	return service_place_read(&from->service, &p->config, why);
}

static int note_kmip(struct opened *o, const struct unlock_source *from, struct fault *why)
{
	struct kmip_protector *p = calloc(1, sizeof *p);
	int r = p ? keyring_kmip(o->keyring, keyring_opened_by(o->keyring), p) : -ENOMEM;

	if (r < 0) {
		free(p);
		return r == -ENOENT ? 0 : fault_errno(why, EXIT_FAILED, r, "cannot note the KMIP server");
	}
	o->kmip = p;
	if (!service_place_given(&from->kmip))
		return 0;
	service_config_free(&p->config);
	return service_place_read(&from->kmip, &p->config, why);
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
	if (r == 0)
		r = enter(o, from, why);
	if (r == 0)
		r = note_service(o, from, why);
	if (r == 0)
		r = note_kmip(o, from, why);
	if (r < 0)
		return r;
	o->keys = keyring_keys(o->keyring);
	return o->keys ? 0 : fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the keys");
}

/* A new root that was cut short.  A journal that cannot be read says so where it is needed, and may be made anew. */
static int end_new_root(struct opened *o, struct fault *why)
{
	struct fault damage = {0};
	int r;

	if (o->how != OPENED_LOCKED || o->read_only || !keyring_journal_is_old(o->keyring))
		return 0;
	r = journal_end_new_root(o->store, o->dot, o->keyring, &damage);
	if (r == -EBADMSG)
		return 0;
	if (r < 0) {
		*why = damage;
		return r;
	}
	keys_unref(o->keys);
	o->keys = keyring_keys(o->keyring);
	return o->keys ? 0 : fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the keys");
}

/* ------------------------------------------------------------------ the lock */

/* The living process that the lock file names; 0: it names none. */
static pid_t noted_process(const struct opened *o)
{
	char text[16] = "";
	int fd = store_open(o->store, o->dot, "lock", O_RDONLY, 0);
	ssize_t n = fd < 0 ? fd : store_pread(o->store, fd, text, sizeof text - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	store_close(o->store, fd);
	return pid > 1 && pid < INT_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM) ? (pid_t)pid : 0;
}

static int refuse_locked(const struct opened *o, const char *dir, const char *then, struct fault *why)
{
	pid_t pid = noted_process(o);

	if (pid)
		return fault_set(why, EXIT_IN_USE, EBUSY, "%s is mounted by process %d; %s", dir, (int)pid, then);
	return fault_set(why, EXIT_IN_USE, EBUSY, "%s is mounted, or another command works on it; %s", dir, then);
}

/* Who has just been unmounted or killed still holds the lock while it writes the last things back or is taken apart: that is waited for.
 * A volume that a living process has mounted is not. */
static int lock_volume(struct opened *o, const char *dir, struct fault *why)
{
	const struct timespec pause = {0, 20 * 1000 * 1000};
	struct fault last = {0};
	int r;

	for (int tries = 0; tries < LOCK_TRIES; tries++) {
		last = (struct fault){0};
		r = volume_lock(o->store, o->dot, &last);
		if (r != -EBUSY || (mount_point_volume_is_mounted(dir) && noted_process(o)))
			break;
		nanosleep(&pause, NULL);
	}
	if (r == -EBUSY)
		return refuse_locked(o, dir, "unmount it first", why);
	if (r < 0)
		*why = last;
	else
		o->lock = r;
	return r < 0 ? r : 0;
}

/* Of an older copy nobody writes the lock: a copy may lie on a store that is read-only, and lack the file. */
static int lock_old_copy(struct opened *o, const char *dir, struct fault *why)
{
	int r;

	o->lock = store_open(o->store, o->dot, "lock", O_RDONLY, 0);
	if (o->lock == -ENOENT)
		return 0;
	r = o->lock < 0 ? o->lock : o->store->ops->lock(o->store, o->lock, LOCK_SH | LOCK_NB);
	if (r == -EWOULDBLOCK)
		return refuse_locked(o, dir, "oldcopy is for a copy of it in another directory", why);
	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot lock .coffer/lock") : 0;
}

void opened_note_process(struct opened *o)
{
	struct store *s = o->store;
	char text[16];
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());

	if (o->how != OPENED_LOCKED || o->store_read_only)
		return;
	o->noted = s->ops->truncate(s, o->lock, 0) == 0 && store_pwrite(s, o->lock, text, (size_t)n, 0) >= 0;
	if (!o->noted)
		log_warning("cannot note the process number in .coffer/lock");
}

/* ------------------------------------------------------------------ all of it */

static int open_volume(struct opened *o, const char *dir, struct fault *why)
{
	struct statvfs fs;
	int r = volume_open_dir(o->store, dir, &o->dot, &o->data, why);

	if (r == 0 && o->store->ops->statvfs(o->store, o->dot, &fs) == 0)
		o->store_read_only = fs.f_flag & ST_RDONLY;
	if (r == 0 && (o->how == OPENED_LOCKED || o->how == OPENED_STILL))
		r = lock_volume(o, dir, why);
	if (r == 0 && o->how == OPENED_OLD_COPY)
		r = lock_old_copy(o, dir, why);
	return r;
}

int opened_start(const char *dir, const struct unlock_source *unlock, enum opened_how how, struct opened *out,
		 struct fault *why)
{
	int r;

	*out = (struct opened){.how = how, .dot = -1, .data = -1, .lock = -1};
	out->store = how == OPENED_OLD_COPY ? store_read_only_new() : store_posix_new();
	if (!out->store)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	r = open_volume(out, dir, why);
	if (r == 0)
		r = unlock_keyring(out, dir, unlock, why);
	if (r == 0) {
		out->read_only = how == OPENED_OLD_COPY || out->store_read_only || keyring_read_only(out->keyring);
		r = end_new_root(out, why);
	}
	if (r < 0)
		opened_stop(out);
	return r;
}

int opened_start_with(const char *dir, struct keyring *unlocked, struct opened *out, struct fault *why)
{
	int r;

	*out = (struct opened){.how = OPENED_LOCKED, .dot = -1, .data = -1, .lock = -1, .borrowed = true};
	out->store = store_posix_new();
	if (!out->store)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	out->keyring = unlocked;
	r = open_volume(out, dir, why);
	out->keys = r == 0 ? keyring_keys(unlocked) : NULL;
	if (r == 0 && !out->keys)
		r = fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the keys");
	if (r == 0) {
		out->read_only = out->store_read_only || keyring_read_only(unlocked);
		r = end_new_root(out, why);
	}
	if (r < 0)
		opened_stop(out);
	return r;
}

void opened_stop(struct opened *o)
{
	if (o->service)
		service_protector_free(o->service);
	free(o->service);
	if (o->kmip)
		kmip_protector_free(o->kmip);
	free(o->kmip);
	keys_unref(o->keys);
	if (o->keyring && !o->borrowed)
		keyring_free(&o->keyring);
	store_close(o->store, o->data);
	store_close(o->store, o->dot);
	/* A number that stays is that of a process which was killed. */
	if (o->noted)
		(void)o->store->ops->truncate(o->store, o->lock, 0);
	store_close(o->store, o->lock);
	if (o->store)
		o->store->ops->destroy(o->store);
	*o = (struct opened){.dot = -1, .data = -1, .lock = -1};
}

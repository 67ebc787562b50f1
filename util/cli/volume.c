#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/entry.h"
#include "keymgr/lone_keyring.h"
#include "keymgr/unlock_from.h"
#include "util/base/crypto.h"
#include "util/cli/cli.h"
#include "util/cli/mounts.h"

int secrets_start(struct fault *why)
{
	/* libgcrypt first: its locked pool has one size.  Then room for two key files of the greatest size or, where so much
	 * cannot be locked, for everything else. */
	int r = crypto_start();

	if (r == 0 && secret_start(3 << 20) < 0)
		r = secret_start(48 << 10);
	if (r == -ENOMEM || r == -EPERM)
		return fault_errno(
			why, EXIT_FAILED, r,
			"cannot lock memory for secrets; raise the limit (ulimit -l, LimitMEMLOCK=) to 4096 KiB");
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "cannot start libgcrypt");
	return 0;
}

/* The directory that holds it, resolved, with the last component as it stands. */
static int absolute_by_parent(const char *path, char **out)
{
	_cleanup_free_ char *copy1 = strdup(path), *copy2 = strdup(path);

	if (!copy1 || !copy2)
		return -ENOMEM;
	const char *name = basename(copy2);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "/") == 0)
		return -ENOENT;
	_cleanup_free_ char *parent = realpath(dirname(copy1), NULL);
	if (!parent)
		return -errno;
	return asprintf(out, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name) < 0 ? -ENOMEM : 0;
}

static int absolute_by_text(const char *path, char **out)
{
	_cleanup_free_ char *here = path[0] == '/' ? strdup("") : getcwd(NULL, 0);

	if (!here)
		return -errno;
	return asprintf(out, "%s%s%s", here, *here ? "/" : "", path) < 0 ? -ENOMEM : 0;
}

int path_absolute(const char *path, char **out, struct fault *why)
{
	*out = realpath(path, NULL);
	if (*out)
		return 0;
	int r = absolute_by_parent(path, out);
	if (r < 0 && r != -ENOMEM)
		r = absolute_by_text(path, out);
	if (r < 0) {
		*out = NULL;
		return fault_errno(why, EXIT_FAILED, r, "%s", path);
	}
	return 0;
}

/* Who gives the mount where the volume is meant is told which that is. */
static int not_a_volume(const struct cli_volume *v, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};
	struct fault ignored = {0};

	if (mounts_read(&mounts, &ignored) < 0)
		return 0;
	const struct mount_entry *m = mounts_at(&mounts, v->dir);
	if (!m)
		return 0;
	return fault_set(why, EXIT_NOT_VOLUME, ENOENT, "%s is a mount; its volume is %s: give that", v->dir, m->source);
}

int cli_volume_open_only(struct cli_volume *v, const char *dir, struct fault *why)
{
	int r = path_absolute(dir, &v->dir, why);
	if (r < 0)
		return r;
	r = not_a_volume(v, why);
	if (r < 0)
		return r;
	if (lone_keyring_is(v->dir))
		return lone_keyring_open(v->dir, &v->store, &v->dot, why);
	v->store = store_posix_new();
	if (!v->store)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "%s", dir);
	return volume_open_dir(v->store, v->dir, &v->dot, &v->data, why);
}

int cli_volume_open(struct cli_volume *v, const char *dir, struct fault *why)
{
	int r = cli_volume_open_only(v, dir, why);
	if (r < 0)
		return r;
	return keyring_read(v->store, v->dot, &v->keyring, why);
}

int cli_volume_obtain(const struct cli_volume *v, const struct unlock_source *from, struct unlock_secret *out,
		      struct fault *why)
{
	char prompt[PATH_MAX + 32];

	snprintf(prompt, sizeof prompt, "Passphrase of %s: ", v->dir);
	return keyring_obtain(v->keyring, from, prompt, out, why);
}

int cli_volume_open_with(struct cli_volume *v, const struct unlock_source *from, const struct unlock_secret *secret,
			 struct fault *why)
{
	const struct entry entry = {.trust = {from->accept_older, from->expect_root}};

	int r = keyring_unlock(v->keyring, secret, why);
	if (r == -EKEYREJECTED)
		keyring_refused(v->keyring);
	return r < 0 ? r : keyring_enter(v->store, v->dot, v->keyring, &entry, why);
}

int cli_volume_unlock(struct cli_volume *v, const struct unlock_source *from, struct unlock_secret *with,
		      struct fault *why)
{
	const struct entry entry = {.trust = {from->accept_older, from->expect_root}};
	struct unlock_secret secret = {0};
	char prompt[PATH_MAX + 32];

	snprintf(prompt, sizeof prompt, "Passphrase of %s: ", v->dir);
	int r = keyring_unlock_from(v->keyring, from, prompt, 1, &secret, why);
	if (r == 0)
		r = keyring_enter(v->store, v->dot, v->keyring, &entry, why);
	if (r == 0 && with)
		*with = secret;
	else
		unlock_secret_wipe(&secret);
	return r;
}

void cli_volume_close(struct cli_volume *v)
{
	keyring_free(&v->keyring);
	if (v->store) {
		store_close(v->store, v->data);
		store_close(v->store, v->dot);
		v->store->ops->destroy(v->store);
	}
	free(v->dir);
	*v = CLI_VOLUME_NONE;
}

const struct protector_info *cli_volume_protector(const struct cli_volume *v, uint32_t id, struct protector_info *out)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(v->keyring, all);

	for (uint32_t i = 0; i < n; i++)
		if (all[i].id == id) {
			*out = all[i];
			return out;
		}
	return NULL;
}

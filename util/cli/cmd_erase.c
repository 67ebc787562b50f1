#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/approval.h"
#include "util/cli/approval.h"
#include "util/cli/options.h"
#include "util/cli/terminal.h"

/* The name of the directory has to be typed: it is what distinguishes this volume for its owner. */
static int confirm(const char *dir, struct fault *why)
{
	const char *slash = strrchr(dir, '/');
	const char *name = slash && slash[1] ? slash + 1 : dir;
	char prompt[2 * PATH_MAX], typed[NAME_MAX + 2];

	_cleanup_close_ int tty = terminal_open();
	if (tty < 0)
		return fault_set(why, EXIT_REFUSED, ENOTTY,
				 "erase: no terminal to confirm on; --yes erases without asking");
	snprintf(prompt, sizeof prompt,
		 "This destroys all keys of %s.  Its files can never be read again.\nType its name (%s) to go on: ",
		 dir, name);
	int r = terminal_ask(tty, prompt, typed, sizeof typed);
	if (r < 0 && r != -ENODATA)
		return fault_errno(why, EXIT_FAILED, r, "cannot talk to the terminal");
	if (r < 0 || strcmp(typed, name) != 0)
		return fault_set(why, EXIT_REFUSED, ECANCELED, "not confirmed; %s is as it was", dir);
	return 0;
}

/* Erasing needs no secret and no whole keyring; where one can be read, its rule counts. */
static int agree(const struct cli_volume *v, struct approval *a, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	struct fault damage = {0};

	int r = keyring_read(v->store, v->dot, &k, &damage);
	if (r < 0)
		return 0;
	if (keyring_required(k) || a->shares)
		r = secrets_start(why);
	if (r == 0)
		r = approval_obtain(a, k, why);
	return r < 0 || !a->secret.bytes ? r : keyring_approves(k, &a->secret, why);
}

int cmd_erase(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	_cleanup_approval_ struct approval approval = {0};
	bool yes = false;
	const struct option_spec specs[] = {OPTION_APPROVAL(&approval), {OPTION_FLAG, 0, 0, "yes", &yes}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = cli_volume_open_only(&volume, words.at[0], why);
	if (r < 0)
		return r;
	int lock = volume_lock(volume.store, volume.dot, why);
	if (lock < 0)
		return lock;
	r = yes ? 0 : confirm(volume.dir, why);
	if (r == 0)
		r = agree(&volume, &approval, why);
	if (r == 0)
		r = volume_erase(volume.store, volume.dot, why);
	store_close(volume.store, lock);
	if (r < 0)
		return r;
	printf("erased the keys of %s.  Copies of .coffer/keyring.json in backups still hold them, wrapped.\n"
	       "The ciphertext is left; to free its space: rm -r %s\n",
	       volume.dir, volume.dir);
	return 0;
}

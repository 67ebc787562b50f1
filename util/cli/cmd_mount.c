#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/mount.h"
#include "util/cli/mount_fields.h"
#include "util/cli/options.h"

/* The secret may be named by an option or inside -o, once in all. */
static int merge_unlock(struct mount_options *o, const struct unlock_source *given, struct fault *why)
{
	o->unlock.accept_older |= given->accept_older;
	if (given->expect_root)
		o->unlock.expect_root = given->expect_root;
	if (given->identity_passphrase_file)
		o->unlock.identity_passphrase_file = given->identity_passphrase_file;
	if (given->pkcs11_module)
		o->unlock.pkcs11_module = given->pkcs11_module;
	if (given->tpm_pin_file)
		o->unlock.tpm_pin_file = given->tpm_pin_file;
	if (given->tpm_tcti)
		o->unlock.tpm_tcti = given->tpm_tcti;
	if (!unlock_source_given(given))
		return 0;
	if (unlock_source_given(&o->unlock))
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "mount: the secret is named twice, inside -o and outside; give one");
	const struct unlock_source inside = o->unlock;
	o->unlock = *given;
	o->unlock.accept_older = inside.accept_older;
	o->unlock.expect_root = inside.expect_root;
	o->unlock.identity_passphrase_file = inside.identity_passphrase_file;
	o->unlock.pkcs11_module = inside.pkcs11_module;
	o->unlock.tpm_pin_file = inside.tpm_pin_file;
	o->unlock.tpm_tcti = inside.tpm_tcti;
	return 0;
}

static int add_grace(const char *grace, struct mount_options *o, struct fault *why)
{
	_cleanup_free_ char *option = NULL;

	if (!grace)
		return 0;
	if (strchr(grace, ',') || asprintf(&option, "grace=%s", grace) < 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "mount: --grace %s: give a time, 1s to 30d", grace);
	return mount_options_parse(option, o, why);
}

int cmd_mount(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct mount_options o = {.unlock = UNLOCK_SOURCE_NONE};
	struct unlock_source unlock = UNLOCK_SOURCE_NONE;
	const char *grace = NULL;
	_cleanup_free_ char *list = NULL, *volume = NULL, *point = NULL;
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&unlock),
		{OPTION_FLAG, 'f', 0, "foreground", &o.foreground},
		{OPTION_LIST, 'o', 0, "options", &list},
		{OPTION_TEXT, 0, 0, "grace", &grace},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	if (list)
		r = mount_options_parse(list, &o, why);
	if (r == 0)
		r = add_grace(grace, &o, why);
	if (r == 0)
		r = merge_unlock(&o, &unlock, why);
	if (r == 0)
		r = path_absolute(words.at[0], &volume, why);
	if (r == 0)
		r = path_absolute(words.at[1], &point, why);
	if (r < 0)
		return r;
	o.volume = volume;
	o.mount_point = point;
	r = mount_fields_add(&o, why);
	return r < 0 ? r : mount_run(&o, why);
}

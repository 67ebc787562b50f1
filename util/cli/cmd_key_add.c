#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/key.h"
#include "util/cli/options.h"
#include "util/cli/terminal.h"

struct addition {
	struct unlock_source source; /* of the new secret */
	const char *recovery_file;
	bool recovery, json;
};

static int check_options(const struct addition *a, const struct unlock_source *unlock, struct fault *why)
{
	if (a->recovery_file && !a->recovery)
		return fault_set(why, EXIT_USAGE, EINVAL, "key add: --recovery-key-file goes with --recovery-key");
	if (a->recovery && !a->recovery_file && !terminal_present())
		return fault_set(why, EXIT_REFUSED, ENOTTY,
				 "no terminal to show a recovery key on: give --recovery-key-file OUT");
	if (a->source.passphrase_file && unlock->passphrase_file && strcmp(a->source.passphrase_file, "-") == 0 &&
	    strcmp(unlock->passphrase_file, "-") == 0)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "key add: standard input cannot be both passphrases; give one by --passphrase-fd");
	return 0;
}

static int obtain_new(const struct addition *a, const char *dir, struct unlock_secret *out, struct fault *why)
{
	char prompt[PATH_MAX + 32];

	if (a->recovery)
		return recovery_key_make(a->recovery_file, out, why);
	snprintf(prompt, sizeof prompt, "New passphrase for %s: ", dir);
	return unlock_obtain(&a->source, prompt, true, out, why);
}

struct new_protector {
	const struct unlock_secret *secret;
	uint32_t *id;
};

static int edit(struct keyring *k, void *context, struct fault *why)
{
	const struct new_protector *n = context;

	return keyring_add_protector(k, n->secret, n->id, why);
}

int key_add(struct cli_volume *v, const struct unlock_secret *secret, uint32_t *id, struct fault *why)
{
	struct new_protector n = {secret, id};

	return key_change(v, edit, &n, why);
}

static int add(const struct addition *a, struct cli_volume *volume, struct fault *why)
{
	struct unlock_secret secret = {0};
	struct protector_info info;
	uint32_t id;

	int r = obtain_new(a, volume->dir, &secret, why);
	if (r < 0)
		return r;
	r = key_add(volume, &secret, &id, why);
	unlock_secret_wipe(&secret);
	if (r < 0) {
		if (a->recovery_file)
			unlink(a->recovery_file);
		return r;
	}
	info.type[0] = '\0';
	cli_volume_protector(volume, id, &info);
	if (a->json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "id", id);
		json_add_text(o, "type", info.type);
		json_print(o);
		return 0;
	}
	if (*info.type)
		printf("added protector %" PRIu32 " (%s)\n", id, info.type);
	if (a->source.certificate) /* nothing here could try it */
		printf("try it: coffer key test %s --identity KEY.pem\n", volume->dir);
	return 0;
}

int cmd_key_add(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	struct unlock_source unlock = UNLOCK_SOURCE_NONE;
	struct addition a = {.source = UNLOCK_SOURCE_NONE};
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&unlock),
		{OPTION_TEXT, 0, 'n', "new-passphrase-file", &a.source.passphrase_file},
		{OPTION_TEXT, 0, 'n', "new-key-file", &a.source.key_file},
		{OPTION_TEXT, 0, 'n', "certificate", &a.source.certificate},
		{OPTION_FLAG, 0, 'n', "recovery-key", &a.recovery},
		{OPTION_TEXT, 0, 0, "recovery-key-file", &a.recovery_file},
		{OPTION_FLAG, 0, 0, "json", &a.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = check_options(&a, &unlock, why);
	if (r == 0)
		r = key_look(&volume, words.at[0], why);
	if (r == 0)
		r = secrets_start(why);
	if (r == 0)
		r = cli_volume_unlock(&volume, &unlock, NULL, why);
	return r < 0 ? r : add(&a, &volume, why);
}

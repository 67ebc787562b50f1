#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/key.h"
#include "util/cli/options.h"
#include "util/cli/status.h"
#include "util/cli/terminal.h"

/* What is added by a token or the TPM is said as at `init`; to unlock by them has names of its own here. */
struct addition {
	struct unlock_source source; /* of the new secret */
	const char *recovery_file;
	bool recovery, json, only;
};

static int check_options(const struct addition *a, const struct unlock_source *unlock, struct fault *why)
{
	if (a->recovery_file && !a->recovery)
		return fault_set(why, EXIT_USAGE, EINVAL, "key add: --recovery-key-file goes with --recovery-key");
	if (service_place_given(&a->source.service) && !a->source.service_key)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"key add: --new-service-config, --service, --ca, --cert and --key go with --service-key");
	if (service_place_given(&a->source.kmip) && !a->source.kmip_key)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "key add: --kmip, --new-kmip-config, --kmip-ca, --kmip-cert and --kmip-private-key go "
				 "with --kmip-key");
	if (a->source.pin_file && !a->source.pkcs11)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"key add: --pin-file goes with --pkcs11, the key in a token that is added; to unlock by a "
			"token give --unlock-pin-file");
	if ((a->source.tpm_pin_file || a->source.pcrs) && !a->source.tpm)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"key add: --tpm-pin-file and --pcrs go with --tpm, which adds the TPM; to unlock by it give "
			"--unlock-tpm (--unlock-tpm-pin-file)");
	if (unlock->tpm_pin_file && !unlock->tpm)
		return fault_set(why, EXIT_USAGE, EINVAL, "key add: --unlock-tpm-pin-file goes with --unlock-tpm");
	if (a->only && !a->source.service_key && !a->source.kmip_key)
		return fault_set(why, EXIT_USAGE, EINVAL, "key add: --only goes with --service-key or --kmip-key");
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
	bool only;
};

static int remove_others(struct keyring *k, uint32_t but, struct fault *why)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(k, all);
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < n; i++)
		if (all[i].id != but)
			r = keyring_remove_protector(k, all[i].id, why);
	return r;
}

/* The others go in the same change: either both has been done or nothing. */
static int edit(struct keyring *k, void *context, struct fault *why)
{
	const struct new_protector *n = context;

	int r = keyring_add_protector(k, n->secret, n->id, why);
	return r < 0 || !n->only ? r : remove_others(k, *n->id, why);
}

int key_add(struct cli_volume *v, const struct unlock_secret *secret, uint32_t *id, struct fault *why)
{
	struct new_protector n = {secret, id, false};

	return key_change(v, edit, &n, why);
}

/* A lease binds only what was opened by the server. */
static void tell_of_others(const struct cli_volume *v, uint32_t id, const char *who)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(v->keyring, all);

	if (n > 1)
		printf("these open it as well, and what they open goes on whatever %s says:\n", who);
	for (uint32_t i = 0; i < n; i++)
		if (all[i].id != id)
			printf("  %" PRIu32 "  %s, made %s\n", all[i].id, all[i].type, all[i].created);
	if (n > 1)
		printf("take them away: coffer key remove %s ID (or key add --only)\n", v->dir);
}

static void report(const struct addition *a, const struct cli_volume *volume, uint32_t id)
{
	struct protector_info info;

	info.type[0] = '\0';
	cli_volume_protector(volume, id, &info);
	if (a->json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "id", id);
		json_add_text(o, "type", info.type);
		json_object_object_add(o, "protectors", protectors_json(volume->keyring));
		json_print(o);
		return;
	}
	if (*info.type)
		printf("added protector %" PRIu32 " (%s)\n", id, info.type);
	if (a->source.certificate) /* nothing here could try it */
		printf("try it: coffer key test %s --identity KEY.pem\n", volume->dir);
	if (a->source.service_key || a->source.kmip_key)
		tell_of_others(volume, id, a->source.service_key ? "the key service" : "the KMIP server");
}

static int add(const struct addition *a, struct cli_volume *volume, struct fault *why)
{
	struct unlock_secret secret = {0};
	uint32_t id;
	struct new_protector n = {&secret, &id, a->only};

	int r = obtain_new(a, volume->dir, &secret, why);
	if (r < 0)
		return r;
	r = key_change(volume, edit, &n, why);
	unlock_secret_wipe(&secret);
	if (r < 0 && a->recovery_file)
		unlink(a->recovery_file);
	if (r == 0)
		report(a, volume, id);
	return r;
}

int cmd_key_add(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	struct unlock_source unlock = UNLOCK_SOURCE_NONE;
	struct addition a = {.source = UNLOCK_SOURCE_NONE};
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK_BESIDE(&unlock, "unlock-"),
		{OPTION_TEXT, 0, 'n', "new-passphrase-file", &a.source.passphrase_file},
		{OPTION_TEXT, 0, 'n', "new-key-file", &a.source.key_file},
		{OPTION_TEXT, 0, 'n', "certificate", &a.source.certificate},
		{OPTION_TEXT, 0, 'n', "service-key", &a.source.service_key},
		{OPTION_TEXT, 0, 0, "new-service-config", &a.source.service.file},
		OPTIONS_PLACE(&a.source.service),
		{OPTION_TEXT, 0, 'n', "kmip-key", &a.source.kmip_key},
		{OPTION_TEXT, 0, 0, "new-kmip-config", &a.source.kmip.file},
		OPTIONS_KMIP_PLACE(&a.source.kmip),
		{OPTION_TEXT, 0, 'n', "pkcs11", &a.source.pkcs11},
		{OPTION_TEXT, 0, 0, "pin-file", &a.source.pin_file},
		{OPTION_FLAG, 0, 'n', "tpm", &a.source.tpm},
		{OPTION_TEXT, 0, 0, "pcrs", &a.source.pcrs},
		{OPTION_TEXT, 0, 0, "tpm-pin-file", &a.source.tpm_pin_file},
		{OPTION_FLAG, 0, 0, "only", &a.only},
		{OPTION_FLAG, 0, 'n', "recovery-key", &a.recovery},
		{OPTION_TEXT, 0, 0, "recovery-key-file", &a.recovery_file},
		{OPTION_FLAG, 0, 0, "json", &a.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	a.source.pkcs11_module = unlock.pkcs11_module;
	a.source.tpm_tcti = unlock.tpm_tcti;
	r = check_options(&a, &unlock, why);
	if (r == 0)
		r = key_look(&volume, words.at[0], why);
	if (r == 0)
		r = secrets_start(why);
	if (r == 0)
		r = cli_volume_unlock(&volume, &unlock, NULL, why);
	return r < 0 ? r : add(&a, &volume, why);
}

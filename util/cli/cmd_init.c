#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fs/journal.h"
#include "keymgr/entry.h"
#include "keymgr/lone_keyring.h"
#include "keymgr/volume_place.h"
#include "util/cli/options.h"
#include "util/cli/output.h"
#include "util/cli/terminal.h"

struct init {
	struct unlock_source unlock;
	const char *cipher, *recovery_file;
	bool no_recovery, json;
	struct new_volume how;
	struct unlock_secret secrets[2]; /* the one given, and the recovery key */
};

static int check_options(struct init *i, struct fault *why)
{
	if (i->cipher && strcmp(i->cipher, "auto") != 0) {
		i->how.cipher = cipher_from_name(i->cipher);
		if (i->how.cipher == CIPHER_NONE)
			return fault_set(
				why, EXIT_USAGE, EINVAL,
				"init: no cipher %s; there are aes-256-ocb, aes-256-gcm, chacha20-poly1305, auto",
				i->cipher);
	}
	if (service_place_given(&i->unlock.service) && !i->unlock.service_key)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "init: --service-config, --service, --ca, --cert and --key go with --service-key");
	if (service_place_given(&i->unlock.kmip) && !i->unlock.kmip_key)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "init: --kmip, --kmip-config, --kmip-ca, --kmip-cert and --kmip-private-key go with "
				 "--kmip-key");
	if (i->unlock.pin_file && !i->unlock.pkcs11)
		return fault_set(why, EXIT_USAGE, EINVAL, "init: --pin-file goes with --pkcs11");
	/* Whom the service opens for is the service's to say; another secret is made where somebody asks for one. */
	if (i->unlock.service_key && !i->recovery_file)
		i->no_recovery = true;
	if (!i->no_recovery && !i->recovery_file && !terminal_present())
		return fault_set(
			why, EXIT_REFUSED, ENOTTY,
			"no terminal to show a recovery key on: give --recovery-key-file OUT or --no-recovery-key");
	return 0;
}

static bool may_stay(const char *name)
{
	static const char *const names[] = {".", "..", ".coffer-init",
					    "data"}; /* the latter two: of an interrupted init */

	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* volume_init looks for itself.  This is to tell before somebody has thought of a passphrase and written down a recovery key. */
static int check_place(const char *dir, struct fault *why)
{
	const struct dirent *e;
	bool other = false;

	int r = volume_place_check(dir, why);
	if (r < 0)
		return r;
	DIR *d = opendir(dir);
	if (!d)
		return 0;
	while (!other && (e = readdir(d)))
		other = !may_stay(e->d_name);
	closedir(d);
	return other ? fault_set(why, EXIT_NOT_EMPTY, ENOTEMPTY, "%s is not empty; name a new or an empty directory",
				 dir)
		     : 0;
}

/* The secrets come first and the volume last: until then nothing exists that would have to be undone, except OUT. */
static int gather_secrets(struct init *i, const char *dir, struct fault *why)
{
	char prompt[PATH_MAX + 32];

	snprintf(prompt, sizeof prompt, "New passphrase for %s: ", dir);
	int r = unlock_obtain(&i->unlock, prompt, true, &i->secrets[0], why);
	if (r < 0)
		return r;
	i->how.secret_count = 1;
	if (i->no_recovery)
		return 0;
	r = recovery_key_make(i->recovery_file, &i->secrets[1], why);
	if (r < 0)
		return r;
	i->how.secret_count = 2;
	return 0;
}

/* A recovery key of nothing would only mislead. */
static int failed(const struct init *i, int r)
{
	if (i->recovery_file)
		unlink(i->recovery_file);
	return r;
}

static void tell_of(const struct init *i, struct keyring **keyring)
{
	char fingerprint[2 * FINGERPRINT_SIZE + 8];

	keyring_enter_new(*keyring);
	keyring_fingerprint(*keyring, fingerprint);
	printf("fingerprint: %s\n", fingerprint);
	if (i->recovery_file)
		printf("recovery key: in %s; keep it away from this computer\n", i->recovery_file);
	else if (i->unlock.service_key)
		puts("recovery key: none; only the key service opens this, so its backups are what counts");
	keyring_free(keyring);
}

static void json_of(const struct init *i, const char *what, const char *path, struct keyring **keyring)
{
	json_object *o = json_object_new_object();
	char fingerprint[2 * FINGERPRINT_SIZE + 8];

	keyring_enter_new(*keyring);
	keyring_fingerprint(*keyring, fingerprint);
	json_add_text(o, what, path);
	json_add_text(o, "fingerprint", fingerprint);
	json_object_object_add(o, "recovery_key_file",
			       i->recovery_file ? json_object_new_string(i->recovery_file) : NULL);
	json_print(o);
	keyring_free(keyring);
}

static int make_volume(struct init *i, const char *dir, struct fault *why)
{
	struct keyring *keyring = NULL;
	int r;

	i->how.furnish = journal_make;
	r = volume_init(dir, &i->how, &keyring, why);
	if (r < 0)
		return failed(i, r);
	if (i->json) {
		json_of(i, "volume", dir, &keyring);
		return 0;
	}
	printf("made the volume %s (%s)\n", dir, cipher_name(keyring_settings(keyring)->cipher));
	tell_of(i, &keyring);
	printf("next:\n  mkdir -p MNT && coffer mount %s MNT\n  coffer umount MNT\n", dir);
	return 0;
}

static int make_keyring(struct init *i, const char *file, struct fault *why)
{
	struct keyring *keyring = NULL;
	int r = lone_keyring_make(file, &i->how, &keyring, why);

	if (r < 0)
		return failed(i, r);
	if (i->json) {
		json_of(i, "keyring", file, &keyring);
		return 0;
	}
	printf("made the keyring %s\n", file);
	tell_of(i, &keyring);
	return 0;
}

static int check_new_file(const char *file, struct fault *why)
{
	if (access(file, F_OK) == 0)
		return fault_set(why, EXIT_NOT_EMPTY, EEXIST, "%s exists; name a new file", file);
	return 0;
}

/* What both verbs do once they know their options. */
static int run(struct init *i, const char *word, int (*check)(const char *path, struct fault *why),
	       int (*make)(struct init *i, const char *path, struct fault *why), struct fault *why)
{
	_cleanup_free_ char *path = NULL;

	int r = check_options(i, why);
	if (r == 0)
		r = path_absolute(word, &path, why);
	if (r == 0)
		r = check(path, why);
	if (r == 0)
		r = secrets_start(why);
	if (r == 0)
		r = gather_secrets(i, path, why);
	i->how.secrets = i->secrets;
	if (r == 0)
		r = make(i, path, why);
	for (unsigned n = 0; n < 2; n++)
		unlock_secret_wipe(&i->secrets[n]);
	return r;
}

int cmd_key_init(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct init i = {.unlock = UNLOCK_SOURCE_NONE};
	const struct option_spec specs[] = {
		OPTIONS_FIRST_SECRET(&i.unlock),
		{OPTION_FLAG, 0, 'r', "no-recovery-key", &i.no_recovery},
		{OPTION_TEXT, 0, 'r', "recovery-key-file", &i.recovery_file},
		{OPTION_FLAG, 0, 0, "json", &i.json},
		{0},
	};
	struct words words;
	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);

	return r ? r : run(&i, words.at[0], check_new_file, make_keyring, why);
}

int cmd_init(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct init i = {.unlock = UNLOCK_SOURCE_NONE};
	const struct option_spec specs[] = {
		OPTIONS_FIRST_SECRET(&i.unlock),
		{OPTION_TEXT, 0, 0, "cipher", &i.cipher},
		{OPTION_FLAG, 0, 0, "portable", &i.how.portable},
		{OPTION_SIZE, 0, 0, "journal-size", &i.how.journal_size},
		{OPTION_FLAG, 0, 'r', "no-recovery-key", &i.no_recovery},
		{OPTION_TEXT, 0, 'r', "recovery-key-file", &i.recovery_file},
		{OPTION_FLAG, 0, 0, "json", &i.json},
		{0},
	};
	struct words words;
	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);

	return r ? r : run(&i, words.at[0], check_place, make_volume, why);
}

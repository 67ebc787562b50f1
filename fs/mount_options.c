/* The option string of mount(8). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/journal.h"
#include "fs/lease.h"
#include "fs/mount.h"
#include "fs/ring.h"
#include "util/base/number.h"

#define MEMORY_MIN (UINT64_C(8) << 20)
#define MEMORY_MAX (UINT64_C(64) << 30)

enum { SHARED_SECONDS = 1, SHARED_SECONDS_MAX = 3600 };

/* Options that only mount(8), fstab or systemd care for. */
static bool is_for_others(const char *option)
{
	static const char *const words[] = {
		"defaults", "nofail",      "_netdev",    "auto",       "noauto",
		"user",     "nouser",      "users",      "owner",      "group",
		"async",    "diratime",    "nodiratime", "silent",     "loud",
		"noatime",  "strictatime", "nolazytime", "noiversion", "default_permissions",
	};

	/* With a value: what people and systemd note in fstab, and what the kernel shows of a FUSE mount and mount(8) gives back at a remount. */
	static const char *const prefixes[] = {
		"x-", "comment=", "uhelper=", "user_id=", "group_id=", "max_read=", "blksize="};

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (strncmp(option, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(option, words[i]) == 0)
			return true;
	return false;
}

/* Switches: a word, where it goes, and what it means. */
static bool set_switch(const char *option, struct mount_options *o)
{
	const struct {
		const char *word;
		bool *field;
		bool value;
	} switches[] = {
		{"ro", &o->read_only, true},
		{"rw", &o->read_only, false},
		{"suid", &o->suid, true},
		{"nosuid", &o->suid, false},
		{"dev", &o->dev, true},
		{"nodev", &o->dev, false},
		{"exec", &o->noexec, false},
		{"noexec", &o->noexec, true},
		{"relatime", &o->relatime, true},
		{"allow_other", &o->allow_other, true},
		{"writeback", &o->writeback, true},
		{"noxattr", &o->no_xattr, true},
		{"noperm", &o->no_perm, true},
		{"io_uring", &o->io_uring, true},
		{"ask_open", &o->ask_open, true},
		{"nojournal", &o->no_journal, true},
		{"shared_store", &o->shared, true},
		{"shared-store", &o->shared, true},
		{"remount", &o->remount, true},
		{"oldcopy", &o->old_copy, true},
		{"accept_older_keyring", &o->unlock.accept_older, true},
		{"tpm", &o->unlock.tpm, true},
	};

	for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
		if (strcmp(option, switches[i].word) == 0) {
			*switches[i].field = switches[i].value;
			return true;
		}
	}
	return false;
}

/* Options with a value that names a secret. */
static bool set_unlock(const char *option, const char *value, struct unlock_source *u)
{
	const struct {
		const char *word;
		const char **field;
	} sources[] = {
		{"passphrase_file", &u->passphrase_file},
		{"passphrase_command", &u->passphrase_command},
		{"key_file", &u->key_file},
		{"credential", &u->credential},
		{"identity", &u->identity},
		{"pin_file", &u->pin_file},
		{"service_config", &u->service.file},
		{"kmip_config", &u->kmip.file},
	};

	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
		if (strcmp(option, sources[i].word) == 0) {
			*sources[i].field = value;
			return true;
		}
	}
	return false;
}

static int set_value(const char *option, const char *value, struct mount_options *o, struct fault *why)
{
	bool given = unlock_source_given(&o->unlock);
	char *end;

	if (set_unlock(option, value, &o->unlock)) {
		if (given)
			return fault_set(why, EXIT_USAGE, EINVAL, "%s: only one option may name the secret", option);
		return *value ? 0 : fault_set(why, EXIT_USAGE, EINVAL, "%s= needs a value", option);
	}
	if (strcmp(option, "identity_passphrase_file") == 0) {
		o->unlock.identity_passphrase_file = value;
		return *value ? 0 : fault_set(why, EXIT_USAGE, EINVAL, "identity_passphrase_file= needs a value");
	}
	if (strcmp(option, "tpm_pin_file") == 0 || strcmp(option, "tpm_tcti") == 0) {
		*(option[4] == 'p' ? &o->unlock.tpm_pin_file : &o->unlock.tpm_tcti) = value;
		return *value ? 0 : fault_set(why, EXIT_USAGE, EINVAL, "%s= needs a value", option);
	}
	if (strcmp(option, "pkcs11_module") == 0) {
		o->unlock.pkcs11_module = value;
		return *value == '/' ? 0 : fault_set(why, EXIT_USAGE, EINVAL, "pkcs11_module= needs an absolute path");
	}
	if (strcmp(option, "root") == 0) {
		o->unlock.expect_root = value;
		return *value ? 0 : fault_set(why, EXIT_USAGE, EINVAL, "root= needs a fingerprint");
	}
	if (strcmp(option, "field_rights") == 0) {
		o->field_rights = value;
		return *value == '/' ? 0 : fault_set(why, EXIT_USAGE, EINVAL, "field_rights= needs an absolute path");
	}
	if (strcmp(option, "metrics") == 0) {
		o->metrics = value;
		return *value == '/' ? 0 : fault_set(why, EXIT_USAGE, EINVAL, "metrics= needs an absolute path");
	}
	if (strcmp(option, "commit") == 0) {
		unsigned long seconds = strtoul(value, &end, 10);

		if (!*value || *end || seconds < 1 || seconds > 300)
			return fault_set(why, EXIT_USAGE, EINVAL, "commit=%s: give a number of seconds, 1 to 300",
					 value);
		o->commit = (unsigned)seconds;
		return 0;
	}
	if (strcmp(option, "shared_store") == 0 || strcmp(option, "shared-store") == 0) {
		unsigned long seconds = strtoul(value, &end, 10);

		if (*value < '0' || *value > '9' || *end || seconds > SHARED_SECONDS_MAX)
			return fault_set(why, EXIT_USAGE, EINVAL, "%s=%s: give a number of seconds, 0 to %d", option,
					 value, SHARED_SECONDS_MAX);
		o->shared = true;
		o->shared_seconds = (unsigned)seconds;
		return 0;
	}
	if (strcmp(option, "journal") == 0) {
		if (size_parse(value, &o->journal_size) < 0 || o->journal_size < JOURNAL_MIN ||
		    o->journal_size > JOURNAL_MAX)
			return fault_set(why, EXIT_USAGE, EINVAL, "journal=%s: give a size, 4M to 1G", value);
		return 0;
	}
	if (strcmp(option, "grace") == 0) {
		uint64_t seconds;

		if (duration_parse(value, GRACE_SECONDS_MAX, &seconds) < 0 || seconds == 0)
			return fault_set(why, EXIT_USAGE, EINVAL, "grace=%s: give a time, 1s to 30d", value);
		o->grace = (unsigned)seconds;
		return 0;
	}
	if (strcmp(option, "lease") == 0) {
		uint64_t seconds;

		if (duration_parse(value, LEASE_SECONDS, &seconds) < 0 || seconds == 0)
			return fault_set(why, EXIT_USAGE, EINVAL, "lease=%s: give a time, 1s to %ds", value,
					 LEASE_SECONDS);
		o->lease = (unsigned)seconds;
		return 0;
	}
	if (strcmp(option, "memory") == 0) {
		if (size_parse(value, &o->memory) < 0 || o->memory < MEMORY_MIN || o->memory > MEMORY_MAX)
			return fault_set(why, EXIT_USAGE, EINVAL, "memory=%s: give a size, 8M to 64G", value);
		return 0;
	}
	if (strcmp(option, "idle") == 0) {
		unsigned long seconds = strtoul(value, &end, 10);

		if (!*value || *end || seconds > 365 * 86400UL)
			return fault_set(why, EXIT_USAGE, EINVAL, "idle=%s: give a number of seconds", value);
		o->idle = (unsigned)seconds;
		return 0;
	}
	return fault_set(why, EXIT_USAGE, EINVAL, "unknown mount option %s=; see mount.coffer(8)", option);
}

/* What the kernel or the journal would keep back of a file is not for a store in which others may change it meanwhile. */
static int check_shared(struct mount_options *o, struct fault *why)
{
	if (o->writeback)
		return fault_set(why, EXIT_USAGE, EINVAL, "give shared_store or writeback, not both");
	if (o->journal_size)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "shared_store works without a journal: leave out journal=SIZE");
	o->no_journal = true;
	return 0;
}

int mount_options_parse(char *text, struct mount_options *o, struct fault *why)
{
	char *rest = text, *option;

	o->shared_seconds = SHARED_SECONDS;
	while ((option = strsep(&rest, ","))) {
		char *value = strchr(option, '=');
		int r;

		if (!*option || is_for_others(option))
			continue;
		if (!value && set_switch(option, o)) {
			continue;
		}
		if (!value)
			return fault_set(why, EXIT_USAGE, EINVAL, "unknown mount option %s; see mount.coffer(8)",
					 option);
		*value++ = 0;
		r = set_value(option, value, o, why);
		if (r < 0)
			return r;
	}
	if (o->journal_size && o->no_journal)
		return fault_set(why, EXIT_USAGE, EINVAL, "give journal=SIZE or nojournal, not both");
	if (o->no_perm && o->allow_other)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "give noperm or allow_other, not both: nobody would check what others may do");
	if (o->io_uring && ring_missing())
		return fault_set(why, EXIT_USAGE, ENOTSUP, "io_uring: %s", ring_missing());
	o->read_only |= o->old_copy;
	return o->shared ? check_shared(o, why) : 0;
}

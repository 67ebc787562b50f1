/* Opening the backup of a keyring. */
#ifndef COFFER_CLI_BACKUP_SECRET_H
#define COFFER_CLI_BACKUP_SECRET_H

#include "keymgr/backup_secret.h"
#include "util/cli/key.h"
#include "util/cli/options.h"

#define OPTIONS_BACKUP_SECRET(b)                                                                                       \
	{OPTION_TEXT, 0, 'b', "backup-passphrase-file", &(b)->secret.passphrase_file},                                 \
		{OPTION_TEXT, 0, 'b', "backup-key-file", &(b)->secret.key_file},                                       \
		{OPTION_TEXT, 0, 'b', "backup-identity", &(b)->secret.identity},                                       \
		{OPTION_TEXT, 0, 0, "backup-identity-passphrase-file", &(b)->secret.identity_passphrase_file},         \
	{                                                                                                              \
		OPTION_LIST, 0, 0, "share", &(b)->shares                                                               \
	}

/* Reads a backup and unlocks it by a secret of its own (a passphrase, a key file, a private key, shares: as it was made), which is asked for if it was not
 * given, and left in *secret. */
int backup_open(const struct backup_source *b, const char *file, struct unlock_secret *secret, struct keyring **out,
		struct fault *why) MUST_CHECK;

#endif

/* What opens a backup: a passphrase, a key file, a private key, shares. */
#ifndef COFFER_CLI_BACKUP_SECRET_H
#define COFFER_CLI_BACKUP_SECRET_H

#include "util/cli/key.h"
#include "util/cli/options.h"

struct backup_source {
	struct unlock_source secret;
	char *shares; /* files, a comma between them; freed by backup_source_free */
};
#define BACKUP_SOURCE_NONE ((struct backup_source){.secret = UNLOCK_SOURCE_NONE})
static inline void backup_source_free(struct backup_source *b)
{
	free(b->shares);
}
#define OPTIONS_BACKUP_SECRET(b)                                                                                       \
	{OPTION_TEXT, 0, 'b', "backup-passphrase-file", &(b)->secret.passphrase_file},                                 \
		{OPTION_TEXT, 0, 'b', "backup-key-file", &(b)->secret.key_file},                                       \
		{OPTION_TEXT, 0, 'b', "backup-identity", &(b)->secret.identity},                                       \
		{OPTION_TEXT, 0, 0, "backup-identity-passphrase-file", &(b)->secret.identity_passphrase_file},         \
	{                                                                                                              \
		OPTION_LIST, 0, 0, "share", &(b)->shares                                                               \
	}

/* A new secret in shares ("2/3"), each written into a new file share-N.txt of the directory, and as a QR code share-N.svg where
 * libqrencode is installed.  backup_shares_remove takes those files away again. */
int backup_shares_make(const char *split, const char *directory, struct unlock_secret *out,
		       struct fault *why) MUST_CHECK;
void backup_shares_remove(const char *directory, unsigned count);

/* The secret of which the files hold shares, a comma between them; NULL: they are asked for on the terminal, and *why says `without` where
 * there is none. */
int shares_obtain(const char *files, const char *without, struct unlock_secret *out, struct fault *why) MUST_CHECK;

/* Reads a backup and unlocks it by a secret of its own (a passphrase, a key file, a private key, shares: as it was made), which is asked for if it was not
 * given, and left in *secret. */
int backup_open(const struct backup_source *b, const char *file, struct unlock_secret *secret, struct keyring **out,
		struct fault *why) MUST_CHECK;

#endif

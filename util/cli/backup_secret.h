/* What opens a backup: a passphrase, a key file, shares. */
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
	{                                                                                                              \
		OPTION_LIST, 0, 'b', "share", &(b)->shares                                                             \
	}

/* Obtains the secret that opens a backup of this type ("passphrase", "key-file", "shares"); asks for what was not given. */
int backup_secret_obtain(const struct backup_source *b, const char *file, const char *type, struct unlock_secret *out,
			 struct fault *why) MUST_CHECK;

/* A new secret in shares ("2/3"), each written into a new file share-N.txt of the directory, and as a QR code share-N.svg where
 * libqrencode is installed.  backup_shares_remove takes those files away again. */
int backup_shares_make(const char *split, const char *directory, struct unlock_secret *out,
		       struct fault *why) MUST_CHECK;
void backup_shares_remove(const char *directory, unsigned count);

/* Reads a whole backup file. */
int backup_file_read(const char *file, char **text, size_t *n, struct fault *why) MUST_CHECK;
/* Writes n bytes into a new file of mode 0600, synced with its directory. */
int new_file_write(const char *file, const void *bytes, size_t n, struct fault *why) MUST_CHECK;

#endif

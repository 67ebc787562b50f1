/* What opens a backup: a passphrase, a key file, a private key, shares. */
#ifndef COFFER_KEYMGR_BACKUP_SECRET_H
#define COFFER_KEYMGR_BACKUP_SECRET_H

#include "keymgr/unlock.h"

struct backup_source {
	struct unlock_source secret;
	char *shares; /* files, a comma between them; freed by backup_source_free */
};
#define BACKUP_SOURCE_NONE ((struct backup_source){.secret = UNLOCK_SOURCE_NONE})
static inline void backup_source_free(struct backup_source *b)
{
	free(b->shares);
}

/* What opens the backup FILE, whose protector is of this type (backup_type), asked for if it was not given. */
int backup_secret_obtain(const struct backup_source *b, const char *file, const char *type, struct unlock_secret *out,
			 struct fault *why) MUST_CHECK;

/* A new secret in shares ("2/3"), each written into a new file share-N.txt of the directory, and as a QR code share-N.svg where
 * libqrencode is installed.  backup_shares_remove takes those files away again. */
int backup_shares_make(const char *split, const char *directory, struct unlock_secret *out,
		       struct fault *why) MUST_CHECK;
void backup_shares_remove(const char *directory, unsigned count);

/* The secret of which the files hold shares, a comma between them; NULL: they are asked for on the terminal, and *why says `without` where
 * there is none. */
int shares_obtain(const char *files, const char *without, struct unlock_secret *out, struct fault *why) MUST_CHECK;

#endif

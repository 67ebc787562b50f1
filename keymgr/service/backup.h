/* Backups of the key service: made while it runs, restored on another machine (docs/key-service.md, "Backups"). */
#ifndef COFFER_SERVICE_BACKUP_H
#define COFFER_SERVICE_BACKUP_H

#include "keymgr/backup_secret.h"
#include "keymgr/service/backup_file.h"
#include "keymgr/service/ledger.h"
#include "keymgr/service/place.h"
#include "util/base/atomic_file.h"

/* How a file that is being written is called.  It is locked (flock) while somebody writes it. */
#define SERVICE_BACKUP_TEMPORARY ATOMIC_FILE_PREFIX "keyd-"

struct service_backup {
	const struct place *place; /* its keys are open */
	const char *anchor;
	const char *keyring; /* what backup_make() gave */
	size_t keyring_size;
	const atomic_bool *stop; /* NULL: not to be stopped */
};
struct service_backed_up {
	char id[BACKUP_ID_TEXT + 1];
	struct backup_counts counts;
	uint64_t bytes;
};
/* Writes the new FILE: all rows and lines of one moment, held against the anchor, sealed, synced, read back and checked once more.  FILE has
 * its name only after that; a failure leaves none.  Touches no ledger, so that it can run beside the service, in a thread of
 * its own too.  -ECANCELED: stopped. */
int service_backup(const struct service_backup *b, const char *file, struct service_backed_up *out,
		   struct fault *why) MUST_CHECK;

struct service_restore {
	const char *file;
	const struct backup_source *source; /* opens the backup */
	const struct unlock_source
		*replace;        /* opens the restored keyring from then on; nothing given: a key file beside it */
	const char *etcd;        /* where the store is made; NULL: in the directory */
	const char *anchor;      /* kept outside the directory; NULL: it is lost */
	bool accept_older;       /* what was done since the backup may be undone */
	const char *expect_root; /* NULL: see keymgr/pin.h */
};
struct service_restored {
	char created[TIME_TEXT + 1];
	uint64_t lines;
	uint64_t lost; /* lines that the anchor knows of and the backup lacks; 0 also where nothing is known */
};
/* Makes DIR, which is new or empty, from a backup.  Everything is built in a directory of its own inside and checked before it gets its name; the
 * database comes last, and without it nobody takes DIR for a key service. */
int service_restore(const char *dir, const struct service_restore *how, struct service_restored *out,
		    struct fault *why) MUST_CHECK;

#endif

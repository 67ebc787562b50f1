/* The directory of the key service, and what has which name in it. */
#ifndef COFFER_SERVICE_PLACE_H
#define COFFER_SERVICE_PLACE_H

#include <limits.h>

#include "keymgr/service/ledger.h"
#include "keymgr/unlock.h"

#define PLACE_KEYRING  "keyring.json"
#define PLACE_KEY      "keyring.key" /* opens the keyring where nothing else was asked for */
#define PLACE_DATABASE "service.db"
#define PLACE_ANCHOR   "anchor.json"

struct place {
	char path[PATH_MAX]; /* resolved */
	const char *etcd;    /* NULL: the store is PLACE_DATABASE */
	int lock;            /* the directory, locked: one process changes what is in it */
	struct service_keys keys;
	struct ledger *ledger;
};
/* DIR/name; returns out. */
const char *place_name(const struct place *p, const char *name, char out[PATH_MAX]);
void place_close(struct place *p);
#define PLACE_NONE ((struct place){.lock = -1})

struct place_init {
	const char *const *hosts;
	size_t host_count;
	const struct unlock_source *source; /* of the secret that opens the keyring */
	const char *etcd;                   /* where the store is made; NULL: in the directory */
};
/* Makes DIR (which is new or empty): keyring, database, authority, server certificates, the first administrator with ca.pem, admin.pem,
 * admin.key, admin.p12.  A failure removes what it made.  The fingerprint is the one of the keyring's root. */
int place_make(const char *dir, const struct place_init *how, char fingerprint[ROOT_TEXT],
	       struct fault *why) MUST_CHECK;
struct place_options {
	const struct unlock_source *source;
	const char *anchor; /* NULL: PLACE_ANCHOR */
	const char *etcd;   /* NULL: the store is in the directory */
	void (*waiting)(
		void); /* called once when another server has the store, which is then waited for; NULL: nothing waits */
};
/* For whoever changes something: -EBUSY, EXIT_IN_USE if somebody else does.  `keyring` as in service_keys_open(). */
int place_open(const char *dir, const struct place_options *o, struct place *out, struct keyring **keyring,
	       struct fault *why) MUST_CHECK;
/* The store of a place whose keys are open. */
int place_store(const struct place *p, enum backend_use use, struct backend **out, struct fault *why) MUST_CHECK;
/* Without a lock and without the ledger: for whoever only reads. */
int place_unlock(const char *dir, const struct place_options *o, struct place *out, struct keyring **keyring,
		 struct fault *why) MUST_CHECK;

/* --- parts of making one, for restoring too */
/* The name of DIR, links followed; nothing is opened. */
int place_resolve(const char *dir, struct place *out, struct fault *why) MUST_CHECK;
/* The secret that a new keyring gets: what the user gives, or a new PLACE_KEY. */
int place_new_secret(const struct place *p, const struct unlock_source *source, struct unlock_secret *out,
		     struct fault *why) MUST_CHECK;
int place_new_file(const struct place *p, const char *name, const void *bytes, size_t n, mode_t mode,
		   struct fault *why) MUST_CHECK;
/* Makes DIR, or takes it if it is empty; what holds something already is left alone. */
int place_claim(const char *dir, bool *new_directory, struct fault *why) MUST_CHECK;
/* Takes away all that belongs to a key service. */
void place_empty(const struct place *p);

#endif

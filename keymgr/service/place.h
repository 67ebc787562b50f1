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
	struct service_keys keys;
	struct ledger *ledger;
};
/* DIR/name; returns out. */
const char *place_name(const struct place *p, const char *name, char out[PATH_MAX]);
void place_close(struct place *p);

struct place_init {
	const char *const *hosts;
	size_t host_count;
	const struct unlock_source *source; /* of the secret that opens the keyring */
};
/* Makes DIR (which is new or empty): keyring, database, authority, server certificates, the first administrator with ca.pem, admin.pem,
 * admin.key, admin.p12.  A failure removes what it made. */
int place_make(const char *dir, const struct place_init *how, struct fault *why) MUST_CHECK;
int place_open(const char *dir, const struct unlock_source *source, const char *anchor, struct place *out,
	       struct fault *why) MUST_CHECK;

#endif

/* What a mount tells the key service of itself, beside asking for its lease. */
#ifndef COFFER_FS_LEASE_REPORT_H
#define COFFER_FS_LEASE_REPORT_H

#include <json-c/json.h>

#include "fs/reencrypt.h"
#include "keymgr/service_client.h"

/* Adds members to the question. */
int lease_report_put(json_object *o, struct live_keys *keys, struct reencrypt *reencrypt) MUST_CHECK;

/* How far the sealed keyring has been sent. */
struct keyring_sending {
	uint64_t sequence; /* which one */
	unsigned part;     /* the next one to send */
	bool settled;      /* it is there, or will not be taken */
};

/* Sends the sealed keyring, if that is not settled.  A long one goes in parts, for so long that the next question for the lease is not late; it goes on with the
 * rest behind that.  What is refused for good is said through log_warning, once for each keyring. */
void lease_report_keyring(struct service_client *c, const char *key, const char *volume, const struct opened *opened,
			  struct live_keys *keys, struct keyring_sending *s);

#endif

/* What a mount tells the key service of itself, beside asking for its lease. */
#ifndef COFFER_FS_LEASE_REPORT_H
#define COFFER_FS_LEASE_REPORT_H

#include <json-c/json.h>

#include "fs/reencrypt.h"
#include "keymgr/service_client.h"

/* Adds members to the question. */
int lease_report_put(json_object *o, struct live_keys *keys, struct reencrypt *reencrypt) MUST_CHECK;

/* Sends the sealed keyring, if it is not the one of *sent any more.  What cannot be done is said through log_warning, once for each keyring. */
void lease_report_keyring(struct service_client *c, const char *key, const char *volume, const struct opened *opened,
			  struct live_keys *keys, uint64_t *sent);

#endif

/* The API of the key service (docs/api.md): from a request to what it does and its answer. */
#ifndef COFFER_SERVICE_API_H
#define COFFER_SERVICE_API_H

#include "keymgr/service/answer.h"
#include "keymgr/service/authority.h"
#include "keymgr/service/http.h"
#include "keymgr/service/leases.h"
#include "keymgr/service/rates.h"

struct api {
	struct ledger *ledger;
	const struct service_keys *keys;
	const struct tls_identity *ca; /* issues the clients' certificates */
	struct leases leases;
	struct rates rates;
	bool backups;        /* the service makes some of itself */
	bool backup_wanted;  /* somebody has asked for one: for whoever makes them to see */
	bool backup_failing; /* the last one failed */
	struct {
		uint64_t wraps, unwraps, rewraps, leases, refused, over_rate;
	} counts;
	int refusals_left;         /* lines about refused strangers that have room; one more each second */
	uint64_t refusals_dropped; /* those that had no room */
};

enum { API_REFUSALS_MAX = 20 };

/* Always fills the answer.  What it did is staged in the ledger, its line included: nothing may be answered before the commit. */
void api_handle(struct api *api, const struct tls_peer *peer, const char *address, const struct http_request *r,
		struct answer *a);
void api_end(struct api *api);
/* Once a second. */
void api_tick(struct api *api);

#endif

/* Who holds a lease: mounts that ask again and again whether they may go on.  In memory only: a renewal comes every few seconds, and what a restart
 * forgets is known again soon. */
#ifndef COFFER_SERVICE_LEASES_H
#define COFFER_SERVICE_LEASES_H

#include "keymgr/service/clients.h"
#include "keymgr/service/kek.h"
#include "keymgr/service/volumes.h"

enum { LEASE_RENEW_S = 20, LEASE_WORD_MAX = 64 };

/* What a mount says of itself, for who looks at the volumes; nothing here goes by it. */
struct lease_report {
	char host[LEASE_WORD_MAX + 1],
		coffer[LEASE_WORD_MAX + 1]; /* empty: it does not say; as the others where has_... is false */
	uint32_t generation, percent, backup_days;
	struct managed_state state;
	bool has_generation, has_percent, has_backup, has_state;
};

struct lease {
	char key[KEK_NAME_MAX + 1], volume[VOLUME_TEXT + 1];
	char client[FINGERPRINT_TEXT + 1];
	uint32_t version; /* that the client says its root is wrapped by; 0: it does not say */
	char seen[TIME_TEXT + 1];
	uint64_t renewals;
	struct lease_report report;
};

struct leases {
	void *index; /* tsearch(3), by key and volume */
};
void leases_free(struct leases *l);

/* Bounded by the volumes that are pinned: the caller has looked that this one is. */
int lease_renew(struct leases *l, const char *key, const char *volume, const char *client, uint32_t version,
		const struct lease_report *report) MUST_CHECK;
const struct lease *lease_find(const struct leases *l, const char *key, const char *volume);

#endif

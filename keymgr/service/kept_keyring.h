/* The sealed keyrings of volumes that the service keeps, a copy for the day on which a volume's own is lost: in pieces, as a row is small, and sent in
 * parts where it is long, as a request is small.
 *
 * It is what lies on the volume's disk: every key in it is wrapped by the root, and the root by keys of the service.  Whoever may use the key may put
 * one there; a forged one does not open.
 *
 * Functions stage changes in the ledger and note nothing. */
#ifndef COFFER_SERVICE_KEPT_KEYRING_H
#define COFFER_SERVICE_KEPT_KEYRING_H

#include "keymgr/service/ledger.h"

enum { KEYRING_PART_MAX = 45000, KEYRING_PARTS_MAX = 8 };

struct keyring_part {
	uint64_t sequence;    /* of the keyring */
	uint64_t part, parts; /* counted from 0; one of one is the whole of it */
	const char *client;   /* who sends it: fingerprint */
	const uint8_t *text;
	size_t size; /* 1 to KEYRING_PART_MAX */
};

enum keyring_took {
	KEYRING_OLDER,        /* a newer one is kept; nothing changes */
	KEYRING_SAME,         /* it is kept already; nothing changes */
	KEYRING_OUT_OF_ORDER, /* not what comes next of that keyring; nothing changes: begin anew */
	KEYRING_SAID_AGAIN,   /* the part that came last, as of who heard no answer; nothing changes */
	KEYRING_PART,         /* one of several; what is kept stays as it is */
	KEYRING_WHOLE,        /* the last or only part: this one is kept now */
};
/* `volume` is sound (volume_id_parse). */
int kept_keyring_take(struct ledger *l, const char *key, const char *volume, const struct keyring_part *p,
		      enum keyring_took *out) MUST_CHECK;

struct kept_keyring {
	uint64_t sequence;
	char at[TIME_TEXT + 1];
	uint8_t *text;
	size_t size;
};
static inline void kept_keyring_free(struct kept_keyring *k)
{
	free(k->text);
	k->text = NULL;
}
int kept_keyring_get(struct ledger *l, const char *key, const char *volume,
		     struct kept_keyring *out) MUST_CHECK; /* -ENOENT */

#endif

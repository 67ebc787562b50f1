/* Rekeying: all that the key service keeps under a new generation of its keyring (docs/key-service.md, "Rekeying").
 *
 * Which generation a store is under says its row "rekey": not there, it is 1.
 *     {"generation":G,"at":TIME,"before":number,"end":LINE,"anchor":WRAPPED,"segments":[{"last":LINE,"audit":WRAPPED},...]}
 * `end` is the last line that the rekeying wrote; `anchor` is the anchor's key of the generation before; a segment is the part of the log up to a
 * line "rekey", and its key.  They are wrapped under G (AES key wrap), so that the generations before are needed for nothing any more. */
#ifndef COFFER_SERVICE_REKEY_H
#define COFFER_SERVICE_REKEY_H

#include "keymgr/service/place.h"

/* Has the keys that this store is under.  To be called once it is this process's, since another one could change that. */
int service_keys_settle(struct service_keys *k, struct backend *b, struct fault *why) MUST_CHECK;
/* Those that come after k: of that generation, beginning behind the line `last`.  Takes `keys` over.  *row: what the row "rekey" will hold. */
int service_keys_next(const struct service_keys *k, struct keys *keys, uint32_t generation, uint64_t last, uint64_t end,
		      struct service_keys *out, json_object **row) MUST_CHECK;

struct service_rekeyed {
	uint32_t before, generation;
	uint64_t rows, lines;
};
/* Of a place that was opened to be changed.  A crash leaves it as it was or as it will be. */
int service_rekey(struct place *p, struct keyring *k, struct service_rekeyed *out, struct fault *why) MUST_CHECK;
/* The last step of it, for whoever opens a place that a crash has left without: the keyring accepts nothing under earlier generations. */
int service_rekey_finish(const struct place *p, struct keyring *k, struct fault *why) MUST_CHECK;

#endif

/* Backups that a running service makes of itself, to a certificate: no secret is needed, and whoever has the service cannot open them.
 *
 * Owned by the thread of the service.  A backup is written by a thread of its own, which touches neither ledger nor loop. */
#ifndef COFFER_SERVICE_SCHEDULE_H
#define COFFER_SERVICE_SCHEDULE_H

#include "keymgr/service/place.h"

enum { SCHEDULE_EVERY_MIN = 60, SCHEDULE_KEEP = 14 };
#define ROW_BACKUP "backup" /* the last one that was made so: at, file, lines */

struct schedule_options {
	uint64_t every;        /* seconds; 0: none are made */
	const char *dir;       /* where to */
	unsigned keep;         /* so many of this service's; older ones are removed once there is a newer one */
	const char *recipient; /* a file with the certificate */
};

struct schedule;
/* place and options have to outlive it.  `k` is the unlocked keyring, needed in here only. */
int schedule_new(const struct schedule_options *o, struct place *place, const char *anchor, struct keyring *k,
		 struct schedule **out, struct fault *why) MUST_CHECK;
/* Once a second, when nothing is staged in the ledger: begins what is due, records and commits what has ended. */
void schedule_tick(struct schedule *s);
/* One is due, whatever the time; where one is being written, another one behind it. */
void schedule_ask(struct schedule *s);
/* Stops one that is being written. */
void schedule_free(struct schedule **s);

struct schedule_state {
	time_t last;     /* when the last good one was made; 0: never */
	uint64_t failed; /* since the start */
	bool failing;    /* the last one did */
};
struct schedule_state schedule_state(const struct schedule *s);

#endif

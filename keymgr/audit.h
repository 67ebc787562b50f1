/* The audit log: `.coffer/audit.log`, who did what with the keys of a volume, and when (docs/format-audit.md).
 *
 * Lines are only ever appended, under keyring.lock.  The keyring holds where the log stood at its last change (the anchor), the host's
 * memory where it stood when this host last saw it. */
#ifndef COFFER_KEYMGR_AUDIT_H
#define COFFER_KEYMGR_AUDIT_H

#include "keymgr/audit_chain.h"
#include "keymgr/keyring.h"

#define AUDIT_FILE "audit.log"
enum { AUDIT_ROOM = 64 << 10 }; /* so much stays allocated beyond the end: a full disk does not stop an unlock */

/* A new event; details are put into *out, which the caller frees. */
int audit_event(const char *event, json_object **out) MUST_CHECK;

/* Appends events (an array of objects) and syncs.  Whoever calls holds keyring.lock; k is unlocked.  `known` (NULL: nothing) is where the
 * log stood at least: if it does not reach so far, or is broken near its end, a line says so first.  *at: where it stands now. */
int audit_append(struct store *s, int dot, const struct keyring *k, const struct audit_link *known, json_object *events,
		 struct audit_link *at, struct fault *why) MUST_CHECK;

struct audit_report {
	uint64_t lines, torn, problems;
	char problem[AUDIT_PROBLEM]; /* the first one */
	bool ends_torn;              /* the last line is not whole: a crash, or somebody cut it */
};
/* Reads all of it.  -EBADMSG, EXIT_DAMAGED if anything is wrong with it; `each` (may be NULL) sees every line. */
int audit_verify(struct store *s, int dot, const struct keyring *k, const struct audit_link *known,
		 void (*each)(void *context, const char *line, size_t n, bool good), void *context,
		 struct audit_report *out, struct fault *why) MUST_CHECK;

/* The highest generation that a line of the log with a right MAC names; 0: none does. */
uint32_t audit_highest_generation(struct store *s, int dot, const struct keyring *k);

#endif

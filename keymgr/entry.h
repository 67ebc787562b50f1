/* What happens between unlocking a keyring and using it: the host's memory is asked, and the audit log is told. */
#ifndef COFFER_KEYMGR_ENTRY_H
#define COFFER_KEYMGR_ENTRY_H

#include "keymgr/host_memory.h"

struct entry {
	struct trust trust;
	bool looks_only; /* nothing is written on the volume: the record waits on the host */
};

/* Refuses a keyring that is older than this host has seen, an unknown copy, or a foreign root (host_memory_check).  Then records the
 * unlocking in the audit log: what cannot be recorded is not done.  Last, remembers.  Later changes of k are remembered too. */
int keyring_enter(struct store *s, int dot, struct keyring *k, const struct entry *e, struct fault *why) MUST_CHECK;

/* The host knows the new volume from now on.  What cannot be remembered is said through log_warning. */
void keyring_enter_new(struct keyring *k);

/* A secret did not open the volume: noted on the host and in its system log, until an unlocking can record it. */
void keyring_refused(const struct keyring *k);

#endif

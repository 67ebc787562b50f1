/* Whom a lease asks, behind one table: the key service, or a KMIP server.  lease.c has the states, the lock and the thread; all here is called by that thread, but
 * for `cancel`. */
#ifndef COFFER_FS_LEASE_SOURCE_H
#define COFFER_FS_LEASE_SOURCE_H

#include "fs/lease.h"

enum lease_verdict {
	LEASE_YES,
	LEASE_NO,      /* by who may say so: access is taken away */
	LEASE_NOTHING, /* anything else (lease.h (1)) */
};

struct lease_answer {
	enum lease_verdict verdict;
	unsigned renew_after;                         /* seconds to the next question; 0: not said */
	char reason[sizeof((struct fault *)0)->text]; /* where it is no yes */
};

struct lease_source;

struct lease_source_ops {
	const char *type; /* of the protector */
	const char *who;  /* in messages */
	/* One question.  -ECANCELED: nothing is to be made of it. */
	int (*ask)(struct lease_source *s, struct lease_answer *out);
	/* As at the mount. */
	int (*unlock)(struct lease_source *s, struct keyring *k, struct fault *why);
	/* What is left to do after a yes; `open`: the lease does not hold the mount locked.  May change `version`. */
	void (*after_yes)(struct lease_source *s, bool open);
	/* Ends a question under way, and all later ones; from any thread. */
	void (*cancel)(struct lease_source *s);
	void (*free)(struct lease_source *s);
};

struct lease_source {
	const struct lease_source_ops *ops;
	const struct lease_parts *p; /* the lease's */
	char key[LEASE_KEY_MAX + 1];
	uint32_t version;             /* of the key, by which the root is wrapped; 0: it has none */
	struct managed_policy policy; /* lease.h (6) */
};

/* p->opened->service is there; p->opened->kmip. */
int lease_service_new(const struct lease_parts *p, struct lease_source **out, struct fault *why) MUST_CHECK;
int lease_kmip_new(const struct lease_parts *p, struct lease_source **out, struct fault *why) MUST_CHECK;

#endif

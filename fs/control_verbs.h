/* What a mount can be asked over its control socket. */
#ifndef COFFER_FS_CONTROL_VERBS_H
#define COFFER_FS_CONTROL_VERBS_H

#include "fs/control.h"
#include "fs/freeze.h"
#include "fs/lease.h"
#include "fs/opened.h"
#include "fs/reencrypt.h"

/* What the verbs work on. */
struct control_subject {
	const struct opened *opened;
	struct engine *engine;
	struct freeze *freeze;
	struct live_keys *live_keys;
	struct reencrypt *reencrypt;
	bool read_only;
	bool shared;             /* others may change the store */
	unsigned shared_seconds; /* for which the kernel believes what it was told */
	struct lease *lease;     /* NULL: there is none */
};

/* data: the struct control_subject. */
extern const struct control_verb control_verbs[];
bool control_holds(struct control_call *c);
void control_release(struct control_call *c);

#endif

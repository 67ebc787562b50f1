/* Doing one thing as the user who asked for it, in this thread only.
 *
 * A mount of root's that serves others creates objects as the caller, so that owner, group, set-gid inheritance, default ACLs, quotas and
 * the store's reserve come out as the store itself would have it.  Threads that serve requests have an fs context of their own (unshare
 * CLONE_FS), so the umask is theirs, too. */
#ifndef COFFER_FS_CALLER_H
#define COFFER_FS_CALLER_H

#include "fs/engine.h"

typedef int caller_op(void *data);

/* Runs op under the caller's umask and, if the engine acts for others, under the caller's user and group ids.  If the store then refuses
 * (EACCES, EPERM), once more with the caller's supplementary groups: the kernel has allowed the request already, so the
 * groups are what is missing, and asking /proc for them each time would cost more than the creation. */
int caller_run(const struct engine_options *o, const struct caller *c, caller_op *op, void *data);

/* True if the process has this group, as primary or supplementary one. */
bool caller_in_group(const struct caller *c, gid_t group);

#endif

/* What time brings to keys: those that were deleted long enough ago are purged, those that rotate by themselves are rotated. */
#ifndef COFFER_SERVICE_DUE_H
#define COFFER_SERVICE_DUE_H

#include "keymgr/service/ledger.h"

/* At the start and once an hour, while nothing is staged.  Commits.  What cannot be done is logged, and tried again the next time. */
void due_run(struct ledger *l, const struct service_keys *keys);

#endif

/* Volumes that nobody has mounted, brought to rest. */
#ifndef COFFER_CLI_SETTLE_H
#define COFFER_CLI_SETTLE_H

#include "util/cli/cli.h"

/* Brings in place what the journal holds, as a mount does.  The caller holds the volume's lock. */
int settle(const struct cli_volume *v, struct keys *keys, struct fault *why) MUST_CHECK;
/* The same where the journal holds anything; refuses if it still does afterwards. */
int settle_journal(const struct cli_volume *v, struct fault *why) MUST_CHECK;

#endif

/* What was set aside in .coffer/lost/: no walk over the files of a volume counts it. */
#ifndef COFFER_CLI_LOST_H
#define COFFER_CLI_LOST_H

#include "keymgr/document.h"
#include "util/cli/cli.h"

/* The names of what is there, LOST_SHOWN of them at most; *count says how many there are.  The caller's to put. */
enum { LOST_SHOWN = 100 };
json_object *lost_names(const struct cli_volume *v, uint64_t *count);

#endif

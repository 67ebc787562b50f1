/* Reaching the process that serves a volume. */
#ifndef COFFER_CLI_REACH_H
#define COFFER_CLI_REACH_H

#include "keymgr/control_client.h"
#include "util/cli/cli.h"

/* Connects to the mount of exactly this directory, not of a copy of it, and asks its status (*status is freed first).  Returns a descriptor; -ENOENT, without a
 * fault: none is reached. */
int reach_volume(const struct cli_volume *v, struct control_answer *status) MUST_CHECK;

/* The same for a word of the command line, the volume's directory or where it is mounted.  Opens *v.  Says why none is reached. */
int reach(const char *word, struct cli_volume *v, struct control_answer *status, struct fault *why) MUST_CHECK;

/* The volume's directory, for its name or that of its mount. */
int volume_of(const char *word, char **dir, struct fault *why) MUST_CHECK;

/* How other processes hold the volume.  A mount with -o oldcopy, as the only kind of mount, does not hold it alone. */
enum hold { NOT_HELD, HELD_TOGETHER, HELD_ALONE };
enum hold volume_hold(const struct cli_volume *v);

#endif

/* What a mount tells of itself to who watches it: over the control socket, and in a file for Prometheus.
 *
 * The file is in the text format 0.0.4, which the textfile collector of the node exporter reads.  It is made anew under another name and renamed, so
 * that nobody reads half of it, and removed when the mount ends. */
#ifndef COFFER_FS_METRICS_H
#define COFFER_FS_METRICS_H

#include "fs/control_verbs.h"

struct metrics; /* the thread that writes the file */

enum { METRICS_SECONDS = 5 };

/* A verb of the control socket: sums since the mount began, from which the asker makes rates. */
int metrics_run_verb(struct control_call *c, struct fault *why);

/* Writes `file` every METRICS_SECONDS, from now on; a failure is logged, and tried again.  The subject, mount point and name stay the caller's. */
int metrics_start(const struct control_subject *s, const char *mount_point, const char *file,
		  struct metrics **out) MUST_CHECK;
void metrics_stop(struct metrics **m);

#endif

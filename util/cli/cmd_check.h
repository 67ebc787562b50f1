/* What `coffer check` and fsck.coffer share. */
#ifndef COFFER_CLI_CMD_CHECK_H
#define COFFER_CLI_CMD_CHECK_H

#include "fs/check.h"
#include "util/cli/cli.h"

/* check_run with a progress bar on a terminal. */
int check_with_progress(struct check_options *o, struct check_report *report, struct fault *why) MUST_CHECK;
/* The findings, and the counts. */
void check_print(const struct check_options *o, const struct check_report *r);

#endif

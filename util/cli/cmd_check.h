/* What `coffer check` and fsck.coffer share. */
#ifndef COFFER_CLI_CMD_CHECK_H
#define COFFER_CLI_CMD_CHECK_H

#include "fs/check.h"
#include "util/cli/cli.h"

/* check_run with a progress bar on a terminal. */
int check_with_progress(struct check_options *o, struct check_report *report, struct fault *why) MUST_CHECK;
/* Exit statuses, those of fsck(8); they add up. */
enum {
	FSCK_CORRECTED = 1,
	FSCK_UNCORRECTED = 4,
	FSCK_OPERATIONAL = 8, /* the check could not be done */
	FSCK_USAGE = 16,
	FSCK_CANCELED = 32,
};
/* r: what check_with_progress, or what came before it, returned. */
int check_exit_status(const struct check_report *report, int r, const struct fault *why);
/* The findings, and the counts. */
void check_print(const struct check_options *o, const struct check_report *r);

#endif

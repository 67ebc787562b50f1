/* Share holders who agree to what a verb does, where the volume has a rule that asks for them (keymgr/approval.h). */
#ifndef COFFER_CLI_APPROVAL_H
#define COFFER_CLI_APPROVAL_H

#include "util/cli/backup_secret.h"

struct approval {
	char *shares; /* files, a comma between them */
	struct unlock_secret secret;
};
void approval_free(struct approval *a);
#define _cleanup_approval_ _cleanup_(approval_free)
#define OPTION_APPROVAL(a)                                                                                             \
	{                                                                                                              \
		OPTION_LIST, 0, 0, "share", &(a)->shares                                                               \
	}

/* Gets what the shares give, by the option or from the terminal; nothing where there is no rule.  Before the change begins. */
int approval_obtain(struct approval *a, const struct keyring *k, struct fault *why) MUST_CHECK;
/* Inside the change. */
int approval_give(const struct approval *a, struct keyring *k, struct fault *why) MUST_CHECK;

#endif

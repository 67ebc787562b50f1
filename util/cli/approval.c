#include "util/cli/approval.h"

#include <errno.h>
#include <stdio.h>

#include "keymgr/approval.h"

void approval_free(struct approval *a)
{
	free(a->shares);
	unlock_secret_wipe(&a->secret);
}

int approval_obtain(struct approval *a, const struct keyring *k, struct fault *why)
{
	unsigned n = keyring_required(k);
	char without[96];

	if (!n && a->shares)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"--share: nobody has to agree to that; \"coffer key policy set --require\" makes such a "
			"rule");
	if (!n)
		return 0;
	snprintf(without, sizeof without, "%u of the holders of shares have to agree", n);
	return shares_obtain(a->shares, without, &a->secret, why);
}

int approval_give(const struct approval *a, struct keyring *k, struct fault *why)
{
	return a->secret.bytes ? keyring_approve(k, &a->secret, why) : 0;
}

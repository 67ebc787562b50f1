/* The rule that several people have to agree before keys are destroyed or leave the volume (docs/format-keyring.md section 7,
 * docs/keys.md "Several people").
 *
 * Who agrees is the holders of the shares of a verified backup of the volume: so many of their shares, put together, are the secret that
 * the keyring knows a commitment to.  What the rule is for and what it cannot be is said in docs/keys.md. */
#ifndef COFFER_KEYMGR_APPROVAL_H
#define COFFER_KEYMGR_APPROVAL_H

#include "keymgr/keyring.h"

/* How many share holders have to agree; 0: there is no such rule. */
unsigned keyring_required(const struct keyring *k);

/* All but the last between keyring_change_begin and _commit. */

/* The rule that `required` holders have to agree from now on, whose shares gave `secret` (SECRET_SHARES): those of a verified backup of
 * this volume, made for exactly so many of them.  A rule that is there already has to be taken away first. */
int keyring_require(struct keyring *k, unsigned required, const struct unlock_secret *secret,
		    struct fault *why) MUST_CHECK;
/* There is no such rule any more; needs an approval. */
int keyring_require_nobody(struct keyring *k, struct fault *why) MUST_CHECK;

/* What their shares gave approves of what is done in this change; that they did is recorded with it.  -EKEYREJECTED,
 * EXIT_WRONG_SECRET: it is not what the rule asks for.  Without a rule: nothing. */
int keyring_approve(struct keyring *k, const struct unlock_secret *secret, struct fault *why) MUST_CHECK;
/* The same of a keyring that is locked and stays so; nothing is recorded. */
int keyring_approves(const struct keyring *k, const struct unlock_secret *secret, struct fault *why) MUST_CHECK;

#endif

/* The member "require" of a keyring.
 *
 * 1. The rule is made by who shows the shares that it will ask for, and taken away by who shows them: it cannot ask for what nobody has.
 * 2. An approval holds for one change, and is in the audit log before what it approves of.
 * 3. The functions that need one ask for it themselves (approval_needed), whoever calls them. */
#include "keymgr/approval.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "keymgr/backup.h"
#include "keymgr/internal.h"
#include "keymgr/shares.h"
#include "util/base/kdf_labels.h"

static json_object *rule_of(const struct keyring *k)
{
	json_object *o;

	return json_object_object_get_ex(k->doc, "require", &o) && json_object_is_type(o, json_type_object) ? o : NULL;
}

/* A rule that cannot be read asks for more than anybody has: that cannot come about but by who has the keys. */
unsigned keyring_required(const struct keyring *k)
{
	struct problem ignored = {0};
	json_object *o;
	uint64_t n;

	if (!json_object_object_get_ex(k->doc, "require", NULL))
		return 0;
	o = rule_of(k);
	return o && member_number(o, "threshold", 2, SHARE_COUNT_MAX, &n, &ignored) == 0 ? (unsigned)n
											 : SHARE_COUNT_MAX + 1;
}

/* As the backup's protector has it. */
static int commitment_of(const struct keyring *k, const struct unlock_secret *secret, uint8_t out[COMMITMENT_SIZE])
{
	_cleanup_stack_key_ struct stack_key prk;
	struct wrapping w = {prk.b, k->settings.volume_id, "shares"};
	int ret = secret->kind == SECRET_SHARES && secret->bytes ? 0 : -EINVAL;

	if (ret == 0)
		ret = kdf_extract(secret->bytes->bytes, secret->bytes->size, prk.b);
	return ret < 0 ? ret : wrapping_derive(&w, LABEL_PROTECTOR_COMMITMENT, out, COMMITMENT_SIZE);
}

int keyring_approves(const struct keyring *k, const struct unlock_secret *secret, struct fault *why)
{
	uint8_t given[COMMITMENT_SIZE], wanted[COMMITMENT_SIZE];
	struct problem p = {0};
	json_object *o = rule_of(k);
	int ret;

	if (!keyring_required(k))
		return 0;
	ret = o ? member_bytes(o, "commitment", wanted, sizeof(wanted), &p) : -EBADMSG;
	if (ret == 0)
		ret = commitment_of(k, secret, given);
	if (ret == 0 && !crypto_equal(given, wanted, sizeof(given)))
		return fault_set(why, EXIT_WRONG_SECRET, EKEYREJECTED,
				 "these shares belong together, but they are not those whose holders have to agree");
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot tell whether the shares approve") : 0;
}

int keyring_approve(struct keyring *k, const struct unlock_secret *secret, struct fault *why)
{
	json_object *event;
	int ret;

	if (!keyring_required(k))
		return 0;
	ret = keyring_approves(k, secret, why);
	if (ret == 0)
		ret = keyring_note(k, "approved", &event);
	if (ret == 0)
		ret = put_number(event, "holders", keyring_required(k));
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot record the approval");
	k->approved = true;
	return 0;
}

int approval_needed(const struct keyring *k, const char *what, struct fault *why)
{
	unsigned n = keyring_required(k);

	if (!n || k->approved)
		return 0;
	return fault_set(why, EXIT_REFUSED, EPERM,
			 "%u of the holders of shares have to agree before %s; give --share FILE for each of them", n,
			 what);
}

int keyring_require(struct keyring *k, unsigned required, const struct unlock_secret *secret, struct fault *why)
{
	uint8_t commitment[COMMITMENT_SIZE];
	json_object *o, *event;
	unsigned threshold = 0;
	int ret;

	if (keyring_required(k))
		return fault_set(why, EXIT_REFUSED, EEXIST,
				 "there is a rule already; take it away first, with --require off and its shares");
	ret = commitment_of(k, secret, commitment);
	if (ret == 0 && !backup_in_shares(k, commitment, &threshold))
		return fault_set(why, EXIT_REFUSED, ENOENT,
				 "these are not the shares of a verified backup of this volume; make one with \"coffer "
				 "key backup --shares\", and verify it");
	if (ret == 0 && (threshold != required || required < 2))
		return fault_set(why, EXIT_REFUSED, EINVAL,
				 "any %u of these shares open that backup, so the rule can ask for %u holders, not for "
				 "%u%s",
				 threshold, threshold, required, threshold < 2 ? "; and one alone is no rule" : "");
	o = json_object_new_object();
	if (ret == 0)
		ret = put_value(k->doc, "require", o);
	else
		json_object_put(o);
	if (ret == 0)
		ret = put_number(o, "threshold", threshold);
	if (ret == 0)
		ret = put_bytes(o, "commitment", commitment, sizeof(commitment));
	if (ret == 0)
		ret = keyring_note(k, "require", &event);
	if (ret == 0)
		ret = put_number(event, "holders", threshold);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot make the rule") : 0;
}

int keyring_require_nobody(struct keyring *k, struct fault *why)
{
	json_object *event;
	int ret;

	if (!keyring_required(k))
		return fault_set(why, EXIT_REFUSED, ENOENT, "nobody has to agree to anything; nothing was changed");
	ret = approval_needed(k, "the rule is taken away", why);
	if (ret == 0)
		ret = keyring_note(k, "require", &event);
	if (ret == 0)
		ret = put_number(event, "holders", 0);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot take the rule away");
	json_object_object_del(k->doc, "require");
	return 0;
}

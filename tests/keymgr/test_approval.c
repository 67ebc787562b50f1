/* The rule that several people have to agree. */
#include "fixture.h"

#include "keymgr/approval.h"
#include "keymgr/backup.h"
#include "keymgr/generations.h"
#include "keymgr/policy.h"
#include "keymgr/rotate_root.h"

static struct volume v;
static struct keyring *k;
static struct fault why;

static void open_it(void)
{
	volume_make(&v);
	k = open_volume(&v);
}

static void close_it(void)
{
	keyring_free(&k);
	volume_close(&v);
	document_set_clock_for_tests(0);
}

static struct unlock_secret in_shares(uint8_t fill, uint8_t threshold)
{
	struct unlock_secret s = {.kind = SECRET_SHARES,
				  .bytes = secret_new(32),
				  .share_threshold = threshold,
				  .share_count = (uint8_t)(threshold + 1)};

	memset(s.bytes->bytes, fill, 32);
	return s;
}

typedef int edit_fn(void *context);

static int change(edit_fn *edit, void *context)
{
	struct keyring_change *c;
	int ret;

	why = (struct fault){0};
	ck_assert_msg(keyring_change_begin(v.s, v.dot, k, &c, &why) == 0, "%s", why.text);
	ret = edit(context);
	if (ret == 0)
		return keyring_change_commit(&c, &why);
	keyring_change_abort(&c);
	keyring_free(&k);
	k = open_volume(&v);
	return ret;
}

/* --- edits; the context is the secret */

static int back_up(void *context)
{
	char *text;
	size_t n;
	int ret = backup_make(k, context, &text, &n, &why);

	free(text);
	return ret;
}

static int back_up_and_verify(void *context)
{
	struct keyring *backup;
	char *text;
	size_t n;
	int ret = backup_make(k, context, &text, &n, &why);

	ck_assert_int_eq(ret, 0);
	ck_assert_int_eq(backup_read(text, n, &backup, &why), 0);
	ck_assert_int_eq(backup_unlock(backup, context, &why), 0);
	ret = backup_mark_verified(k, backup, &why);
	keyring_free(&backup);
	free(text);
	return ret;
}

static int require_two(void *context)
{
	return keyring_require(k, 2, context, &why);
}

static int require_three(void *context)
{
	return keyring_require(k, 3, context, &why);
}

static int nobody(void *context)
{
	int ret = context ? keyring_approve(k, context, &why) : 0;

	return ret < 0 ? ret : keyring_require_nobody(k, &why);
}

static int rotate_fields(void *context)
{
	uint32_t n;

	(void)context;
	return keyring_rotate(k, SCOPE_FIELDS, &n, &why);
}

static int destroy(void *context)
{
	bool destroyed;
	int ret = context ? keyring_approve(k, context, &why) : 0;

	return ret < 0 ? ret : keyring_destroy(k, 2, false, NULL, &destroyed, &why);
}

static int approve_only(void *context)
{
	return keyring_approve(k, context, &why);
}

static int new_root(void *context)
{
	struct unlock_secret s = passphrase(PASSPHRASE);
	struct root_rotation done;
	int ret = context ? keyring_approve(k, context, &why) : 0;

	if (ret == 0)
		ret = keyring_rotate_root(v.s, v.dot, k, &s, 1, &done, &why);
	unlock_secret_wipe(&s);
	return ret;
}

static struct policy_done policy_done;

static int run_policy(void *context)
{
	const struct policy_facts facts = {.bytes = UINT64_MAX};

	(void)context;
	return keyring_run_policy(k, &facts, &policy_done, &why);
}

static int retire(void *context)
{
	const struct policy p = {.retire_after = 3600};

	(void)context;
	return keyring_set_policy(k, &p, &why);
}

static int raise_floor(void *context)
{
	(void)context;
	return keyring_raise_floor(k, 3, NULL, &why);
}

START_TEST(the_rule)
{
	struct unlock_secret right = in_shares(1, 2), wrong = in_shares(2, 2), alone = in_shares(3, 1);

	open_it();
	ck_assert_uint_eq(keyring_required(k), 0);
	/* Only shares of a backup that was verified, and for as many as open it. */
	ck_assert_int_eq(change(require_two, &right), -ENOENT);
	ck_assert_int_eq(change(back_up, &right), 0);
	ck_assert_int_eq(change(require_two, &right), -ENOENT);
	ck_assert_int_eq(change(back_up_and_verify, &right), 0);
	ck_assert_int_eq(change(require_two, &wrong), -ENOENT);
	ck_assert_int_eq(change(require_three, &right), -EINVAL);
	ck_assert_int_eq(change(back_up_and_verify, &alone), 0);
	ck_assert_int_eq(change(require_two, &alone), -EINVAL);
	ck_assert_int_eq(change(nobody, &right), -ENOENT);
	ck_assert_msg(change(require_two, &right) == 0, "%s", why.text);
	ck_assert_uint_eq(keyring_required(k), 2);
	ck_assert_int_eq(change(require_two, &right), -EEXIST);

	/* What needs an approval has none. */
	ck_assert_int_eq(change(rotate_fields, NULL), 0);
	ck_assert_int_eq(change(back_up, &wrong), -EPERM);
	ck_assert_int_eq(why.status, EXIT_REFUSED);
	ck_assert_ptr_nonnull(strstr(why.text, "--share"));
	ck_assert_int_eq(change(new_root, NULL), -EPERM);
	ck_assert_int_eq(change(nobody, NULL), -EPERM);
	ck_assert_int_eq(change(nobody, &wrong), -EKEYREJECTED);
	ck_assert_int_eq(change(destroy, NULL), -EPERM);
	ck_assert_int_eq(change(destroy, &wrong), -EKEYREJECTED);
	ck_assert_int_eq(why.status, EXIT_WRONG_SECRET);

	/* It holds for one change. */
	ck_assert_int_eq(change(approve_only, &right), 0);
	ck_assert_int_eq(change(destroy, NULL), -EPERM);
	ck_assert_msg(change(destroy, &right) == 0, "%s", why.text);

	/* Another root: the same shares. */
	ck_assert_msg(change(new_root, &right) == 0, "%s", why.text);
	ck_assert_uint_eq(keyring_required(k), 2);
	ck_assert_msg(change(nobody, &right) == 0, "%s", why.text);
	ck_assert_uint_eq(keyring_required(k), 0);
	ck_assert_int_eq(change(back_up, &wrong), 0);
	ck_assert_int_eq(change(approve_only, &wrong), 0); /* nobody asks */
	unlock_secret_wipe(&right);
	unlock_secret_wipe(&wrong);
	unlock_secret_wipe(&alone);
	close_it();
}
END_TEST

/* A policy destroys nothing that nobody agreed to, and carries out what they agreed to. */
START_TEST(policies)
{
	struct unlock_secret right = in_shares(1, 2);
	time_t now = time(NULL);

	open_it();
	ck_assert_int_eq(change(back_up_and_verify, &right), 0);
	ck_assert_int_eq(change(require_two, &right), 0);
	ck_assert_int_eq(change(rotate_fields, NULL), 0);
	ck_assert_int_eq(change(raise_floor, NULL), 0);
	ck_assert_int_eq(change(retire, NULL), 0);
	document_set_clock_for_tests(now + 7200);
	ck_assert_int_eq(change(run_policy, NULL), 0);
	ck_assert(policy_done.kept == 1 && policy_done.retired == 0);
	ck_assert_int_eq(change(destroy, &right), 0);
	document_set_clock_for_tests(now + 40 * 86400);
	ck_assert_int_eq(change(run_policy, NULL), 0);
	ck_assert_uint_eq(policy_done.destroyed, 1);
	unlock_secret_wipe(&right);
	close_it();
}
END_TEST

/* A rule that was damaged asks for more than there can be, and is not no rule. */
START_TEST(a_rule_that_cannot_be_read)
{
	open_it();
	ck_assert_int_eq(put_string(k->doc, "require", "nonsense"), 0);
	ck_assert_uint_gt(keyring_required(k), 16);
	ck_assert_int_eq(approval_needed(k, "anything", &why), -EPERM);
	close_it();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("approval");

	tcase_add_test(t, the_rule);
	tcase_add_test(t, policies);
	tcase_add_test(t, a_rule_that_cannot_be_read);
	return run_suite("approval", t);
}

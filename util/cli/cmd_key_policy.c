/* policy set, show, run. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/approval.h"
#include "keymgr/policy.h"
#include "keymgr/shares.h"
#include "util/cli/approval.h"
#include "util/cli/key.h"
#include "util/cli/options.h"

enum { HOUR = 3600, DAY = 24 * HOUR, NONE_TEXT = 4 };

/* ------------------------------------------------------------------ words */

/* "90d", in hours at least; or "off". */
static int age_parse(const char *text, uint64_t *seconds)
{
	*seconds = 0;
	if (strcmp(text, "off") == 0)
		return 0;
	if (duration_parse(text, UINT64_C(1000000) * DAY, seconds) < 0)
		return -EINVAL;
	return *seconds && *seconds % HOUR == 0 ? 0 : -EINVAL;
}

static void print_duration(const char *name, uint64_t seconds)
{
	if (!seconds)
		printf("%-16s  off\n", name);
	else if (seconds % DAY)
		printf("%-16s  %" PRIu64 " hours\n", name, seconds / HOUR);
	else
		printf("%-16s  %" PRIu64 " days\n", name, seconds / DAY);
}

/* ------------------------------------------------------------------ show */

static void show(const struct keyring *k, bool json)
{
	char size[SIZE_TEXT];
	struct policy p;

	keyring_policy(k, &p);
	if (json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "rotate_every", p.rotate_every);
		json_add_number(o, "rotate_after", p.rotate_after);
		json_add_number(o, "retire_after", p.retire_after);
		json_add_number(o, "warn_backup_age", p.warn_backup_age);
		json_add_number(o, "require", keyring_required(k));
		json_print(o);
		return;
	}
	print_duration("rotate every", p.rotate_every);
	printf("%-16s  %s\n", "rotate after", p.rotate_after ? size_text(p.rotate_after, size) : "off");
	print_duration("retire after", p.retire_after);
	print_duration("warn backup age", p.warn_backup_age);
	if (keyring_required(k))
		printf("%-16s  %u holders of shares\n", "require", keyring_required(k));
	else
		printf("%-16s  off\n", "require");
}

int cmd_key_policy_show(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_volume_ struct cli_volume volume = CLI_VOLUME_NONE;
	struct unlock_source ignored = UNLOCK_SOURCE_NONE;
	bool json = false;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&ignored), {OPTION_FLAG, 0, 0, "json", &json}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = key_look(&volume, words.at[0], why);
	if (r == 0)
		show(volume.keyring, json);
	return r;
}

/* ------------------------------------------------------------------ set */

struct wanted {
	const char *rotate_every, *rotate_after, *retire_after, *warn_backup_age, *require;
	uint64_t holders; /* who are required; 0: off */
	struct approval approval;
};

/* Shares are shown in both cases: those that the rule will ask for, or those that it asked for. */
static int rule_parse(struct wanted *w, struct fault *why)
{
	if (!w->require)
		return w->approval.shares
			       ? fault_set(why, EXIT_USAGE, EINVAL, "key policy set: --share goes with --require")
			       : 0;
	if (strcmp(w->require, "off") == 0 ||
	    (number_parse(w->require, SHARE_COUNT_MAX, &w->holders) == 0 && w->holders >= 2))
		return 0;
	return fault_set(why, EXIT_USAGE, EINVAL,
			 "key policy set: --require %s: give how many holders of shares have to agree, 2 to %d, or off",
			 w->require, SHARE_COUNT_MAX);
}

static int set_rule(struct keyring *k, const struct wanted *w, struct fault *why)
{
	if (!w->require)
		return 0;
	if (w->holders)
		return keyring_require(k, (unsigned)w->holders, &w->approval.secret, why);
	int r = approval_give(&w->approval, k, why);
	return r < 0 ? r : keyring_require_nobody(k, why);
}

static int obtain_shares(struct wanted *w, const struct keyring *k, struct fault *why)
{
	if (!w->require)
		return 0;
	return w->holders ? shares_obtain(w->approval.shares, "the rule is made by the shares that it will ask for",
					  &w->approval.secret, why)
			  : approval_obtain(&w->approval, k, why);
}

static int take(const char *option, const char *text, bool size, uint64_t *out, struct fault *why)
{
	if (!text)
		return 0;
	if (size && strcmp(text, "off") == 0) {
		*out = 0;
		return 0;
	}
	int r = size ? size_parse(text, out) : age_parse(text, out);
	if (r < 0 || (size && !*out))
		return fault_set(why, EXIT_USAGE, EINVAL, "key policy set: --%s %s: give %s, or off", option, text,
				 size ? "a size such as 1T" : "a time such as 90d, 12w or 1y");
	return 0;
}

static int merge(const struct wanted *w, struct policy *p, struct fault *why)
{
	int r = take("rotate-every", w->rotate_every, false, &p->rotate_every, why);

	if (r == 0)
		r = take("rotate-after", w->rotate_after, true, &p->rotate_after, why);
	if (r == 0)
		r = take("retire-after", w->retire_after, false, &p->retire_after, why);
	if (r == 0)
		r = take("warn-backup-age", w->warn_backup_age, false, &p->warn_backup_age, why);
	return r;
}

static bool sets_policy(const struct wanted *w)
{
	return w->rotate_every || w->rotate_after || w->retire_after || w->warn_backup_age;
}

static int set(struct keyring *k, void *context, struct fault *why)
{
	struct policy p;

	keyring_policy(k, &p);
	int r = merge(context, &p, why);
	if (r == 0)
		r = set_rule(k, context, why);
	return r < 0 || !sets_policy(context) ? r : keyring_set_policy(k, &p, why);
}

static void wanted_free(struct wanted *w)
{
	approval_free(&w->approval);
}

int cmd_key_policy_set(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	_cleanup_(wanted_free) struct wanted wanted = {0};
	struct policy ignored = {0};
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w.unlock),
		{OPTION_TEXT, 0, 0, "rotate-every", &wanted.rotate_every},
		{OPTION_TEXT, 0, 0, "rotate-after", &wanted.rotate_after},
		{OPTION_TEXT, 0, 0, "retire-after", &wanted.retire_after},
		{OPTION_TEXT, 0, 0, "warn-backup-age", &wanted.warn_backup_age},
		{OPTION_TEXT, 0, 0, "require", &wanted.require},
		OPTION_APPROVAL(&wanted.approval),
		{OPTION_FLAG, 0, 0, "json", &w.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	if (!sets_policy(&wanted) && !wanted.require)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: nothing to set; see: coffer %s --help", v->name,
				 v->name);
	r = merge(&wanted, &ignored, why);
	if (r == 0)
		r = rule_parse(&wanted, why);
	if (r == 0)
		r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = obtain_shares(&wanted, w.volume.keyring, why);
	if (r == 0)
		r = key_change(&w.volume, set, &wanted, why);
	if (r == 0)
		show(w.volume.keyring, w.json);
	return r;
}

/* ------------------------------------------------------------------ run */

/* Where nothing is due, nothing is written. */
static int run(struct cli_volume *v, struct policy_done *done, struct fault *why)
{
	struct generation_users users = key_users(v);
	const struct policy_facts facts = {.bytes = keyring_sealed(v->keyring), .users = &users};
	struct keyring_change *change;

	int r = keyring_change_begin(v->store, v->dot, v->keyring, &change, why);
	if (r < 0)
		return r;
	r = keyring_run_policy(v->keyring, &facts, done, why);
	if (r < 0 || !policy_did_something(done)) {
		keyring_change_abort(&change);
		return r;
	}
	r = keyring_change_commit(&change, why);
	if (r == 0)
		key_tell_mount(v);
	return r;
}

int cmd_key_policy_run(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.unlock), {OPTION_FLAG, 0, 0, "json", &w.json}, {0}};
	struct policy_done done = {0};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = run(&w.volume, &done, why);
	if (r < 0)
		return r;
	if (w.json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "rotated", done.rotated);
		json_add_number(o, "retired", done.retired);
		json_add_number(o, "destroyed", done.destroyed);
		json_add_number(o, "kept", done.kept);
		json_print(o);
		return 0;
	}
	if (!policy_did_something(&done))
		puts("nothing was due");
	else
		printf("%" PRIu32 " rotated, %" PRIu32 " to be destroyed in 30 days, %" PRIu32 " destroyed\n",
		       done.rotated, done.retired, done.destroyed);
	if (done.kept)
		printf("%" PRIu32 " were due to be destroyed, but something may still need them%s\n", done.kept,
		       keyring_required(w.volume.keyring) ? ", or share holders have to agree: see coffer key destroy"
							  : "");
	return 0;
}

/* Policies.
 *
 * 1. A policy never does what a person could not do with the same verbs: it goes through the same functions.
 * 2. What it cannot decide (whether something still needs a generation) it leaves, and says so.
 * 3. Of the volume's policy and the key service's the stricter counts, which managed_policy.h bounds. */
#include "keymgr/policy.h"

#include <errno.h>
#include <string.h>

#include "keymgr/backup.h"
#include "keymgr/internal.h"
#include "keymgr/reencryption.h"

static const struct {
	const char *name;
	size_t offset;
} members[] = {
	{"rotate_every", offsetof(struct policy, rotate_every)},
	{"rotate_after", offsetof(struct policy, rotate_after)},
	{"retire_after", offsetof(struct policy, retire_after)},
	{"warn_backup_age", offsetof(struct policy, warn_backup_age)},
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

static uint64_t *field(struct policy *p, size_t i)
{
	return (uint64_t *)((char *)p + members[i].offset);
}

void keyring_policy(const struct keyring *k, struct policy *out)
{
	struct problem ignored = {0};
	json_object *o;

	*out = (struct policy){0};
	if (!json_object_object_get_ex(k->doc, "policy", NULL) || member_object(k->doc, "policy", &o, &ignored) < 0)
		return;
	for (size_t i = 0; i < MEMBERS; i++)
		if (member_number(o, members[i].name, 0, DOCUMENT_NUMBER_MAX, field(out, i), &ignored) < 0)
			*field(out, i) = 0;
}

int policy_put(json_object *doc, const struct policy *p)
{
	struct policy copy = *p;
	json_object *o;
	int ret = 0;

	/* Members that this program does not know stay. */
	if (!json_object_object_get_ex(doc, "policy", &o)) {
		o = json_object_new_object();
		ret = put_value(doc, "policy", o);
	}
	for (size_t i = 0; ret == 0 && i < MEMBERS; i++) {
		if (*field(&copy, i))
			ret = put_number(o, members[i].name, *field(&copy, i));
		else
			json_object_object_del(o, members[i].name);
	}
	return ret;
}

int keyring_set_policy(struct keyring *k, const struct policy *p, struct fault *why)
{
	struct policy copy = *p;
	json_object *event;
	int ret = keyring_note(k, "policy", &event);

	for (size_t i = 0; ret == 0 && i < MEMBERS; i++)
		if (*field(&copy, i) > DOCUMENT_NUMBER_MAX)
			ret = -ERANGE;
		else if (*field(&copy, i))
			ret = put_number(event, members[i].name, *field(&copy, i));
	if (ret == 0)
		ret = policy_put(k->doc, p);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot set the policy") : 0;
}

/* --- how much was sealed */

uint64_t keyring_sealed(const struct keyring *k)
{
	const struct generation *g = generation_find(k, k->active[SCOPE_DEFAULT]);
	struct problem ignored = {0};
	uint64_t bytes;

	return g && member_number(g->json, "sealed", 0, DOCUMENT_NUMBER_MAX, &bytes, &ignored) == 0 ? bytes : 0;
}

int keyring_note_sealed(struct keyring *k, uint64_t bytes, struct fault *why)
{
	const struct generation *g = generation_find(k, k->active[SCOPE_DEFAULT]);
	uint64_t before = keyring_sealed(k), room = DOCUMENT_NUMBER_MAX - before;
	int ret = put_number(g->json, "sealed", before + (bytes < room ? bytes : room));

	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot note how much was written") : 0;
}

/* --- running */

/* A clock that was set back makes nothing due. */
static bool is_past(const char *time, uint64_t seconds)
{
	time_t at, now = document_now();

	return time_parse(time, &at) == 0 && now >= at && (uint64_t)(now - at) >= seconds;
}

/* managed_policy.h (3) */
static bool may_be_told_to_rotate(const struct keyring *k, const struct generation *active)
{
	return k->generation_count < MANAGED_GENERATIONS_MAX && is_past(active->since, MANAGED_EVERY_MIN);
}

static uint64_t stricter(uint64_t a, uint64_t b)
{
	return a && (a < b || !b) ? a : b;
}

/* What counts for a scope with this active generation. */
static struct policy merge(const struct keyring *k, const struct generation *active, const struct managed_policy *m)
{
	struct policy p;

	keyring_policy(k, &p);
	if (m && may_be_told_to_rotate(k, active)) {
		p.rotate_every = stricter(p.rotate_every, m->rotate_every);
		p.rotate_after = stricter(p.rotate_after, m->rotate_after);
	}
	return p;
}

uint64_t keyring_bytes_allowed(const struct keyring *k, const struct managed_policy *managed)
{
	const struct generation *active = generation_find(k, k->active[SCOPE_DEFAULT]);

	return active ? merge(k, active, managed).rotate_after : 0;
}

static int rotate(struct keyring *k, const struct policy_facts *facts, struct policy_done *out, struct fault *why)
{
	int ret = 0;

	for (uint32_t scope = 0; ret == 0 && scope < k->scope_count; scope++) {
		const struct generation *active = generation_find(k, k->active[scope]);
		const struct policy p = merge(k, active, facts->managed);
		bool much = scope == SCOPE_DEFAULT && p.rotate_after && facts->bytes != UINT64_MAX &&
			    facts->bytes >= p.rotate_after;
		uint32_t ignored;

		if (!much && !(p.rotate_every && is_past(active->since, p.rotate_every)))
			continue;
		ret = keyring_rotate(k, scope, &ignored, why);
		out->rotated += ret == 0;
	}
	return ret;
}

/* A refusal is no failure of the run. */
static int destroy(struct keyring *k, uint32_t number, const struct policy_facts *facts, struct policy_done *out,
		   struct fault *why)
{
	struct fault refusal = {0};
	bool destroyed;
	int ret = keyring_destroy(k, number, false, facts->users, &destroyed, &refusal);

	if (ret < 0 && refusal.status == EXIT_REFUSED) {
		out->kept++;
		return 0;
	}
	if (ret < 0) {
		*why = refusal;
		return ret;
	}
	*(destroyed ? &out->destroyed : &out->retired) += 1;
	return 0;
}

static int retire(struct keyring *k, const struct policy *p, const struct policy_facts *facts, struct policy_done *out,
		  struct fault *why)
{
	int ret = 0;

	/* By number: each step loads the list anew. */
	for (uint32_t number = 1; ret == 0 && number < k->next_generation; number++) {
		const struct generation *g = generation_find(k, number);
		bool due, old;

		if (!g || (g->state != KEY_DEACTIVATED && g->state != KEY_COMPROMISED && g->state != KEY_PRE_ACTIVE))
			continue;
		due = g->destroy_at[0] && is_past(g->destroy_at, 0);
		old = !g->destroy_at[0] && g->state != KEY_PRE_ACTIVE && g->number < k->floor[g->scope] &&
		      ((p->retire_after && is_past(g->since, p->retire_after)) ||
		       generation_is_beyond(k, g, facts->managed));
		if (due || old)
			ret = destroy(k, number, facts, out, why);
	}
	return ret;
}

/* Something is under a generation that is not to stay.  What is suspended cannot be moved, so that the floor would not rise. */
static bool needs_reencryption(const struct keyring *k, uint32_t scope, const struct managed_policy *m)
{
	bool some = false;

	for (uint32_t i = 0; i < k->generation_count; i++) {
		const struct generation *g = &k->generations[i];

		if (g->scope != scope || g->number < k->floor[scope])
			continue;
		if (g->state == KEY_SUSPENDED)
			return false;
		some |= generation_is_beyond(k, g, m);
	}
	return some;
}

/* Of all scopes if all need it, else of one: the others' turn comes when it has ended.  What is under way, or was paused, is left alone. */
static int start(struct keyring *k, const struct managed_policy *m, struct policy_done *out, struct fault *why)
{
	struct reencryption how;
	uint32_t needing = 0, of_files = 0, last = SCOPE_DEFAULT;
	int ret;

	if (!m || !m->keep || keyring_reencryption(k, &how))
		return 0;
	for (uint32_t scope = 0; scope < k->scope_count; scope++) {
		of_files += scope != SCOPE_FIELDS;
		if (scope == SCOPE_FIELDS || !needs_reencryption(k, scope, m))
			continue;
		needing++;
		last = scope;
	}
	if (!needing)
		return 0;
	how = (struct reencryption){.only = needing < of_files, .scope = last};
	ret = keyring_start_reencryption(k, &how, why);
	out->started = ret == 0;
	return ret;
}

static int note_managed(struct keyring *k, const struct managed_policy *m)
{
	json_object *event;
	int ret = keyring_note(k, "service-policy", &event);

	return ret == 0 ? managed_policy_put(event, "", m) : ret;
}

int keyring_run_policy(struct keyring *k, const struct policy_facts *facts, struct policy_done *out, struct fault *why)
{
	struct policy p;
	int ret;

	*out = (struct policy_done){0};
	if (!k->root)
		return fault_set(why, EXIT_FAILED, ENOKEY, "the keyring is locked");
	keyring_policy(k, &p);
	ret = rotate(k, facts, out, why);
	if (ret == 0)
		ret = retire(k, &p, facts, out, why);
	if (ret == 0)
		ret = start(k, facts->managed, out, why);
	if (ret < 0 || !facts->managed || managed_policy_empty(facts->managed) || !policy_did_something(out))
		return ret;
	ret = note_managed(k, facts->managed);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot note the key service's policy") : 0;
}

bool keyring_backup_too_old(const struct keyring *k)
{
	_cleanup_free_ struct backup_info *all = calloc(BACKUPS_MAX, sizeof(*all));
	uint32_t n = all ? keyring_backups(k, all) : 0;
	struct policy p;

	keyring_policy(k, &p);
	if (!p.warn_backup_age)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (*all[i].verified && !is_past(all[i].created, p.warn_backup_age))
			return false;
	return true;
}

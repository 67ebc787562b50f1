#include "keymgr/managed_policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "keymgr/internal.h"

enum { NAME_ROOM = 40 };

static const struct {
	const char *name;
	size_t offset;
	uint64_t min, max;
} members[] = {
	{"rotate_every", offsetof(struct managed_policy, rotate_every), MANAGED_EVERY_MIN, MANAGED_EVERY_MAX},
	{"rotate_after", offsetof(struct managed_policy, rotate_after), MANAGED_AFTER_MIN, MANAGED_AFTER_MAX},
	{"keep", offsetof(struct managed_policy, keep), 1, MANAGED_KEEP_MAX},
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

static uint64_t *field(struct managed_policy *p, size_t i)
{
	return (uint64_t *)((char *)p + members[i].offset);
}

static const char *name_of(const char *prefix, size_t i, char out[NAME_ROOM])
{
	snprintf(out, NAME_ROOM, "%s%s", prefix, members[i].name);
	return out;
}

int managed_policy_put(json_object *o, const char *prefix, const struct managed_policy *p)
{
	struct managed_policy copy = *p;
	char name[NAME_ROOM];
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < MEMBERS; i++) {
		name_of(prefix, i, name);
		if (*field(&copy, i))
			ret = put_number(o, name, *field(&copy, i));
		else
			json_object_object_del(o, name);
	}
	return ret;
}

static int take(json_object *o, const char *prefix, size_t i, bool may_be_0, uint64_t *out, struct problem *problem)
{
	struct problem ignored = {0};
	char name[NAME_ROOM];

	if (member_number(o, name_of(prefix, i, name), 0, members[i].max, out, &ignored) == 0 &&
	    (*out >= members[i].min || (*out == 0 && may_be_0)))
		return 0;
	return problem_set(problem, "\"%s\" wants %s%" PRIu64 " to %" PRIu64, name, may_be_0 ? "0, or " : "",
			   members[i].min, members[i].max);
}

static int change(json_object *o, const char *prefix, bool may_be_0, struct managed_policy *p, bool *some,
		  struct problem *problem)
{
	struct managed_policy taken = *p;
	char name[NAME_ROOM];
	int ret = 0;

	*some = false;
	for (size_t i = 0; ret == 0 && i < MEMBERS; i++) {
		if (!json_object_object_get_ex(o, name_of(prefix, i, name), NULL))
			continue;
		ret = take(o, prefix, i, may_be_0, field(&taken, i), problem);
		*some = true;
	}
	if (ret == 0)
		*p = taken;
	return ret;
}

int managed_policy_load(json_object *o, const char *prefix, struct managed_policy *out, struct problem *problem)
{
	bool ignored;

	*out = (struct managed_policy){0};
	return change(o, prefix, false, out, &ignored, problem);
}

int managed_policy_change(json_object *o, const char *prefix, struct managed_policy *p, bool *some,
			  struct problem *problem)
{
	return change(o, prefix, true, p, some, problem);
}

/* ------------------------------------------------------------------ what it is about */

static bool has_key(const struct generation *g)
{
	return g->state != KEY_DESTROYED && g->state != KEY_PRE_ACTIVE && !g->destroy_at[0];
}

static uint32_t newer_ones(const struct keyring *k, const struct generation *g)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->generation_count; i++)
		n += k->generations[i].scope == g->scope && k->generations[i].number > g->number &&
		     has_key(&k->generations[i]);
	return n;
}

bool generation_is_beyond(const struct keyring *k, const struct generation *g, const struct managed_policy *m)
{
	return m && m->keep && g->scope != SCOPE_FIELDS && has_key(g) && newer_ones(k, g) >= m->keep;
}

void keyring_managed_state(const struct keyring *k, struct managed_state *out)
{
	uint32_t kept[SCOPES_MAX] = {0};
	time_t since;

	*out = (struct managed_state){.sealed = keyring_sealed(k), .floor = k->floor[SCOPE_DEFAULT]};
	for (uint32_t i = 0; i < k->generation_count; i++) {
		const struct generation *g = &k->generations[i];

		if (g->number == k->active[g->scope] && time_parse(g->since, &since) == 0 &&
		    (!out->rotated || since < out->rotated))
			out->rotated = since;
		if (has_key(g) && g->scope != SCOPE_FIELDS && ++kept[g->scope] > out->kept)
			out->kept = kept[g->scope];
	}
}

bool managed_policy_behind(const struct managed_policy *p, const struct managed_state *s, time_t now)
{
	uint64_t age = now > s->rotated ? (uint64_t)(now - s->rotated) : 0;

	return (p->rotate_every && age >= p->rotate_every) ||
	       (p->rotate_after && s->sealed >= p->rotate_after && age >= MANAGED_EVERY_MIN) ||
	       (p->keep && s->kept > p->keep);
}

/* Generations as the keyring holds them (docs/format-keyring.md section 7): from the document to the structure. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"

static const char *const state_names[] = {
	[KEY_PRE_ACTIVE] = "pre-active",   [KEY_ACTIVE] = "active",           [KEY_SUSPENDED] = "suspended",
	[KEY_DEACTIVATED] = "deactivated", [KEY_COMPROMISED] = "compromised", [KEY_DESTROYED] = "destroyed",
};

const char *key_state_name(enum key_state s)
{
	return state_names[s];
}

static int state_load(json_object *o, enum key_state *out, struct problem *p)
{
	const char *name;
	int ret = member_string(o, "state", &name, p);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*out = (enum key_state)i;
			return 0;
		}
	}
	return problem_set(p, "the state of a generation is unknown");
}

static int history_load(json_object *o, struct generation *g, struct problem *p)
{
	json_object *history, *entry;
	enum key_state state = g->state;
	int ret;

	ret = member_array(o, "history", 1, HISTORY_MAX, &history, p);
	for (size_t i = 0; ret == 0 && i < json_object_array_length(history); i++) {
		ret = element_object(history, i, &entry, p);
		if (ret == 0)
			ret = state_load(entry, &state, p);
		if (ret == 0)
			ret = member_time(entry, "at", g->since, p);
	}
	if (ret == 0 && state != g->state)
		ret = problem_set(p, "the history of a generation does not end in its state");
	return ret;
}

/* The member is there only while the generation waits to be destroyed. */
static int pending_load(json_object *o, struct generation *g, struct problem *p)
{
	g->destroy_at[0] = '\0';
	if (!json_object_object_get_ex(o, "destroy_at", NULL))
		return 0;
	if (g->state == KEY_ACTIVE || g->state == KEY_SUSPENDED || g->state == KEY_DESTROYED)
		return problem_set(p, "a generation that is %s waits to be destroyed", key_state_name(g->state));
	return member_time(o, "destroy_at", g->destroy_at, p);
}

static int generation_load(const struct keyring *k, json_object *o, struct generation *g, struct problem *p)
{
	uint64_t scope = 0;
	int ret;

	g->json = o;
	ret = member_u32(o, "generation", 1, &g->number, p);
	if (ret == 0)
		ret = member_number(o, "scope", 0, k->scope_count - 1, &scope, p);
	if (ret == 0)
		ret = state_load(o, &g->state, p);
	if (ret == 0)
		ret = member_time(o, "created", g->created, p);
	if (ret == 0)
		ret = history_load(o, g, p);
	if (ret == 0 && g->state != KEY_DESTROYED)
		ret = member_bytes(o, "wrapped", g->wrapped, WRAPPED_SIZE, p);
	if (ret == 0 && g->state == KEY_DESTROYED && json_object_object_get_ex(o, "wrapped", NULL))
		ret = problem_set(p, "a destroyed generation still has a key");
	if (ret == 0)
		ret = pending_load(o, g, p);
	g->scope = (uint32_t)scope;
	return ret;
}

static int check_active(const struct keyring *k, struct problem *p)
{
	for (uint32_t scope = 0; scope < k->scope_count; scope++) {
		uint32_t active = 0;

		for (uint32_t i = 0; i < k->generation_count; i++)
			active += k->generations[i].scope == scope && k->generations[i].state == KEY_ACTIVE;
		if (active != 1)
			return problem_set(p, "scope %u has not exactly one active generation", scope);
	}
	return 0;
}

int generations_load(struct keyring *k, struct problem *p)
{
	json_object *array, *o;
	size_t n;
	int ret;

	ret = member_array(k->doc, "generations", SCOPES_BUILT_IN, GENERATIONS_MAX, &array, p);
	if (ret < 0)
		return ret;
	n = json_object_array_length(array);
	free(k->generations);
	k->generation_count = 0;
	k->generations = calloc(n, sizeof(*k->generations));
	if (!k->generations)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct generation *g = &k->generations[i];

		ret = element_object(array, i, &o, p);
		if (ret == 0)
			ret = generation_load(k, o, g, p);
		if (ret == 0 && i > 0 && g->number <= g[-1].number)
			ret = problem_set(p, "generations are not in ascending order");
		if (ret == 0 && g->number >= k->next_generation)
			ret = problem_set(p, "\"next_generation\" is not above every generation");
		if (ret < 0)
			return ret;
		if (g->state == KEY_ACTIVE)
			k->active[g->scope] = g->number;
		k->generation_count++;
	}
	return check_active(k, p);
}

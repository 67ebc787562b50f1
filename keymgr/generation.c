/* The states of a generation (docs/format-keyring.md section 7), after NIST SP 800-57 part 1, section 7.
 *
 *              keyring_rotate                     rotate, deactivate*
 *   (made) --> PRE-ACTIVE --activate--> ACTIVE ----------------------> DEACTIVATED <----------+
 *                  |                     |  |                           |   |   |             | resume,
 *                  |                     |  | suspend*          suspend |   |   |             | deactivate
 *                  |                     |  +-------> SUSPENDED <-------+   |   |             |
 *                  |         compromise* |               |  |               |   |             |
 *                  |                     |               |  +---------------|---|-------------+
 *                  | compromise          v    compromise |                  |   |
 *                  +--------------> COMPROMISED <--------+------------------+   |
 *                  |                     |                       compromise     |
 *                  | destroy             | destroy                              | destroy
 *                  +-----------------> DESTROYED <-----------------------------+
 *
 *   *  of the active one: keyring_rotate comes first
 *
 * 1. Exactly one generation of a scope is active, before and after each change.
 * 2. `steps` is the whole truth about what leads where; generation_step() alone moves a generation, stamps the time into its history,
 *    and notes it for the audit log.
 * 3. A number is never used twice: a new one is `next_generation`, which only grows.
 * 4. A generation that waits to be destroyed moves no further until keyring_undelete().
 * 5. DESTROYED is final, and has no key. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "keymgr/generations.h"
#include "keymgr/internal.h"
#include "util/base/kdf_labels.h"

static const char *const event_names[KEY_EVENTS] = {
	[KEY_EVENT_ACTIVATE] = "activate",     [KEY_EVENT_SUSPEND] = "suspend",       [KEY_EVENT_RESUME] = "resume",
	[KEY_EVENT_DEACTIVATE] = "deactivate", [KEY_EVENT_COMPROMISE] = "compromise", [KEY_EVENT_DESTROY] = "destroy",
};

const char *key_event_name(enum key_event e)
{
	return event_names[e];
}

#define TO(state)                                                                                                      \
	{                                                                                                              \
		true, (state), NULL                                                                                    \
	}
#define NO(text)                                                                                                       \
	{                                                                                                              \
		false, KEY_DESTROYED, (text)                                                                           \
	}
#define GONE NO("its key is gone for good")

static const struct step {
	bool legal;
	enum key_state to;
	const char *refusal; /* why not, and what to do */
} steps[][KEY_EVENTS] = {
	[KEY_PRE_ACTIVE] =
		{
			[KEY_EVENT_ACTIVATE] = TO(KEY_ACTIVE),
			[KEY_EVENT_SUSPEND] = NO("it was never in use; destroy it if it is not wanted"),
			[KEY_EVENT_RESUME] = NO("it is not suspended"),
			[KEY_EVENT_DEACTIVATE] = NO("it was never in use; destroy it if it is not wanted"),
			[KEY_EVENT_COMPROMISE] = TO(KEY_COMPROMISED),
			[KEY_EVENT_DESTROY] = TO(KEY_DESTROYED),
		},
	[KEY_ACTIVE] =
		{
			[KEY_EVENT_ACTIVATE] = NO("it is the active one"),
			[KEY_EVENT_SUSPEND] = TO(KEY_SUSPENDED),
			[KEY_EVENT_RESUME] = NO("it is not suspended"),
			[KEY_EVENT_DEACTIVATE] = TO(KEY_DEACTIVATED),
			[KEY_EVENT_COMPROMISE] = TO(KEY_COMPROMISED),
			[KEY_EVENT_DESTROY] =
				NO("new data is sealed under it; make another one with \"coffer key rotate\", and "
				   "re-encrypt what is under this one"),
		},
	[KEY_SUSPENDED] =
		{
			[KEY_EVENT_ACTIVATE] = NO("another one is active; \"coffer key resume\" lets it decrypt again"),
			[KEY_EVENT_SUSPEND] = NO("it is suspended already"),
			[KEY_EVENT_RESUME] = TO(KEY_DEACTIVATED),
			[KEY_EVENT_DEACTIVATE] = TO(KEY_DEACTIVATED),
			[KEY_EVENT_COMPROMISE] = TO(KEY_COMPROMISED),
			[KEY_EVENT_DESTROY] = NO("its data cannot be looked at while it is suspended; resume it first"),
		},
	[KEY_DEACTIVATED] =
		{
			[KEY_EVENT_ACTIVATE] =
				NO("what was deactivated never encrypts again; use \"coffer key rotate\""),
			[KEY_EVENT_SUSPEND] = TO(KEY_SUSPENDED),
			[KEY_EVENT_RESUME] = NO("it is not suspended"),
			[KEY_EVENT_DEACTIVATE] = NO("it is deactivated already"),
			[KEY_EVENT_COMPROMISE] = TO(KEY_COMPROMISED),
			[KEY_EVENT_DESTROY] = TO(KEY_DESTROYED),
		},
	[KEY_COMPROMISED] =
		{
			[KEY_EVENT_ACTIVATE] = NO("somebody else knows it"),
			[KEY_EVENT_SUSPEND] = NO("what is compromised stays so; re-encrypt its data, then destroy it"),
			[KEY_EVENT_RESUME] = NO("it is not suspended"),
			[KEY_EVENT_DEACTIVATE] = NO("what is compromised stays so; it decrypts only, as it is"),
			[KEY_EVENT_COMPROMISE] = NO("it is known to be compromised already"),
			[KEY_EVENT_DESTROY] = TO(KEY_DESTROYED),
		},
	[KEY_DESTROYED] = {GONE, GONE, GONE, GONE, GONE, GONE},
};

struct generation *generation_find(const struct keyring *k, uint32_t number)
{
	for (uint32_t i = 0; i < k->generation_count; i++)
		if (k->generations[i].number == number)
			return &k->generations[i];
	return NULL;
}

int generation_get(const struct keyring *k, uint32_t number, struct generation **out, struct fault *why)
{
	*out = generation_find(k, number);
	if (*out)
		return 0;
	return fault_set(why, EXIT_FAILED, ENOENT, "there is no generation %" PRIu32 "; see \"coffer key list\"",
			 number);
}

/* The last HISTORY_MAX - 1 steps are kept, and the first one; the audit log has them all. */
int generation_put_history(json_object *o, enum key_state state)
{
	json_object *history, *entry = json_object_new_object();
	int ret;

	if (!json_object_object_get_ex(o, "history", &history)) {
		history = json_object_new_array();
		ret = put_value(o, "history", history);
		if (ret < 0) {
			json_object_put(entry);
			return ret;
		}
	}
	if (json_object_array_length(history) >= HISTORY_MAX)
		json_object_array_del_idx(history, 1, 1);
	ret = put_element(history, entry);
	if (ret == 0)
		ret = put_string(entry, "state", key_state_name(state));
	if (ret == 0)
		ret = put_now(entry, "at");
	return ret;
}

int generation_reload(struct keyring *k, int ret, struct fault *why)
{
	struct problem p = {0};

	if (ret == 0)
		ret = keyring_load(k, &p, why);
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_FAILED, EBADMSG, "cannot change the generations: %s", p.text);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot change the generations") : 0;
}

static int refuse(const struct generation *g, enum key_event e, const char *reason, struct fault *why)
{
	return fault_set(why, EXIT_REFUSED, EPERM, "cannot %s generation %" PRIu32 ", which is %s: %s",
			 key_event_name(e), g->number, key_state_name(g->state), reason);
}

int generation_may(const struct generation *g, enum key_event e, struct fault *why)
{
	const struct step *s = &steps[g->state][e];

	if (g->destroy_at[0] && e != KEY_EVENT_DESTROY)
		return refuse(g, e, "it waits to be destroyed; bring it back with \"coffer key undelete\" first", why);
	return s->legal ? 0 : refuse(g, e, s->refusal, why);
}

static int note(struct keyring *k, const struct generation *g, enum key_state to)
{
	json_object *o;
	int ret = keyring_note(k, "generation", &o);

	if (ret == 0)
		ret = put_number(o, "generation", g->number);
	if (ret == 0)
		ret = put_number(o, "scope", g->scope);
	if (ret == 0)
		ret = put_string(o, "from", key_state_name(g->state));
	return ret < 0 ? ret : put_string(o, "to", key_state_name(to));
}

int generation_step(struct keyring *k, struct generation *g, enum key_event e, struct fault *why)
{
	int ret = generation_may(g, e, why);

	if (ret == 0)
		ret = note(k, g, steps[g->state][e].to);
	if (ret < 0)
		return ret;
	g->state = steps[g->state][e].to;
	if (g->state == KEY_DESTROYED) {
		json_object_object_del(g->json, "wrapped");
		json_object_object_del(g->json, "destroy_at");
	}
	ret = put_string(g->json, "state", key_state_name(g->state));
	return ret < 0 ? ret : generation_put_history(g->json, g->state);
}

/* --- new ones */

/* The object comes into `generations` first and is filled there. */
static int put_generation(json_object *generations, uint32_t number, uint32_t scope, enum key_state state,
			  const struct wrapping *root)
{
	_cleanup_stack_key_ struct stack_key key;
	json_object *o = json_object_new_object();
	uint8_t wrapped[WRAPPED_SIZE];
	int ret;

	ret = put_element(generations, o);
	if (ret == 0)
		ret = put_number(o, "generation", number);
	if (ret == 0)
		ret = put_number(o, "scope", scope);
	if (ret == 0)
		ret = put_string(o, "state", key_state_name(state));
	if (ret == 0)
		ret = put_now(o, "created");
	if (ret == 0)
		ret = generation_put_history(o, state);
	if (ret == 0)
		ret = crypto_random(key.b, sizeof(key.b));
	if (ret == 0)
		ret = wrapping_seal(root, LABEL_ROOT_WRAP, key.b, wrapped);
	if (ret == 0)
		ret = put_bytes(o, "wrapped", wrapped, sizeof(wrapped));
	return ret;
}

int generation_put_first(json_object *generations, uint32_t number, uint32_t scope, const struct wrapping *root)
{
	return put_generation(generations, number, scope, KEY_ACTIVE, root);
}

static int append(struct keyring *k, uint32_t scope, struct fault *why)
{
	_cleanup_stack_key_ struct stack_key prk;
	struct wrapping root = {prk.b, k->settings.volume_id, NULL};
	struct problem p = {0};
	json_object *array;
	int ret;

	ret = keyring_root_prk(k, &prk);
	if (ret == 0)
		ret = member_array(k->doc, "generations", 0, GENERATIONS_MAX, &array, &p);
	if (ret == 0)
		ret = put_generation(array, k->next_generation, scope, KEY_PRE_ACTIVE, &root);
	if (ret == 0)
		ret = put_number(k->doc, "next_generation", (uint64_t)k->next_generation + 1);
	return generation_reload(k, ret, why);
}

/* The active one takes the step `e`, and a new one its place: (1) holds again at the end. */
static int replace_active(struct keyring *k, uint32_t scope, enum key_event e, uint32_t *successor, struct fault *why)
{
	uint32_t old = k->active[scope], new = k->next_generation;
	int ret;

	if (k->generation_count == GENERATIONS_MAX || new == UINT32_MAX)
		return fault_set(why, EXIT_REFUSED, ENOSPC,
				 "the keyring holds %" PRIu32 " generations, and has no room for another one",
				 k->generation_count);
	ret = append(k, scope, why);
	if (ret == 0)
		ret = generation_step(k, generation_find(k, new), KEY_EVENT_ACTIVATE, why);
	if (ret == 0)
		ret = generation_step(k, generation_find(k, old), e, why);
	*successor = new;
	return generation_reload(k, ret, why);
}

static int need_unlocked(const struct keyring *k, struct fault *why)
{
	return k->root ? 0 : fault_set(why, EXIT_FAILED, ENOKEY, "the keyring is locked");
}

int keyring_rotate(struct keyring *k, uint32_t scope, uint32_t *generation, struct fault *why)
{
	int ret = need_unlocked(k, why);

	if (ret == 0 && scope >= k->scope_count)
		ret = fault_set(why, EXIT_FAILED, ENOENT, "there is no scope %" PRIu32, scope);
	return ret < 0 ? ret : replace_active(k, scope, KEY_EVENT_DEACTIVATE, generation, why);
}

int keyring_transition(struct keyring *k, uint32_t generation, enum key_event event, struct key_transition *out,
		       struct fault *why)
{
	struct generation *g;
	int ret = need_unlocked(k, why);

	if (ret == 0)
		ret = generation_get(k, generation, &g, why);
	if (ret == 0)
		ret = generation_may(g, event, why);
	if (ret < 0)
		return ret;
	if (event == KEY_EVENT_DESTROY || event == KEY_EVENT_ACTIVATE)
		return fault_set(why, EXIT_FAILED, EINVAL, "%s is not a step of its own", key_event_name(event));
	*out = (struct key_transition){generation, g->scope, g->state, steps[g->state][event].to, 0};
	if (g->state == KEY_ACTIVE)
		return replace_active(k, g->scope, event, &out->successor, why);
	return generation_reload(k, generation_step(k, g, event, why), why);
}

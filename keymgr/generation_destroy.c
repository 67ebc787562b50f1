/* The end of generations: floors, destruction, its pending period (docs/format-keyring.md section 7).
 *
 * 1. No key is wiped while anything is known to need it, or while that cannot be told.
 * 2. In the scope of files, below the floor nothing is accepted, so nothing there is needed: no counting.
 * 3. In the scope of fields nobody can count the tokens; whoever asks answers for them.
 * 4. Whom the rule asks for (approval.h) agrees to the request; what was asked for then is carried out when its time has come. */
#include <errno.h>
#include <inttypes.h>

#include "keymgr/domain.h"
#include "keymgr/generations.h"
#include "keymgr/internal.h"

enum { DAY = 24 * 60 * 60 };

static int note(struct keyring *k, const char *event, uint32_t generation)
{
	json_object *o;
	int ret = keyring_note(k, event, &o);

	return ret < 0 ? ret : put_number(o, "generation", generation);
}

/* A domain's tokens are all of one generation, whatever its state. */
static int check_domains(const struct keyring *k, const struct generation *g, struct fault *why)
{
	_cleanup_free_ struct field_domain *domains = calloc(DOMAINS_MAX, sizeof(*domains));
	size_t n = 0;
	int ret = domains ? keyring_domains(k, domains, &n, why) : -ENOMEM;

	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot look at the domains");
	for (size_t i = 0; i < n; i++)
		if (domains[i].generation == g->number)
			return fault_set(why, EXIT_REFUSED, EPERM,
					 "the domain %s is pinned to generation %" PRIu32
					 "; move it first with \"coffer field rotate --domain %s\"",
					 domains[i].name, g->number, domains[i].name);
	return 0;
}

static int check_unused(const struct keyring *k, const struct generation *g, const struct generation_users *users,
			struct fault *why)
{
	uint64_t files = 0;
	int ret;

	if (g->scope == SCOPE_FIELDS)
		return check_domains(k, g, why);
	if (g->number < k->floor[g->scope] || g->state == KEY_PRE_ACTIVE)
		return 0;
	if (!users || !users->count)
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "cannot tell whether files still need generation %" PRIu32 "; nothing was changed",
				 g->number);
	ret = users->count(users->context, g->number, &files, why);
	if (ret < 0)
		return fault_errno(why, EXIT_REFUSED, ret, "cannot count the files that need generation %" PRIu32,
				   g->number);
	if (files > 0)
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "%" PRIu64 " %s still need%s generation %" PRIu32
				 "; re-encrypt them first with \"coffer key reencrypt start\"",
				 files, files == 1 ? "file" : "files", files == 1 ? "s" : "", g->number);
	return 0;
}

int generation_put_floor(struct keyring *k, uint32_t scope, uint32_t floor)
{
	struct problem p = {0};
	json_object *array, *o = NULL;
	int ret = member_array(k->doc, "scopes", SCOPES_BUILT_IN, SCOPES_MAX, &array, &p);

	if (ret == 0)
		ret = element_object(array, scope, &o, &p);
	return ret < 0 ? ret : put_number(o, "floor", floor);
}

int keyring_raise_floor(struct keyring *k, uint32_t generation, const struct generation_users *users, struct fault *why)
{
	struct generation *g;
	int ret = generation_get(k, generation, &g, why);

	if (ret < 0)
		return ret;
	if (generation <= k->floor[g->scope])
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "the floor is %" PRIu32 " already, and it only rises; nothing was changed",
				 k->floor[g->scope]);
	if (generation > k->active[g->scope])
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "the floor cannot be above the active generation, which is %" PRIu32,
				 k->active[g->scope]);
	for (uint32_t i = 0; i < k->generation_count; i++) {
		const struct generation *older = &k->generations[i];

		if (older->scope != g->scope || older->number >= generation || older->state == KEY_DESTROYED)
			continue;
		ret = check_unused(k, older, users, why);
		if (ret < 0)
			return ret;
	}
	ret = note(k, "floor", generation);
	ret = generation_reload(k, ret < 0 ? ret : generation_put_floor(k, g->scope, generation), why);
	if (ret < 0)
		return ret;
	older_keys_drop(k);
	return generation_reload(k, 0, why);
}

static bool is_due(const struct generation *g)
{
	time_t at;

	return g->destroy_at[0] && time_parse(g->destroy_at, &at) == 0 && at <= document_now();
}

static int put_pending(struct keyring *k, struct generation *g)
{
	char at[TIME_TEXT + 1];
	int ret = note(k, "destroy-later", g->number);

	time_text_of(document_now() + (time_t)DESTROY_DAYS * DAY, at);
	return ret < 0 ? ret : put_string(g->json, "destroy_at", at);
}

int keyring_destroy(struct keyring *k, uint32_t generation, bool now, const struct generation_users *users,
		    bool *destroyed, struct fault *why)
{
	struct generation *g;
	int ret = generation_get(k, generation, &g, why);

	*destroyed = false;
	if (ret == 0)
		ret = generation_may(g, KEY_EVENT_DESTROY, why);
	if (ret == 0)
		ret = check_unused(k, g, users, why);
	if (ret == 0 && !is_due(g))
		ret = approval_needed(k, "a key is destroyed", why);
	if (ret < 0)
		return ret;
	*destroyed = now || is_due(g);
	if (!*destroyed && g->destroy_at[0])
		return fault_set(why, EXIT_REFUSED, EALREADY,
				 "generation %" PRIu32
				 " waits to be destroyed until %s; give --now, or run this again then",
				 generation, g->destroy_at);
	ret = *destroyed ? generation_step(k, g, KEY_EVENT_DESTROY, why) : put_pending(k, g);
	k->wipe_replaced |= *destroyed;
	return generation_reload(k, ret, why);
}

int keyring_undelete(struct keyring *k, uint32_t generation, struct fault *why)
{
	struct generation *g;
	int ret = generation_get(k, generation, &g, why);

	if (ret < 0)
		return ret;
	if (g->state == KEY_DESTROYED)
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "generation %" PRIu32 " is destroyed; a backup of the keyring may still hold it",
				 generation);
	if (!g->destroy_at[0])
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "generation %" PRIu32 " does not wait to be destroyed; nothing was changed",
				 generation);
	json_object_object_del(g->json, "destroy_at");
	return generation_reload(k, note(k, "undelete", generation), why);
}

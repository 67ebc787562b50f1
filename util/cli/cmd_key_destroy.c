/* destroy and undelete. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "util/cli/approval.h"
#include "util/cli/key.h"
#include "util/cli/lost.h"
#include "util/cli/options.h"
#include "util/cli/status.h"

struct destruction {
	struct cli_volume *volume;
	uint32_t generation;
	bool now, yes, destroyed;
	const char *scope;
	struct approval approval;
};

/* What wipes the key at once, and what nobody but the user can answer for, is asked about. */
static int confirm(const struct destruction *d, const struct generation_info *g, struct fault *why)
{
	char question[512], expected[16], lost[128] = "";
	uint64_t count;

	json_object_put(lost_names(d->volume, &count));
	if (count)
		snprintf(lost, sizeof lost, "What is under it of %" PRIu64 " files in .coffer/lost/ is gone then.\n",
			 count);

	if (d->yes || (!d->now && g->scope != SCOPE_FIELDS))
		return 0;
	snprintf(expected, sizeof expected, "%" PRIu32, g->number);
	snprintf(question, sizeof question,
		 "This destroys the key of generation %" PRIu32 "%s.\n%s%sType its number to go on: ", g->number,
		 d->now ? ", at once" : ", after 30 days", lost,
		 g->scope == SCOPE_FIELDS ? "Nobody can tell which files still hold fields that are sealed under it.\n"
					  : "");
	return confirm_typed(question, expected, "give --yes", why);
}

static int find(const struct destruction *d, struct generation_info *out, struct fault *why)
{
	uint32_t n, scope;

	_cleanup_free_ struct generation_info *list = generations_list(d->volume->keyring, &n);
	int r = scope_parse(d->volume->keyring, d->scope, &scope, why);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++)
		if (list[i].number == d->generation && (!d->scope || list[i].scope == scope)) {
			*out = list[i];
			return 0;
		}
	return fault_set(why, EXIT_FAILED, ENOENT, "there is no generation %" PRIu32 "%s%s; see: coffer key list",
			 d->generation, d->scope ? " in scope " : "", d->scope ? d->scope : "");
}

static int edit(struct keyring *k, void *context, struct fault *why)
{
	struct destruction *d = context;
	struct generation_users users = key_users(d->volume);

	int r = approval_give(&d->approval, k, why);
	return r < 0 ? r : keyring_destroy(k, d->generation, d->now, &users, &d->destroyed, why);
}

/* What no re-encryption moves, and nobody counts. */
static void print_lost(json_object *list, uint64_t count)
{
	if (count)
		printf("what is under it of these %" PRIu64 " in .coffer/lost/ cannot be decrypted then:\n", count);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		printf("  %s\n", json_object_get_string(json_object_array_get_idx(list, i)));
	if (count > LOST_SHOWN)
		puts("  ...");
}

static void report(const struct key_work *w, const struct destruction *d)
{
	_cleanup_json_ json_object *lost = NULL;
	uint64_t count;
	struct generation_info g = {0};
	struct fault ignored = {0};

	if (find(d, &g, &ignored) < 0)
		return;
	lost = lost_names(d->volume, &count);
	if (w->json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "generation", g.number);
		json_add_text(o, "scope", keyring_scope_name(d->volume->keyring, g.scope));
		json_add_text(o, "state", key_state_name(g.state));
		json_object_object_add(o, "destroy_at", *g.destroy_at ? json_object_new_string(g.destroy_at) : NULL);
		json_add_number(o, "lost", count);
		json_object_object_add(o, "lost_files", json_object_get(lost));
		json_print(o);
		return;
	}
	if (d->destroyed) {
		printf("destroyed generation %" PRIu32
		       ".  Backups and old copies of .coffer/keyring.json still hold its key, wrapped:\n"
		       "\"coffer key rotate --root\" is what cuts off those who can open them from what is written "
		       "later\n",
		       g.number);
	} else {
		printf("generation %" PRIu32
		       " opens nothing from now on.  From %s on, the same command destroys its key;\n"
		       "until then: coffer key undelete %s %" PRIu32 "\n",
		       g.number, g.destroy_at, w->volume.dir, g.number);
	}
	print_lost(lost, count);
}

static void destruction_free(struct destruction *d)
{
	approval_free(&d->approval);
}

int cmd_key_destroy(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	_cleanup_(destruction_free) struct destruction d = {.volume = &w.volume};
	struct generation_info g;
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w.unlock),
		OPTION_APPROVAL(&d.approval),
		{OPTION_TEXT, 0, 0, "scope", &d.scope},
		{OPTION_FLAG, 0, 0, "now", &d.now},
		{OPTION_FLAG, 0, 0, "yes", &d.yes},
		{OPTION_FLAG, 0, 0, "json", &w.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	r = generation_parse(v, words.at[1], &d.generation, why);
	if (r == 0)
		r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = find(&d, &g, why);
	if (r == 0)
		r = confirm(&d, &g, why);
	if (r == 0)
		r = approval_obtain(&d.approval, w.volume.keyring, why);
	if (r == 0)
		r = key_change_generations(&w.volume, edit, &d, why);
	if (r == 0)
		report(&w, &d);
	return r;
}

static int bring_back(struct keyring *k, void *context, struct fault *why)
{
	return keyring_undelete(k, *(uint32_t *)context, why);
}

int cmd_key_undelete(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.unlock), {OPTION_FLAG, 0, 0, "json", &w.json}, {0}};
	struct words words;
	uint32_t generation;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	r = generation_parse(v, words.at[1], &generation, why);
	if (r == 0)
		r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = key_change_generations(&w.volume, bring_back, &generation, why);
	if (r < 0)
		return r;
	if (w.json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "generation", generation);
		json_print(o);
	} else {
		printf("generation %" PRIu32 " stays\n", generation);
	}
	return 0;
}

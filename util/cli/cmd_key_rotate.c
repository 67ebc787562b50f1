#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "util/cli/key.h"
#include "util/cli/options.h"

struct rotation {
	uint32_t scope, generation;
};

static int edit(struct keyring *k, void *context, struct fault *why)
{
	struct rotation *r = context;

	return keyring_rotate(k, r->scope, &r->generation, why);
}

static void report(const struct key_work *w, const struct rotation *r)
{
	char unbacked[UNBACKED_TEXT];

	if (!w->json) {
		printf("generation %" PRIu32 " is active now; what was written before stays under the older ones\n"
		       "until it is re-encrypted\n",
		       r->generation);
		if (unbacked_text(w->volume.keyring, unbacked))
			printf("generation %s is in no verified backup; make one: coffer key backup %s -o FILE\n",
			       unbacked, w->volume.dir);
		return;
	}
	json_object *o = json_object_new_object();
	json_add_text(o, "scope", scope_name(r->scope));
	json_add_number(o, "generation", r->generation);
	json_object_object_add(o, "unbacked", unbacked_json(w->volume.keyring));
	json_print(o);
}

int cmd_key_rotate(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	struct rotation rotation = {0};
	const char *scope = NULL;
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w.unlock),
		{OPTION_TEXT, 0, 0, "scope", &scope},
		{OPTION_FLAG, 0, 0, "json", &w.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = scope_parse(scope, &rotation.scope, why);
	if (r == 0)
		r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = key_change_generations(&w.volume, edit, &rotation, why);
	if (r == 0)
		report(&w, &rotation);
	return r;
}

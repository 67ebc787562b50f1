#include <inttypes.h>
#include <stdio.h>

#include "util/cli/key.h"
#include "util/cli/options.h"
#include "util/cli/status.h"

static void print_generations(const struct keyring *k)
{
	uint32_t n;

	_cleanup_free_ struct generation_info *list = generations_list(k, &n);
	puts("\nGENERATIONS\nNO  SCOPE    STATE         SINCE                 MADE                  DETAIL");
	for (uint32_t i = 0; i < n; i++)
		printf("%-2" PRIu32 "  %-7s  %-12s  %-20s  %-20s  %s%s\n", list[i].number,
		       keyring_scope_name(k, list[i].scope), key_state_name(list[i].state), list[i].since,
		       list[i].created, *list[i].destroy_at ? "to be destroyed after " : "", list[i].destroy_at);
}

static void print_json(const struct keyring *k)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "protectors", protectors_json(k));
	json_object_object_add(o, "generations", generations_json(k));
	json_print(o);
}

static void print_list(const struct keyring *k)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(k, all);

	puts("PROTECTORS\nID  TYPE          MADE                  DETAIL");
	for (uint32_t i = 0; i < n; i++)
		printf("%-2" PRIu32 "  %-12s  %-20s  %s\n", all[i].id, all[i].type, all[i].created, all[i].detail);
	print_generations(k);
}

int cmd_key_list(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	struct unlock_source ignored = UNLOCK_SOURCE_NONE;
	bool json = false;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&ignored), {OPTION_FLAG, 0, 0, "json", &json}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = key_look(&volume, words.at[0], why);
	if (r < 0)
		return r;
	if (json)
		print_json(volume.keyring);
	else
		print_list(volume.keyring);
	return 0;
}

#include <inttypes.h>
#include <stdio.h>

#include "util/cli/options.h"
#include "util/cli/status.h"

static void print_list(const struct keyring *k)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(k, all);

	puts("ID  TYPE          MADE                  DETAIL");
	for (uint32_t i = 0; i < n; i++)
		printf("%-2" PRIu32 "  %-12s  %-20s  %s\n", all[i].id, all[i].type, all[i].created, all[i].detail);
}

int cmd_key_list(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	bool json = false;
	const struct option_spec specs[] = {{OPTION_FLAG, 0, 0, "json", &json}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = cli_volume_open(&volume, words.at[0], why);
	if (r < 0)
		return r;
	if (json)
		json_print(protectors_json(volume.keyring));
	else
		print_list(volume.keyring);
	return 0;
}

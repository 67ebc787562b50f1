#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "util/cli/key.h"
#include "util/cli/options.h"

static int edit(struct keyring *k, void *context, struct fault *why)
{
	return keyring_remove_protector(k, *(uint32_t *)context, why);
}

int key_remove(struct cli_volume *v, uint32_t id, struct fault *why)
{
	return key_change(v, edit, &id, why);
}

int cmd_key_remove(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	struct unlock_source unlock = UNLOCK_SOURCE_NONE;
	bool json = false;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&unlock), {OPTION_FLAG, 0, 0, "json", &json}, {0}};
	struct words words;
	uint64_t id;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	if (number_parse(words.at[1], UINT32_MAX, &id) < 0)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "key remove: %s is not the id of a protector; see: coffer key list", words.at[1]);
	r = key_look(&volume, words.at[0], why);
	if (r == 0)
		r = secrets_start(why);
	if (r == 0)
		r = cli_volume_unlock(&volume, &unlock, NULL, why);
	if (r == 0)
		r = key_remove(&volume, (uint32_t)id, why);
	if (r < 0)
		return r;
	if (json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "removed", id);
		json_print(o);
	} else {
		printf("removed protector %" PRIu64 "\n", id);
	}
	return 0;
}

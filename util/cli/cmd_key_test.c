#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "util/cli/key.h"
#include "util/cli/options.h"
#include "util/cli/output.h"

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const struct cli_volume *v, double took, bool json)
{
	struct protector_info info = {.type = "unknown"};
	uint32_t id = keyring_opened_by(v->keyring);

	cli_volume_protector(v, id, &info);
	if (!json) {
		printf("protector %" PRIu32 " (%s) opens %s; %.2f s\n", id, info.type, v->dir, took);
		return;
	}
	json_object *o = json_object_new_object();
	json_add_number(o, "id", id);
	json_add_text(o, "type", info.type);
	json_object_object_add(o, "seconds", json_object_new_double(took));
	json_print(o);
}

int cmd_key_test(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	struct unlock_source unlock = UNLOCK_SOURCE_NONE;
	struct unlock_secret secret = {0};
	bool json = false;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&unlock), {OPTION_FLAG, 0, 0, "json", &json}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = key_look(&volume, words.at[0], why);
	if (r == 0)
		r = secrets_start(why);
	if (r == 0)
		r = cli_volume_obtain(&volume, &unlock, &secret, why);
	if (r < 0)
		return r;
	double start = seconds(); /* behind the prompt: the time of typing is not meant */
	r = cli_volume_open_with(&volume, &unlock, &secret, why);
	double took = seconds() - start;
	unlock_secret_wipe(&secret);
	if (r == 0)
		report(&volume, took, json);
	return r;
}

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/backup.h"
#include "util/cli/backup_secret.h"
#include "util/cli/reach.h"

struct work {
	struct cli_volume volume;
	struct backup_source source;
	struct unlock_source replacement;
	struct unlock_secret secret;
	struct restoring how;
	bool json;
	const char *root;
};

static void work_close(struct work *w)
{
	cli_volume_close(&w->volume);
	backup_source_free(&w->source);
	unlock_secret_wipe(&w->secret);
	unlock_secret_wipe(&w->how.secret);
	keyring_free(&w->how.backup);
}

static int obtain_new(struct work *w, struct fault *why)
{
	char prompt[PATH_MAX + 32];

	snprintf(prompt, sizeof prompt, "New passphrase for %s: ", w->volume.dir);
	return unlock_obtain(&w->replacement, prompt, true, &w->how.secret, why);
}

static void report(const struct work *w, const struct restored *r)
{
	uint32_t n = keyring_generations(r->keyring, NULL, 0);

	if (w->json) {
		json_object *o = json_object_new_object();

		json_add_bool(o, "merged", r->merged);
		json_add_number(o, "generations", n);
		json_add_number(o, "added", r->added);
		json_object_object_add(o, "seen", r->seen ? json_object_new_uint64(r->seen) : NULL);
		json_add_number(o, "sequence", keyring_sequence(r->keyring));
		json_print(o);
		return;
	}
	if (r->merged)
		printf("the keyring of %s was whole: %" PRIu32 " generations were added, its protectors stay\n",
		       w->volume.dir, r->added);
	else
		printf("restored the keyring of %s, with %" PRIu32 " generations; only the new secret opens it\n",
		       w->volume.dir, n);
	if (r->seen)
		printf("this host has seen generation %" PRIu32
		       ", which the backup lacks: what is under it cannot be read without a newer backup\n",
		       r->seen);
}

static int run(struct work *w, const struct words *words, struct fault *why)
{
	_cleanup_free_ char *dir = NULL;
	struct restored restored = {0};

	int r = volume_of(words->at[0], &dir, why);
	if (r == 0)
		r = cli_volume_open_only(&w->volume, dir, why);
	if (r < 0)
		return r;
	int lock = volume_lock(w->volume.store, w->volume.dot, why);
	if (lock < 0)
		return lock;
	r = backup_open(&w->source, words->at[1], &w->secret, &w->how.backup, why);
	if (r == 0)
		r = obtain_new(w, why);
	if (r == 0)
		r = restore(w->volume.store, w->volume.dot, &w->how, &restored, why);
	if (r == 0)
		report(w, &restored);
	keyring_free(&restored.keyring);
	store_close(w->volume.store, lock);
	return r;
}

int cmd_key_restore(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(work_close) struct work w = {
		.volume = CLI_VOLUME_NONE, .source = BACKUP_SOURCE_NONE, .replacement = UNLOCK_SOURCE_NONE};
	struct unlock_source ignored = UNLOCK_SOURCE_NONE; /* the backup's secret opens what there is to open */
	const struct option_spec specs[] = {
		OPTIONS_SECRET(&ignored),
		OPTIONS_IDENTITY(&ignored),
		OPTIONS_BACKUP_SECRET(&w.source),
		{OPTION_TEXT, 0, 'n', "new-passphrase-file", &w.replacement.passphrase_file},
		{OPTION_TEXT, 0, 'n', "new-key-file", &w.replacement.key_file},
		{OPTION_FLAG, 0, 0, "accept-older-keyring", &w.how.trust.older},
		{OPTION_TEXT, 0, 0, "expect-root", &w.root},
		{OPTION_FLAG, 0, 0, "json", &w.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	w.how.trust.root = w.root;
	return run(&w, &words, why);
}

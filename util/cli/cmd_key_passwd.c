#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/key.h"
#include "util/cli/options.h"

struct passwd {
	struct unlock_source unlock, replacement;
	struct unlock_secret old, new;
	bool json;
};

static int get_new(struct passwd *p, const struct cli_volume *v, struct fault *why)
{
	char prompt[PATH_MAX + 32];

	snprintf(prompt, sizeof prompt, "New passphrase for %s: ", v->dir);
	int r = unlock_obtain(&p->replacement, prompt, true, &p->new, why);
	if (r < 0)
		return r;
	if (p->old.kind == SECRET_PASSPHRASE &&
	    p->old.bytes->size ==
		    p->new.bytes->size &&crypto_equal(p->old.bytes->bytes, p->new.bytes->bytes, p->new.bytes->size))
		return fault_set(why, EXIT_REFUSED, EINVAL, "the new passphrase is the old one; nothing was changed");
	return 0;
}

/* Reads the keyring back from the disk and opens it with the new passphrase: only then the old one may go. */
static int prove(const struct passwd *p, const char *dir, uint32_t id, struct cli_volume *again, struct fault *why)
{
	int r = cli_volume_open(again, dir, why);
	if (r == 0)
		r = keyring_unlock(again->keyring, &p->new, why);
	if (r < 0)
		return r;
	if (keyring_opened_by(again->keyring) != id)
		return fault_set(why, EXIT_REFUSED, EEXIST,
				 "another protector has this passphrase already; both were kept");
	return 0;
}

static void print_json(uint32_t id, uint32_t replaced)
{
	json_object *o = json_object_new_object();

	json_add_number(o, "id", id);
	json_object_object_add(o, "replaced", replaced ? json_object_new_uint64(replaced) : NULL);
	json_print(o);
}

static int change(struct passwd *p, struct cli_volume *v, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume again = CLI_VOLUME_NONE;
	struct protector_info old_info;
	uint32_t id, old = keyring_opened_by(v->keyring);

	const struct protector_info *info = cli_volume_protector(v, old, &old_info);
	int r = get_new(p, v, why);
	if (r == 0)
		r = key_add(v, &p->new, &id, why);
	if (r == 0)
		r = prove(p, v->dir, id, &again, why);
	if (r < 0)
		return r;
	/* Who came with a recovery key or a key file forgot the passphrase, and still wants the key. */
	if (!info || strcmp(info->type, "passphrase") != 0) {
		if (p->json)
			print_json(id, 0);
		else
			printf("added protector %" PRIu32 " (passphrase); %s %" PRIu32
			       " still opens, and so does an older passphrase:\n"
			       "remove what you do not want: coffer key list %s\n",
			       id, info ? info->type : "protector", old, v->dir);
		return 0;
	}
	struct fault inner = {.status = EXIT_OK};
	r = key_remove(&again, old, &inner);
	if (r < 0)
		return fault_set(why, inner.status, -r,
				 "the new passphrase opens (protector %" PRIu32
				 "), and so does the old one still, %" PRIu32 ": %s",
				 id, old, inner.text);
	if (r == 0 && p->json)
		print_json(id, old);
	else if (r == 0)
		printf("changed the passphrase of %s (protector %" PRIu32 " replaces %" PRIu32 ")\n", v->dir, id, old);
	return r;
}

int cmd_key_passwd(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume volume = CLI_VOLUME_NONE;
	struct passwd p = {.unlock = UNLOCK_SOURCE_NONE, .replacement = UNLOCK_SOURCE_NONE};
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&p.unlock),
		{OPTION_TEXT, 0, 0, "new-passphrase-file", &p.replacement.passphrase_file},
		{OPTION_FLAG, 0, 0, "json", &p.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	if (p.unlock.passphrase_file && p.replacement.passphrase_file && strcmp(p.unlock.passphrase_file, "-") == 0 &&
	    strcmp(p.replacement.passphrase_file, "-") == 0)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "key passwd: standard input cannot be both passphrases; give one by --passphrase-fd");
	r = key_look(&volume, words.at[0], why);
	if (r == 0)
		r = secrets_start(why);
	if (r == 0)
		r = cli_volume_unlock(&volume, &p.unlock, &p.old, why);
	if (r == 0)
		r = change(&p, &volume, why);
	unlock_secret_wipe(&p.old);
	unlock_secret_wipe(&p.new);
	return r;
}

/* backup, and backup --verify. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/backup.h"
#include "keymgr/entry.h"
#include "util/base/new_file.h"
#include "util/cli/approval.h"

enum { SHOWN = 16 };

struct work {
	struct key_work key;
	struct backup_source source;
	const char *output, *shares, *share_dir;
	bool verify;
	bool written; /* the backup is in its file */
	struct unlock_secret secret;
	struct approval approval;
};

static void work_close(struct work *w)
{
	key_work_close(&w->key);
	backup_source_free(&w->source);
	unlock_secret_wipe(&w->secret);
	approval_free(&w->approval);
}

/* ------------------------------------------------------------------ making */

static int check_making(const struct work *w, struct fault *why)
{
	bool given = unlock_source_given(&w->source.secret);

	if (!w->output)
		return fault_set(why, EXIT_USAGE, EINVAL, "key backup: -o FILE is missing");
	if (w->source.secret.identity)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"key backup: --backup-identity goes with --verify; a backup is made by --recipient CERT.pem");
	if (!w->shares != !w->share_dir)
		return fault_set(why, EXIT_USAGE, EINVAL, "key backup: --shares and --share-dir go together");
	if (w->shares && given)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "key backup: give shares, a passphrase, a key file or a certificate");
	return 0;
}

static int obtain_new(struct work *w, struct fault *why)
{
	return w->shares ? backup_shares_make(w->shares, w->share_dir, &w->secret, why)
			 : unlock_obtain(&w->source.secret, "New passphrase for the backup: ", true, &w->secret, why);
}

/* The backup is on the disk before the keyring says that there is one. */
static int make(struct keyring *k, void *context, struct fault *why)
{
	struct work *w = context;
	_cleanup_free_ char *text = NULL;
	size_t n;

	int r = approval_give(&w->approval, k, why);
	if (r == 0)
		r = backup_make(k, &w->secret, &text, &n, why);
	if (r == 0)
		r = new_file_write(w->output, &(struct iovec){text, n}, 1, why);
	w->written = r == 0;
	return r;
}

static void report_made(const struct work *w)
{
	uint32_t n = keyring_generations(w->key.volume.keyring, NULL, 0);

	if (w->key.json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "file", w->output);
		json_add_number(o, "generations", n);
		json_print(o);
		return;
	}
	printf("wrote the backup %s\n", w->output);
	if (w->shares)
		printf("its %u shares are in %s: print them, keep them apart, remove the files; any %u of them open "
		       "it\n",
		       w->secret.share_count, w->share_dir, w->secret.share_threshold);
	printf("it counts when it was verified: coffer key backup --verify %s %s\n", w->output, w->key.volume.dir);
}

static int run_make(struct work *w, const char *dir, struct fault *why)
{
	int r = check_making(w, why);
	if (r == 0 && access(w->output, F_OK) == 0)
		r = fault_set(why, EXIT_REFUSED, EEXIST, "%s exists; name a new file", w->output);
	if (r == 0)
		r = key_open(&w->key, dir, why);
	/* Those of the backup to be made are other shares. */
	w->approval.shares = w->source.shares;
	w->source.shares = NULL;
	if (r == 0)
		r = approval_obtain(&w->approval, w->key.volume.keyring, why);
	if (r == 0)
		r = obtain_new(w, why);
	if (r < 0)
		return r;
	r = key_change(&w->key.volume, make, w, why);
	if (r == 0) {
		report_made(w);
		return 0;
	}
	if (w->written)
		unlink(w->output);
	if (w->shares)
		backup_shares_remove(w->share_dir, w->secret.share_count);
	return r;
}

/* ------------------------------------------------------------------ verifying */

/* By the backup's own root if the volume still has it, else as usual. */
static int open_volume(struct work *w, const struct keyring *backup, const char *dir, struct fault *why)
{
	const struct entry entry = {.trust = {w->key.unlock.accept_older, w->key.unlock.expect_root}};
	struct cli_volume *v = &w->key.volume;

	int r = key_look(v, dir, why);
	if (r < 0)
		return r;
	r = backup_unlock_volume(backup, v->keyring, why);
	if (r == -EKEYREJECTED)
		return cli_volume_unlock(v, &w->key.unlock, NULL, why);
	return r < 0 ? r : keyring_enter(v->store, v->dot, v->keyring, &entry, why);
}

struct mark {
	const struct keyring *backup;
	uint32_t missing[SHOWN];
	int count;
};

static int mark(struct keyring *k, void *context, struct fault *why)
{
	struct mark *m = context;

	m->count = backup_missing(m->backup, k, m->missing, SHOWN, why);
	return m->count < 0 ? m->count : backup_mark_verified(k, m->backup, why);
}

static void list_missing(const struct mark *m, char *out, size_t room)
{
	size_t n = 0;

	out[0] = '\0';
	for (int i = 0; i < m->count && i < SHOWN && n < room; i++)
		n += (size_t)snprintf(out + n, room - n, "%s%" PRIu32, i ? ", " : "", m->missing[i]);
}

static int report_verified(const struct work *w, const struct keyring *backup, const struct mark *m, const char *file,
			   struct fault *why)
{
	char created[24], list[256], fingerprint[2 * FINGERPRINT_SIZE + 8];
	uint32_t n = keyring_generations(backup, NULL, 0);

	backup_created(backup, created);
	list_missing(m, list, sizeof list);
	keyring_fingerprint(backup, fingerprint);
	if (w->key.json) {
		json_object *o = json_object_new_object(), *missing = json_object_new_array();

		json_add_text(o, "created", created);
		json_add_text(o, "type", backup_type(backup));
		json_add_text(o, "fingerprint", fingerprint);
		json_add_number(o, "generations", n);
		for (int i = 0; i < m->count && i < SHOWN; i++)
			json_object_array_add(missing, json_object_new_uint64(m->missing[i]));
		json_object_object_add(o, "missing", missing);
		json_print(o);
	} else {
		printf("%s of %s opens, and holds %" PRIu32 " generations\nfingerprint: %s\n", file, created, n,
		       fingerprint);
	}
	return m->count ? fault_set(why, EXIT_REFUSED, ENODATA,
				    "the backup lacks what the volume needs: generation %s; make a new one", list)
			: 0;
}

static int run_verify(struct work *w, const struct words *words, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *backup = NULL;
	struct mark m = {0};

	if (w->output || w->shares || w->share_dir || w->source.secret.certificate)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "key backup: --verify makes no backup: no -o, no --shares, no --recipient");
	int r = backup_open(&w->source, words->at[0], &w->secret, &backup, why);
	m.backup = backup;
	if (r == 0 && words->count > 1)
		r = open_volume(w, backup, words->at[1], why);
	if (r == 0 && words->count > 1)
		r = key_change(&w->key.volume, mark, &m, why);
	return r < 0 ? r : report_verified(w, backup, &m, words->at[0], why);
}

int cmd_key_backup(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(work_close) struct work w = {.key = KEY_WORK_NONE, .source = BACKUP_SOURCE_NONE};
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w.key.unlock),
		OPTIONS_BACKUP_SECRET(&w.source),
		{OPTION_TEXT, 0, 'b', "recipient", &w.source.secret.certificate},
		{OPTION_TEXT, 'o', 0, "output", &w.output},
		{OPTION_TEXT, 0, 0, "shares", &w.shares},
		{OPTION_TEXT, 0, 0, "share-dir", &w.share_dir},
		{OPTION_FLAG, 0, 0, "verify", &w.verify},
		{OPTION_FLAG, 0, 0, "json", &w.key.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 2, &words, why);
	if (r)
		return r;
	if (w.verify)
		return run_verify(&w, &words, why);
	if (words.count > 1)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: %s is too much; see: coffer %s --help", v->name,
				 words.at[1], v->name);
	return run_make(&w, words.at[0], why);
}

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/journal.h"
#include "keymgr/rotate_root.h"
#include "util/base/log.h"
#include "util/cli/approval.h"
#include "util/cli/key.h"
#include "util/cli/options.h"
#include "util/cli/settle.h"

struct rotation {
	uint32_t scope, generation;
};

/* ------------------------------------------------------------------ a new root */

struct new_root {
	struct cli_volume *volume;
	char *passphrase_files, *key_files, *certificates,
		*pin_files; /* of protectors that stay; a comma between them */
	struct unlock_secret secrets[PROTECTORS_MAX];
	uint32_t count;
	struct root_rotation done;
	struct approval approval;
};

static void new_root_free(struct new_root *n)
{
	free(n->passphrase_files);
	free(n->key_files);
	free(n->certificates);
	free(n->pin_files);
	for (uint32_t i = 0; i < n->count; i++)
		unlock_secret_wipe(&n->secrets[i]);
	approval_free(&n->approval);
}

static int read_kept(struct new_root *n, const char *files, enum secret_kind kind, const char *module,
		     struct fault *why)
{
	_cleanup_free_ char *copy = files ? strdup(files) : NULL;
	char *rest = copy, *file;
	int r = 0;

	while (r == 0 && (file = strsep(&rest, ","))) {
		struct unlock_source from = UNLOCK_SOURCE_NONE;

		*(kind == SECRET_PASSPHRASE ? &from.passphrase_file
		  : kind == SECRET_KEY_FILE ? &from.key_file
		  : kind == SECRET_PIN      ? &from.pin_file
					    : &from.certificate) = file;
		from.pkcs11_module = module;
		if (n->count == PROTECTORS_MAX)
			return fault_set(why, EXIT_USAGE, E2BIG, "there are at most %d protectors", PROTECTORS_MAX);
		r = unlock_obtain(&from, "", false, &n->secrets[n->count], why);
		n->count += r == 0;
	}
	return r;
}

static int edit_root(struct keyring *k, void *context, struct fault *why)
{
	struct new_root *n = context;

	int r = approval_give(&n->approval, k, why);
	return r < 0 ? r
		     : keyring_rotate_root(n->volume->store, n->volume->dot, k, n->secrets, n->count, &n->done, why);
}

static void report_root(const struct key_work *w, const struct new_root *n)
{
	char fingerprint[2 * FINGERPRINT_SIZE + 8];

	keyring_fingerprint(w->volume.keyring, fingerprint);
	if (w->json) {
		json_object *o = json_object_new_object(), *dropped = json_object_new_array();

		json_add_text(o, "fingerprint", fingerprint);
		json_add_number(o, "kept", n->done.kept);
		for (uint32_t i = 0; i < n->done.dropped; i++)
			json_object_array_add(dropped, json_object_new_uint64(n->done.dropped_protectors[i].id));
		json_object_object_add(o, "dropped", dropped);
		json_object_object_add(o, "unbacked", unbacked_json(w->volume.keyring));
		json_print(o);
		return;
	}
	printf("the volume has a new root\nfingerprint: %s\n", fingerprint);
	for (uint32_t i = 0; i < n->done.dropped; i++)
		printf("protector %" PRIu32 " (%s, of %s) opens it no more: its secret was not given\n",
		       n->done.dropped_protectors[i].id, n->done.dropped_protectors[i].type,
		       n->done.dropped_protectors[i].created);
	printf("older backups open with the old root only; make a new one: coffer key backup %s -o FILE\n",
	       w->volume.dir);
}

static int make_new_root(struct key_work *w, struct new_root *n, struct fault *why)
{
	struct cli_volume *v = &w->volume;
	bool alone = keyring_stands_alone(v->keyring);
	struct fault later = {0};

	/* What an earlier one that was cut short has left, first; and the journal's key changes while it is empty. */
	int r = alone ? 0 : journal_end_new_root(v->store, v->dot, v->keyring, why);
	if (r == 0 && !alone)
		r = settle_journal(v, why);
	if (r == 0)
		r = key_change(v, edit_root, n, why);
	if (r < 0)
		return r;
	if (!alone && journal_end_new_root(v->store, v->dot, v->keyring, &later) < 0)
		log_warning("%s; the next mount does that", later.text);
	return 0;
}

/* A mount could not follow: it has the old root, and nobody to ask for the new one's secret. */
static int rotate_root(struct key_work *w, struct new_root *n, const char *word, struct fault *why)
{
	n->volume = &w->volume;
	int r = key_look(&w->volume, word, why);
	if (r == 0)
		r = secrets_start(why);
	if (r < 0)
		return r;
	int lock = volume_lock(w->volume.store, w->volume.dot, why);
	if (lock < 0)
		return lock;
	r = cli_volume_unlock(&w->volume, &w->unlock, &n->secrets[0], why);
	n->count = r == 0;
	if (r == 0)
		r = read_kept(n, n->passphrase_files, SECRET_PASSPHRASE, NULL, why);
	if (r == 0)
		r = read_kept(n, n->key_files, SECRET_KEY_FILE, NULL, why);
	if (r == 0)
		r = read_kept(n, n->certificates, SECRET_CERTIFICATE, NULL, why);
	if (r == 0)
		r = read_kept(n, n->pin_files, SECRET_PIN, w->unlock.pkcs11_module, why);
	if (r == 0)
		r = approval_obtain(&n->approval, w->volume.keyring, why);
	if (r == 0)
		r = make_new_root(w, n, why);
	if (r == 0)
		report_root(w, n);
	store_close(w->volume.store, lock);
	return r;
}

/* ------------------------------------------------------------------ a new generation */

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
			printf("no verified backup holds generation %s; make one: coffer key backup %s -o FILE\n",
			       unbacked, w->volume.dir);
		return;
	}
	json_object *o = json_object_new_object();
	json_add_text(o, "scope", keyring_scope_name(w->volume.keyring, r->scope));
	json_add_number(o, "generation", r->generation);
	json_object_object_add(o, "unbacked", unbacked_json(w->volume.keyring));
	json_print(o);
}

int cmd_key_rotate(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	_cleanup_(new_root_free) struct new_root root = {0};
	struct rotation rotation = {0};
	const char *scope = NULL;
	bool new_root = false;
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w.unlock),
		{OPTION_TEXT, 0, 'r', "scope", &scope},
		{OPTION_FLAG, 0, 'r', "root", &new_root},
		{OPTION_LIST, 0, 0, "keep-passphrase-file", &root.passphrase_files},
		{OPTION_LIST, 0, 0, "keep-key-file", &root.key_files},
		{OPTION_LIST, 0, 0, "keep-certificate", &root.certificates},
		{OPTION_LIST, 0, 0, "keep-pin-file", &root.pin_files},
		OPTION_APPROVAL(&root.approval),
		{OPTION_FLAG, 0, 0, "json", &w.json},
		{0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	if (!new_root && root.approval.shares)
		return fault_set(why, EXIT_USAGE, EINVAL, "key rotate: --share goes with --root");
	if (!new_root && (root.passphrase_files || root.key_files || root.certificates || root.pin_files))
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "key rotate: --keep-passphrase-file, --keep-key-file, --keep-certificate and "
				 "--keep-pin-file go with "
				 "--root");
	if (new_root)
		return rotate_root(&w, &root, words.at[0], why);
	r = key_open(&w, words.at[0], why);
	if (r == 0)
		r = scope_parse(w.volume.keyring, scope, &rotation.scope, why);
	if (r == 0)
		r = key_change_generations(&w.volume, edit, &rotation, why);
	if (r == 0)
		report(&w, &rotation);
	return r;
}

/* Making, opening and comparing backups. */
#include "keymgr/backup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/protector.h"
#include "util/base/encode.h"
#include "util/base/kdf_labels.h"

static int put_protection(struct keyring *k, json_object *doc, const struct unlock_secret *secret, struct fault *why)
{
	json_object *array = json_object_new_array(), *o;
	int ret = put_value(doc, "protectors", array);

	if (ret == 0)
		ret = protector_make(secret, 1, k->settings.volume_id, k->root, &o, why);
	if (ret == 0)
		ret = put_element(array, o);
	return ret;
}

static int put_backup(json_object *doc)
{
	json_object *o = json_object_new_object();
	uint8_t id[BACKUP_ID_SIZE];
	int ret = put_value(doc, "backup", o);

	if (ret == 0)
		ret = crypto_random(id, sizeof(id));
	if (ret == 0)
		ret = put_hex(o, "id", id, sizeof(id));
	return ret < 0 ? ret : put_now(o, "created");
}

/* The document of the backup; its seal follows. */
static int fill(struct keyring *k, const struct unlock_secret *secret, json_object **out, struct fault *why)
{
	_cleanup_json_ json_object *doc = NULL;
	int ret = json_object_deep_copy(k->doc, &doc, NULL) < 0 ? -ENOMEM : 0;

	if (ret < 0)
		return ret;
	json_object_object_del(doc, "backups");
	ret = document_put_format(doc, DOCUMENT_BACKUP);
	if (ret == 0)
		ret = put_protection(k, doc, secret, why);
	if (ret == 0)
		ret = put_backup(doc);
	if (ret == 0)
		*out = json_object_get(doc);
	return ret;
}

static int seal(const struct keyring *k, json_object *doc, char **text, size_t *n)
{
	_cleanup_stack_key_ struct stack_key prk, key;
	struct wrapping root = {prk.b, k->settings.volume_id, NULL};
	struct sealed_text t = {0};
	int ret = keyring_root_prk(k, &prk);

	if (ret == 0)
		ret = wrapping_derive(&root, LABEL_BACKUP_MAC, key.b, sizeof(key.b));
	if (ret == 0)
		ret = seal_make(doc, SEAL_MAC_HASH, key.b, &t);
	*text = t.text;
	*n = t.size;
	return ret;
}

/* Who encrypts to a certificate has no private key to try it with: then that it is whole has to do, until it is verified. */
static int prove(const struct keyring *k, struct keyring *again, const struct unlock_secret *secret, struct fault *why)
{
	return secret->kind == SECRET_CERTIFICATE ? backup_unlock_volume(k, again, why)
						  : backup_unlock(again, secret, why);
}

int backup_make(struct keyring *k, const struct unlock_secret *secret, char **text, size_t *n, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *again = NULL;
	_cleanup_json_ json_object *doc = NULL;
	int ret;

	*text = NULL;
	if (!k->root)
		return fault_set(why, EXIT_FAILED, ENOKEY, "the keyring is locked");
	ret = approval_needed(k, "the keys leave the volume", why);
	if (ret == 0)
		ret = fill(k, secret, &doc, why);
	if (ret == 0)
		ret = seal(k, doc, text, n);
	if (ret == 0)
		ret = backup_read(*text, *n, &again, why);
	if (ret == 0)
		ret = prove(k, again, secret, why);
	if (ret == 0)
		ret = backup_note_made(k, again);
	if (ret < 0) {
		free(*text);
		*text = NULL;
		return fault_errno(why, EXIT_FAILED, ret, "cannot make the backup");
	}
	return 0;
}

static int accept(struct keyring *k, struct problem *p, struct fault *why)
{
	int ret = seal_check(&k->sealed, SEAL_MAC_HASH, p);

	if (ret == 0)
		ret = document_parse(k->sealed.text, k->sealed.document_size, &k->doc, p);
	return ret < 0 ? ret : keyring_load(k, p, why);
}

int backup_read(const char *text, size_t n, struct keyring **out, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = calloc(1, sizeof(*k));
	struct problem p = {0};
	int ret = -ENOMEM;

	*out = NULL;
	if (k) {
		k->kind = DOCUMENT_BACKUP;
		k->sealed.text = malloc(n + 1);
	}
	if (k && k->sealed.text) {
		memcpy(k->sealed.text, text, n);
		k->sealed.text[n] = '\0';
		k->sealed.size = n;
		ret = accept(k, &p, why);
	}
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG, "this is no backup of a keyring, or it is damaged: %s",
				 p.text);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot read the backup");
	*out = k;
	k = NULL;
	return 0;
}

int backup_unlock(struct keyring *backup, const struct unlock_secret *secret, struct fault *why)
{
	return keyring_unlock(backup, secret, why);
}

const char *backup_type(const struct keyring *backup)
{
	return backup->protectors[0].type;
}

void backup_created(const struct keyring *backup, char out[24])
{
	struct problem ignored = {0};
	json_object *o;

	out[0] = '\0';
	if (member_object(backup->doc, "backup", &o, &ignored) == 0 && member_time(o, "created", out, &ignored) < 0)
		out[0] = '\0';
}

int backup_unlock_volume(const struct keyring *backup, struct keyring *k, struct fault *why)
{
	_cleanup_secret_ struct secret *root = NULL;
	int ret;

	if (memcmp(backup->settings.volume_id, k->settings.volume_id, VOLUME_ID_SIZE) != 0)
		return fault_set(why, EXIT_REFUSED, EXDEV, "the backup is of another volume");
	if (memcmp(backup->fingerprint, k->fingerprint, FINGERPRINT_SIZE) != 0)
		return -EKEYREJECTED;
	root = secret_new(KEY_SIZE);
	if (!root)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot open the volume with the backup's root");
	memcpy(root->bytes, backup->root->bytes, KEY_SIZE);
	k->by_public_key = backup->by_public_key;
	ret = keyring_take_root(k, &root, why);
	return ret == -EKEYREJECTED ? -EBADMSG : ret;
}

int generation_same_key(const struct keyring *a, const struct generation *x, const struct keyring *b,
			const struct generation *y, bool *same)
{
	_cleanup_stack_key_ struct stack_key prk, key_x, key_y;
	struct wrapping root = {prk.b, a->settings.volume_id, NULL};
	int ret = keyring_root_prk(a, &prk);

	if (ret == 0)
		ret = wrapping_open(&root, LABEL_ROOT_WRAP, x->wrapped, key_x.b);
	if (ret == 0)
		ret = keyring_root_prk(b, &prk);
	if (ret == 0)
		ret = wrapping_open(&root, LABEL_ROOT_WRAP, y->wrapped, key_y.b);
	*same = ret == 0 && crypto_equal(key_x.b, key_y.b, KEY_SIZE);
	return ret;
}

int backup_missing(const struct keyring *backup, const struct keyring *k, uint32_t *out, uint32_t room,
		   struct fault *why)
{
	int missing = 0;

	for (uint32_t i = 0; i < k->generation_count; i++) {
		const struct generation *here = &k->generations[i], *there = generation_find(backup, here->number);
		bool same = false;
		int ret = 0;

		if (here->state == KEY_DESTROYED)
			continue;
		if (there && there->state != KEY_DESTROYED)
			ret = generation_same_key(k, here, backup, there, &same);
		if (ret < 0)
			return fault_errno(why, EXIT_FAILED, ret, "cannot compare the backup with the volume");
		if (!same && (uint32_t)missing < room)
			out[missing] = here->number;
		missing += !same;
	}
	return missing;
}

/* From a secret to the root, and from the root to trust in the keyring (docs/format-keyring.md sections 5 and 6). */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/protector.h"
#include "keymgr/service_use.h"
#include "util/base/kdf_labels.h"

static const char *name_of(const struct keyring *k)
{
	return k->kind == DOCUMENT_BACKUP ? "the backup" : ".coffer/" KEYRING_FILE;
}

int keyring_root_prk(const struct keyring *k, struct stack_key *prk)
{
	return kdf_extract(k->root->bytes, k->root->size, prk->b);
}

static int check_commitment(const struct keyring *k, const struct wrapping *root)
{
	uint8_t commitment[COMMITMENT_SIZE];
	int ret = wrapping_derive(root, LABEL_ROOT_COMMITMENT, commitment, sizeof(commitment));

	if (ret < 0)
		return ret;
	return crypto_equal(commitment, k->commitment, sizeof(commitment)) ? 0 : -EKEYREJECTED;
}

static int check_mac(const struct keyring *k, const struct wrapping *root)
{
	_cleanup_stack_key_ struct stack_key key;
	uint8_t mac[SHA256_SIZE];
	int ret;

	ret = wrapping_derive(root, k->kind == DOCUMENT_BACKUP ? LABEL_BACKUP_MAC : LABEL_KEYRING_MAC, key.b,
			      sizeof(key.b));
	if (ret == 0)
		ret = hmac_sha256(key.b, sizeof(key.b), k->sealed.text, k->sealed.document_size, mac);
	if (ret < 0)
		return ret;
	return crypto_equal(mac, k->sealed.mac, sizeof(mac)) ? 0 : -EBADMSG;
}

static int check_fingerprint(const struct keyring *k, const struct wrapping *root)
{
	uint8_t fingerprint[FINGERPRINT_SIZE];
	int ret = wrapping_derive(root, LABEL_ROOT_FINGERPRINT, fingerprint, sizeof(fingerprint));

	if (ret < 0)
		return ret;
	return memcmp(fingerprint, k->fingerprint, sizeof(fingerprint)) == 0 ? 0 : -EBADMSG;
}

/* Every key must unwrap now: later would be in the middle of somebody's work. */
static int check_keys(const struct keyring *k, const struct wrapping *root)
{
	_cleanup_stack_key_ struct stack_key key;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < VOLUME_KEYS; i++)
		ret = wrapping_open(root, LABEL_ROOT_WRAP, k->wrapped_keys[i], key.b);
	for (uint32_t i = 0; ret == 0 && i < k->generation_count; i++)
		if (k->generations[i].state != KEY_DESTROYED)
			ret = wrapping_open(root, LABEL_ROOT_WRAP, k->generations[i].wrapped, key.b);
	return ret < 0 ? ret : older_keys_check(k, root);
}

int keyring_take_root(struct keyring *k, struct secret **root, struct fault *why)
{
	_cleanup_stack_key_ struct stack_key prk;
	struct wrapping w = {prk.b, k->settings.volume_id, NULL};
	int ret;

	ret = kdf_extract((*root)->bytes, (*root)->size, prk.b);
	if (ret == 0)
		ret = check_commitment(k, &w);
	if (ret == -EKEYREJECTED)
		return fault_set(why, EXIT_DAMAGED, EKEYREJECTED,
				 "%s holds another root key than the one expected; put back the right keyring "
				 "from a backup",
				 name_of(k));
	if (ret == 0)
		ret = check_mac(k, &w);
	if (ret == 0)
		ret = check_fingerprint(k, &w);
	if (ret == 0)
		ret = check_keys(k, &w);
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 "%s was changed by somebody without its keys; put it back from a backup", name_of(k));
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot check %s", name_of(k));
	sealed_text_free(&k->sealed);
	k->root = secret_move(root);
	return 0;
}

/* Tries the protectors of one kind in turn.  -EKEYREJECTED, without a message, if none opens. */
static int try_kind(struct keyring *k, const struct unlock_secret *with, struct secret **root, struct fault *why)
{
	struct fault first_fault = {.status = EXIT_OK};
	int first = 0;

	for (uint32_t i = 0; i < k->protector_count; i++) {
		const struct protector *p = &k->protectors[i];
		int ret;

		if (!p->handler || p->handler->kind != with->kind)
			continue;
		ret = protector_open(p, with, k->settings.volume_id, root, why);
		if (ret == -EKEYREJECTED)
			continue;
		/* Another key of the service, another server, or another token, may be in reach. */
		if (ret < 0 && ret != -EBADMSG &&
		    (with->kind == SECRET_SERVICE || with->kind == SECRET_KMIP || ret == -ENODEV)) {
			if (!first)
				first_fault = *why;
			first = first ? first : ret;
			*why = (struct fault){.status = EXIT_OK};
			continue;
		}
		if (ret == -EBADMSG)
			return fault_set(why, EXIT_DAMAGED, EBADMSG,
					 "%s: the secret is right but the key it protects is damaged; put it "
					 "back from a backup",
					 name_of(k));
		if (ret < 0)
			return fault_errno(why, EXIT_FAILED, ret, "cannot try the %s", p->type);
		k->opened_by = p->id;
		k->by_public_key = p->handler->anyone_makes && !(with->service && with->service->vouched);
		return 0;
	}
	if (first)
		*why = first_fault;
	return first ? first : -EKEYREJECTED;
}

/* What is typed as a passphrase may be a recovery key: that costs nothing to try, so it comes first. */
static int find_root(struct keyring *k, const struct unlock_secret *with, struct secret **root, struct fault *why)
{
	_cleanup_secret_ struct secret *raw = NULL;
	struct unlock_secret recovery = {.kind = SECRET_RECOVERY_KEY};
	struct fault typo = {0};
	bool looks_like = false;
	int ret;

	if (with->kind != SECRET_PASSPHRASE && with->kind != SECRET_RECOVERY_KEY)
		return try_kind(k, with, root, why);
	ret = recovery_key_parse(with->bytes, &raw, &looks_like, &typo);
	if (ret == -ENOMEM)
		return fault_errno(why, EXIT_FAILED, ret, "cannot read the recovery key");
	recovery.bytes = raw;
	ret = ret == 0 ? try_kind(k, &recovery, root, why) : -EKEYREJECTED;
	if (ret == -EKEYREJECTED && with->kind == SECRET_PASSPHRASE)
		ret = try_kind(k, with, root, why);
	if (ret == -EKEYREJECTED && !raw && (looks_like || with->kind == SECRET_RECOVERY_KEY))
		return fault_set(why, EXIT_WRONG_SECRET, EKEYREJECTED, "%s", typo.text);
	return ret;
}

int keyring_unlock(struct keyring *k, const struct unlock_secret *with, struct fault *why)
{
	_cleanup_secret_ struct secret *root = NULL;
	int ret;

	ret = find_root(k, with, &root, why);
	if (ret == -EKEYREJECTED && k->kind == DOCUMENT_BACKUP)
		return fault_set(why, EXIT_WRONG_SECRET, EKEYREJECTED,
				 "that does not open the backup, which is protected by: %s", k->protectors[0].type);
	if (ret == -EKEYREJECTED)
		return fault_set(why, EXIT_WRONG_SECRET, EKEYREJECTED,
				 "%s; try again, or list the protectors with \"coffer key list\"",
				 with->kind == SECRET_IDENTITY  ? "the identity's certificate protects no root here"
				 : with->kind == SECRET_TPM     ? "nothing here is sealed by this TPM"
				 : with->kind == SECRET_PIN     ? "no key in a token opens this"
				 : with->kind == SECRET_SERVICE ? "no key of the key service protects this"
				 : with->kind == SECRET_KMIP    ? "no key of a KMIP server opens this"
								: "wrong passphrase, key file or recovery key");
	if (ret < 0)
		return ret;
	ret = keyring_take_root(k, &root, why);
	/* The secret was right, so this is no wrong secret, whoever put the other root there. */
	return ret == -EKEYREJECTED ? -EBADMSG : ret;
}

/* The chain of roots in a keyring (docs/format-keyring.md section 6): each root that was replaced, wrapped under the one that came after
 * it, and that one's fingerprint under a MAC of the replaced root.
 *
 * Whoever has the root of today opens the chain backwards; whoever remembers an earlier fingerprint learns that the two belong
 * together.  Nobody can make such a link without the earlier root. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"
#include "util/base/kdf_labels.h"

enum { ROOTS_MAX = AUDIT_SEGMENTS_MAX - 1 };

static int successor_mac(const struct wrapping *replaced, const uint8_t successor[FINGERPRINT_SIZE],
			 uint8_t mac[SHA256_SIZE])
{
	_cleanup_stack_key_ struct stack_key key;
	int ret = wrapping_derive(replaced, LABEL_ROOT_SUCCESSOR, key.b, sizeof(key.b));

	return ret < 0 ? ret : hmac_sha256(key.b, sizeof(key.b), successor, FINGERPRINT_SIZE, mac);
}

/* One link backwards: *root, whose fingerprint is `successor`, becomes the root that it replaced. */
static int step_back(json_object *link, const uint8_t *volume_id, uint8_t root[KEY_SIZE],
		     uint8_t successor[FINGERPRINT_SIZE])
{
	_cleanup_stack_key_ struct stack_key prk, before;
	struct wrapping w = {prk.b, volume_id, NULL};
	uint8_t wrapped[WRAPPED_SIZE], named[FINGERPRINT_SIZE], real[FINGERPRINT_SIZE], mac[SHA256_SIZE],
		expected[SHA256_SIZE];
	struct problem p = {0};
	int ret = member_bytes(link, "wrapped", wrapped, sizeof(wrapped), &p);

	if (ret == 0)
		ret = member_hex(link, "fingerprint", named, sizeof(named), &p);
	if (ret == 0)
		ret = member_hex(link, "mac", mac, sizeof(mac), &p);
	if (ret == 0)
		ret = kdf_extract(root, KEY_SIZE, prk.b);
	if (ret == 0)
		ret = wrapping_open(&w, LABEL_ROOT_CHAIN, wrapped, before.b);
	if (ret == 0)
		ret = kdf_extract(before.b, KEY_SIZE, prk.b);
	if (ret == 0)
		ret = wrapping_derive(&w, LABEL_ROOT_FINGERPRINT, real, sizeof(real));
	if (ret == 0)
		ret = successor_mac(&w, successor, expected);
	if (ret < 0)
		return ret;
	if (memcmp(real, named, sizeof(real)) != 0 || !crypto_equal(mac, expected, sizeof(mac)))
		return -EBADMSG;
	memcpy(root, before.b, KEY_SIZE);
	memcpy(successor, real, FINGERPRINT_SIZE);
	return 0;
}

int keyring_root_succeeds(const struct keyring *k, const uint8_t known[FINGERPRINT_SIZE])
{
	_cleanup_stack_key_ struct stack_key root;
	uint8_t fingerprint[FINGERPRINT_SIZE];
	struct problem p = {0};
	json_object *chain;
	int ret = 0;

	if (member_array(k->doc, "roots", 0, ROOTS_MAX, &chain, &p) < 0)
		return -ENOENT;
	memcpy(root.b, k->root->bytes, KEY_SIZE);
	memcpy(fingerprint, k->fingerprint, FINGERPRINT_SIZE);
	for (size_t i = json_object_array_length(chain); ret == 0 && i > 0; i--) {
		ret = step_back(json_object_array_get_idx(chain, i - 1), k->settings.volume_id, root.b, fingerprint);
		if (ret == 0 && memcmp(fingerprint, known, FINGERPRINT_SIZE) == 0)
			return 0;
	}
	return ret < 0 ? ret : -ENOENT;
}

int keyring_root_link(const struct secret *replaced, const struct secret *successor,
		      const uint8_t volume_id[VOLUME_ID_SIZE], json_object **out)
{
	_cleanup_stack_key_ struct stack_key old_prk, new_prk;
	struct wrapping old = {old_prk.b, volume_id, NULL}, new = {new_prk.b, volume_id, NULL};
	uint8_t wrapped[WRAPPED_SIZE], before[FINGERPRINT_SIZE], after[FINGERPRINT_SIZE], mac[SHA256_SIZE];
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? kdf_extract(replaced->bytes, KEY_SIZE, old_prk.b) : -ENOMEM;

	*out = NULL;
	if (ret == 0)
		ret = kdf_extract(successor->bytes, KEY_SIZE, new_prk.b);
	if (ret == 0)
		ret = wrapping_derive(&old, LABEL_ROOT_FINGERPRINT, before, sizeof(before));
	if (ret == 0)
		ret = wrapping_derive(&new, LABEL_ROOT_FINGERPRINT, after, sizeof(after));
	if (ret == 0)
		ret = wrapping_seal(&new, LABEL_ROOT_CHAIN, replaced->bytes, wrapped);
	if (ret == 0)
		ret = successor_mac(&old, after, mac);
	if (ret == 0)
		ret = put_hex(o, "fingerprint", before, sizeof(before));
	if (ret == 0)
		ret = put_bytes(o, "wrapped", wrapped, sizeof(wrapped));
	if (ret == 0)
		ret = put_hex(o, "mac", mac, sizeof(mac));
	if (ret == 0)
		*out = json_object_get(o);
	return ret;
}

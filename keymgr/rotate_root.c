/* A new root.
 *
 * 1. The audit line is written under the old audit key, before the keyring; the new key's first line is the next one.
 * 2. Everything that the old root wrapped is wrapped anew, nothing is left under it; the chain alone holds the old root, under the new.
 * 3. The keys of id records, journal and audit log are new ones, too; what is under the old ones of these is accepted as far as
 *    older_keys.c says.
 * 4. Generations keep their keys: who knew the old root still reads what is under them.  New data is under new ones. */
#include "keymgr/rotate_root.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/kmip.h"
#include "keymgr/protector.h"
#include "keymgr/service_use.h"
#include "util/base/encode.h"
#include "util/base/kdf_labels.h"

struct work {
	struct keyring *k;
	const struct unlock_secret *secrets;
	uint32_t count;
	uint32_t kept[PROTECTORS_MAX]; /* for each secret the index of the protector that it opens */
	struct secret *root;           /* the new one */
	struct stack_key old_prk, new_prk;
};

/* --- whose secrets are at hand */

/* A certificate that is given stays although nothing was opened by it: who gives it wants it to open the new root. */
static int is_of(const struct protector *p, const struct unlock_secret *s)
{
	_cleanup_secret_ struct secret *der = NULL;
	int ret;

	if (p->handler->made_of != SECRET_CERTIFICATE)
		return -EKEYREJECTED;
	ret = protector_certificate_of(p->json, &der);
	if (ret < 0)
		return ret;
	return der->size == s->bytes->size && memcmp(der->bytes, s->bytes->bytes, der->size) == 0 ? 0 : -EKEYREJECTED;
}

/* The bytes that open protectors of this type: behind the text of a recovery key its raw bytes. */
static int opens(const struct keyring *k, const struct protector *p, const struct unlock_secret *s, struct fault *why)
{
	_cleanup_secret_ struct secret *raw = NULL, *root = NULL;
	struct unlock_secret recovery = {.kind = SECRET_RECOVERY_KEY};
	struct fault ignored = {0};
	bool looks_like;

	if (!p->handler)
		return -EKEYREJECTED;
	if (s->kind == SECRET_CERTIFICATE)
		return is_of(p, s);
	if (p->handler->kind == SECRET_RECOVERY_KEY &&
	    (s->kind == SECRET_PASSPHRASE || s->kind == SECRET_RECOVERY_KEY)) {
		if (recovery_key_parse(s->bytes, &raw, &looks_like, &ignored) < 0)
			return -EKEYREJECTED;
		recovery.bytes = raw;
		return protector_open(p, &recovery, k->settings.volume_id, &root, why);
	}
	return p->handler->kind == s->kind ? protector_open(p, s, k->settings.volume_id, &root, why) : -EKEYREJECTED;
}

static int find_protector(struct work *w, uint32_t secret, struct fault *why)
{
	for (uint32_t i = 0; i < w->k->protector_count; i++) {
		int ret = opens(w->k, &w->k->protectors[i], &w->secrets[secret], why);

		/* Of several tokens not all are there. */
		if (ret == -ENODEV)
			*why = (struct fault){.status = EXIT_OK};
		if (ret == -EKEYREJECTED || ret == -ENODEV)
			continue;
		if (ret < 0)
			return fault_errno(why, EXIT_FAILED, ret, "cannot try a protector");
		w->kept[secret] = i;
		return 0;
	}
	return fault_set(why, EXIT_WRONG_SECRET, EKEYREJECTED,
			 "a secret that was given opens no protector of the volume; nothing was changed");
}

static bool is_kept(const struct work *w, uint32_t index)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (w->kept[i] == index)
			return true;
	return false;
}

static void name_dropped(const struct work *w, struct root_rotation *out)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(w->k, all);

	*out = (struct root_rotation){0};
	for (uint32_t i = 0; i < n; i++)
		if (is_kept(w, i))
			out->kept++;
		else
			out->dropped_protectors[out->dropped++] = all[i];
}

/* --- the new document */

/* The certificate of a protector may be another one by now than that of its private key: who knew the old root could put his own
 * there, so that the new root would be wrapped for him. */
static int check_identity(const struct work *w, const struct protector *p, const struct unlock_secret *identity,
			  json_object *new, struct fault *why)
{
	_cleanup_stack_key_ struct stack_key ignored;
	int ret = p->handler->open(new, identity, &(struct protected){w->k->settings.volume_id, NULL}, ignored.b, why);

	if (ret == -EKEYREJECTED)
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "the certificate of protector %" PRIu32
				 " is not the identity's: somebody has exchanged it; remove that protector first",
				 p->id);
	return ret;
}

/* The same protector, around the new root. */
static int renew(struct work *w, const struct protector *p, const struct unlock_secret *with, json_object **out,
		 struct fault *why)
{
	_cleanup_secret_ struct secret *certificate = NULL;
	_cleanup_(service_use_free) struct service_use *service = NULL;
	_cleanup_(kmip_use_free) struct kmip_use *kmip = NULL;
	struct unlock_secret s = *with;
	bool has_pin = true;
	int ret = 0;

	s.kind = p->handler->made_of;
	if (with->kind == SECRET_IDENTITY) {
		ret = protector_certificate_of(p->json, &certificate);
		s.bytes = certificate;
	}
	if (with->kind == SECRET_TPM && protector_tpm2_of(p->json, &s.tpm_pcrs, &has_pin) && !has_pin)
		s.passphrase = NULL;
	if (with->kind == SECRET_PIN)
		s.token_uri = protector_token_uri(p->json);
	if (with->kind == SECRET_SERVICE) {
		ret = service_use_renew(w->k, p->id, with->service, &service, why);
		s.service = service;
	}
	if (with->kind == SECRET_KMIP) {
		ret = kmip_use_renew(w->k, p->id, with->kmip, &kmip, why);
		s.kmip = kmip;
	}
	if (ret == 0)
		ret = protector_make(&s, p->id, w->k->settings.volume_id, w->root, out, why);
	if (ret == 0 && with->kind == SECRET_IDENTITY) {
		ret = check_identity(w, p, with, *out, why);
		if (ret < 0)
			json_object_put(*out);
	}
	return ret;
}

static int put_protectors(struct work *w, struct fault *why)
{
	json_object *array = json_object_new_array(), *o;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < w->k->protector_count; i++) {
		const struct protector *p = &w->k->protectors[i];
		uint32_t with = 0;

		if (!is_kept(w, i))
			continue;
		while (w->kept[with] != i)
			with++;
		ret = renew(w, p, &w->secrets[with], &o, why);
		if (ret == 0)
			ret = put_element(array, o);
	}
	if (ret < 0) {
		json_object_put(array);
		return ret;
	}
	return put_value(w->k->doc, "protectors", array);
}

/* The member "wrapped" or another of this name, from the old root's wrapping to the new one's. */
static int rewrap(struct work *w, json_object *o, const char *name)
{
	_cleanup_stack_key_ struct stack_key key;
	struct wrapping old = {w->old_prk.b, w->k->settings.volume_id, NULL},
			new = {w->new_prk.b, w->k->settings.volume_id, NULL};
	uint8_t wrapped[WRAPPED_SIZE];
	struct problem p = {0};
	int ret = member_bytes(o, name, wrapped, sizeof(wrapped), &p);

	if (ret == 0)
		ret = wrapping_open(&old, LABEL_ROOT_WRAP, wrapped, key.b);
	if (ret == 0)
		ret = wrapping_seal(&new, LABEL_ROOT_WRAP, key.b, wrapped);
	return ret < 0 ? ret : put_bytes(o, name, wrapped, sizeof(wrapped));
}

static int rewrap_all(struct work *w, json_object *array)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < json_object_array_length(array); i++) {
		json_object *o = json_object_array_get_idx(array, i);

		if (json_object_object_get_ex(o, "wrapped", NULL))
			ret = rewrap(w, o, "wrapped");
	}
	return ret;
}

static int put_new_key(struct work *w, json_object *keys, const char *name)
{
	_cleanup_stack_key_ struct stack_key key;
	struct wrapping new = {w->new_prk.b, w->k->settings.volume_id, NULL};
	uint8_t wrapped[WRAPPED_SIZE];
	int ret = crypto_random(key.b, sizeof(key.b));

	if (ret == 0)
		ret = wrapping_seal(&new, LABEL_ROOT_WRAP, key.b, wrapped);
	return ret < 0 ? ret : put_bytes(keys, name, wrapped, sizeof(wrapped));
}

/* All id records are of generations below the new active one, as nobody has the volume mounted. */
static int renew_directory(struct work *w, json_object *keys)
{
	json_object *older = NULL, *o;
	int ret = 0;

	older_keys_drop(w->k);
	if (!json_object_object_get_ex(keys, "directory_older", &older)) {
		older = json_object_new_array();
		ret = put_value(keys, "directory_older", older);
	}
	if (ret < 0)
		return ret;
	o = json_object_new_object();
	ret = put_element(older, o);
	if (ret == 0)
		ret = put_number(o, "until", w->k->active[SCOPE_DEFAULT]);
	if (ret == 0)
		ret = put_bytes(o, "wrapped", w->k->wrapped_keys[VOLUME_KEY_DIRECTORY], WRAPPED_SIZE);
	return ret < 0 ? ret : rewrap_all(w, older);
}

static int renew_journal(struct work *w, json_object *keys)
{
	int ret = put_bytes(keys, "journal_before", w->k->wrapped_keys[VOLUME_KEY_JOURNAL], WRAPPED_SIZE);

	return ret < 0 ? ret : rewrap(w, keys, "journal_before");
}

/* What a keyring that stands alone has of these nothing is under. */
static int renew_keys(struct work *w, json_object *keys)
{
	bool alone = keyring_stands_alone(w->k);
	int ret = alone ? 0 : renew_directory(w, keys);

	if (ret == 0 && !alone)
		ret = renew_journal(w, keys);
	if (ret == 0)
		ret = put_new_key(w, keys, volume_key_names[VOLUME_KEY_DIRECTORY]);
	return ret < 0 ? ret : put_new_key(w, keys, volume_key_names[VOLUME_KEY_JOURNAL]);
}

/* The old audit key joins the older ones, the log goes on under a new one. */
static int renew_audit(struct work *w, json_object *keys)
{
	json_object *audit, *older = NULL, *o = json_object_new_object();
	struct problem p = {0};
	int ret = member_object(w->k->doc, "audit", &audit, &p);

	if (ret == 0 && !json_object_object_get_ex(audit, "older", &older)) {
		older = json_object_new_array();
		ret = put_value(audit, "older", older);
	}
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	ret = put_element(older, o);
	if (ret == 0)
		ret = put_number(o, "last", w->k->audit.n);
	if (ret == 0)
		ret = put_bytes(o, "wrapped", w->k->wrapped_keys[VOLUME_KEY_AUDIT], WRAPPED_SIZE);
	if (ret == 0)
		ret = rewrap_all(w, older);
	return ret < 0 ? ret : put_new_key(w, keys, volume_key_names[VOLUME_KEY_AUDIT]);
}

static int put_root(struct work *w)
{
	struct wrapping new = {w->new_prk.b, w->k->settings.volume_id, NULL};
	uint8_t fingerprint[FINGERPRINT_SIZE], commitment[COMMITMENT_SIZE];
	struct problem p = {0};
	json_object *o, *chain = NULL, *link = NULL;
	int ret = member_object(w->k->doc, "root", &o, &p);

	if (ret == 0)
		ret = wrapping_derive(&new, LABEL_ROOT_FINGERPRINT, fingerprint, sizeof(fingerprint));
	if (ret == 0)
		ret = wrapping_derive(&new, LABEL_ROOT_COMMITMENT, commitment, sizeof(commitment));
	if (ret == 0)
		ret = put_hex(o, "fingerprint", fingerprint, sizeof(fingerprint));
	if (ret == 0)
		ret = put_bytes(o, "commitment", commitment, sizeof(commitment));
	if (ret == 0 && !json_object_object_get_ex(w->k->doc, "roots", &chain)) {
		chain = json_object_new_array();
		ret = put_value(w->k->doc, "roots", chain);
	}
	if (ret == 0)
		ret = keyring_root_link(w->k->root, w->root, w->k->settings.volume_id, &link);
	return ret < 0 ? ret : put_element(chain, link);
}

static int put_everything(struct work *w, struct fault *why)
{
	struct problem p = {0};
	json_object *keys, *array;
	int ret = put_protectors(w, why);

	if (ret == 0)
		ret = member_array(w->k->doc, "generations", 1, GENERATIONS_MAX, &array, &p);
	if (ret == 0)
		ret = rewrap_all(w, array);
	if (ret == 0)
		ret = member_object(w->k->doc, "keys", &keys, &p);
	if (ret == 0)
		ret = renew_keys(w, keys);
	if (ret == 0)
		ret = renew_audit(w, keys);
	return ret < 0 ? ret : put_root(w);
}

/* --- in order */

static int note(struct work *w)
{
	struct wrapping new = {w->new_prk.b, w->k->settings.volume_id, NULL};
	uint8_t fingerprint[FINGERPRINT_SIZE];
	json_object *o;
	int ret = keyring_note(w->k, "root", &o);

	if (ret == 0)
		ret = wrapping_derive(&new, LABEL_ROOT_FINGERPRINT, fingerprint, sizeof(fingerprint));
	if (ret == 0)
		ret = put_hex(o, "from", w->k->fingerprint, FINGERPRINT_SIZE);
	return ret < 0 ? ret : put_hex(o, "to", fingerprint, FINGERPRINT_SIZE);
}

static int new_root(struct work *w)
{
	int ret;

	w->root = secret_new(KEY_SIZE);
	ret = w->root ? crypto_random(w->root->bytes, KEY_SIZE) : -ENOMEM;
	if (ret == 0)
		ret = kdf_extract(w->root->bytes, KEY_SIZE, w->new_prk.b);
	return ret < 0 ? ret : keyring_root_prk(w->k, &w->old_prk);
}

static int rotate_scopes(struct keyring *k, struct fault *why)
{
	uint32_t generation;
	int ret = 0;

	for (uint32_t scope = 0; ret == 0 && scope < k->scope_count; scope++)
		ret = keyring_rotate(k, scope, &generation, why);
	return ret;
}

static int run(struct work *w, struct store *s, int dot, struct root_rotation *out, struct fault *why)
{
	struct problem p = {0};
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < w->count; i++)
		ret = find_protector(w, i, why);
	if (ret < 0)
		return ret;
	name_dropped(w, out);
	ret = new_root(w);
	if (ret == 0)
		ret = note(w);
	if (ret == 0)
		ret = rotate_scopes(w->k, why);
	if (ret == 0)
		ret = keyring_record(s, dot, w->k, why);
	if (ret == 0)
		ret = put_everything(w, why);
	if (ret < 0)
		return ret;
	secret_free(&w->k->root);
	w->k->root = secret_move(&w->root);
	w->k->recorded = true;
	ret = keyring_load(w->k, &p, why);
	return ret == -EBADMSG ? fault_set(why, EXIT_FAILED, EBADMSG, "cannot make a new root: %s", p.text) : ret;
}

int keyring_rotate_root(struct store *s, int dot, struct keyring *k, const struct unlock_secret *secrets,
			uint32_t count, struct root_rotation *out, struct fault *why)
{
	struct work w = {.k = k, .secrets = secrets, .count = count};
	int ret;

	if (!k->root)
		return fault_set(why, EXIT_FAILED, ENOKEY, "the keyring is locked");
	if (count < 1 || count > PROTECTORS_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "1 to %d secrets may be given", PROTECTORS_MAX);
	if (k->has_journal_before)
		return fault_set(why, EXIT_REFUSED, EBUSY,
				 "the last new root was not brought to its end: mount the volume once first");
	if (k->old_audit_count == AUDIT_SEGMENTS_MAX - 1)
		return fault_set(why, EXIT_REFUSED, ENOSPC,
				 "the root of this volume was replaced %d times; make a new volume",
				 AUDIT_SEGMENTS_MAX - 1);
	ret = approval_needed(k, "the root is replaced, which cuts others off", why);
	if (ret == 0)
		ret = run(&w, s, dot, out, why);
	secret_free(&w.root);
	stack_key_wipe(&w.old_prk);
	stack_key_wipe(&w.new_prk);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot make a new root") : 0;
}

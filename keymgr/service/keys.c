/* The service's own keyring, and what is derived from it (keys.h). */
#include "keymgr/service/keys.h"

#include <string.h>

#include "keymgr/entry.h"
#include "keymgr/lone_keyring.h"
#include "keymgr/unlock_from.h"
#include "util/base/kdf_labels.h"

static void forget(struct service_keys *k)
{
	audit_keys_free(&k->audit);
	secret_free(&k->row);
	secret_free(&k->anchor);
	secret_free(&k->before.anchor);
	*k = (struct service_keys){.keys = k->keys};
}

void service_keys_free(struct service_keys *k)
{
	forget(k);
	if (k->keys)
		keys_unref(k->keys);
	*k = (struct service_keys){0};
}

static int derive_for(const struct service_keys *k, const char *label, const void *extra, size_t extra_size, void *out,
		      size_t n)
{
	int error;
	const struct generation_key *g = keys_for_open(k->keys, SCOPE_DEFAULT, k->generation, &error);

	return g ? keys_derive(k->keys, g, label, extra, extra_size, out, n) : error;
}

static int derive(const struct service_keys *k, const char *label, const char *row, void *out, size_t n)
{
	return derive_for(k, label, row, row ? strlen(row) : 0, out, n);
}

static int derive_secret(const struct service_keys *k, const char *label, struct secret **out)
{
	*out = secret_new(SHA256_SIZE);
	return *out ? derive(k, label, NULL, (*out)->bytes, SHA256_SIZE) : -ENOMEM;
}

int service_keys_of(const struct keyring *k, struct service_keys *out, struct fault *why)
{
	*out = (struct service_keys){.keys = keyring_keys(k)};
	return out->keys ? 0 : fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot derive the keys of the service");
}

int service_keys_at(struct service_keys *k, uint32_t generation)
{
	int ret;

	forget(k);
	k->generation = generation;
	k->audit.first[0] = 1;
	ret = derive_secret(k, LABEL_SERVICE_ROW, &k->row);
	if (ret == 0)
		ret = derive_secret(k, LABEL_SERVICE_ANCHOR, &k->anchor);
	if (ret == 0)
		ret = derive_secret(k, LABEL_SERVICE_AUDIT, &k->audit.key[0]);
	k->audit.count = k->audit.key[0] != NULL;
	if (ret < 0)
		forget(k);
	return ret;
}

int service_older_key(const struct service_keys *k, struct stack_key *out)
{
	return derive(k, LABEL_SERVICE_OLDER, NULL, out->b, sizeof(out->b));
}

int service_keys_make(const char *file, const struct unlock_secret *secret, struct service_keys *out,
		      char fingerprint[ROOT_TEXT], struct fault *why)
{
	const struct new_volume how = {.cipher = CIPHER_AES_256_GCM, .secrets = secret, .secret_count = 1};
	_cleanup_(keyring_free) struct keyring *k = NULL;
	int ret = lone_keyring_make(file, &how, &k, why);

	*out = (struct service_keys){0};
	if (ret < 0)
		return ret;
	keyring_enter_new(k);
	keyring_fingerprint(k, fingerprint);
	ret = service_keys_of(k, out, why);
	if (ret == 0)
		ret = service_keys_at(out, SERVICE_FIRST_GENERATION);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot derive the keys of the service") : 0;
}

int service_keys_open(const char *file, const struct unlock_source *from, const char *prompt, struct service_keys *out,
		      struct keyring **keep, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	const struct entry entry = {.trust = {from->accept_older, from->expect_root}};
	struct store *s;
	int dot, ret = lone_keyring_open(file, &s, &dot, why);

	*out = (struct service_keys){0};
	if (ret < 0)
		return ret;
	ret = keyring_read(s, dot, &k, why);
	if (ret == 0)
		ret = keyring_unlock_from(k, from, prompt, 1, NULL, why);
	if (ret == 0)
		ret = keyring_enter(s, dot, k, &entry, why);
	if (ret == 0)
		ret = service_keys_of(k, out, why);
	store_close(s, dot);
	s->ops->destroy(s);
	if (ret == 0 && keep) {
		*keep = k;
		k = NULL;
	}
	return ret;
}

/* --- keys and their versions */

int service_secret_make(const struct service_keys *k, const char *row, uint8_t wrapped[WRAPPED_SIZE])
{
	_cleanup_stack_key_ struct stack_key kek, secret;
	int ret = derive(k, LABEL_SERVICE_KEY, row, kek.b, sizeof(kek.b));

	if (ret == 0)
		ret = crypto_random(secret.b, sizeof(secret.b));
	return ret == 0 ? key_wrap(kek.b, secret.b, sizeof(secret.b), wrapped) : ret;
}

/* What wraps a version. */
static int version_kek(const struct service_keys *k, const struct service_secret *of, const char *row,
		       struct stack_key *out)
{
	_cleanup_stack_key_ struct stack_key kek, secret, prk;
	int ret = derive(k, LABEL_SERVICE_KEY, of->row, kek.b, sizeof(kek.b));

	if (ret == 0)
		ret = key_unwrap(kek.b, of->wrapped, WRAPPED_SIZE, secret.b);
	if (ret == 0)
		ret = kdf_extract(secret.b, sizeof(secret.b), prk.b);
	return ret == 0 ? kdf_expand(prk.b, LABEL_SERVICE_VERSION, k->keys->volume_id, "", row, strlen(row), out->b,
				     sizeof(out->b))
			: ret;
}

int service_version_make(const struct service_keys *k, const struct service_secret *of, const char *row,
			 uint8_t wrapped[WRAPPED_SIZE])
{
	_cleanup_stack_key_ struct stack_key kek, key;
	int ret = version_kek(k, of, row, &kek);

	if (ret == 0)
		ret = crypto_random(key.b, sizeof(key.b));
	return ret == 0 ? key_wrap(kek.b, key.b, sizeof(key.b), wrapped) : ret;
}

int service_version_move(const struct service_keys *from, const struct service_secret *of,
			 const struct service_keys *to, const struct service_secret *to_of, const char *row,
			 uint8_t wrapped[WRAPPED_SIZE])
{
	_cleanup_stack_key_ struct stack_key kek, key;
	int ret = version_kek(from, of, row, &kek);

	if (ret == 0)
		ret = key_unwrap(kek.b, wrapped, WRAPPED_SIZE, key.b);
	if (ret == 0)
		ret = version_kek(to, to_of, row, &kek);
	return ret == 0 ? key_wrap(kek.b, key.b, sizeof(key.b), wrapped) : ret;
}

int service_version_open(const struct service_keys *k, const struct service_secret *of, const char *row,
			 const uint8_t wrapped[WRAPPED_SIZE], uint8_t out[AEAD_KEY])
{
	_cleanup_stack_key_ struct stack_key kek, key, prk;
	int ret = version_kek(k, of, row, &kek);

	if (ret == 0)
		ret = key_unwrap(kek.b, wrapped, WRAPPED_SIZE, key.b);
	if (ret == 0)
		ret = kdf_extract(key.b, sizeof(key.b), prk.b);
	if (ret == 0)
		ret = kdf_expand(prk.b, LABEL_SERVICE_WRAP, k->keys->volume_id, cipher_name(CIPHER_AES_256_GCM), row,
				 strlen(row), out, AEAD_KEY);
	if (ret < 0)
		wipe(out, AEAD_KEY);
	return ret;
}

/* --- backups */

int service_backup_key(const struct service_keys *k, const uint8_t head[SHA256_SIZE], uint8_t out[AEAD_KEY])
{
	return derive_for(k, LABEL_SERVICE_BACKUP, head, SHA256_SIZE, out, AEAD_KEY);
}

/* --- private keys of certificates */

int service_gcm_seal(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size,
		     const void *in, size_t n, void *out, uint8_t tag[AEAD_TAG])
{
	_cleanup_(aead_free) struct aead *a = NULL;
	int ret = aead_new(CIPHER_AES_256_GCM, &a);

	if (ret == 0)
		ret = aead_set_key(a, key);
	return ret == 0 ? aead_seal(a, nonce, ad, ad_size, in, n, out, tag) : ret;
}

int service_gcm_open(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_size,
		     const void *in, size_t n, void *out, const uint8_t tag[AEAD_TAG])
{
	_cleanup_(aead_free) struct aead *a = NULL;
	int ret = aead_new(CIPHER_AES_256_GCM, &a);

	if (ret == 0)
		ret = aead_set_key(a, key);
	return ret == 0 ? aead_open(a, nonce, ad, ad_size, in, n, out, tag) : ret;
}

int service_private_seal(const struct service_keys *k, const char *row, const struct secret *in, uint8_t *out)
{
	_cleanup_stack_key_ struct stack_key key;
	int ret = derive(k, LABEL_SERVICE_PRIVATE, row, key.b, sizeof(key.b));

	if (ret == 0)
		ret = crypto_random(out, AEAD_NONCE);
	return ret == 0 ? service_gcm_seal(key.b, out, row, strlen(row), in->bytes, in->size, out + SERVICE_SEALED_MORE,
					   out + AEAD_NONCE)
			: ret;
}

int service_private_open(const struct service_keys *k, const char *row, const uint8_t *in, size_t n,
			 struct secret **out)
{
	_cleanup_stack_key_ struct stack_key key;
	_cleanup_secret_ struct secret *s = n > SERVICE_SEALED_MORE ? secret_new(n - SERVICE_SEALED_MORE) : NULL;
	int ret = n > SERVICE_SEALED_MORE ? 0 : -EBADMSG;

	*out = NULL;
	if (ret == 0)
		ret = s ? derive(k, LABEL_SERVICE_PRIVATE, row, key.b, sizeof(key.b)) : -ENOMEM;
	if (ret == 0)
		ret = service_gcm_open(key.b, in, row, strlen(row), in + SERVICE_SEALED_MORE, n - SERVICE_SEALED_MORE,
				       s->bytes, in + AEAD_NONCE);
	if (ret == 0)
		*out = secret_move(&s);
	return ret;
}

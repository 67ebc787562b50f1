/* What a keyring tells. */
#include "keymgr/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/protector.h"
#include "util/base/encode.h"
#include "util/base/kdf_labels.h"

_Static_assert(sizeof(((struct protector_info *)0)->type) == TYPE_MAX + 1, "protector types fit");

void keyring_free(struct keyring **k)
{
	if (!*k)
		return;
	secret_free(&(*k)->root);
	json_object_put((*k)->doc);
	json_object_put((*k)->notes);
	sealed_text_free(&(*k)->sealed);
	free((*k)->generations);
	free(*k);
	*k = NULL;
}

const struct settings *keyring_settings(const struct keyring *k)
{
	return &k->settings;
}

bool keyring_read_only(const struct keyring *k)
{
	return k->read_only;
}

const uint8_t *keyring_root_directory(const struct keyring *k)
{
	return k->root_directory;
}

void keyring_fingerprint(const struct keyring *k, char out[2 * FINGERPRINT_SIZE + 8])
{
	char hex[2 * FINGERPRINT_SIZE + 1];

	hex_encode(k->fingerprint, FINGERPRINT_SIZE, hex);
	snprintf(out, 2 * FINGERPRINT_SIZE + 8, "%.8s %.8s %.8s %.8s", hex, hex + 8, hex + 16, hex + 24);
}

uint64_t keyring_sequence(const struct keyring *k)
{
	return k->sequence;
}

uint32_t keyring_opened_by(const struct keyring *k)
{
	return k->opened_by;
}

uint32_t keyring_protectors(const struct keyring *k, struct protector_info out[PROTECTORS_MAX])
{
	for (uint32_t i = 0; i < k->protector_count; i++) {
		const struct protector *p = &k->protectors[i];

		out[i] = (struct protector_info){.id = p->id};
		strcpy(out[i].type, p->type);
		strcpy(out[i].created, p->created);
		if (p->handler)
			p->handler->describe(p->json, out[i].detail, sizeof(out[i].detail));
		protector_expires(p->type, p->json, out[i].expires);
	}
	return k->protector_count;
}

uint32_t keyring_generations(const struct keyring *k, struct generation_info *out, uint32_t room)
{
	for (uint32_t i = 0; i < k->generation_count && i < room; i++) {
		const struct generation *g = &k->generations[i];

		out[i] = (struct generation_info){.number = g->number, .scope = g->scope, .state = g->state};
		strcpy(out[i].created, g->created);
		strcpy(out[i].since, g->since);
		strcpy(out[i].destroy_at, g->destroy_at);
	}
	return k->generation_count;
}

static int generation_key(const struct generation *g, const struct wrapping *root, struct generation_key *out)
{
	_cleanup_stack_key_ struct stack_key key;
	int ret;

	*out = (struct generation_key){.number = g->number, .scope = g->scope, .state = g->state};
	/* Who still needs it finds out while it can be brought back. */
	if (g->destroy_at[0])
		out->state = KEY_SUSPENDED;
	if (out->state == KEY_DESTROYED || out->state == KEY_SUSPENDED)
		return 0;
	out->prk = secret_new(SHA256_SIZE);
	if (!out->prk)
		return -ENOMEM;
	ret = wrapping_open(root, LABEL_ROOT_WRAP, g->wrapped, key.b);
	return ret < 0 ? ret : kdf_extract(key.b, sizeof(key.b), out->prk->bytes);
}

static int fill_keys(const struct keyring *k, struct keys *out)
{
	_cleanup_stack_key_ struct stack_key prk, journal;
	struct wrapping root = {prk.b, k->settings.volume_id, NULL};
	int ret;

	memcpy(out->volume_id, k->settings.volume_id, VOLUME_ID_SIZE);
	memcpy(out->floor, k->floor, sizeof(out->floor));
	memcpy(out->active, k->active, sizeof(out->active));
	out->scope_count = k->scope_count;
	out->cipher = k->settings.cipher;
	out->directory_key = secret_new(KEY_SIZE);
	out->journal_prk = secret_new(SHA256_SIZE);
	out->generations = calloc(k->generation_count, sizeof(*out->generations));
	out->zones = calloc(k->zone_count + 1, sizeof(*out->zones));
	if (!out->directory_key || !out->journal_prk || !out->generations || !out->zones)
		return -ENOMEM;
	memcpy(out->zones, k->zones, k->zone_count * sizeof(*out->zones));
	out->zone_count = k->zone_count;
	ret = keyring_root_prk(k, &prk);
	if (ret == 0)
		ret = wrapping_open(&root, LABEL_ROOT_WRAP, k->wrapped_keys[VOLUME_KEY_DIRECTORY],
				    out->directory_key->bytes);
	if (ret == 0)
		ret = wrapping_open(&root, LABEL_ROOT_WRAP, k->wrapped_keys[VOLUME_KEY_JOURNAL], journal.b);
	if (ret == 0)
		ret = kdf_extract(journal.b, sizeof(journal.b), out->journal_prk->bytes);
	if (ret == 0)
		ret = older_keys_fill(k, &root, out);
	for (uint32_t i = 0; ret == 0 && i < k->generation_count; i++) {
		out->count = i + 1;
		ret = generation_key(&k->generations[i], &root, &out->generations[i]);
	}
	return ret;
}

struct keys *keyring_keys(const struct keyring *k)
{
	struct keys *keys = k->root ? calloc(1, sizeof(*keys)) : NULL;

	if (!keys)
		return NULL;
	keys->refs = 1;
	if (fill_keys(k, keys) < 0) {
		keys_unref(keys);
		return NULL;
	}
	return keys;
}

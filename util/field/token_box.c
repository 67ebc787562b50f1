/* The keys behind tokens: derived once, kept in handles. */
#include <errno.h>
#include <string.h>

#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/base/kdf_labels.h"
#include "util/field/token_internal.h"

#define PUBLIC_KEY_PREFIX "coffer-field-public-key1."
enum { PUBLIC_KEY_BYTES = VOLUME_ID_SIZE + 4 + SEALED_PUBLIC_KEY + 4 };

void token_box_free(struct token_box **b)
{
	if (!*b)
		return;
	for (size_t i = 0; i < KEY_SLOTS; i++)
		siv_free(&(*b)->slots[i].siv);
	siv_free(&(*b)->once);
	keys_unref((*b)->keys);
	free((*b)->mount);
	if ((*b)->remote)
		close((*b)->remote - 1);
	free((*b)->domains);
	buffer_free(&(*b)->ad);
	buffer_free(&(*b)->bytes);
	buffer_free(&(*b)->padded);
	wipe(*b, sizeof(**b));
	free(*b);
	*b = NULL;
}

int token_box_new(struct keys *keys, const struct field_domain *domains, size_t count, struct token_box **out)
{
	_cleanup_(token_box_free) struct token_box *b = calloc(1, sizeof(*b));

	*out = NULL;
	if (!b)
		return -ENOMEM;
	if (count) {
		b->domains = calloc(count, sizeof(*domains));
		if (!b->domains)
			return -ENOMEM;
		memcpy(b->domains, domains, count * sizeof(*domains));
		b->domain_count = count;
	}
	b->keys = keys_ref(keys);
	memcpy(b->keyring_id, keys->volume_id, VOLUME_ID_SIZE);
	*out = b;
	b = NULL;
	return 0;
}

int box_active(struct token_box *b, uint32_t *generation)
{
	const struct generation_key *g = b->keys ? keys_active(b->keys, SCOPE_FIELDS) : NULL;

	if (!g)
		return -ENOKEY;
	*generation = g->number;
	return 0;
}

static int generation_for(const struct token_box *b, uint32_t number, const struct generation_key **out)
{
	int error = -ENOKEY;

	*out = b->keys ? keys_for_open(b->keys, SCOPE_FIELDS, number, &error) : NULL;
	if (*out)
		return 0;
	return error == -EBADMSG ? -ESTALE : error;
}

static struct key_slot *find_slot(struct token_box *b, uint32_t generation, const char *label, const char *domain)
{
	for (size_t i = 0; i < KEY_SLOTS; i++) {
		struct key_slot *s = &b->slots[i];

		if (s->siv && s->generation == generation && strcmp(s->label, label) == 0 &&
		    strcmp(s->domain, domain) == 0)
			return s;
	}
	return NULL;
}

static struct key_slot *oldest_slot(struct token_box *b)
{
	struct key_slot *s = &b->slots[0];

	for (size_t i = 1; i < KEY_SLOTS; i++)
		if (b->slots[i].used < s->used)
			s = &b->slots[i];
	return s;
}

static int fill_slot(struct token_box *b, struct key_slot *s, uint32_t generation, const char *label,
		     const char *domain)
{
	const struct generation_key *g;
	uint8_t key[SIV_KEY];
	int ret = generation_for(b, generation, &g);

	siv_free(&s->siv);
	if (ret == 0)
		ret = siv_new(&s->siv);
	if (ret == 0)
		ret = keys_derive(b->keys, g, label, *domain ? domain : NULL, strlen(domain), key, sizeof(key));
	if (ret == 0)
		ret = siv_set_key(s->siv, key);
	wipe(key, sizeof(key));
	if (ret < 0) {
		siv_free(&s->siv);
		return ret;
	}
	s->generation = generation;
	s->label = label;
	strcpy(s->domain, domain);
	return 0;
}

int box_siv(struct token_box *b, uint32_t generation, const char *label, const char *domain, struct siv **out)
{
	struct key_slot *s = find_slot(b, generation, label, domain ? domain : "");

	if (!s) {
		s = oldest_slot(b);
		int ret = fill_slot(b, s, generation, label, domain ? domain : "");
		if (ret < 0)
			return ret;
	}
	s->used = ++b->clock;
	*out = s->siv;
	return 0;
}

int box_random(struct token_box *b, uint8_t *out, size_t n)
{
	int ret = 0;

	if (b->fixed) {
		memcpy(out, b->fixed, n);
		return 0;
	}
	if (b->pool_left < n) {
		ret = crypto_random(b->pool, sizeof(b->pool));
		b->pool_left = ret == 0 ? sizeof(b->pool) : 0;
	}
	if (ret < 0)
		return ret;
	b->pool_left -= n;
	memcpy(out, b->pool + b->pool_left, n);
	wipe(b->pool + b->pool_left, n);
	return 0;
}

void token_box_fix_random(struct token_box *b, const uint8_t bytes[32])
{
	b->fixed = bytes;
}

/* ------------------------------------------------------------------ domains */

const struct field_domain *box_domain(const struct token_box *b, const char *name)
{
	for (size_t i = 0; i < b->domain_count; i++)
		if (strcmp(b->domains[i].name, name) == 0)
			return &b->domains[i];
	return NULL;
}

const char *token_domain(const struct token_box *b, const struct token_info *info)
{
	uint8_t id[4];

	for (size_t i = 0; i < b->domain_count; i++)
		if (token_domain_id(b->domains[i].name, id) == 0 && memcmp(id, info->domain, 4) == 0)
			return b->domains[i].name;
	return NULL;
}

bool token_is_of(const struct token_box *b, const struct token_info *info)
{
	return memcmp(info->keyring, b->keyring_id, sizeof(info->keyring)) == 0;
}

bool token_is_current(const struct token_box *b, const struct token_info *info, const struct token_how *how)
{
	const struct field_domain *d;
	uint8_t id[4];

	if (!token_is_of(b, info) || info->mode != how->mode || (!b->keys && !b->remote && !b->mount))
		return false;
	if (info->mode != TOKEN_DETERMINISTIC)
		return info->generation == (b->keys ? b->keys->active[SCOPE_FIELDS] : b->remote_active);
	d = how->domain ? box_domain(b, how->domain) : NULL;
	return d && token_domain_id(d->name, id) == 0 && memcmp(id, info->domain, 4) == 0 &&
	       info->generation == d->generation;
}

/* ------------------------------------------------------------------ sealed tokens */

static int private_key(const struct token_box *b, uint32_t generation, uint8_t out[32])
{
	const struct generation_key *g;
	int ret = generation_for(b, generation, &g);

	return ret < 0 ? ret : keys_derive(b->keys, g, LABEL_FIELD_SEALED_KEY, NULL, 0, out, 32);
}

/* The key of one token, in b->once. */
static int agree(struct token_box *b, const uint8_t secret[32], const uint8_t other[32], const uint8_t token_key[32],
		 const uint8_t recipient[32], struct siv **out)
{
	uint8_t shared[32], prk[SHA256_SIZE], key[SIV_KEY], extra[2 * SEALED_PUBLIC_KEY];
	int ret = x25519(secret, other, shared);

	memcpy(extra, token_key, SEALED_PUBLIC_KEY);
	memcpy(extra + SEALED_PUBLIC_KEY, recipient, SEALED_PUBLIC_KEY);
	if (ret == 0)
		ret = kdf_extract(shared, sizeof(shared), prk);
	if (ret == 0)
		ret = kdf_expand(prk, LABEL_FIELD_SEALED, b->keyring_id, "", extra, sizeof(extra), key, sizeof(key));
	if (ret == 0 && !b->once)
		ret = siv_new(&b->once);
	if (ret == 0)
		ret = siv_set_key(b->once, key);
	wipe(shared, sizeof(shared));
	wipe(prk, sizeof(prk));
	wipe(key, sizeof(key));
	*out = b->once;
	return ret;
}

static int recipient_of(struct token_box *b, uint32_t *generation, uint8_t out[SEALED_PUBLIC_KEY])
{
	uint8_t secret[32];
	int ret;

	if (!b->keys) {
		*generation = b->sealing_generation;
		memcpy(out, b->sealing_key, SEALED_PUBLIC_KEY);
		return 0;
	}
	ret = box_active(b, generation);
	if (ret == 0)
		ret = private_key(b, *generation, secret);
	if (ret == 0)
		ret = x25519(secret, NULL, out);
	wipe(secret, sizeof(secret));
	return ret;
}

int box_seal_to(struct token_box *b, uint8_t public_key[SEALED_PUBLIC_KEY], uint32_t *generation, struct siv **out)
{
	uint8_t secret[32], recipient[SEALED_PUBLIC_KEY];
	int ret = recipient_of(b, generation, recipient);

	if (ret == 0)
		ret = box_random(b, secret, sizeof(secret));
	if (ret == 0)
		ret = x25519(secret, NULL, public_key);
	if (ret == 0)
		ret = agree(b, secret, recipient, public_key, recipient, out);
	wipe(secret, sizeof(secret));
	return ret;
}

int box_open_from(struct token_box *b, uint32_t generation, const uint8_t public_key[SEALED_PUBLIC_KEY],
		  struct siv **out)
{
	uint8_t secret[32], recipient[SEALED_PUBLIC_KEY];
	int ret = private_key(b, generation, secret);

	if (ret == 0)
		ret = x25519(secret, NULL, recipient);
	if (ret == 0)
		ret = agree(b, secret, public_key, public_key, recipient, out);
	wipe(secret, sizeof(secret));
	return ret;
}

int token_public_key(struct token_box *b, struct buffer *out)
{
	uint8_t bytes[PUBLIC_KEY_BYTES], hash[SHA256_SIZE];
	char text[2 * PUBLIC_KEY_BYTES];
	uint32_t generation = 0;
	int ret;

	if (b->remote)
		return remote_public_key(b, out);
	memcpy(bytes, b->keyring_id, VOLUME_ID_SIZE);
	ret = recipient_of(b, &generation, bytes + VOLUME_ID_SIZE + 4);
	put_le32(bytes + VOLUME_ID_SIZE, generation);
	if (ret == 0)
		ret = sha256(bytes, PUBLIC_KEY_BYTES - 4, hash);
	if (ret < 0)
		return ret;
	memcpy(bytes + PUBLIC_KEY_BYTES - 4, hash, 4);
	base64url_encode(bytes, sizeof(bytes), text);
	ret = buffer_text(out, PUBLIC_KEY_PREFIX);
	return ret < 0 ? ret : buffer_text(out, text);
}

int token_box_sealing(const char *public_key, size_t n, struct token_box **out)
{
	const size_t prefix = sizeof(PUBLIC_KEY_PREFIX) - 1;
	_cleanup_(token_box_free) struct token_box *b = NULL;
	uint8_t bytes[PUBLIC_KEY_BYTES], hash[SHA256_SIZE];
	int ret;

	*out = NULL;
	if (n < prefix || memcmp(public_key, PUBLIC_KEY_PREFIX, prefix) != 0)
		return -EINVAL;
	if (base64url_decode(public_key + prefix, n - prefix, bytes, sizeof(bytes)) != sizeof(bytes))
		return -EINVAL;
	ret = sha256(bytes, PUBLIC_KEY_BYTES - 4, hash);
	if (ret < 0)
		return ret;
	if (memcmp(hash, bytes + PUBLIC_KEY_BYTES - 4, 4) != 0)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	memcpy(b->keyring_id, bytes, VOLUME_ID_SIZE);
	b->sealing_generation = get_le32(bytes + VOLUME_ID_SIZE);
	memcpy(b->sealing_key, bytes + VOLUME_ID_SIZE + 4, SEALED_PUBLIC_KEY);
	if (!b->sealing_generation)
		return -EINVAL;
	*out = b;
	b = NULL;
	return 0;
}

/* Sealing and opening of tokens.
 *
 *   (1) What is sealed is always padded: 0x80, then zeros up to a multiple of 16.
 *   (2) A token is opened only under the binding that the caller names; nothing inside the token decides it.
 *   (3) The second part of a deterministic token may be missing only under BIND_NONE.
 *   (4) Every failure leaves *out as long as it was. */
#include "util/field/token.h"

#include <errno.h>
#include <string.h>

#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/base/kdf_labels.h"
#include "util/field/token_internal.h"

/* ------------------------------------------------------------------ padding and associated data */

static int add_padding(struct buffer *b, uint32_t pad)
{
	static const char zeros[TOKEN_PAD_MAX];
	int ret = buffer_byte(b, (char)0x80);

	if (ret == 0 && b->size % pad)
		ret = buffer_add(b, zeros, pad - b->size % pad);
	return ret;
}

/* Takes it off; -EBADMSG if there is none. */
static int drop_padding(struct buffer *b, size_t from)
{
	size_t n = b->size;

	while (n > from && b->bytes[n - 1] == 0)
		n--;
	if (n == from || (uint8_t)b->bytes[n - 1] != 0x80)
		return -EBADMSG;
	b->size = n - 1;
	return 0;
}

static int ad_head(const struct token_box *b, enum token_mode mode, uint32_t generation, struct buffer *ad)
{
	uint8_t head[2 + VOLUME_ID_SIZE + 4] = {TOKEN_VERSION, (uint8_t)mode};

	memcpy(head + 2, b->keyring_id, VOLUME_ID_SIZE);
	put_le32(head + 2 + VOLUME_ID_SIZE, generation);
	return buffer_add(ad, head, sizeof(head));
}

static int ad_name(struct buffer *ad, const char *name)
{
	uint8_t size[2];
	int ret;

	put_le16(size, (uint16_t)strlen(name));
	ret = buffer_add(ad, size, sizeof(size));
	return ret < 0 ? ret : buffer_text(ad, name);
}

/* Of random and sealed tokens, and the beginning of that of the second part of a deterministic one. */
static int ad_bound(const struct token_box *b, enum token_mode mode, uint32_t generation,
		    const struct token_binding *to, struct buffer *ad)
{
	int ret = ad_head(b, mode, generation, ad);

	if (ret == 0)
		ret = buffer_byte(ad, (char)to->bind);
	if (ret == 0)
		ret = ad_name(ad, to->context ? to->context : "");
	if (ret == 0 && to->bind != BIND_NONE)
		ret = buffer_add(ad, to->place, to->place_size);
	return ret;
}

/* ------------------------------------------------------------------ sealing */

/* SIV of the padded text, appended. */
static int seal_text(struct token_box *b, struct siv *siv, const struct buffer *ad, const uint8_t *nonce,
		     const char *text, size_t n, uint32_t pad, struct buffer *out)
{
	struct buffer *padded = box_scratch(&b->padded);
	int ret = buffer_add(padded, text, n);

	if (ret == 0)
		ret = add_padding(padded, pad);
	if (ret == 0)
		ret = buffer_reserve(out, SIV_TAG + padded->size);
	if (ret == 0)
		ret = siv_seal(siv, ad->bytes, ad->size, nonce, padded->bytes, padded->size,
			       (uint8_t *)out->bytes + out->size);
	if (ret == 0)
		out->size += SIV_TAG + padded->size;
	box_scratch(&b->padded); /* clear text goes at once */
	return ret;
}

static int put_encoded(const struct buffer *bytes, struct buffer *out)
{
	int ret = buffer_reserve(out, base64url_size(bytes->size) + 1);

	if (ret == 0)
		out->size += base64url_encode(bytes->bytes, bytes->size, out->bytes + out->size);
	return ret;
}

static int put_prefix(enum token_mode mode, struct buffer *out)
{
	const char prefix[] = TOKEN_PREFIX;
	int ret = buffer_add(out, prefix, PREFIX_SIZE - 2);

	if (ret == 0)
		ret = buffer_byte(out, (char)mode);
	return ret < 0 ? ret : buffer_byte(out, '.');
}

static int put_head(const struct token_box *b, uint32_t generation, struct buffer *out)
{
	uint8_t head[HEAD_COMMON];

	memcpy(head, b->keyring_id, 4);
	put_le32(head + 4, generation);
	return buffer_add(out, head, sizeof(head));
}

static int seal_random(struct token_box *b, uint32_t pad, const struct token_binding *to, const char *source, size_t n,
		       struct buffer *out)
{
	struct buffer *ad = box_scratch(&b->ad), *bytes = box_scratch(&b->bytes);
	uint8_t nonce[NONCE_SIZE];
	uint32_t generation;
	struct siv *siv;
	int ret;

	ret = box_active(b, &generation);
	if (ret == 0)
		ret = box_siv(b, generation, LABEL_FIELD_RANDOM, NULL, &siv);
	if (ret == 0)
		ret = box_random(b, nonce, sizeof(nonce));
	if (ret == 0)
		ret = ad_bound(b, TOKEN_RANDOM, generation, to, ad);
	if (ret == 0)
		ret = put_head(b, generation, bytes);
	if (ret == 0)
		ret = buffer_add(bytes, nonce, sizeof(nonce));
	if (ret == 0)
		ret = seal_text(b, siv, ad, nonce, source, n, pad, bytes);
	if (ret == 0)
		ret = put_prefix(TOKEN_RANDOM, out);
	return ret < 0 ? ret : put_encoded(bytes, out);
}

static int seal_sealed(struct token_box *b, uint32_t pad, const struct token_binding *to, const char *source, size_t n,
		       struct buffer *out)
{
	_cleanup_buffer_ struct buffer ad = {0}, bytes = {0};
	uint8_t public_key[SEALED_PUBLIC_KEY];
	uint32_t generation = 0;
	struct siv *siv;
	int ret;

	ret = box_seal_to(b, public_key, &generation, &siv);
	if (ret == 0)
		ret = ad_bound(b, TOKEN_SEALED, generation, to, &ad);
	if (ret == 0)
		ret = put_head(b, generation, &bytes);
	if (ret == 0)
		ret = buffer_add(&bytes, public_key, sizeof(public_key));
	if (ret == 0)
		ret = seal_text(b, siv, &ad, NULL, source, n, pad, &bytes);
	if (ret == 0)
		ret = put_prefix(TOKEN_SEALED, out);
	return ret < 0 ? ret : put_encoded(&bytes, out);
}

/* The second part: where the value came from, and how it was written.  Empty text stands for "as the value". */
static int seal_source(struct token_box *b, const struct field_domain *d, uint32_t pad, const struct token_binding *to,
		       const struct buffer *first, const char *source, size_t n, struct buffer *out)
{
	_cleanup_buffer_ struct buffer ad = {0}, bytes = {0};
	struct siv *siv;
	int ret;

	ret = box_siv(b, d->generation, LABEL_FIELD_SOURCE, d->name, &siv);
	if (ret == 0)
		ret = ad_bound(b, TOKEN_DETERMINISTIC, d->generation, to, &ad);
	if (ret == 0)
		ret = buffer_add(&ad, first->bytes, first->size);
	if (ret == 0)
		ret = seal_text(b, siv, &ad, NULL, source, n, pad, &bytes);
	if (ret == 0)
		ret = buffer_byte(out, '.');
	return ret < 0 ? ret : put_encoded(&bytes, out);
}

static int seal_value(struct token_box *b, const struct field_domain *d, uint32_t pad, const char *value, size_t n,
		      struct buffer *first)
{
	_cleanup_buffer_ struct buffer ad = {0};
	uint8_t id[4];
	struct siv *siv;
	int ret;

	ret = box_siv(b, d->generation, LABEL_FIELD_VALUE, d->name, &siv);
	if (ret == 0)
		ret = token_domain_id(d->name, id);
	if (ret == 0)
		ret = ad_head(b, TOKEN_DETERMINISTIC, d->generation, &ad);
	if (ret == 0)
		ret = ad_name(&ad, d->name);
	if (ret == 0)
		ret = put_head(b, d->generation, first);
	if (ret == 0)
		ret = buffer_add(first, id, sizeof(id));
	return ret < 0 ? ret : seal_text(b, siv, &ad, NULL, value, n, pad, first);
}

static int seal_deterministic(struct token_box *b, const struct token_how *how, uint32_t pad,
			      const struct token_binding *to, const char *source, size_t n, const char *value,
			      size_t value_size, struct buffer *out)
{
	const struct field_domain *d = how->domain ? box_domain(b, how->domain) : NULL;
	bool same = n == value_size && (n == 0 || memcmp(source, value, n) == 0);
	_cleanup_buffer_ struct buffer first = {0};
	int ret;

	if (!d)
		return -ENOENT;
	ret = seal_value(b, d, pad, value, value_size, &first);
	if (ret == 0)
		ret = put_prefix(TOKEN_DETERMINISTIC, out);
	if (ret == 0)
		ret = put_encoded(&first, out);
	if (ret < 0 || (same && to->bind == BIND_NONE))
		return ret;
	/* An empty source that differs from the value cannot be: the value of nothing is nothing. */
	return seal_source(b, d, pad, to, &first, same ? "" : source, same ? 0 : n, out);
}

static bool binding_valid(const struct token_binding *to)
{
	return (unsigned)to->bind <= BIND_RECORD && (!to->context || strlen(to->context) <= CONTEXT_MAX);
}

int token_seal(struct token_box *b, const struct token_how *how, const struct token_binding *to, const char *source,
	       size_t n, const char *value, size_t value_size, struct buffer *out)
{
	uint32_t pad = how->pad ? how->pad : TOKEN_PAD;
	size_t before = out->size;
	int ret = -EINVAL;

	if (n > TOKEN_VALUE_MAX || value_size > TOKEN_VALUE_MAX)
		return -E2BIG;
	if (!binding_valid(to) || pad % TOKEN_PAD || pad > TOKEN_PAD_MAX)
		return -EINVAL;
	if (b->remote)
		return remote_seal(b, how, to, source, n, value, value_size, out);
	switch (how->mode) {
	case TOKEN_RANDOM:
		ret = seal_random(b, pad, to, source, n, out);
		break;
	case TOKEN_SEALED:
		ret = seal_sealed(b, pad, to, source, n, out);
		break;
	case TOKEN_DETERMINISTIC:
		ret = seal_deterministic(b, how, pad, to, source, n, value, value_size, out);
		break;
	}
	if (ret < 0)
		out->size = before;
	return ret;
}

/* ------------------------------------------------------------------ opening */

static int open_text(struct siv *siv, const struct buffer *ad, const uint8_t *nonce, const char *sealed, size_t n,
		     struct buffer *out)
{
	size_t before = out->size;
	int ret = buffer_reserve(out, n);

	if (ret == 0)
		ret = siv_open(siv, ad->bytes, ad->size, nonce, (const uint8_t *)sealed, n, out->bytes + out->size);
	if (ret < 0)
		return ret;
	out->size += n - SIV_TAG;
	ret = drop_padding(out, before);
	if (ret < 0)
		out->size = before;
	return ret;
}

static int open_random(struct token_box *b, const struct token_binding *to, const struct token_parts *p,
		       struct buffer *out)
{
	struct buffer *ad = box_scratch(&b->ad);
	const uint8_t *nonce = (const uint8_t *)p->first.bytes + HEAD_COMMON;
	struct siv *siv;
	int ret;

	ret = box_siv(b, p->info.generation, LABEL_FIELD_RANDOM, NULL, &siv);
	if (ret == 0)
		ret = ad_bound(b, TOKEN_RANDOM, p->info.generation, to, ad);
	return ret < 0 ? ret
		       : open_text(siv, ad, nonce, p->first.bytes + p->head_size, p->first.size - p->head_size, out);
}

static int open_sealed(struct token_box *b, const struct token_binding *to, const struct token_parts *p,
		       struct buffer *out)
{
	_cleanup_buffer_ struct buffer ad = {0};
	struct siv *siv;
	int ret;

	ret = box_open_from(b, p->info.generation, (const uint8_t *)p->first.bytes + HEAD_COMMON, &siv);
	if (ret == 0)
		ret = ad_bound(b, TOKEN_SEALED, p->info.generation, to, &ad);
	return ret < 0 ? ret
		       : open_text(siv, &ad, NULL, p->first.bytes + p->head_size, p->first.size - p->head_size, out);
}

static int open_value(struct token_box *b, const struct token_parts *p, const struct field_domain *d,
		      struct buffer *out)
{
	_cleanup_buffer_ struct buffer ad = {0};
	struct siv *siv;
	int ret;

	ret = box_siv(b, p->info.generation, LABEL_FIELD_VALUE, d->name, &siv);
	if (ret == 0)
		ret = ad_head(b, TOKEN_DETERMINISTIC, p->info.generation, &ad);
	if (ret == 0)
		ret = ad_name(&ad, d->name);
	return ret < 0 ? ret
		       : open_text(siv, &ad, NULL, p->first.bytes + p->head_size, p->first.size - p->head_size, out);
}

static int open_source(struct token_box *b, const struct token_binding *to, const struct token_parts *p,
		       const struct field_domain *d, struct buffer *out)
{
	_cleanup_buffer_ struct buffer ad = {0};
	struct siv *siv;
	int ret;

	ret = box_siv(b, p->info.generation, LABEL_FIELD_SOURCE, d->name, &siv);
	if (ret == 0)
		ret = ad_bound(b, TOKEN_DETERMINISTIC, p->info.generation, to, &ad);
	if (ret == 0)
		ret = buffer_add(&ad, p->first.bytes, p->first.size);
	return ret < 0 ? ret : open_text(siv, &ad, NULL, p->second.bytes, p->second.size, out);
}

static int open_deterministic(struct token_box *b, const struct token_binding *to, const struct token_parts *p,
			      struct buffer *out)
{
	_cleanup_buffer_ struct buffer value = {0}, source = {0};
	const char *name = token_domain(b, &p->info);
	const struct field_domain *d = name ? box_domain(b, name) : NULL;
	int ret;

	if (!d)
		return -ENOENT;
	if (!p->second.size && to->bind != BIND_NONE)
		return -EBADMSG;
	ret = open_value(b, p, d, &value);
	if (ret == 0 && p->second.size)
		ret = open_source(b, to, p, d, &source);
	if (ret < 0)
		return ret;
	return source.size ? buffer_add(out, source.bytes, source.size) : buffer_add(out, value.bytes, value.size);
}

int token_open(struct token_box *b, const struct token_binding *to, const char *text, size_t n, struct buffer *out)
{
	_cleanup_(token_parts_free) struct token_parts parts = {0};
	size_t before = out->size;
	int ret;

	if (!binding_valid(to))
		return -EINVAL;
	ret = token_split(text, n, &parts);
	if (ret < 0)
		return ret;
	if (!token_is_of(b, &parts.info))
		return -EXDEV;
	if (b->remote)
		return remote_open(b, to, text, n, out);
	switch (parts.info.mode) {
	case TOKEN_RANDOM:
		ret = open_random(b, to, &parts, out);
		break;
	case TOKEN_SEALED:
		ret = open_sealed(b, to, &parts, out);
		break;
	case TOKEN_DETERMINISTIC:
		ret = open_deterministic(b, to, &parts, out);
		break;
	}
	if (ret < 0)
		out->size = before;
	return ret;
}

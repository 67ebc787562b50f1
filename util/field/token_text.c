/* Tokens as text: what can be told without a key. */
#include <errno.h>
#include <string.h>

#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/field/token_internal.h"

int token_domain_id(const char *name, uint8_t id[4])
{
	uint8_t hash[SHA256_SIZE];
	int ret = sha256(name, strlen(name), hash);

	if (ret == 0)
		memcpy(id, hash, 4);
	return ret;
}

static size_t head_size(enum token_mode mode)
{
	switch (mode) {
	case TOKEN_RANDOM:
		return HEAD_COMMON + NONCE_SIZE;
	case TOKEN_DETERMINISTIC:
		return HEAD_COMMON + 4;
	case TOKEN_SEALED:
		return HEAD_COMMON + SEALED_PUBLIC_KEY;
	}
	return 0;
}

/* Whether so many bytes can be SIV of a padded text. */
static bool sealed_size_valid(size_t n)
{
	return n >= SIV_TAG + TOKEN_PAD && n <= SIV_TAG + TOKEN_PAD_MAX + TOKEN_VALUE_MAX && n % TOKEN_PAD == 0;
}

/* The part that begins at text, up to a dot or the end, decoded. */
static int decode_part(const char *text, size_t n, struct buffer *out)
{
	ssize_t size;
	int ret = buffer_reserve(out, base64url_decoded_size(n) + 1);

	if (ret < 0)
		return ret;
	size = base64url_decode(text, n, out->bytes + out->size, out->room - out->size);
	if (size < 0)
		return -EBADMSG;
	out->size += (size_t)size;
	return 0;
}

int token_split(const char *text, size_t n, struct token_parts *out)
{
	const char *dot;
	size_t first;
	int ret;

	if (n < PREFIX_SIZE || memcmp(text, TOKEN_PREFIX, PREFIX_SIZE - 2) != 0 || text[PREFIX_SIZE - 1] != '.')
		return -EBADMSG;
	out->info.mode = (enum token_mode)text[PREFIX_SIZE - 2];
	out->head_size = head_size(out->info.mode);
	if (!out->head_size)
		return -EBADMSG;
	text += PREFIX_SIZE;
	n -= PREFIX_SIZE;
	dot = memchr(text, '.', n);
	if (dot && out->info.mode != TOKEN_DETERMINISTIC)
		return -EBADMSG;
	first = dot ? (size_t)(dot - text) : n;
	ret = decode_part(text, first, &out->first);
	if (ret == 0 && dot)
		ret = decode_part(dot + 1, n - first - 1, &out->second);
	if (ret < 0)
		return ret;
	if (out->first.size < out->head_size || !sealed_size_valid(out->first.size - out->head_size) ||
	    (dot && !sealed_size_valid(out->second.size)))
		return -EBADMSG;
	memcpy(out->info.keyring, out->first.bytes, 4);
	out->info.generation = get_le32((const uint8_t *)out->first.bytes + 4);
	if (out->info.mode == TOKEN_DETERMINISTIC)
		memcpy(out->info.domain, out->first.bytes + HEAD_COMMON, 4);
	return out->info.generation ? 0 : -EBADMSG;
}

void token_parts_free(struct token_parts *p)
{
	buffer_free(&p->first);
	buffer_free(&p->second);
}

/* Begins as tokens of any version do: "coffer", digits, a letter, a dot. */
static bool begins_like_one(const char *text, size_t n)
{
	size_t i = 6;

	if (n < 9 || memcmp(text, "coffer", 6) != 0)
		return false;
	while (i < n && text[i] >= '0' && text[i] <= '9')
		i++;
	return i > 6 && n - i >= 2 && text[i] >= 'a' && text[i] <= 'z' && text[i + 1] == '.';
}

enum token_shape token_shape(const char *text, size_t n, struct token_info *info)
{
	_cleanup_(token_parts_free) struct token_parts parts = {0};

	if (!begins_like_one(text, n))
		return TOKEN_NOT;
	if (token_split(text, n, &parts) < 0)
		return TOKEN_BROKEN;
	if (info)
		*info = parts.info;
	return TOKEN_WHOLE;
}

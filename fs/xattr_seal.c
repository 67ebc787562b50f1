/* Names and values of extended attributes, sealed and opened (docs/format-volume.md section 8). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/file.h"
#include "fs/lend.h"
#include "fs/names.h"
#include "fs/xattr_parts.h"
#include "fs/zone.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"

static const struct {
	uint8_t ns;
	const char *prefix;
} spaces[] = {{1, "user."}, {2, "trusted."}};

bool attribute_parse(const char *full, struct attribute *a)
{
	for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
		size_t n = strlen(spaces[i].prefix);

		if (strncmp(full, spaces[i].prefix, n) != 0)
			continue;
		a->ns = spaces[i].ns;
		a->prefix = spaces[i].prefix;
		a->name = full + n;
		return true;
	}
	return false;
}

int attribute_owner(struct engine *e, struct node *n, bool make, struct attribute *a)
{
	a->zone = zone_of(e, n);
	if (S_ISREG(n->type))
		return file_id(e, n, make, a->owner);
	if (!S_ISDIR(n->type)) {
		memset(a->owner, 0, 16);
		return 0;
	}

	int r = names_load_directory(e, n);

	if (r == 0)
		memcpy(a->owner, n->dir->record.id, 16);
	return r;
}

static size_t owner_ad(const struct attribute *a, uint8_t ad[AD_MAX])
{
	ad[0] = a->ns;
	memcpy(ad + 1, a->owner, 16);
	return 17;
}

int attribute_backing(struct engine *e, const struct attribute *a, uint32_t generation, char out[ATTR_NAME_MAX + 1])
{
	uint8_t ad[AD_MAX], sealed[4 + SIV_TAG + ATTR_NAME_MAX], hash[SHA256_SIZE];
	size_t n = strlen(a->name), ad_size = owner_ad(a, ad), prefix = strlen(a->prefix);
	int r;

	memcpy(out, a->prefix, prefix);
	put_le32(sealed, generation);
	if (prefix + base64url_size(4 + SIV_TAG + n) <= ATTR_NAME_MAX) {
		struct siv *siv = worker_siv(e, SIV_XATTR_NAMES, a->zone, generation, &r);

		if (!siv)
			return r;
		r = siv_seal(siv, ad, ad_size, NULL, a->name, n, sealed + 4);
		if (r == 0)
			base64url_encode(sealed, 4 + SIV_TAG + n, out + prefix);
		return r;
	}
	memcpy(ad + ad_size, a->name, n);
	r = worker_hash(e, HASH_LONG_XATTR_NAMES, a->zone, generation, ad, ad_size + n, hash);
	if (r < 0)
		return r;
	memcpy(sealed + 4, hash, LONG_HASH);
	out[prefix] = '~';
	base64url_encode(sealed, 4 + LONG_HASH, out + prefix + 1);
	return 0;
}

bool attribute_is_long(const struct attribute *a)
{
	return strlen(a->prefix) + base64url_size(4 + SIV_TAG + strlen(a->name)) > ATTR_NAME_MAX;
}

static size_t value_ad(const struct attribute *a, const char *backing, uint8_t ad[AD_MAX])
{
	size_t at = owner_ad(a, ad), n = strlen(backing);

	memcpy(ad + at, backing, n);
	return at + n;
}

ssize_t attribute_seal(struct engine *e, const struct attribute *a, const char *backing, uint32_t generation,
		       const void *value, size_t size, uint8_t *out)
{
	size_t name = attribute_is_long(a) ? strlen(a->name) : 0, head = 1 + (name ? 2 + name : 0);
	_cleanup_free_ uint8_t *plain = malloc(head + size);
	uint8_t ad[AD_MAX];
	size_t ad_size = value_ad(a, backing, ad);
	int r = plain ? crypto_random(out + 4, NONCE_SIZE) : -ENOMEM;
	struct siv *siv = r < 0 ? NULL : worker_siv(e, SIV_XATTR_VALUES, a->zone, generation, &r);

	if (!siv)
		return r;
	plain[0] = name ? FORM_LONG : FORM_SHORT;
	if (name) {
		put_le16(plain + 1, (uint16_t)name);
		memcpy(plain + 3, a->name, name);
	}
	if (size)
		memcpy(plain + head, value, size);
	put_le32(out, generation);
	r = siv_seal(siv, ad, ad_size, out + 4, plain, head + size, out + 4 + NONCE_SIZE);
	return r < 0 ? r : (ssize_t)(VALUE_OVERHEAD + head + size);
}

int attribute_open(struct engine *e, const struct attribute *a, const char *backing, const uint8_t *in, size_t n,
		   uint8_t **plain, const char **name, size_t *name_size, const uint8_t **value, size_t *size)
{
	uint8_t ad[AD_MAX];
	size_t ad_size = value_ad(a, backing, ad), length, head = 1;
	int r = -EBADMSG;
	struct siv *siv = n > VALUE_OVERHEAD ? worker_siv(e, SIV_XATTR_VALUES, a->zone, get_le32(in), &r) : NULL;

	if (!siv)
		return r;
	length = n - VALUE_OVERHEAD;
	*plain = calloc(1, length);
	if (!*plain)
		return -ENOMEM;
	r = siv_open(siv, ad, ad_size, in + 4, in + 4 + NONCE_SIZE, n - 4 - NONCE_SIZE, *plain);
	*name = NULL;
	*name_size = 0;
	if (r == 0 && (*plain)[0] == FORM_LONG) {
		*name_size = length >= 3 ? get_le16(*plain + 1) : SIZE_MAX;
		if (length < 3 || *name_size > length - 3 || *name_size > ATTR_NAME_MAX)
			r = -EBADMSG;
		*name = (const char *)*plain + 3;
		head = 3 + *name_size;
	} else if (r == 0 && (*plain)[0] != FORM_SHORT) {
		r = -EBADMSG;
	}
	if (r < 0) {
		free(*plain);
		*plain = NULL;
		return r;
	}
	*value = *plain + head;
	*size = length - head;
	return 0;
}

ssize_t attribute_peek(struct engine *e, struct node *n, const char *name, void *buf, size_t room)
{
	ssize_t got = e->store->ops->getxattr(e->store, n->fd, name, buf, room);
	mode_t before;

	if (got == -EACCES && lend(e, n, n->fd, 0400, &before)) {
		got = e->store->ops->getxattr(e->store, n->fd, name, buf, room);
		lend_back(e, n, n->fd, 0400, before);
	}
	return got;
}

int attribute_decode(struct engine *e, struct node *n, const char *backing, struct attribute *a,
		     char out[ATTR_NAME_MAX + 1])
{
	const char *text = a->name;
	uint8_t sealed[ATTR_NAME_MAX], ad[AD_MAX], plain_name[ATTR_NAME_MAX];
	bool is_long = text[0] == '~';
	ssize_t size = base64url_decode(text + is_long, strlen(text + is_long), sealed, sizeof sealed);
	int r = -EBADMSG;

	if (size < 4 || (!is_long && size <= 4 + SIV_TAG))
		return -EBADMSG;
	if (!is_long) {
		struct siv *siv = worker_siv(e, SIV_XATTR_NAMES, a->zone, get_le32(sealed), &r);
		size_t length = (size_t)size - 4 - SIV_TAG, prefix = strlen(a->prefix);

		if (!siv)
			return r;
		r = siv_open(siv, ad, owner_ad(a, ad), NULL, sealed + 4, (size_t)size - 4, plain_name);
		if (r < 0 || memchr(plain_name, 0, length) || prefix + length > ATTR_NAME_MAX)
			return r < 0 ? r : -EBADMSG;
		memcpy(out, a->prefix, prefix);
		memcpy(out + prefix, plain_name, length);
		out[prefix + length] = 0;
		return 0;
	}

	/* The true name of a long one is in its value; it must give this very hash. */
	_cleanup_free_ uint8_t *value = calloc(1, ATTR_VALUE_MAX), *plain = NULL;
	const uint8_t *content;
	const char *name = NULL;
	size_t name_size = 0, content_size;
	char again[ATTR_NAME_MAX + 1];
	ssize_t got = value ? attribute_peek(e, n, backing, value, ATTR_VALUE_MAX) : -ENOMEM;

	if (got < 0)
		return (int)got;
	r = attribute_open(e, a, backing, value, (size_t)got, &plain, &name, &name_size, &content, &content_size);
	if (r < 0)
		return r;
	if (!name || memchr(name, 0, name_size) || strlen(a->prefix) + name_size > ATTR_NAME_MAX)
		return -EBADMSG;
	snprintf(out, ATTR_NAME_MAX + 1, "%s%.*s", a->prefix, (int)name_size, name);

	struct attribute true_one = *a;

	true_one.name = out + strlen(a->prefix);
	r = attribute_backing(e, &true_one, get_le32(sealed), again);
	return r == 0 && strcmp(again, backing) != 0 ? -EBADMSG : r;
}

uint32_t attribute_generation(const struct attribute *a)
{
	bool is_long = a->name[0] == '~';
	uint8_t sealed[ATTR_NAME_MAX];
	ssize_t size = base64url_decode(a->name + is_long, strlen(a->name + is_long), sealed, sizeof sealed);

	return size < 4 ? GENERATION_NONE : get_le32(sealed);
}

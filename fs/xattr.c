/* Extended attributes (docs/format-volume.md section 8): `user` and `trusted` are encrypted, others are the backing object's own. */
#include "fs/xattr.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/attr.h"
#include "fs/dirty.h"
#include "fs/file.h"
#include "fs/lend.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/worker.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum {
	ATTR_NAME_MAX = 255, /* XATTR_NAME_MAX, namespace included */
	ATTR_VALUE_MAX = 65536,
	NONCE_SIZE = 16,
	VALUE_OVERHEAD = 4 + NONCE_SIZE + SIV_TAG,
	LONG_HASH = 24,
	FORM_SHORT = 0,
	FORM_LONG = 1,
	AD_MAX = 1 + 16 + ATTR_NAME_MAX,
};

struct attribute {
	uint8_t ns;         /* 1 user, 2 trusted */
	const char *prefix; /* "user." */
	const char *name;   /* without it */
	uint8_t owner[16];
};

static const struct {
	uint8_t ns;
	const char *prefix;
} spaces[] = {{1, "user."}, {2, "trusted."}};

/* False for attributes that are not ours to encrypt. */
static bool is_encrypted(const char *full, struct attribute *a)
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

/* The id that an object's attributes are bound to.  make: write a head for it if need be; else -ENODATA means that there can be none. */
static int find_owner(struct engine *e, struct node *n, bool make, uint8_t owner[16])
{
	if (S_ISREG(n->type))
		return file_id(e, n, make, owner);
	if (!S_ISDIR(n->type)) {
		memset(owner, 0, 16);
		return 0;
	}

	int r = names_load_directory(e, n);

	if (r == 0)
		memcpy(owner, n->dir->record.id, 16);
	return r;
}

static size_t owner_ad(const struct attribute *a, uint8_t ad[AD_MAX])
{
	ad[0] = a->ns;
	memcpy(ad + 1, a->owner, 16);
	return 17;
}

/* The name below of an attribute under a generation. */
static int backing_name(struct engine *e, const struct attribute *a, uint32_t generation, char out[ATTR_NAME_MAX + 1])
{
	uint8_t ad[AD_MAX], sealed[4 + SIV_TAG + ATTR_NAME_MAX], hash[SHA256_SIZE];
	size_t n = strlen(a->name), ad_size = owner_ad(a, ad), prefix = strlen(a->prefix);
	int r;

	memcpy(out, a->prefix, prefix);
	put_le32(sealed, generation);
	if (prefix + base64url_size(4 + SIV_TAG + n) <= ATTR_NAME_MAX) {
		struct siv *siv = worker_siv(e, SIV_XATTR_NAMES, generation, &r);

		if (!siv)
			return r;
		r = siv_seal(siv, ad, ad_size, NULL, a->name, n, sealed + 4);
		if (r == 0)
			base64url_encode(sealed, 4 + SIV_TAG + n, out + prefix);
		return r;
	}
	memcpy(ad + ad_size, a->name, n);
	r = worker_hash(e, HASH_LONG_XATTR_NAMES, generation, ad, ad_size + n, hash);
	if (r < 0)
		return r;
	memcpy(sealed + 4, hash, LONG_HASH);
	out[prefix] = '~';
	base64url_encode(sealed, 4 + LONG_HASH, out + prefix + 1);
	return 0;
}

static bool name_is_long(const struct attribute *a)
{
	return strlen(a->prefix) + base64url_size(4 + SIV_TAG + strlen(a->name)) > ATTR_NAME_MAX;
}

static size_t value_ad(const struct attribute *a, const char *backing, uint8_t ad[AD_MAX])
{
	size_t at = owner_ad(a, ad), n = strlen(backing);

	memcpy(ad + at, backing, n);
	return at + n;
}

/* Seals a value under a backing name; out has VALUE_OVERHEAD + 3 + ATTR_NAME_MAX + size bytes.  Returns the length. */
static ssize_t seal_value(struct engine *e, const struct attribute *a, const char *backing, uint32_t generation,
			  const void *value, size_t size, uint8_t *out)
{
	size_t name = name_is_long(a) ? strlen(a->name) : 0, head = 1 + (name ? 2 + name : 0);
	_cleanup_free_ uint8_t *plain = malloc(head + size);
	uint8_t ad[AD_MAX];
	size_t ad_size = value_ad(a, backing, ad);
	int r = plain ? crypto_random(out + 4, NONCE_SIZE) : -ENOMEM;
	struct siv *siv = r < 0 ? NULL : worker_siv(e, SIV_XATTR_VALUES, generation, &r);

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

/* Opens a sealed value; *name is set to the long name inside, if there is one.  Returns plain (to be freed), *value and *size within. */
static int open_value(struct engine *e, const struct attribute *a, const char *backing, const uint8_t *in, size_t n,
		      uint8_t **plain, const char **name, size_t *name_size, const uint8_t **value, size_t *size)
{
	uint8_t ad[AD_MAX];
	size_t ad_size = value_ad(a, backing, ad), length, head = 1;
	int r = -EBADMSG;
	struct siv *siv = n > VALUE_OVERHEAD ? worker_siv(e, SIV_XATTR_VALUES, get_le32(in), &r) : NULL;

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

/* ------------------------------------------------------------------ finding */

/* Reads an attribute below for what is not reading to the caller (does it exist, what is its name): that may be asked of an object
 * which its owner may only write. */
static ssize_t peek(struct engine *e, struct node *n, const char *name, void *buf, size_t room)
{
	ssize_t got = e->store->ops->getxattr(e->store, n->fd, name, buf, room);
	mode_t before;

	if (got == -EACCES && lend(e, n, n->fd, 0400, &before)) {
		got = e->store->ops->getxattr(e->store, n->fd, name, buf, room);
		lend_back(e, n, n->fd, 0400, before);
	}
	return got;
}

/* The backing name under which an attribute exists, the newest generation first; -ENODATA. */
static int find_backing(struct engine *e, struct node *n, const struct attribute *a, char out[ATTR_NAME_MAX + 1],
			ssize_t *size)
{
	for (uint32_t i = worker_keys(e)->count; i-- > 0;) {
		const struct generation_key *g = &worker_keys(e)->generations[i];

		if (g->scope != SCOPE_DEFAULT || !g->prk)
			continue;

		int r = backing_name(e, a, g->number, out);

		if (r < 0)
			return r;
		*size = peek(e, n, out, NULL, 0);
		if (*size != -ENODATA)
			return *size < 0 ? (int)*size : 0;
	}
	return -ENODATA;
}

static ssize_t get_encrypted(struct engine *e, struct node *n, struct attribute *a, void *buf, size_t room)
{
	char backing[ATTR_NAME_MAX + 1];
	_cleanup_free_ uint8_t *sealed = NULL, *plain = NULL;
	const uint8_t *value;
	const char *name;
	size_t name_size, size;
	ssize_t length = 0;
	int r = find_owner(e, n, false, a->owner);

	if (r == 0)
		r = find_backing(e, n, a, backing, &length);
	if (r < 0)
		return r;
	sealed = malloc((size_t)length + 1);
	if (!sealed)
		return -ENOMEM;
	length = e->store->ops->getxattr(e->store, n->fd, backing, sealed, (size_t)length);
	if (length < 0)
		return length;
	r = open_value(e, a, backing, sealed, (size_t)length, &plain, &name, &name_size, &value, &size);
	if (r == 0 && name_is_long(a) != (name != NULL))
		r = -EBADMSG;
	if (r == 0 && name && (name_size != strlen(a->name) || memcmp(name, a->name, name_size) != 0))
		r = -EBADMSG;
	if (r < 0)
		return r == -EBADMSG ? -EIO : r;
	if (room == 0)
		return (ssize_t)size;
	if (room < size)
		return -ERANGE;
	memcpy(buf, value, size);
	return (ssize_t)size;
}

/* ------------------------------------------------------------------ changing */

static int set_encrypted(struct engine *e, struct node *n, struct attribute *a, const void *value, size_t size,
			 int flags)
{
	char old[ATTR_NAME_MAX + 1], fresh[ATTR_NAME_MAX + 1];
	uint32_t generation = keys_active(worker_keys(e), SCOPE_DEFAULT)->number;
	_cleanup_free_ uint8_t *sealed = NULL;
	ssize_t length;
	int r = find_owner(e, n, true, a->owner);
	bool exists;

	if (r == 0)
		r = find_backing(e, n, a, old, &length);
	exists = r == 0;
	if (r < 0 && r != -ENODATA)
		return r;
	if (exists && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!exists && (flags & XATTR_REPLACE))
		return -ENODATA;
	if (strlen(a->name) == 0)
		return -EINVAL;
	sealed = malloc(VALUE_OVERHEAD + 3 + ATTR_NAME_MAX + size);
	r = sealed ? backing_name(e, a, generation, fresh) : -ENOMEM;
	if (r < 0)
		return r;
	length = seal_value(e, a, fresh, generation, value, size, sealed);
	if (length < 0)
		return (int)length;
	if (length > ATTR_VALUE_MAX)
		return -E2BIG;
	r = e->store->ops->setxattr(e->store, n->fd, fresh, sealed, (size_t)length, 0);
	/* Under an older generation it stands no longer. */
	if (r == 0 && exists && strcmp(old, fresh) != 0)
		r = e->store->ops->removexattr(e->store, n->fd, old);
	return r;
}

/* While an attribute is moved to another generation it may stand twice: the older one goes first. */
static int remove_encrypted(struct engine *e, struct node *n, struct attribute *a)
{
	char backing[ATTR_NAME_MAX + 1];
	int r = find_owner(e, n, false, a->owner), result = -ENODATA;

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < worker_keys(e)->count; i++) {
		const struct generation_key *g = &worker_keys(e)->generations[i];

		if (g->scope != SCOPE_DEFAULT || !g->prk)
			continue;
		r = backing_name(e, a, g->number, backing);
		if (r == 0)
			r = e->store->ops->removexattr(e->store, n->fd, backing);
		if (r == 0)
			result = 0;
		else if (r != -ENODATA)
			return r;
	}
	return result;
}

/* ------------------------------------------------------------------ listing */

/* The plain name of an attribute below; -EBADMSG if it is none of ours.  out: ATTR_NAME_MAX + 1. */
static int decode_name(struct engine *e, struct node *n, const char *backing, struct attribute *a,
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
		struct siv *siv = worker_siv(e, SIV_XATTR_NAMES, get_le32(sealed), &r);
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
	ssize_t got = value ? peek(e, n, backing, value, ATTR_VALUE_MAX) : -ENOMEM;

	if (got < 0)
		return (int)got;
	r = open_value(e, a, backing, value, (size_t)got, &plain, &name, &name_size, &content, &content_size);
	if (r < 0)
		return r;
	if (!name || memchr(name, 0, name_size) || strlen(a->prefix) + name_size > ATTR_NAME_MAX)
		return -EBADMSG;
	snprintf(out, ATTR_NAME_MAX + 1, "%s%.*s", a->prefix, (int)name_size, name);

	struct attribute true_one = *a;

	true_one.name = out + strlen(a->prefix);
	r = backing_name(e, &true_one, get_le32(sealed), again);
	return r == 0 && strcmp(again, backing) != 0 ? -EBADMSG : r;
}

static bool listed_already(const char *list, size_t used, const char *name)
{
	for (size_t i = 0; i < used; i += strlen(list + i) + 1)
		if (strcmp(list + i, name) == 0)
			return true;
	return false;
}

static ssize_t list_into(struct engine *e, struct node *n, const char *below, size_t below_size, char *out)
{
	struct attribute a;
	size_t used = 0;
	int owned = find_owner(e, n, false, a.owner);

	if (owned < 0 && owned != -ENODATA)
		return owned;
	for (size_t i = 0; i < below_size; i += strlen(below + i) + 1) {
		char name[ATTR_NAME_MAX + 1];
		const char *shown = below + i;

		if (is_encrypted(shown, &a)) {
			int r = owned < 0 ? -EBADMSG : decode_name(e, n, below + i, &a, name);

			if (r == -ENOMEM || r == -ENOKEY)
				return r;
			if (r < 0)
				continue;
			shown = name;
		}
		if (listed_already(out, used, shown))
			continue;
		strcpy(out + used, shown);
		used += strlen(shown) + 1;
	}
	return (ssize_t)used;
}

static ssize_t list(struct engine *e, struct node *n, char *buf, size_t room)
{
	/* A plain name is never longer than the one below, but for the long ones: 255 bytes each. */
	_cleanup_free_ char *below = malloc(ATTR_VALUE_MAX), *shown = malloc(8 * ATTR_VALUE_MAX);
	ssize_t n_below, used;

	if (!below || !shown)
		return -ENOMEM;
	n_below = e->store->ops->listxattr(e->store, n->fd, below, ATTR_VALUE_MAX);
	if (n_below <= 0)
		return n_below;
	used = list_into(e, n, below, (size_t)n_below, shown);
	if (used < 0 || room == 0)
		return used;
	if ((size_t)used > room)
		return -ERANGE;
	memcpy(buf, shown, (size_t)used);
	return used;
}

/* ------------------------------------------------------------------ checking */

static int open_one(struct engine *e, struct node *n, const char *backing, struct attribute *a)
{
	char name[ATTR_NAME_MAX + 1];
	int r = decode_name(e, n, backing, a, name);

	/* The value of a long name was opened to get at the name. */
	if (r < 0 || a->name[0] == '~')
		return r;

	_cleanup_free_ uint8_t *sealed = malloc(ATTR_VALUE_MAX), *plain = NULL;
	const uint8_t *value;
	const char *inside;
	size_t inside_size, size;
	ssize_t got = sealed ? e->store->ops->getxattr(e->store, n->fd, backing, sealed, ATTR_VALUE_MAX) : -ENOMEM;

	if (got < 0)
		return (int)got;
	r = open_value(e, a, backing, sealed, (size_t)got, &plain, &inside, &inside_size, &value, &size);
	return r == 0 && inside ? -EBADMSG : r;
}

int xattr_check(struct engine *e, struct node *n, int (*bad)(void *data, const char *backing, int error), void *data)
{
	_cleanup_free_ char *below = malloc(ATTR_VALUE_MAX);
	struct attribute a;
	int r = 0, owned = 1;
	ssize_t size = below ? e->store->ops->listxattr(e->store, n->fd, below, ATTR_VALUE_MAX) : -ENOMEM;

	if (size < 0)
		return size == -EOPNOTSUPP ? 0 : (int)size;
	for (ssize_t i = 0; i < size && r == 0; i += (ssize_t)strlen(below + i) + 1) {
		if (!is_encrypted(below + i, &a))
			continue;
		if (owned == 1)
			owned = find_owner(e, n, false, a.owner);

		int opened = owned < 0 ? -EBADMSG : open_one(e, n, below + i, &a);

		if (opened == -ENOMEM)
			return opened;
		if (opened < 0)
			r = bad(data, below + i, opened);
	}
	return r;
}

void xattr_drop_all(struct engine *e, struct node *n)
{
	_cleanup_free_ char *below = malloc(ATTR_VALUE_MAX);
	ssize_t size = below ? e->store->ops->listxattr(e->store, n->fd, below, ATTR_VALUE_MAX) : 0;
	struct attribute a;

	for (ssize_t i = 0; i < size; i += (ssize_t)strlen(below + i) + 1) {
		int r = is_encrypted(below + i, &a) ? e->store->ops->removexattr(e->store, n->fd, below + i) : 0;
		mode_t before;

		if (r == -EACCES && lend(e, n, n->fd, 0200, &before)) {
			r = e->store->ops->removexattr(e->store, n->fd, below + i);
			lend_back(e, n, n->fd, 0200, before);
		}
		if (r < 0)
			log_warning("an attribute of a file that a crash emptied cannot be removed: %s", strerror(-r));
	}
}

/* ------------------------------------------------------------------ operations */

static int begin(struct engine *e, uint64_t id, struct node **out)
{
	struct node *n = node_get(e, id);
	int r = n ? node_use(e, n) : -ESTALE;

	if (r < 0)
		node_unref(e, n);
	*out = n;
	return r;
}

static void end(struct engine *e, struct node *n)
{
	node_unuse(e, n);
	node_unref(e, n);
}

ssize_t fs_getxattr(struct engine *e, uint64_t node, const char *name, void *buf, size_t room)
{
	struct attribute a;
	struct node *n;
	ssize_t r = begin(e, node, &n);

	if (r < 0)
		return r;
	if (is_encrypted(name, &a))
		r = get_encrypted(e, n, &a, buf, room);
	else
		r = e->store->ops->getxattr(e->store, n->fd, name, buf, room);
	end(e, n);
	return r;
}

int fs_setxattr(struct engine *e, uint64_t node, const char *name, const void *value, size_t size, int flags,
		bool kill_sgid)
{
	struct store_stat st = {0};
	struct attribute a;
	struct node *n = NULL;
	int r = dirty_refusal(e);

	if (r < 0)
		return r;
	r = begin(e, node, &n);
	if (r < 0)
		return r;
	if (is_encrypted(name, &a))
		r = set_encrypted(e, n, &a, value, size, flags);
	else
		r = e->store->ops->setxattr(e->store, n->fd, name, value, size, flags);
	if (r == 0 && kill_sgid)
		r = store_stat(e->store, n->fd, &st);
	if (r == 0 && kill_sgid && (st.mode & S_ISGID))
		r = e->store->ops->chmod(e->store, n->fd, st.mode & 07777 & ~(mode_t)S_ISGID);
	dirty_metadata(e, n);
	end(e, n);
	return r;
}

ssize_t fs_listxattr(struct engine *e, uint64_t node, char *buf, size_t room)
{
	struct node *n;
	ssize_t r = begin(e, node, &n);

	if (r < 0)
		return r;
	r = list(e, n, buf, room);
	end(e, n);
	return r;
}

int fs_removexattr(struct engine *e, uint64_t node, const char *name)
{
	struct attribute a;
	struct node *n = NULL;
	int r = dirty_refusal(e);

	if (r < 0)
		return r;
	r = begin(e, node, &n);
	if (r < 0)
		return r;
	if (is_encrypted(name, &a))
		r = remove_encrypted(e, n, &a);
	else
		r = e->store->ops->removexattr(e->store, n->fd, name);
	dirty_metadata(e, n);
	end(e, n);
	return r;
}

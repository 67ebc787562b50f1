/* Extended attributes (docs/format-volume.md section 8): `user` and `trusted` are encrypted, others are the backing object's own. */
#include "fs/xattr_parts.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/attr.h"
#include "fs/dirty.h"
#include "fs/file.h"
#include "fs/lend.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/shared.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/base/log.h"

/* ------------------------------------------------------------------ finding */

/* Attributes may stand under its name. */
static bool is_searched(const struct keys *keys, const struct attribute *a, const struct generation_key *g)
{
	int error;

	return keys_for_open_in(keys, a->zone, g->number, &error);
}

/* The backing name under which an attribute exists, the newest generation first; -ENODATA. */
static int find_backing(struct engine *e, struct node *n, const struct attribute *a, char out[ATTR_NAME_MAX + 1],
			ssize_t *size)
{
	const struct keys *keys = worker_keys(e);

	if (keys_zone_locked(keys, a->zone))
		return -ENOKEY;
	for (uint32_t i = keys->count; i-- > 0;) {
		const struct generation_key *g = &keys->generations[i];

		if (!is_searched(keys, a, g))
			continue;

		int r = attribute_backing(e, a, g->number, out);

		if (r < 0)
			return r;
		*size = attribute_peek(e, n, out, NULL, 0);
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
	int r = attribute_owner(e, n, false, a);

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
	r = attribute_open(e, a, backing, sealed, (size_t)length, &plain, &name, &name_size, &value, &size);
	if (r == 0 && attribute_is_long(a) != (name != NULL))
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
	_cleanup_free_ uint8_t *sealed = NULL;
	ssize_t length;
	int r = attribute_owner(e, n, true, a);
	uint32_t generation = keys_active_in(worker_keys(e), a->zone);
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
	r = sealed ? attribute_backing(e, a, generation, fresh) : -ENOMEM;
	if (r < 0)
		return r;
	length = attribute_seal(e, a, fresh, generation, value, size, sealed);
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
	const struct keys *keys = worker_keys(e);
	int r = attribute_owner(e, n, false, a), result = -ENODATA;

	if (r == 0 && keys_zone_locked(keys, a->zone))
		r = -ENOKEY;
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < keys->count; i++) {
		const struct generation_key *g = &keys->generations[i];

		if (!is_searched(keys, a, g))
			continue;
		r = attribute_backing(e, a, g->number, backing);
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
	int owned = attribute_owner(e, n, false, &a);

	if (owned < 0 && owned != -ENODATA && owned != -ENOKEY)
		return owned;
	for (size_t i = 0; i < below_size; i += strlen(below + i) + 1) {
		char name[ATTR_NAME_MAX + 1];
		const char *shown = below + i;

		if (attribute_parse(shown, &a)) {
			int r = owned < 0 ? -EBADMSG : attribute_decode(e, n, below + i, &a, name);

			if (r == -ENOMEM || (r == -ENOKEY && !keys_zone_locked(worker_keys(e), a.zone)))
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
	int r = attribute_decode(e, n, backing, a, name);

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
	r = attribute_open(e, a, backing, sealed, (size_t)got, &plain, &inside, &inside_size, &value, &size);
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
		if (!attribute_parse(below + i, &a))
			continue;
		if (owned == 1)
			owned = attribute_owner(e, n, false, &a);

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
		int r = attribute_parse(below + i, &a) ? e->store->ops->removexattr(e->store, n->fd, below + i) : 0;
		mode_t before;

		if (r == -EACCES && lend(e, n, n->fd, 0200, &before)) {
			r = e->store->ops->removexattr(e->store, n->fd, below + i);
			lend_back(e, n, n->fd, 0200, before);
		}
		if (r < 0)
			log_warning("an attribute of what a crash emptied cannot be removed: %s", strerror(-r));
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

/* To be changed it must be the one that its name leads to; a directory in any case, as its attributes are bound to the id in it. */
static int begin_on(struct engine *e, uint64_t id, bool change, struct node **out)
{
	int r = begin(e, id, out);

	if (r < 0 || (!change && !(*out)->dir))
		return r;
	r = shared_look(e, *out);
	if (r < 0)
		end(e, *out);
	return r;
}

ssize_t fs_getxattr(struct engine *e, uint64_t node, const char *name, void *buf, size_t room)
{
	struct attribute a;
	struct node *n;
	ssize_t r = begin_on(e, node, false, &n);

	if (r < 0)
		return r;
	if (attribute_parse(name, &a))
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
	r = begin_on(e, node, true, &n);
	if (r < 0)
		return r;
	if (attribute_parse(name, &a))
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
	ssize_t r = begin_on(e, node, false, &n);

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
	r = begin_on(e, node, true, &n);
	if (r < 0)
		return r;
	if (attribute_parse(name, &a))
		r = remove_encrypted(e, n, &a);
	else
		r = e->store->ops->removexattr(e->store, n->fd, name);
	dirty_metadata(e, n);
	end(e, n);
	return r;
}

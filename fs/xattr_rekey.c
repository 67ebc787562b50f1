/* Moving attributes to another generation.  Both names may stand for a while: reading takes the newer one (xattr.c). */
#include <errno.h>
#include <string.h>

#include "fs/dirty.h"
#include "fs/lend.h"
#include "fs/node.h"
#include "fs/rekey.h"
#include "fs/xattr_parts.h"
#include "util/base/bytes.h"

/* One attribute that is to be moved. */
struct moving {
	struct rekey *k;
	struct node *n;
	struct attribute a; /* name: the plain one */
	const char *below;
	char name[ATTR_NAME_MAX + 1], fresh[ATTR_NAME_MAX + 1];
};

static ssize_t read_sealed(struct moving *m, uint8_t **out)
{
	uint8_t *sealed = malloc(ATTR_VALUE_MAX);
	ssize_t got = sealed ? attribute_peek(m->k->e, m->n, m->below, sealed, ATTR_VALUE_MAX) : -ENOMEM;

	*out = got < 0 ? NULL : sealed;
	if (got < 0)
		free(sealed);
	return got;
}

/* The attribute as it is to be, sealed; freed by the caller. */
static ssize_t seal_again(struct moving *m, uint8_t **out)
{
	struct engine *e = m->k->e;
	_cleanup_free_ uint8_t *sealed = NULL, *plain = NULL;
	const uint8_t *value;
	const char *inside;
	size_t inside_size, size;
	ssize_t n = read_sealed(m, &sealed);

	*out = NULL;
	if (n >= 0)
		n = attribute_open(e, &m->a, m->below, sealed, (size_t)n, &plain, &inside, &inside_size, &value, &size);
	if (n < 0)
		return n;
	*out = malloc(VALUE_OVERHEAD + 3 + ATTR_NAME_MAX + size);
	n = *out ? attribute_backing(e, &m->a, m->k->generation, m->fresh) : -ENOMEM;
	if (n == 0)
		n = attribute_seal(e, &m->a, m->fresh, m->k->generation, value, size, *out);
	wipe(plain, inside_size + size);
	return n;
}

/* The new one first: who is cut off in between has two. */
static int replace(struct moving *m, const uint8_t *sealed, size_t n)
{
	struct store *s = m->k->e->store;
	int r = s->ops->setxattr(s, m->n->fd, m->fresh, sealed, n, 0);

	return r < 0 ? r : s->ops->removexattr(s, m->n->fd, m->below);
}

static int move(struct moving *m)
{
	struct engine *e = m->k->e;
	uint8_t *sealed;
	ssize_t n = seal_again(m, &sealed);
	mode_t before;
	int r = n < 0 ? (int)n : replace(m, sealed, (size_t)n);

	if (n >= 0 && r == -EACCES && lend(e, m->n, m->n->fd, 0600, &before)) {
		r = replace(m, sealed, (size_t)n);
		lend_back(e, m->n, m->n->fd, 0600, before);
	}
	free(sealed);
	return r;
}

/* 1: it was older. */
static int move_one(struct rekey *k, struct node *n, const char *below, struct attribute *found)
{
	struct moving m = {.k = k, .n = n, .below = below};
	int r;

	if (!rekey_wants(k, attribute_generation(found)))
		return 0;
	if (k->count_only)
		return 1;
	r = attribute_owner(k->e, n, false, found);
	if (r == 0)
		r = attribute_decode(k->e, n, below, found, m.name);
	/* What is none of ours shows in no mount, and needs no key. */
	if (r == -EBADMSG || r == -ENODATA)
		return 0;
	if (r == 0) {
		m.a = *found;
		m.a.name = m.name + strlen(found->prefix);
		r = move(&m);
	}
	return r < 0 ? r : 1;
}

int rekey_attributes(struct rekey *k, struct node *n)
{
	struct engine *e = k->e;
	_cleanup_free_ char *below = malloc(ATTR_VALUE_MAX);
	struct attribute a;
	int r = below ? node_use(e, n) : -ENOMEM, result = 0;
	ssize_t size;

	if (r < 0)
		return r;
	size = e->store->ops->listxattr(e->store, n->fd, below, ATTR_VALUE_MAX);
	for (ssize_t i = 0; i < size && r >= 0; i += (ssize_t)strlen(below + i) + 1) {
		r = attribute_parse(below + i, &a) ? move_one(k, n, below + i, &a) : 0;
		result |= r > 0;
	}
	if (result && !k->count_only)
		dirty_metadata(e, n);
	node_unuse(e, n);
	if (size < 0 && size != -EOPNOTSUPP && size != -EPERM)
		r = (int)size;
	return r < 0 ? r : result;
}

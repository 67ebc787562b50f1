/* Symbolic links: a new one takes the place of the old one, under every name of it.
 *
 * A link with several names is met once under each.  Which new one belongs to an old one is known to the pass alone: if it is cut short in
 * between, the names that it has seen and the others are two links from then on, with the same target. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/descriptor.h"
#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/lend.h"
#include "fs/node.h"
#include "fs/rekey.h"
#include "fs/symlink.h"
#include "fs/zone.h"

enum { NAMES_ROOM = 65536, VALUE_ROOM = 65536 };

/* A link with several names, and the new one. */
struct rekey_link {
	uint64_t dev, ino;
	int fd; /* of the new one */
};

/* One name of a link. */
struct replacement {
	struct engine *e;
	struct node *dir;
	const char *backing;
	struct node *node; /* NULL: not known to the table */
	char temporary[OWN_NAME_MAX];
};

/* ------------------------------------------------------------------ links with several names */

static struct rekey_link *find_known(struct rekey *k, const struct store_stat *st)
{
	for (size_t i = 0; i < k->link_count; i++)
		if (k->links[i].ino == st->ino && k->links[i].dev == st->dev)
			return &k->links[i];
	return NULL;
}

/* Without memory the names become two links, which show the same. */
static void remember(struct rekey *k, const struct store_stat *st, int *fd)
{
	if (k->link_count == k->link_room) {
		size_t room = k->link_room ? 2 * k->link_room : 16;
		struct rekey_link *links = realloc(k->links, room * sizeof *links);

		if (!links)
			return;
		k->links = links;
		k->link_room = room;
	}
	k->links[k->link_count++] = (struct rekey_link){st->dev, st->ino, *fd};
	*fd = -1;
}

void rekey_links_free(struct rekey *k)
{
	for (size_t i = 0; i < k->link_count; i++)
		store_close(k->e->store, k->links[i].fd);
	free(k->links);
	k->links = NULL;
	k->link_count = k->link_room = 0;
}

/* ------------------------------------------------------------------ a new link */

static int copy_attribute(struct store *s, int from, int to, const char *name)
{
	_cleanup_free_ uint8_t *value = malloc(VALUE_ROOM);
	ssize_t n = value ? s->ops->getxattr(s, from, name, value, VALUE_ROOM) : -ENOMEM;

	return n < 0 ? (int)n : s->ops->setxattr(s, to, name, value, (size_t)n, 0);
}

/* Attributes of links are bound to none of them (docs/format-volume.md section 8). */
static int copy_attributes(struct store *s, int from, int to)
{
	_cleanup_free_ char *names = malloc(NAMES_ROOM);
	ssize_t size = names ? s->ops->listxattr(s, from, names, NAMES_ROOM) : -ENOMEM;
	int r = 0;

	if (size < 0)
		return size == -EOPNOTSUPP ? 0 : (int)size;
	for (ssize_t i = 0; i < size && r == 0; i += (ssize_t)strlen(names + i) + 1)
		r = copy_attribute(s, from, to, names + i);
	/* Labels are given by the system, and often to nobody but it. */
	return r == -EPERM || r == -EACCES ? 0 : r;
}

/* Makes it under a temporary name; returns a handle of it. */
static int make(struct replacement *p, const char *text, const struct store_stat *old)
{
	const struct timespec times[2] = {old->atime, old->mtime};
	struct store *s = p->e->store;
	int r = s->ops->symlink(s, text, p->dir->fd, p->temporary), from, fd;

	if (r < 0)
		return r;
	fd = store_open(s, p->dir->fd, p->temporary, O_PATH | O_NOFOLLOW, 0);
	from = store_open(s, p->dir->fd, p->backing, O_PATH | O_NOFOLLOW, 0);
	r = fd < 0 ? fd : (from < 0 ? from : copy_attributes(s, from, fd));
	if (r == 0)
		r = s->ops->chown(s, fd, old->uid, old->gid);
	if (r == 0)
		r = s->ops->utimens(s, fd, times);
	store_close(s, from);
	if (r < 0) {
		store_close(s, fd);
		s->ops->unlink(s, p->dir->fd, p->temporary);
	}
	return r < 0 ? r : fd;
}

/* Also in a directory that its owner may not change. */
static int make_new(struct replacement *p, const char *text, const struct store_stat *old)
{
	mode_t before;
	int r = make(p, text, old);

	if (r == -EACCES && lend(p->e, p->dir, p->dir->fd, 0300, &before)) {
		r = make(p, text, old);
		lend_back(p->e, p->dir, p->dir->fd, 0300, before);
	}
	return r;
}

static int make_another(struct replacement *p, int fd)
{
	struct store *s = p->e->store;
	mode_t before;
	int r = s->ops->link_fd(s, fd, p->dir->fd, p->temporary);

	if (r == -EACCES && lend(p->e, p->dir, p->dir->fd, 0300, &before)) {
		r = s->ops->link_fd(s, fd, p->dir->fd, p->temporary);
		lend_back(p->e, p->dir, p->dir->fd, 0300, before);
	}
	return r;
}

/* ------------------------------------------------------------------ its place */

static int rename_into_place(struct replacement *p)
{
	struct store *s = p->e->store;
	mode_t before;
	int r = s->ops->rename(s, p->dir->fd, p->temporary, p->dir->fd, p->backing, 0);

	if (r == -EACCES && lend(p->e, p->dir, p->dir->fd, 0300, &before)) {
		r = s->ops->rename(s, p->dir->fd, p->temporary, p->dir->fd, p->backing, 0);
		lend_back(p->e, p->dir, p->dir->fd, 0300, before);
	}
	return r;
}

static int put_in_place(void *data)
{
	struct replacement *p = data;
	struct store_stat st;
	int r = rename_into_place(p);

	if (r == 0 && p->node) {
		r = store_stat_at(p->e->store, p->dir->fd, p->backing, &st);
		if (r == 0)
			node_became(p->e, p->node, &st);
	}
	return r;
}

static int take_place(struct replacement *p)
{
	int r;

	p->node = node_find(p->e, p->dir, p->backing);
	r = p->node ? descriptor_apart(p->e, p->node, put_in_place, p) : put_in_place(p);
	node_unref(p->e, p->node);
	if (r < 0)
		p->e->store->ops->unlink(p->e->store, p->dir->fd, p->temporary);
	dirty_entry(p->e, p->dir, NULL);
	return r;
}

/* The body of the old one goes when its last name durably has. */
static void drop_old_body(struct engine *e, struct node *dir, const char *text)
{
	if (text[0] == 'L' && dirty_sync(e, dir) == 0)
		symlink_drop_body(e, text);
}

static int seal_again(struct engine *e, uint32_t zone, const char *text, char out[LINK_TEXT_MAX])
{
	char target[LINK_TARGET_MAX + 1];
	ssize_t n = symlink_open(e, zone, text, target);

	if (n < 0)
		return (int)n;
	target[n] = 0;
	return strlen(target) == (size_t)n ? symlink_seal(e, zone, target, out) : -EBADMSG;
}

static int replace_first(struct rekey *k, struct replacement *p, const char *text, const struct store_stat *st)
{
	struct engine *e = k->e;
	char fresh[LINK_TEXT_MAX];
	int r = seal_again(e, zone_of(e, p->dir), text, fresh), fd;

	if (r < 0)
		return r;
	fd = make_new(p, fresh, st);
	r = fd < 0 ? fd : take_place(p);
	if (r < 0)
		symlink_drop_body(e, fresh);
	else if (st->nlink > 1)
		remember(k, st, &fd);
	else
		drop_old_body(e, p->dir, text);
	store_close(e->store, fd);
	return r;
}

static int replace_another(struct rekey *k, struct replacement *p, const char *text, const struct store_stat *st,
			   const struct rekey_link *known)
{
	int r = make_another(p, known->fd);

	if (r == 0)
		r = take_place(p);
	if (r == 0 && st->nlink == 1)
		drop_old_body(k->e, p->dir, text);
	return r;
}

static int replace(struct rekey *k, struct replacement *p, const char *text, const struct store_stat *st)
{
	const struct rekey_link *known = find_known(k, st);
	int r = directory_own_name("new", p->temporary);

	if (r < 0)
		return r;
	return known ? replace_another(k, p, text, st, known) : replace_first(k, p, text, st);
}

int rekey_link(struct rekey *k, struct node *dir, const char *backing, const struct store_stat *st)
{
	struct replacement p = {.e = k->e, .dir = dir, .backing = backing};
	char text[LINK_TEXT_MAX];
	uint32_t generations[2];
	ssize_t n = k->e->store->ops->readlink(k->e->store, dir->fd, backing, text, sizeof text - 1);
	int r;

	if (n < 0)
		return (int)n;
	text[n] = 0;
	r = symlink_generations(k->e, text, generations);
	if (r < 0 || !(rekey_wants(k, generations[0]) || rekey_wants(k, generations[1])))
		return r;
	if (!k->count_only)
		r = replace(k, &p, text, st);
	return r < 0 ? r : 1;
}

#include "image.h"

#include <assert.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

static struct timespec to_time(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

/* ------------------------------------------------------------------ inodes */

static void inode_drop(struct inode *i)
{
	if (!i || --i->refs)
		return;
	pages_free(&i->data);
	free(i->target);
	for (size_t n = 0; n < i->entry_count; n++)
		free(i->entries[n].name);
	free(i->entries);
	for (size_t n = 0; n < i->xattr_count; n++) {
		free(i->xattrs[n].name);
		free(i->xattrs[n].value);
	}
	free(i->xattrs);
	free(i);
}

static struct inode *inode_copy(const struct inode *from)
{
	struct inode *to = copy_bytes(from, sizeof(*from));

	to->refs = 1;
	pages_copy(&to->data, &from->data);
	to->target = copy_text(from->target);
	to->entry_room = from->entry_count;
	to->entries = copy_bytes(from->entries, from->entry_count * sizeof(*from->entries));
	for (size_t n = 0; n < to->entry_count; n++)
		to->entries[n].name = copy_text(from->entries[n].name);
	to->xattr_room = from->xattr_count;
	to->xattrs = copy_bytes(from->xattrs, from->xattr_count * sizeof(*from->xattrs));
	for (size_t n = 0; n < to->xattr_count; n++) {
		to->xattrs[n].name = copy_text(from->xattrs[n].name);
		to->xattrs[n].value = copy_bytes(from->xattrs[n].value, from->xattrs[n].size);
	}
	return to;
}

const struct inode *image_inode(const struct image *m, uint32_t ino)
{
	return ino < m->count ? m->inodes[ino] : NULL;
}

struct inode *image_change(struct image *m, uint32_t ino)
{
	struct inode *i = ino < m->count ? m->inodes[ino] : NULL;

	if (!i || i->refs == 1)
		return i;
	m->inodes[ino] = inode_copy(i);
	inode_drop(i);
	return m->inodes[ino];
}

void image_make_inode(struct image *m, const struct call *c)
{
	struct inode *i = need(calloc(1, sizeof(*i)));

	while (m->count <= c->ino) {
		m->inodes = grow(m->inodes, m->count, &m->room, sizeof(*m->inodes));
		m->inodes[m->count++] = NULL;
	}
	assert(!m->inodes[c->ino]);
	i->refs = 1;
	i->mode = c->mode;
	i->uid = c->uid;
	i->gid = c->gid;
	i->rdev = c->rdev;
	i->nlink = S_ISDIR(c->mode) ? 1 : 0; /* its own "." */
	i->btime_ns = c->now;
	i->atime = i->mtime = i->ctime = to_time(c->now);
	i->target = copy_text(c->text);
	i->size = c->text ? strlen(c->text) : 0;
	i->parent = c->dir;
	i->next_cookie = 3; /* behind "." and ".." */
	m->inodes[c->ino] = i;
}

void image_forget(struct image *m, uint32_t ino)
{
	inode_drop(m->inodes[ino]);
	m->inodes[ino] = NULL;
}

/* ------------------------------------------------------------------ images */

void image_init(struct image *m, uint64_t now)
{
	struct call root = {
		.kind = CALL_MAKE, .ino = IMAGE_ROOT, .dir = IMAGE_ROOT, .mode = S_IFDIR | 0755, .now = now};

	*m = (struct image){.now = now};
	image_make_inode(m, &root);
	m->inodes[IMAGE_ROOT]->nlink = 2;
}

void image_copy(struct image *to, const struct image *from)
{
	*to = (struct image){.count = from->count, .room = from->count, .now = from->now};
	to->inodes = copy_bytes(from->inodes, from->count * sizeof(struct inode *));
	for (size_t i = 0; i < to->count; i++)
		if (to->inodes[i])
			to->inodes[i]->refs++;
}

void image_free(struct image *m)
{
	for (size_t i = 0; i < m->count; i++)
		inode_drop(m->inodes[i]);
	free(m->inodes);
	*m = (struct image){0};
}

static const struct image_entry *entry_of(const struct inode *d, const char *name)
{
	for (size_t i = 0; d && i < d->entry_count; i++)
		if (strcmp(d->entries[i].name, name) == 0)
			return &d->entries[i];
	return NULL;
}

uint32_t image_lookup(const struct image *m, uint32_t dir, const char *name)
{
	const struct image_entry *e = entry_of(image_inode(m, dir), name);

	return e ? e->ino : 0;
}

static void mark_reachable(const struct image *m, uint32_t ino, unsigned *links)
{
	const struct inode *d = image_inode(m, ino);

	for (size_t i = 0; i < d->entry_count; i++) {
		const struct inode *child = image_inode(m, d->entries[i].ino);

		links[d->entries[i].ino]++;
		if (!S_ISDIR(child->mode))
			continue;
		links[d->entries[i].ino]++; /* "." */
		links[ino]++;               /* ".." */
		mark_reachable(m, d->entries[i].ino, links);
	}
}

void image_settle(struct image *m)
{
	unsigned *links = need(calloc(m->count, sizeof(*links)));

	links[IMAGE_ROOT] = 2;
	mark_reachable(m, IMAGE_ROOT, links);
	for (uint32_t i = 1; i < m->count; i++) {
		if (!m->inodes[i])
			continue;
		if (links[i] == 0)
			image_forget(m, i);
		else if (m->inodes[i]->nlink != links[i])
			image_change(m, i)->nlink = links[i];
	}
	free(links);
}

/* ------------------------------------------------------------------ names */

static bool is_directory(const struct image *m, uint32_t ino)
{
	const struct inode *i = image_inode(m, ino);

	return i && S_ISDIR(i->mode);
}

static void touch(struct inode *i, uint64_t now, bool content)
{
	i->ctime = to_time(now);
	if (content)
		i->mtime = i->ctime;
}

static void add_name(struct image *m, uint32_t dir, const char *name, uint32_t ino, uint64_t now)
{
	struct inode *d = image_change(m, dir), *i;

	d->entries = grow(d->entries, d->entry_count, &d->entry_room, sizeof(*d->entries));
	d->entries[d->entry_count++] = (struct image_entry){copy_text(name), ino, d->next_cookie++};
	touch(d, now, true);
	i = image_change(m, ino);
	i->nlink++;
	touch(i, now, false);
	if (S_ISDIR(i->mode)) {
		i->parent = dir;
		d->nlink++;
	}
}

static void take_name(struct image *m, uint32_t dir, const char *name, uint64_t now)
{
	struct inode *d = image_change(m, dir), *i;
	size_t at = (size_t)(entry_of(d, name) - d->entries);

	i = image_change(m, d->entries[at].ino);
	free(d->entries[at].name);
	memmove(d->entries + at, d->entries + at + 1, (--d->entry_count - at) * sizeof(*d->entries));
	touch(d, now, true);
	touch(i, now, false);
	i->nlink--;
	if (S_ISDIR(i->mode))
		d->nlink--;
}

static void rename_names(struct image *m, const struct call *c)
{
	take_name(m, c->dir, c->name, c->now);
	if (c->there)
		take_name(m, c->dir2, c->name2, c->now);
	add_name(m, c->dir2, c->name2, c->ino, c->now);
	if (c->flags & RENAME_EXCHANGE)
		add_name(m, c->dir, c->name, c->there, c->now);
	else if (c->there && is_directory(m, c->there))
		image_change(m, c->there)->nlink = 0;
}

void image_apply_names(struct image *m, const struct call *c)
{
	switch (c->kind) {
	case CALL_MAKE:
	case CALL_LINK:
		if (c->dir)
			add_name(m, c->dir, c->name, c->ino, c->now);
		break;
	case CALL_UNLINK:
		take_name(m, c->dir, c->name, c->now);
		if (is_directory(m, c->ino))
			image_change(m, c->ino)->nlink = 0;
		break;
	default:
		rename_names(m, c);
		break;
	}
}

/* True if `ino` lies in `dir` or is it. */
static bool is_within(const struct image *m, uint32_t dir, uint32_t ino)
{
	while (dir != ino && dir != IMAGE_ROOT && is_directory(m, dir))
		dir = image_inode(m, dir)->parent;
	return dir == ino;
}

static bool is_empty_if_directory(const struct image *m, uint32_t ino)
{
	return !is_directory(m, ino) || image_inode(m, ino)->entry_count == 0;
}

bool image_possible(const struct image *m, const struct call *c)
{
	if (c->kind == CALL_MAKE && !c->dir)
		return true;
	if (!is_directory(m, c->dir))
		return false;
	if (c->kind == CALL_MAKE || c->kind == CALL_LINK)
		return image_inode(m, c->ino) && !image_lookup(m, c->dir, c->name);
	if (image_lookup(m, c->dir, c->name) != c->ino)
		return false;
	if (c->kind == CALL_UNLINK)
		return is_empty_if_directory(m, c->ino);
	if (!is_directory(m, c->dir2) || image_lookup(m, c->dir2, c->name2) != c->there)
		return false;
	if (is_directory(m, c->ino) && is_within(m, c->dir2, c->ino))
		return false;
	return c->flags & RENAME_EXCHANGE || !c->there || is_empty_if_directory(m, c->there);
}

/* ------------------------------------------------------------------ attributes */

const struct image_xattr *image_xattr(const struct inode *i, const char *name)
{
	for (size_t n = 0; n < i->xattr_count; n++)
		if (strcmp(i->xattrs[n].name, name) == 0)
			return &i->xattrs[n];
	return NULL;
}

static void remove_xattr(struct inode *i, const char *name)
{
	const struct image_xattr *x = image_xattr(i, name);
	size_t at = x ? (size_t)(x - i->xattrs) : 0;

	if (!x)
		return;
	free(i->xattrs[at].name);
	free(i->xattrs[at].value);
	memmove(i->xattrs + at, i->xattrs + at + 1, (--i->xattr_count - at) * sizeof(*i->xattrs));
}

static void set_xattr(struct inode *i, const struct call *c)
{
	remove_xattr(i, c->text);
	i->xattrs = grow(i->xattrs, i->xattr_count, &i->xattr_room, sizeof(*i->xattrs));
	i->xattrs[i->xattr_count++] =
		(struct image_xattr){copy_text(c->text), copy_bytes(c->data, (size_t)c->size), (size_t)c->size};
}

void image_apply_attributes(struct image *m, const struct call *c)
{
	struct inode *i = image_change(m, c->ino);

	switch (c->kind) {
	case CALL_CHMOD:
		i->mode = (i->mode & S_IFMT) | (c->mode & 07777);
		break;
	case CALL_CHOWN:
		i->uid = c->uid;
		i->gid = c->gid;
		break;
	case CALL_UTIMENS:
		i->atime = c->ts[0];
		i->mtime = c->ts[1];
		break;
	case CALL_SETXATTR:
		set_xattr(i, c);
		break;
	case CALL_REMOVEXATTR:
		remove_xattr(i, c->text);
		break;
	default: /* a write and its like: times only */
		i->mtime = to_time(c->now);
		break;
	}
	i->ctime = to_time(c->now);
}

/* ------------------------------------------------------------------ all of a call */

static void apply_content(struct image *m, const struct call *c)
{
	struct inode *i = image_change(m, c->ino);

	if (c->kind == CALL_WRITE)
		pages_write(&i->data, c->data, (size_t)c->size, c->off);
	else if (c->kind == CALL_PUNCH)
		pages_punch(&i->data, c->off, c->size);
	else if (c->kind == CALL_TRUNCATE)
		pages_cut(&i->data, c->size);
	if (c->kind == CALL_TRUNCATE)
		i->size = c->size;
	else if (c->kind != CALL_PUNCH && c->off + c->size > i->size)
		i->size = c->off + c->size;
}

void image_apply(struct image *m, const struct call *c)
{
	m->now = c->now;
	if (call_is_sync(c))
		return;
	if (c->kind == CALL_MAKE)
		image_make_inode(m, c);
	if (call_is_name(c)) {
		image_apply_names(m, c);
		return;
	}
	if (c->kind >= CALL_WRITE && c->kind <= CALL_ALLOCATE)
		apply_content(m, c);
	image_apply_attributes(m, c);
}

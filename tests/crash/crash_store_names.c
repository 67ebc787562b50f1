/* Names: opening, making, removing, renaming, listing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crash_internal.h"

/* Where a name leads. */
struct place {
	uint32_t dir, ino; /* ino 0: nothing there */
	char name[CRASH_NAME_MAX + 1];
};

static bool may(struct crash_store *c, uint32_t ino, mode_t rights)
{
	return (image_inode(&c->image, ino)->mode & rights) == rights;
}

static int look_up(struct crash_store *c, uint32_t dir, const char *name, struct place *out)
{
	if (!S_ISDIR(image_inode(&c->image, dir)->mode))
		return -ENOTDIR;
	if (strlen(name) > CRASH_NAME_MAX)
		return -ENAMETOOLONG;
	if (!may(c, dir, 0100))
		return -EACCES;
	out->dir = dir;
	snprintf(out->name, sizeof(out->name), "%s", name);
	if (strcmp(name, ".") == 0)
		out->ino = dir;
	else if (strcmp(name, "..") == 0)
		out->ino = image_inode(&c->image, dir)->parent;
	else
		out->ino = image_lookup(&c->image, dir, name);
	return 0;
}

/* Goes along a path from a directory handle, or from the root. */
static int find(struct crash_store *c, int dir, const char *path, struct place *out)
{
	struct handle *h = dir == AT_FDCWD ? NULL : crash_handle(c, dir);
	char copy[4096], *rest = copy, *part;
	int r;

	if (dir != AT_FDCWD && !h)
		return -EBADF;
	if (!*path)
		return -ENOENT;
	snprintf(copy, sizeof(copy), "%s", path);
	out->ino = h ? h->ino : IMAGE_ROOT;
	while ((part = strsep(&rest, "/"))) {
		if (!*part)
			continue;
		if (!out->ino)
			return -ENOENT;
		r = look_up(c, out->ino, part, out);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The same for a name that is to change; new: there must be nothing. */
static int find_for_change(struct crash_store *c, int dir, const char *name, bool new, struct place *out)
{
	int r = find(c, dir, name, out);

	if (r < 0)
		return r;
	if (new && out->ino)
		return -EEXIST;
	if (!new && !out->ino)
		return -ENOENT;
	if (image_inode(&c->image, out->dir)->nlink == 0)
		return -ENOENT; /* a directory that was removed */
	return may(c, out->dir, 0300) ? 0 : -EACCES;
}

static uint32_t make(struct crash_store *c, const struct place *at, mode_t mode, dev_t rdev, const char *target)
{
	struct call call = {.kind = CALL_MAKE,
			    .ino = (uint32_t)c->image.count,
			    .mode = mode,
			    .rdev = rdev,
			    .uid = geteuid(),
			    .gid = getegid(),
			    .text = (char *)(uintptr_t)target};

	if (at) {
		call.dir = at->dir;
		call.name = (char *)(uintptr_t)at->name;
	}
	crash_apply(c, &call);
	return call.ino;
}

/* ------------------------------------------------------------------ open */

static int open_there(struct crash_store *c, uint32_t ino, int flags)
{
	mode_t mode = image_inode(&c->image, ino)->mode, rights = 0;
	int access = flags & O_ACCMODE;

	if (flags & O_DIRECTORY && !S_ISDIR(mode))
		return -ENOTDIR;
	if (flags & O_PATH)
		return crash_handle_new(c, ino, flags & ~O_ACCMODE);
	if (S_ISLNK(mode))
		return -ELOOP;
	if (S_ISDIR(mode) && (access != O_RDONLY || flags & O_CREAT))
		return -EISDIR;
	if (access != O_WRONLY)
		rights |= 0400;
	if (access != O_RDONLY)
		rights |= 0200;
	if (!may(c, ino, rights))
		return -EACCES;
	if (S_ISSOCK(mode) || (S_ISFIFO(mode) && access == O_WRONLY))
		return -ENXIO;
	if (flags & O_TRUNC && S_ISREG(mode) && access != O_RDONLY) {
		struct call call = {.kind = CALL_TRUNCATE, .ino = ino};

		crash_apply(c, &call);
	}
	return crash_handle_new(c, ino, flags);
}

static int open_nameless(struct crash_store *c, uint32_t dir, int flags, mode_t mode)
{
	int fd;

	if (!S_ISDIR(image_inode(&c->image, dir)->mode))
		return -ENOTDIR;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	if (!may(c, dir, 0300))
		return -EACCES;
	fd = crash_handle_new(c, make(c, NULL, S_IFREG | (mode & 07777), 0, NULL), flags & ~O_TMPFILE);
	crash_handle(c, fd)->nameless = true;
	return fd;
}

static int open_name(struct crash_store *c, int dir, const char *name, int flags, mode_t mode)
{
	struct place at;
	int r = find(c, dir, name, &at);

	if (r < 0)
		return r;
	if (at.ino && (flags & O_TMPFILE) == O_TMPFILE)
		return open_nameless(c, at.ino, flags, mode);
	if (at.ino)
		return flags & O_CREAT && flags & O_EXCL ? -EEXIST : open_there(c, at.ino, flags);
	if (!(flags & O_CREAT))
		return -ENOENT;
	r = find_for_change(c, dir, name, true, &at);
	if (r < 0)
		return r;
	/* The mode of what was just made does not bind who made it. */
	return crash_handle_new(c, make(c, &at, S_IFREG | (mode & 07777), 0, NULL), flags & ~O_CREAT);
}

int crash_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	struct crash_store *c = crash_enter(s);

	return (int)crash_leave(open_name(c, dir, name, flags, mode));
}

void crash_fill_stat(struct crash_store *c, uint32_t ino, struct store_stat *out)
{
	const struct inode *i = image_inode(&c->image, ino);

	*out = (struct store_stat){.dev = 77,
				   .ino = ino,
				   .size = S_ISDIR(i->mode) ? CRASH_PAGE : i->size,
				   .blocks = pages_used(&i->data) * (CRASH_PAGE / CRASH_SECTOR),
				   .btime_ns = i->btime_ns,
				   .rdev = i->rdev,
				   .atime = i->atime,
				   .mtime = i->mtime,
				   .ctime = i->ctime,
				   .mode = i->mode,
				   .uid = i->uid,
				   .gid = i->gid,
				   .nlink = i->nlink,
				   .blksize = CRASH_PAGE};
}

int crash_stat_at(struct store *s, int dir, const char *name, struct store_stat *out)
{
	struct crash_store *c = crash_enter(s);
	struct place at;
	int r = find(c, dir, name, &at);

	if (r == 0 && !at.ino)
		r = -ENOENT;
	if (r == 0)
		crash_fill_stat(c, at.ino, out);
	return (int)crash_leave(r);
}

/* ------------------------------------------------------------------ making */

static int make_named(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev, const char *target)
{
	struct crash_store *c = crash_enter(s);
	struct place at;
	int r = find_for_change(c, dir, name, true, &at);

	if (r == 0)
		make(c, &at, mode, rdev, target);
	return (int)crash_leave(r);
}

int crash_mkdir(struct store *s, int dir, const char *name, mode_t mode)
{
	return make_named(s, dir, name, S_IFDIR | (mode & 07777), 0, NULL);
}

int crash_mknod(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev)
{
	return make_named(s, dir, name, mode, rdev, NULL);
}

int crash_symlink(struct store *s, const char *target, int dir, const char *name)
{
	if (!*target)
		return -ENOENT;
	if (strlen(target) > CRASH_SYMLINK_MAX)
		return -ENAMETOOLONG;
	return make_named(s, dir, name, S_IFLNK | 0777, 0, target);
}

ssize_t crash_readlink(struct store *s, int dir, const char *name, char *buf, size_t n)
{
	struct crash_store *c = crash_enter(s);
	const struct inode *i;
	struct place at = {0};
	ssize_t r = 0;

	if (*name)
		r = find(c, dir, name, &at);
	else
		at.ino = crash_handle(c, dir) ? crash_handle(c, dir)->ino : 0;
	if (r < 0 || !at.ino)
		return crash_leave(r < 0 ? r : -ENOENT);
	i = image_inode(&c->image, at.ino);
	if (!S_ISLNK(i->mode))
		return crash_leave(-EINVAL);
	r = i->size < n ? (ssize_t)i->size : (ssize_t)n;
	memcpy(buf, i->target, (size_t)r);
	return crash_leave(r);
}

static int add_link(struct crash_store *c, uint32_t ino, int dir, const char *name)
{
	struct call call = {.kind = CALL_LINK, .ino = ino};
	struct place at;
	int r = find_for_change(c, dir, name, true, &at);

	if (r < 0)
		return r;
	if (S_ISDIR(image_inode(&c->image, ino)->mode))
		return -EPERM;
	call.dir = at.dir;
	call.name = at.name;
	crash_apply(c, &call);
	return 0;
}

int crash_link(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	struct crash_store *c = crash_enter(s);
	struct place old;
	int r = find(c, old_dir, old_name, &old);

	if (r == 0)
		r = old.ino ? add_link(c, old.ino, new_dir, new_name) : -ENOENT;
	return (int)crash_leave(r);
}

int crash_link_fd(struct store *s, int fd, int new_dir, const char *new_name)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);
	int r = -EBADF;

	if (h)
		r = image_inode(&c->image, h->ino)->nlink || h->nameless ? add_link(c, h->ino, new_dir, new_name)
									 : -ENOENT;
	return (int)crash_leave(r);
}

/* ------------------------------------------------------------------ removing */

static int remove_name(struct store *s, int dir, const char *name, bool directory)
{
	struct crash_store *c = crash_enter(s);
	struct call call = {.kind = CALL_UNLINK};
	struct place at;
	int r = find_for_change(c, dir, name, false, &at);

	if (r < 0)
		return (int)crash_leave(r);
	if (S_ISDIR(image_inode(&c->image, at.ino)->mode) != directory)
		return (int)crash_leave(directory ? -ENOTDIR : -EISDIR);
	if (directory && image_inode(&c->image, at.ino)->entry_count)
		return (int)crash_leave(-ENOTEMPTY);
	call.ino = at.ino;
	call.dir = at.dir;
	call.name = at.name;
	crash_apply(c, &call);
	crash_forget_unused(c, at.ino);
	return (int)crash_leave(0);
}

int crash_unlink(struct store *s, int dir, const char *name)
{
	return remove_name(s, dir, name, false);
}

int crash_rmdir(struct store *s, int dir, const char *name)
{
	return remove_name(s, dir, name, true);
}

/* ------------------------------------------------------------------ rename */

static int rename_refusal(struct crash_store *c, const struct place *from, const struct place *to, unsigned flags)
{
	bool directory = S_ISDIR(image_inode(&c->image, from->ino)->mode), over;

	if (to->ino && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!to->ino)
		return flags & RENAME_EXCHANGE ? -ENOENT : 0;
	if (flags & RENAME_EXCHANGE)
		return 0;
	over = S_ISDIR(image_inode(&c->image, to->ino)->mode);
	if (over != directory)
		return over ? -EISDIR : -ENOTDIR;
	return over && image_inode(&c->image, to->ino)->entry_count ? -ENOTEMPTY : 0;
}

static int rename_names(struct crash_store *c, int old_dir, const char *old_name, int new_dir, const char *new_name,
			unsigned flags)
{
	struct call call = {.kind = CALL_RENAME, .flags = flags};
	struct place from, to;
	int r = find_for_change(c, old_dir, old_name, false, &from);

	if (r == 0)
		r = find(c, new_dir, new_name, &to);
	if (r == 0 && to.ino)
		r = find_for_change(c, new_dir, new_name, false, &to);
	else if (r == 0)
		r = find_for_change(c, new_dir, new_name, true, &to);
	if (r == 0)
		r = rename_refusal(c, &from, &to, flags);
	if (r < 0 || from.ino == to.ino)
		return r;
	call.ino = from.ino;
	call.dir = from.dir;
	call.name = from.name;
	call.dir2 = to.dir;
	call.name2 = to.name;
	call.there = to.ino;
	if (!image_possible(&c->image, &call))
		return -EINVAL; /* a directory into itself */
	crash_apply(c, &call);
	if (to.ino)
		crash_forget_unused(c, to.ino);
	return 0;
}

int crash_rename(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags)
{
	struct crash_store *c = crash_enter(s);

	return (int)crash_leave(rename_names(c, old_dir, old_name, new_dir, new_name, flags));
}

/* ------------------------------------------------------------------ listing */

/* As the kernel writes it (struct linux_dirent64). */
struct raw_dirent {
	uint64_t ino;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static size_t put_entry(uint8_t *buf, size_t room, uint64_t ino, int64_t next, mode_t mode, const char *name)
{
	const size_t head = offsetof(struct raw_dirent, name);
	size_t size = (head + strlen(name) + 1 + 7) & ~(size_t)7;
	struct raw_dirent raw = {.ino = ino, .next = next, .size = (uint16_t)size, .type = IFTODT(mode)};

	if (size > room)
		return 0;
	memset(buf, 0, size);
	memcpy(buf, &raw, head);
	memcpy(buf + head, name, strlen(name));
	return size;
}

static ssize_t list(const struct image *m, uint32_t dir, int64_t cookie, uint8_t *buf, size_t n)
{
	const struct inode *d = image_inode(m, dir);
	size_t used = 0, size = 1;

	if (d->nlink == 0)
		return 0;
	if (cookie < 1)
		used += put_entry(buf, n, dir, 1, S_IFDIR, ".");
	if (cookie < 2)
		used += put_entry(buf + used, n - used, d->parent, 2, S_IFDIR, "..");
	for (size_t i = 0; i < d->entry_count && size; i++) {
		const struct image_entry *e = &d->entries[i];

		if (e->cookie <= cookie)
			continue;
		size = put_entry(buf + used, n - used, e->ino, e->cookie, image_inode(m, e->ino)->mode, e->name);
		used += size;
	}
	return size || used ? (ssize_t)used : -EINVAL;
}

ssize_t crash_getdents(struct store *s, int fd, int64_t cookie, void *buf, size_t n)
{
	struct crash_store *c = crash_enter(s);
	struct handle *h = crash_handle(c, fd);

	if (!h || h->flags & O_PATH)
		return crash_leave(-EBADF);
	if (!S_ISDIR(image_inode(&c->image, h->ino)->mode))
		return crash_leave(-ENOTDIR);
	return crash_leave(list(&c->image, h->ino, cookie, buf, n));
}

/* What --repair changes below.  No content is ever removed: what cannot be read is moved to .coffer/lost/. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/directory.h"
#include "fs/names.h"

enum { TAIL_PIECE = 1 << 20 };

int repair_open_lost(struct check *c)
{
	struct store *s = c->e->store;

	if (c->lost_fd >= 0)
		return 0;
	c->lost_fd = store_open(s, c->e->dot, "lost", O_RDONLY | O_DIRECTORY, 0);
	if (c->lost_fd == -ENOENT && s->ops->mkdir(s, c->e->dot, "lost", 0700) == 0)
		c->lost_fd = store_open(s, c->e->dot, "lost", O_RDONLY | O_DIRECTORY, 0);
	return c->lost_fd < 0 ? c->lost_fd : 0;
}

/* The check holds the volume's lock: where the store knows no RENAME_NOREPLACE, looking first is as good. */
int repair_move(struct check *c, int from_dir, const char *from, int to_dir, const char *to)
{
	struct store *s = c->e->store;
	struct store_stat st;
	int r = s->ops->rename(s, from_dir, from, to_dir, to, RENAME_NOREPLACE);

	if (r != -EINVAL && r != -ENOSYS)
		return r;
	if (store_stat_at(s, to_dir, to, &st) == 0)
		return -EEXIST;
	return s->ops->rename(s, from_dir, from, to_dir, to, 0);
}

int repair_rename(struct check *c, int dir, const char *from, const char *to)
{
	return repair_move(c, dir, from, dir, to);
}

int repair_set_aside(struct check *c, int dir, const char *backing, char out[NAME_MAX + 1])
{
	char sidecar[NAME_MAX + 1], sidecar_out[NAME_MAX + 1];
	int r = repair_open_lost(c);

	snprintf(out, NAME_MAX + 1, "%s", backing);
	if (r == 0)
		r = repair_move(c, dir, backing, c->lost_fd, out);
	if (r == -EEXIST) {
		r = directory_own_name("lost", out);
		if (r == 0)
			r = repair_move(c, dir, backing, c->lost_fd, out);
	}
	if (r < 0 || backing[0] != '~' || strlen(backing) + 2 > NAME_MAX || strlen(out) + 2 > NAME_MAX)
		return r;
	/* The sidecar may still tell somebody the name. */
	snprintf(sidecar, sizeof sidecar, "%.250s.n", backing);
	snprintf(sidecar_out, sizeof sidecar_out, "%.250s.n", out);
	r = repair_move(c, dir, sidecar, c->lost_fd, sidecar_out);
	return r == -ENOENT ? 0 : r;
}

int check_unreadable(struct check *c, struct check_entry *en, const char *kind, const char *what)
{
	struct check_kind k = {CHECK_ERROR, kind, false};
	char aside[NAME_MAX + 1];
	int r = c->repair ? repair_set_aside(c, en->dir->node->fd, en->backing, aside) : -EROFS;

	if (r == 0) {
		k.repaired = true;
		en->done = true;
		return check_say_entry(c, en, k, "%s; moved to .coffer/lost/%s", what, aside);
	}
	return check_say_entry(c, en, k, "%s; %s", what,
			       c->repair ? strerror(-r)
					 : "put it back from a backup, or let --repair move it to .coffer/lost/");
}

/* What is going to be cut off, as a file in .coffer/lost/. */
static int copy_tail(struct check *c, int from, uint64_t begin, uint64_t end, int to)
{
	_cleanup_free_ uint8_t *buf = malloc(TAIL_PIECE);
	struct store *s = c->e->store;

	if (!buf)
		return -ENOMEM;
	for (uint64_t at = begin; at < end; at += TAIL_PIECE) {
		ssize_t n = store_pread(s, from, buf, TAIL_PIECE, at);

		/* Holes stay holes. */
		if (n > 0 && !bytes_all_zero(buf, (size_t)n))
			n = store_pwrite(s, to, buf, (size_t)n, at - begin);
		if (n < 0)
			return (int)n;
	}

	int r = s->ops->truncate(s, to, end - begin);

	return r < 0 ? r : s->ops->fsync(s, to);
}

static int save_tail(struct check *c, int fd, uint64_t begin, uint64_t end)
{
	char name[OWN_NAME_MAX];
	int r = repair_open_lost(c);

	if (r == 0)
		r = directory_own_name("tail", name);

	int to = r < 0 ? r : store_open(c->e->store, c->lost_fd, name, O_CREAT | O_EXCL | O_WRONLY, 0600);

	if (to < 0)
		return to;
	r = copy_tail(c, fd, begin, end, to);
	store_close(c->e->store, to);
	if (r < 0)
		c->e->store->ops->unlink(c->e->store, c->lost_fd, name);
	return r;
}

/* Times belong to the user: a repair does not show. */
static int resize(struct check *c, int fd, const struct check_entry *en, uint64_t size)
{
	struct store *s = c->e->store;
	struct store_stat st;
	int r = store_stat(s, fd, &st);

	if (r == 0 && (st.ino != en->st.ino || st.dev != en->st.dev || !S_ISREG(st.mode)))
		r = -ESTALE;
	if (r == 0 && st.size > size)
		r = save_tail(c, fd, size, st.size);
	if (r == 0)
		r = s->ops->truncate(s, fd, size);
	if (r == 0) {
		const struct timespec times[2] = {st.atime, st.mtime};

		r = s->ops->utimens(s, fd, times);
	}
	return r < 0 ? r : s->ops->fsync(s, fd);
}

int repair_size(struct check *c, const struct check_entry *en, uint64_t size)
{
	int fd = store_open(c->e->store, en->dir->node->fd, en->backing, O_RDWR | O_NONBLOCK, 0);
	int r = fd < 0 ? fd : resize(c, fd, en, size);

	store_close(c->e->store, fd);
	return r;
}

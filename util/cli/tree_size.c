#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util/cli/status.h"

enum { ENTRIES = 32 << 10 };

static int add_directory(struct store *s, int dir, struct tree_size *out);

static int add_entry(struct store *s, int dir, const char *name, struct tree_size *out)
{
	struct store_stat st;

	int r = store_stat_at(s, dir, name, &st);
	if (r == -ENOENT)
		return 0; /* a mount is at work */
	if (r < 0)
		return r;
	out->objects++;
	/* A file of many names counts once for each: told apart they would need memory for all of them. */
	out->bytes += st.blocks * 512 / (st.nlink && !S_ISDIR(st.mode) ? st.nlink : 1);
	if (!S_ISDIR(st.mode))
		return 0;
	int below = store_open(s, dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (below < 0)
		return below == -ENOENT ? 0 : below;
	r = add_directory(s, below, out);
	store_close(s, below);
	return r;
}

static int add_entries(struct store *s, int dir, const char *buf, size_t used, int64_t *cookie, struct tree_size *out)
{
	struct store_dirent e;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && store_dirent_next(buf, used, &pos, &e)) {
		*cookie = e.next;
		if (strcmp(e.name, ".") != 0 && strcmp(e.name, "..") != 0)
			r = add_entry(s, dir, e.name, out);
	}
	return r;
}

static int add_directory(struct store *s, int dir, struct tree_size *out)
{
	_cleanup_free_ char *buf = malloc(ENTRIES);
	int64_t cookie = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while ((n = s->ops->getdents(s, dir, cookie, buf, ENTRIES)) > 0) {
		int r = add_entries(s, dir, buf, (size_t)n, &cookie, out);
		if (r < 0)
			return r;
	}
	return n < 0 ? (int)n : 0;
}

int tree_size(struct store *s, int dir, struct tree_size *out)
{
	*out = (struct tree_size){0};
	/* A handle of its own: reading entries moves the position. */
	int fd = store_open(s, dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	int r = add_directory(s, fd, out);
	store_close(s, fd);
	return r;
}

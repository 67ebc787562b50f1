#include "fs/give_up.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/node.h"

/* A path on its way down: the directory reached, by an id that counts as looked up, and the last component. */
struct descent {
	struct engine *e;
	uint64_t dir;
	char name[NAME_MAX + 1];
};

static int step(struct descent *d, const char *name)
{
	struct node_attr a;
	int r = fs_lookup(d->e, d->dir, name, &a);

	if (r < 0)
		return r;
	fs_forget(d->e, d->dir, 1);
	d->dir = a.node;
	return S_ISDIR(a.st.mode) ? 0 : -ENOTDIR;
}

static int descend(struct descent *d, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	char *rest = copy, *name;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && (name = strsep(&rest, "/"))) {
		if (!*name)
			continue;
		if (strlen(name) > NAME_MAX)
			return -ENAMETOOLONG;
		if (*d->name)
			r = step(d, d->name);
		strcpy(d->name, name);
	}
	return r == 0 && !*d->name ? -EISDIR : r;
}

static int open_lost(struct engine *e)
{
	int fd = store_open(e->store, e->dot, "lost", O_RDONLY | O_DIRECTORY, 0);

	if (fd == -ENOENT && e->store->ops->mkdir(e->store, e->dot, "lost", 0700) == 0)
		fd = store_open(e->store, e->dot, "lost", O_RDONLY | O_DIRECTORY, 0);
	return fd;
}

/* One more name, in lost/, which is durable before the others go. */
static int keep(struct engine *e, uint64_t id)
{
	char name[OWN_NAME_MAX];
	struct node *n = node_get(e, id);
	int r = n ? node_use(e, n) : -ESTALE, lost;

	if (r == 0) {
		lost = open_lost(e);
		r = lost < 0 ? lost : directory_own_name("given-up", name);
		if (r == 0)
			r = e->store->ops->link_fd(e->store, n->fd, lost, name);
		if (r == 0)
			r = e->store->ops->fsync(e->store, lost);
		store_close(e->store, lost);
		node_unuse(e, n);
	}
	node_unref(e, n);
	return r;
}

static int give_up(struct descent *d, const char *path)
{
	struct node_attr a = {0};
	int r = descend(d, path);

	if (r == 0)
		r = fs_lookup(d->e, d->dir, d->name, &a);
	if (r < 0)
		return r;
	r = S_ISDIR(a.st.mode) ? -EISDIR : keep(d->e, a.node);
	if (r == 0)
		r = fs_unlink(d->e, d->dir, d->name);
	fs_forget(d->e, a.node, 1);
	return r;
}

int give_up_path(struct engine *e, const char *path, struct fault *why)
{
	struct descent d = {.e = e, .dir = ROOT_NODE};
	int r;

	worker_enter(e);
	r = give_up(&d, path);
	if (d.dir != ROOT_NODE)
		fs_forget(e, d.dir, 1);
	worker_leave();
	if (r == -EISDIR)
		return fault_set(why, EXIT_REFUSED, EISDIR,
				 "%s is a directory, which is not set aside; see what \"coffer check\" says of it",
				 path);
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot set %s aside", path) : 0;
}

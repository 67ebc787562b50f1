/* Taking entries away: unlink, rmdir, and what a rename over something does to it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/descriptor.h"
#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/lend.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/removal.h"
#include "fs/side.h"
#include "fs/symlink.h"
#include "fs/zone.h"
#include "util/base/log.h"

/* ------------------------------------------------------------------ what the kernel still holds */

/* Moves the last name of a file into .coffer/open/, from where it is removed at FORGET or by the next mount: for when too many
 * descriptors are pinned already. */
static int park(struct engine *e, struct node *dir, const char *backing, struct node *n)
{
	char name[OWN_NAME_MAX];
	struct link *spare[2] = {NULL, NULL};
	int r = directory_own_name("open", name);

	if (r < 0)
		return r;
	spare[0] = node_link_new(name);
	if (!spare[0])
		return -ENOMEM;
	pthread_rwlock_wrlock(&e->tree);
	r = e->store->ops->rename(e->store, dir->fd, backing, e->open_dir, name, 0);
	if (r == 0) {
		node_renamed(e, dir, backing, e->open_node, name, false, spare);
		n->parked = true;
	} else {
		free(spare[0]);
	}
	pthread_rwlock_unlock(&e->tree);
	return r;
}

/* The same for a file that is to be replaced: one more name in .coffer/open/, so that its own is never missing. */
int removal_park_beside(struct engine *e, struct node *n, char name[OWN_NAME_MAX])
{
	struct link *l;
	int r = directory_own_name("open", name);

	if (r < 0)
		return r;
	l = node_link_new(name);
	r = l ? node_use(e, n) : -ENOMEM;
	if (r < 0) {
		free(l);
		return r;
	}
	r = e->store->ops->link_fd(e->store, n->fd, e->open_dir, name);
	if (r == 0) {
		n->parked = true;
		node_linked(e, n, e->open_node, l);
	} else {
		free(l);
	}
	node_unuse(e, n);
	return r;
}

void removal_unpark(struct engine *e, struct node *n, const char *name)
{
	n->parked = false;
	e->store->ops->unlink(e->store, e->open_dir, name);
	node_unlinked(e, e->open_node, name);
}

/* A file that has one name only, while descriptors are scarce. */
bool removal_should_park(struct engine *e, const struct node *n, const struct store_stat *st)
{
	return n && S_ISREG(st->mode) && st->nlink == 1 && descriptor_scarce(e);
}

/* Before a name of a node goes: a descriptor is kept, so that whoever has the file open goes on.  If that cannot be (a file of
 * somebody else's, in a plain user's mount), it is lost to its openers, as on a network filesystem. */
bool removal_keep_open(struct engine *e, struct node *n)
{
	int r = -ENOENT;

	/* Of all but files nothing can be asked any more but attributes: not worth the last descriptors. */
	if (n && (S_ISREG(n->type) || !descriptor_scarce(e)))
		r = node_pin(e, n);
	if (r < 0 && r != -ENOENT && n && r != -ESTALE)
		log_warning("cannot keep an unlinked file open: %s", strerror(-r));
	return r == 0;
}

/* The name is gone (or, after a failure, is not). */
void removal_name_went(struct engine *e, struct node *dir, const char *backing, struct node *n, bool pinned, bool gone)
{
	if (gone)
		node_unlinked(e, dir, backing);
	/* Under another name it can be opened again. */
	if (pinned && (!gone || node_has_name(e, n)))
		node_unpin(e, n);
}

/* ------------------------------------------------------------------ unlink */

/* The text of a symbolic link whose last name is about to go, for its body. */
void removal_link_text(struct engine *e, struct node *dir, const char *backing, const struct store_stat *st,
		       char text[LINK_TEXT_MAX])
{
	text[0] = 0;
	if (S_ISLNK(st->mode) && st->nlink == 1 && names_read_text(e, dir->fd, backing, text, LINK_TEXT_MAX) < 0)
		text[0] = 0;
}

static int unlink_entry(struct engine *e, struct node *dir, const struct backing_name *b, const struct store_stat *st)
{
	struct node *n = node_find_as(e, dir, b->name, st);
	char text[LINK_TEXT_MAX];

	zone_keep(e, n);

	int r = removal_should_park(e, n, st) ? park(e, dir, b->name, n) : -1;

	if (r < 0) {
		bool pinned = removal_keep_open(e, n);

		removal_link_text(e, dir, b->name, st, text);
		r = e->store->ops->unlink(e->store, dir->fd, b->name);
		removal_name_went(e, dir, b->name, n, pinned, r == 0);
		if (r == 0)
			symlink_drop_body(e, text);
	}
	if (r == 0) {
		dirty_entry(e, dir, NULL);
		if (st->nlink == 1)
			side_log_gone(e, n, dir);
		if (n && st->nlink > 1) {
			dirty_renamed(e, n);
			dirty_metadata(e, n);
		}
		side_drop_sidecar(e, dir, b);
	}
	node_unref(e, n);
	return r;
}

int fs_unlink(struct engine *e, uint64_t parent, const char *name)
{
	struct backing_name b;
	struct store_stat st;
	struct node *dir;
	int r = directory_begin(e, parent, DIR_WRITE, &dir);

	if (r < 0)
		return r;
	r = names_lookup(e, dir, name, &b, &st);
	if (r == 0)
		r = S_ISDIR(st.mode) ? -EISDIR : unlink_entry(e, dir, &b, &st);
	directory_end(e, dir);
	return r;
}

/* ------------------------------------------------------------------ rmdir */

/* What stands in a directory that is about to be removed. */
struct emptiness {
	struct engine *e;
	int fd;
	bool remove_ours; /* second pass: take away what the format left there */
};

static int remove_unfinished(struct engine *e, int fd, const char *name)
{
	int inner = store_open(e->store, fd, name, O_RDONLY | O_DIRECTORY, 0);

	if (inner >= 0) {
		e->store->ops->unlink(e->store, inner, DIRECTORY_RECORD_NAME);
		store_close(e->store, inner);
	}
	return e->store->ops->rmdir(e->store, fd, name);
}

static int is_nothing(void *data, const struct store_dirent *d)
{
	struct emptiness *x = data;
	char escaped[4 * NAME_MAX + 1];

	if (!names_is_ours(d->name)) {
		if (!x->remove_ours)
			log_info("directory not removed: %s is in it", log_escape(d->name, escaped, sizeof escaped));
		return -ENOTEMPTY;
	}
	if (!x->remove_ours || strcmp(d->name, DIRECTORY_RECORD_NAME) == 0)
		return 0;
	if (x->e->store->ops->unlink(x->e->store, x->fd, d->name) == -EISDIR)
		return remove_unfinished(x->e, x->fd, d->name);
	return 0;
}

/* Sets the id of an empty directory aside and removes it. */
static int take_down(struct engine *e, struct node *parent, const char *backing, int fd)
{
	struct store *s = e->store;
	struct emptiness x = {e, fd, true};
	char aside[OWN_NAME_MAX];
	int r = directory_scan(e, fd, is_nothing, &x);

	if (r == 0)
		r = directory_own_name("gone", aside);
	if (r < 0)
		return r;
	r = s->ops->rename(s, fd, DIRECTORY_RECORD_NAME, e->gone_dir, aside, 0);

	bool has_id = r == 0;

	if (r < 0 && r != -ENOENT)
		return r;
	r = s->ops->rmdir(s, parent->fd, backing);
	if (r < 0 && has_id && s->ops->rename(s, e->gone_dir, aside, fd, DIRECTORY_RECORD_NAME, 0) < 0)
		log_error("a directory's id could not be put back; it is .coffer/gone/%s", aside);
	if (r == 0)
		atomic_store(&e->gone_some, true);
	return r;
}

/* The same for one that its owner may not write to: only the parent's mode says whether it may go. */
int removal_take_down(struct engine *e, struct node *parent, const char *backing, int fd)
{
	mode_t before;
	int r = take_down(e, parent, backing, fd);

	if (r == -EACCES && lend(e, NULL, fd, 0700, &before)) {
		r = take_down(e, parent, backing, fd);
		lend_back(e, NULL, fd, 0700, before);
	}
	return r;
}

int removal_prove_empty(struct engine *e, int fd)
{
	struct emptiness x = {e, fd, false};

	return directory_scan(e, fd, is_nothing, &x);
}

/* A directory that is to go, in use and locked like the one that holds it, so that nothing comes into it behind the proof.  Directories
 * are locked by address and not from the top down, so a lock that is taken cannot be waited for here: -EAGAIN, and *busy is to be
 * waited for when all other locks are free. */
int removal_begin(struct engine *e, struct node *dir, const char *backing, const struct store_stat *st,
		  struct node **out, struct node **busy)
{
	struct node *n = node_enter(e, dir, backing, st, false);
	int r = n ? node_use(e, n) : -ENOMEM;

	if (r == 0 && pthread_rwlock_trywrlock(&n->dir->lock) != 0) {
		node_unuse(e, n);
		*busy = n;
		return -EAGAIN;
	}
	if (r < 0) {
		node_unref(e, n);
		return r;
	}
	*out = n;
	return 0;
}

void removal_end(struct engine *e, struct node *n)
{
	pthread_rwlock_unlock(&n->dir->lock);
	node_unuse(e, n);
	node_unref(e, n);
}

/* True if there was something to wait for: try again. */
bool removal_wait(struct engine *e, struct node *busy)
{
	if (!busy)
		return false;
	pthread_rwlock_wrlock(&busy->dir->lock);
	pthread_rwlock_unlock(&busy->dir->lock);
	node_unref(e, busy);
	return true;
}

/* Engine rule 11: first prove that the directory is empty but for the format's own; only then set its id aside and remove it. */
static int rmdir_entry(struct engine *e, struct node *dir, const struct backing_name *b, const struct store_stat *st,
		       struct node **busy)
{
	struct node *n;
	int r = removal_begin(e, dir, b->name, st, &n, busy);

	if (r < 0)
		return r;

	bool pinned = removal_keep_open(e, n);

	r = removal_prove_empty(e, n->fd);
	if (r == 0)
		r = removal_take_down(e, dir, b->name, n->fd);
	removal_name_went(e, dir, b->name, n, pinned, r == 0);
	if (r == 0) {
		dirty_entry(e, dir, NULL);
		side_drop_sidecar(e, dir, b);
	}
	removal_end(e, n);
	return r;
}

int fs_rmdir(struct engine *e, uint64_t parent, const char *name)
{
	struct node *dir, *busy;
	struct backing_name b;
	struct store_stat st;
	int r;

	do {
		busy = NULL;
		r = directory_begin(e, parent, DIR_WRITE, &dir);
		if (r < 0)
			return r;
		r = names_lookup(e, dir, name, &b, &st);
		if (r == 0)
			r = S_ISDIR(st.mode) ? rmdir_entry(e, dir, &b, &st, &busy) : -ENOTDIR;
		directory_end(e, dir);
	} while (removal_wait(e, busy));
	return r;
}

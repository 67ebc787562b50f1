/* Looking up and making entries: lookup, mknod, mkdir, symlink, link. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/caller.h"
#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/file.h"
#include "fs/list.h"
#include "fs/moved.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/shared.h"
#include "fs/side.h"
#include "fs/symlink.h"
#include "fs/worker.h"
#include "fs/zone.h"

/* Tells the table of an entry that exists, counts a lookup and fills the answer.  *keep: with a reference, if wanted. */
static int answer(struct engine *e, struct node *dir, const char *backing, const struct store_stat *st,
		  struct node_attr *out, struct node **keep)
{
	struct node *n = node_enter(e, dir, backing, st, true);

	if (!n)
		return -ENOMEM;
	attr_fill(e, n, st, dir->fd, backing, out);
	if (keep)
		*keep = n;
	else
		node_unref(e, n);
	return 0;
}

int fs_lookup(struct engine *e, uint64_t parent, const char *name, struct node_attr *out)
{
	struct backing_name b;
	struct store_stat st;
	struct node *dir;
	uint64_t settled;
	int r = directory_begin(e, parent, DIR_READ, &dir);

	if (r < 0)
		return r;
	settled = atomic_load(&e->settled);
	r = names_lookup(e, dir, name, &b, &st);
	if (r == 0)
		r = answer(e, dir, b.name, &st, out, NULL);
	/* The size may be from before changes came in place, and the node that knew better gone meanwhile; now there is one. */
	if (r == 0 && atomic_load(&e->settled) != settled)
		r = fs_getattr(e, out->node, out);
	directory_end(e, dir);
	return r;
}

/* ------------------------------------------------------------------ making */

/* One creation, as caller_run passes it on. */
struct making {
	struct engine *e;
	struct node *dir;
	struct backing_name b;
	mode_t mode;
	dev_t rdev;
	const char *text; /* of a symbolic link */
	struct node *old; /* of a hard link */
	struct directory_record record;
	struct store_stat st;
	int fd; /* of what was made, or -1 */
};

typedef int make_op(struct making *m);

struct making_job {
	struct making *m;
	make_op *op;
};

/* A long name's sidecar is made before the entry, and taken back if that fails, unless it belongs to an entry that was there before. */
static int with_sidecar(void *data)
{
	struct making_job *job = data;
	struct making *m = job->m;
	int r = side_log_sidecar(m->e, m->dir, &m->b);

	if (r == 0)
		r = names_add_sidecar(m->e, m->dir->fd, &m->b);
	if (r < 0)
		return r;
	r = job->op(m);
	if (r < 0 && store_stat_at(m->e->store, m->dir->fd, m->b.name, &m->st) == -ENOENT)
		names_drop_sidecar(m->e, m->dir->fd, &m->b);
	return r;
}

/* What has to be synced for the new name to last: its directory; and of what was made, at least that it is there. */
static void note_new_entry(struct making *m, struct node *n)
{
	dirty_entry(m->e, m->dir, n);
	if (n && (S_ISREG(n->type) || n->dir))
		dirty_in_place(m->e, n);
}

/* The frame of every creation: lock the directory, refuse what exists, make it as the caller, enter it. */
static int make_entry(struct engine *e, const struct caller *c, uint64_t parent, const char *name, make_op *op,
		      struct making *m, struct node_attr *out, struct node **keep)
{
	struct making_job job = {m, op};
	int r = directory_begin(e, parent, DIR_WRITE, &m->dir);

	if (r < 0)
		return r;
	m->e = e;
	m->fd = -1;
	/* Also where the names themselves are under another scope still. */
	r = zone_is_locked(e, m->dir) ? -ENOKEY : 0;
	/* Only while names are being moved may the entry exist under another backing name; else the store says EEXIST itself. */
	if (r == 0 && m->dir->dir->record.next) {
		r = names_lookup(e, m->dir, name, &m->b, &m->st);
		r = r == 0 ? -EEXIST : (r == -ENOENT ? 0 : r);
	}
	if (r == 0)
		r = names_encrypt(e, m->dir, names_generation(m->dir->dir), name, &m->b);
	if (r == 0)
		r = caller_run(&e->options, c, with_sidecar, &job);
	if (r == 0) {
		r = m->fd >= 0 ? store_stat(e->store, m->fd, &m->st)
			       : store_stat_at(e->store, m->dir->fd, m->b.name, &m->st);
		if (r == 0)
			r = answer(e, m->dir, m->b.name, &m->st, out, keep);
		list_came(m->dir->dir, name);
		note_new_entry(m, r == 0 ? *keep : NULL);
		if (r == 0)
			moved_seen(e, *keep);
		if (r < 0)
			store_close(e->store, m->fd);
	}
	directory_end(e, m->dir);
	return r;
}

static int make_regular(struct making *m)
{
	int flags = O_CREAT | O_EXCL | O_RDWR | (m->e->options.relatime ? 0 : O_NOATIME);

	m->fd = store_open(m->e->store, m->dir->fd, m->b.name, flags, m->mode & 07777);
	return m->fd < 0 ? m->fd : 0;
}

static int make_special(struct making *m)
{
	return m->e->store->ops->mknod(m->e->store, m->dir->fd, m->b.name, m->mode, m->rdev);
}

int fs_mknod(struct engine *e, const struct caller *c, uint64_t parent, const char *name, mode_t mode, dev_t rdev,
	     struct node_attr *out)
{
	struct making m = {.mode = mode, .rdev = rdev};
	struct node *n = NULL;
	int r = make_entry(e, c, parent, name, S_ISREG(mode) ? make_regular : make_special, &m, out, &n);

	/* The descriptor stays: whoever creates a file writes it next, and may have forbidden itself to open it again. */
	if (r == 0 && m.fd >= 0)
		node_give_fd(e, n, m.fd);
	node_unref(e, n);
	return r;
}

/* Writes the id record into the new directory, whose owner may be denied that by mode, umask or inherited ACL: then the owner's bits
 * are lent for the moment.  *lent says so. */
static int put_record(struct making *m, const char *temporary, bool *lent)
{
	struct store *s = m->e->store;
	int flags = O_RDONLY | O_DIRECTORY | (m->e->options.relatime ? 0 : O_NOATIME);
	int fd = store_open(s, m->dir->fd, temporary, flags, 0);
	int r = fd < 0 ? fd : names_write_record(m->e, fd, &m->record);

	*lent = r == -EACCES;
	if (*lent) {
		int path = store_open(s, m->dir->fd, temporary, O_PATH | O_DIRECTORY, 0);

		store_close(s, fd);
		r = path < 0 ? path : store_stat(s, path, &m->st);
		if (r == 0)
			r = s->ops->chmod(s, path, (m->st.mode & 07777) | S_IRWXU);
		store_close(s, path);
		fd = r < 0 ? r : store_open(s, m->dir->fd, temporary, flags, 0);
		r = fd < 0 ? fd : names_write_record(m->e, fd, &m->record);
	}
	if (r < 0 && fd >= 0)
		store_close(s, fd);
	return r < 0 ? r : fd;
}

/* The mode that the directory would have had if the owner's bits had not been asked for. */
static int set_final_mode(struct making *m, int fd, bool lent)
{
	struct store *s = m->e->store;
	mode_t less = S_IRWXU & ~m->mode;

	if (lent)
		less |= S_IRWXU & ~m->st.mode;
	if (less == 0)
		return 0;

	int r = store_stat(s, fd, &m->st);

	return r < 0 ? r : s->ops->chmod(s, fd, m->st.mode & 07777 & ~less);
}

static int make_nameless(void *data)
{
	struct making *m = data;
	int flags = O_TMPFILE | O_RDWR | (m->e->options.relatime ? 0 : O_NOATIME);

	m->fd = store_open(m->e->store, m->dir->fd, ".", flags, m->mode & 07777);
	return m->fd < 0 ? m->fd : 0;
}

/* The node of a nameless file, which keeps its descriptor as long as it lives: nothing else leads to it. */
static int enter_nameless(struct making *m, struct node_attr *out)
{
	struct engine *e = m->e;
	int r = store_stat(e->store, m->fd, &m->st);
	struct node *n = r < 0 ? NULL : node_enter_nameless(e, &m->st);

	if (!n) {
		store_close(e->store, m->fd);
		return r < 0 ? r : -ENOMEM;
	}
	n->zone = zone_of(e, m->dir);
	node_give_fd(e, n, m->fd);
	r = node_pin(e, n);
	if (r == 0)
		r = file_born_in(e, n, m->dir->dir->record.id);
	if (r == 0)
		attr_fill(e, n, &m->st, -1, NULL, out);
	else
		node_forget(e, n->id, 1);
	node_unref(e, n);
	return r;
}

int fs_tmpfile(struct engine *e, const struct caller *c, uint64_t parent, mode_t mode, struct node_attr *out)
{
	struct making m = {.e = e, .mode = mode, .fd = -1};
	int r = directory_begin(e, parent, DIR_WRITE, &m.dir);

	if (r < 0)
		return r;
	r = zone_is_locked(e, m.dir) ? -ENOKEY : caller_run(&e->options, c, make_nameless, &m);
	if (r == 0)
		r = enter_nameless(&m, out);
	directory_end(e, m.dir);
	return r;
}

/* Makes the directory under a name of our own, with its id record inside, and returns a handle of it. */
static int make_unnamed_directory(struct making *m, const char *temporary)
{
	struct store *s = m->e->store;
	/* The owner must be able to go in and write the record, whatever the final mode. */
	int r = s->ops->mkdir(s, m->dir->fd, temporary, m->mode | S_IRWXU);
	bool lent;

	if (r < 0)
		return r;

	int fd = put_record(m, temporary, &lent);

	r = fd < 0 ? fd : set_final_mode(m, fd, lent);
	if (r < 0) {
		if (fd >= 0) {
			s->ops->unlink(s, fd, DIRECTORY_RECORD_NAME);
			store_close(s, fd);
		}
		s->ops->rmdir(s, m->dir->fd, temporary);
		return r;
	}
	return fd;
}

/* Gives the finished directory its name; never over anything. */
static int give_name(struct making *m, const char *temporary)
{
	struct store *s = m->e->store;

	if (m->e->caps.rename_noreplace)
		return s->ops->rename(s, m->dir->fd, temporary, m->dir->fd, m->b.name, RENAME_NOREPLACE);

	/* The directory's lock is held, so nobody makes the name between looking and renaming. */
	int r = store_stat_at(s, m->dir->fd, m->b.name, &m->st);

	if (r == -ENOENT)
		return s->ops->rename(s, m->dir->fd, temporary, m->dir->fd, m->b.name, 0);
	return r < 0 ? r : -EEXIST;
}

static int make_directory(struct making *m)
{
	struct store *s = m->e->store;
	char temporary[OWN_NAME_MAX];
	int r = directory_own_name("new", temporary);

	if (r < 0)
		return r;
	m->record.generation = keys_active_in(worker_keys(m->e), zone_of(m->e, m->dir));
	m->fd = make_unnamed_directory(m, temporary);
	if (m->fd < 0)
		return m->fd;
	r = side_log_directory(m->e, m->dir, m->b.name, &m->record);
	if (r == 0)
		r = give_name(m, temporary);
	if (r < 0) {
		s->ops->unlink(s, m->fd, DIRECTORY_RECORD_NAME);
		store_close(s, m->fd);
		s->ops->rmdir(s, m->dir->fd, temporary);
		m->fd = -1;
	}
	return r;
}

int fs_mkdir(struct engine *e, const struct caller *c, uint64_t parent, const char *name, mode_t mode,
	     struct node_attr *out)
{
	struct making m = {.mode = mode & 07777};
	struct node *n = NULL;
	int r = crypto_random(m.record.id, sizeof m.record.id);

	if (r == 0)
		r = make_entry(e, c, parent, name, make_directory, &m, out, &n);
	if (r == 0)
		node_give_fd(e, n, m.fd);
	node_unref(e, n);
	return r;
}

/* The zone of a directory. */
static int zone_of_id(struct engine *e, uint64_t id, uint32_t *zone)
{
	struct node *dir;
	int r = directory_begin(e, id, DIR_READ, &dir);

	if (r < 0)
		return r;
	*zone = zone_of(e, dir);
	directory_end(e, dir);
	return 0;
}

static int make_symlink(struct making *m)
{
	return m->e->store->ops->symlink(m->e->store, m->text, m->dir->fd, m->b.name);
}

int fs_symlink(struct engine *e, const struct caller *c, const char *target, uint64_t parent, const char *name,
	       struct node_attr *out)
{
	char text[LINK_TEXT_MAX];
	struct making m = {.text = text};
	struct node *n = NULL;
	uint32_t zone = ZONE_DEFAULT;
	int r = e->caps.symlinks ? zone_of_id(e, parent, &zone) : -EPERM;

	if (r == 0)
		r = symlink_seal(e, zone, target, text);
	if (r < 0)
		return r;
	r = make_entry(e, c, parent, name, make_symlink, &m, out, &n);
	if (r < 0)
		symlink_drop_body(e, text);
	node_unref(e, n);
	return r;
}

static int make_link(struct making *m)
{
	return m->e->store->ops->link_fd(m->e->store, m->old->fd, m->dir->fd, m->b.name);
}

/* Programs copy what they cannot link. */
static int refuse_link(struct engine *e, struct node *old, struct node *dir)
{
	if (!keys_zones_joined(worker_keys(e), zone_of(e, old), zone_of(e, dir)))
		return -EXDEV;
	return zone_is_locked(e, dir) ? -ENOKEY : 0;
}

/* Links are made by the mount itself, not as the caller: who may link was the kernel's question. */
int fs_link(struct engine *e, const struct caller *c, uint64_t node, uint64_t parent, const char *name,
	    struct node_attr *out)
{
	struct making m = {.e = e, .old = node_get(e, node)};
	struct making_job job = {&m, make_link};
	struct link *l = NULL;
	int r = m.old ? node_use(e, m.old) : -ESTALE;

	(void)c;
	if (r < 0) {
		node_unref(e, m.old);
		return r;
	}
	r = shared_look(e, m.old);
	if (r == 0)
		r = directory_begin(e, parent, DIR_WRITE, &m.dir);
	if (r == 0) {
		r = refuse_link(e, m.old, m.dir);
		if (r == 0)
			r = names_lookup(e, m.dir, name, &m.b, &m.st);
		r = r == 0 ? -EEXIST : (r == -ENOENT ? 0 : r);
		if (r == 0 && !(l = node_link_new(m.b.name)))
			r = -ENOMEM;
		if (r == 0)
			r = side_settle_target(e, m.dir, &m.b);
		if (r == 0) {
			atomic_store(&m.old->never_named, false);
			side_log_named(e, m.old, m.dir, m.b.name);
			r = with_sidecar(&job);
		}
		if (r == 0) {
			dirty_renamed(e, m.old);
			moved_note(e, m.old);
			list_came(m.dir->dir, name);
			node_linked(e, m.old, m.dir, l);
			l = NULL;
			r = store_stat(e->store, m.old->fd, &m.st);
			dirty_entry(e, m.dir, m.old);
			dirty_metadata(e, m.old);
		}
		if (r == 0)
			r = answer(e, m.dir, m.b.name, &m.st, out, NULL);
		directory_end(e, m.dir);
	}
	free(l);
	node_unuse(e, m.old);
	node_unref(e, m.old);
	return r;
}

#include "fs/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "fs/dirty.h"
#include "fs/file.h"
#include "fs/look.h"
#include "fs/node.h"
#include "fs/shared.h"
#include "fs/side.h"
#include "fs/symlink.h"

/* Of an empty file the kernel reads nothing, so nothing would ever look at its head: one that was cut to the length of an empty
 * head has to be found out here. */
static bool can_be_loaded(struct engine *e, struct node *n)
{
	uint64_t size;
	int r = node_use(e, n);

	if (r < 0)
		return false;
	r = file_size(e, n, &size);
	node_unuse(e, n);
	return r == 0;
}

/* What the store says of size and times is older (engine rule 5). */
static void show_overlay(const struct overlay *o, struct store_stat *st)
{
	st->size = o->size;
	st->mtime = o->mtime;
	if (o->ctime.tv_sec > st->ctime.tv_sec ||
	    (o->ctime.tv_sec == st->ctime.tv_sec && o->ctime.tv_nsec > st->ctime.tv_nsec))
		st->ctime = o->ctime;
}

static void show_size(struct engine *e, struct node *n, int dir, const char *backing, struct store_stat *st)
{
	struct overlay shown;
	struct store_stat after;
	uint64_t logical;

	/* (F4) Never tell a size that a first look may take back. */
	if (S_ISREG(st->mode) && look_is_due(e, st) && can_be_loaded(e, n) && node_stat(e, n, &after) == 0)
		*st = after;
	if (overlay_get(n, &shown))
		show_overlay(&shown, st);
	/* A physical size that nothing has is damage; reading says so.  What is shown then is the size below, so that it is read. */
	else if (S_ISREG(st->mode) && layout_logical_size(st->size, &logical) &&
		 (st->size != HEAD_MIN || can_be_loaded(e, n)))
		st->size = logical;
	else if (S_ISLNK(st->mode))
		st->size = symlink_size(e, st->size, dir, backing);
}

void attr_fill(struct engine *e, struct node *n, const struct store_stat *st, int dir, const char *backing,
	       struct node_attr *out)
{
	out->node = n->id;
	out->st = *st;
	show_size(e, n, dir, backing, &out->st);
	if (n->parked && out->st.nlink > 0)
		out->st.nlink--;
}

static int attr_of(struct engine *e, struct node *n, struct node_attr *out)
{
	struct store_stat st;
	int r = node_stat(e, n, &st);

	if (r < 0)
		return r;
	/* Only a link whose size leaves it open needs a descriptor. */
	if (S_ISLNK(st.mode) && symlink_size_is_open(st.size)) {
		r = node_use(e, n);
		if (r < 0)
			return r;
		attr_fill(e, n, &st, n->fd, "", out);
		node_unuse(e, n);
		return 0;
	}
	attr_fill(e, n, &st, -1, NULL, out);
	return 0;
}

int fs_getattr(struct engine *e, uint64_t node, struct node_attr *out)
{
	struct node *n = node_get(e, node);
	int r = n ? attr_of(e, n, out) : -ESTALE;

	node_unref(e, n);
	return r;
}

/* A write or truncation by somebody without CAP_FSETID: set-uid goes, and set-gid where the group may execute. */
int attr_drop_privileges(struct engine *e, struct node *n)
{
	struct store_stat st;
	int r = store_stat(e->store, n->fd, &st);
	mode_t mode = st.mode & 07777, less;

	if (r < 0 || !S_ISREG(st.mode))
		return r;
	less = mode & ~(mode_t)S_ISUID;
	if (mode & S_IXGRP)
		less &= ~(mode_t)S_ISGID;
	return less == mode ? 0 : e->store->ops->chmod(e->store, n->fd, less);
}

static struct timespec time_for(bool set, bool now, struct timespec at)
{
	if (set)
		return at;
	return (struct timespec){0, now ? UTIME_NOW : UTIME_OMIT};
}

/* The time of change of a file with records goes into the journal, too; below it arrives after its pages (engine rules 5 and 7). */
static int set_times(struct engine *e, struct node *n, const struct timespec ts[2])
{
	struct timespec below[2] = {ts[0], ts[1]}, now;
	int r = 0;

	if (S_ISREG(n->type) && ts[1].tv_nsec != UTIME_OMIT) {
		clock_gettime(CLOCK_REALTIME, &now);
		r = file_set_mtime(e, n, ts[1].tv_nsec == UTIME_NOW ? &now : &ts[1]);
	}
	if (r < 0)
		return r;
	if (r > 0)
		below[1].tv_nsec = UTIME_OMIT;
	return e->store->ops->utimens(e->store, n->fd, below);
}

static bool asks_nothing(const struct setattr_request *r)
{
	return !(r->mode_set || r->uid_set || r->gid_set || r->size_set || r->atime_set || r->mtime_set ||
		 r->atime_now || r->mtime_now || r->ctime_set);
}

static int change(struct engine *e, struct node *n, const struct setattr_request *r)
{
	struct store *s = e->store;
	int error = 0;

	/* Asked for nothing: the kernel's way (KILLPRIV_V2) of passing on chown(-1, -1), which takes privileges away, below too. */
	if (asks_nothing(r))
		return s->ops->chown(s, n->fd, (uid_t)-1, (gid_t)-1);
	if (r->uid_set || r->gid_set)
		error = s->ops->chown(s, n->fd, r->uid_set ? r->uid : (uid_t)-1, r->gid_set ? r->gid : (gid_t)-1);
	if (error == 0 && r->mode_set) {
		pthread_mutex_lock(&e->lending); /* nobody puts an older mode back afterwards */
		error = side_log_chmod(e, n, r->mode & 07777);
		if (error == 0)
			error = s->ops->chmod(s, n->fd, r->mode & 07777);
		pthread_mutex_unlock(&e->lending);
	}
	if (error == 0 && r->size_set)
		error = S_ISREG(n->type) ? file_truncate(e, n, r->size) : -EINVAL;
	if (error == 0 && r->kill_privileges)
		error = attr_drop_privileges(e, n);
	if (error == 0 && (r->atime_set || r->mtime_set || r->atime_now || r->mtime_now)) {
		struct timespec ts[2] = {
			time_for(r->atime_set, r->atime_now, r->atime),
			time_for(r->mtime_set, r->mtime_now, r->mtime),
		};

		error = set_times(e, n, ts);
	}
	return error;
}

int fs_setattr(struct engine *e, uint64_t node, const struct setattr_request *r, struct node_attr *out)
{
	struct node *n = node_get(e, node);
	int error = n ? dirty_refusal(e) : -ESTALE;

	if (error == 0)
		error = node_use(e, n);
	if (error == 0) {
		error = shared_look(e, n);
		if (error == 0) {
			error = change(e, n, r);
			dirty_metadata(e, n);
		}
		node_unuse(e, n);
	}
	if (error == 0)
		error = attr_of(e, n, out);
	node_unref(e, n);
	return error;
}

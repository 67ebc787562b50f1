#include "fs/shared.h"

#include <errno.h>
#include <string.h>

#include "fs/descriptor.h"
#include "fs/file_parts.h"
#include "fs/ids.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/zone.h"

/* ------------------------------------------------------------------ files */

static bool has_version(struct engine *e, struct node *n, const struct file *f)
{
	uint8_t version[AEAD_TAG];

	return file_version(e, n, version) == 0 && memcmp(version, f->log.base, sizeof version) == 0;
}

bool shared_is_changed(struct engine *e, struct node *n, const struct file *f)
{
	struct store_stat st;

	if (!e->options.shared)
		return false;
	/* With an unexpected size it may be the old version, half written over: load() judges. */
	if (store_stat(e->store, n->fd, &st) < 0 || st.size != layout_physical_size(f->size_below, f->has_head))
		return true;
	return f->has_head && !has_version(e, n, f);
}

bool shared_is_theirs(struct engine *e, struct node *n, const struct file *f)
{
	return e->options.shared && f->has_head && !has_version(e, n, f);
}

/* ------------------------------------------------------------------ directories */

/* What its record says now, and whether that is the directory that the node stands for: 1. */
static int read_record(struct engine *e, struct node *dir, struct directory_record *now)
{
	struct dir *d = dir->dir;
	bool is_it = false;
	int r;

	/* Nobody is removing it, or giving its names another generation. */
	pthread_rwlock_rdlock(&d->lock);
	r = names_read_record(e, dir->fd, now);
	if (r == 0)
		is_it = d->error == 0 && memcmp(now->id, d->record.id, DIRECTORY_ID_SIZE) == 0;
	pthread_rwlock_unlock(&d->lock);
	return r < 0 ? r : is_it;
}

/* Others have begun to give its names another generation, or have done so. */
static void follow_generations(struct engine *e, struct node *dir)
{
	struct dir *d = dir->dir;
	struct directory_record now;

	pthread_rwlock_wrlock(&d->lock);
	if (names_read_record(e, dir->fd, &now) == 0 && memcmp(now.id, d->record.id, DIRECTORY_ID_SIZE) == 0) {
		d->record.generation = now.generation;
		d->record.next = now.next;
	}
	pthread_rwlock_unlock(&d->lock);
}

static bool has_same_generations(struct dir *d, const struct directory_record *now)
{
	pthread_rwlock_rdlock(&d->lock);

	bool same = d->record.generation == now->generation && d->record.next == now->next;

	pthread_rwlock_unlock(&d->lock);
	return same;
}

bool shared_gets_id(struct engine *e, struct node *dir)
{
	struct node *holder = e->options.shared ? ids_holder(e, dir) : dir;
	bool gets = false;

	if (holder && holder != dir && node_is_named(e, holder) == -ESTALE) {
		node_forsake(e, holder);
		gets = true;
	}
	gets |= !holder;
	if (holder != dir)
		node_unref(e, holder);
	return gets;
}

static int forsake(struct engine *e, struct node *dir)
{
	if (dir == e->root)
		return -EIO;
	node_forsake(e, dir);
	return -ESTALE;
}

/* (3) */
static int look_at_record(struct engine *e, struct node *dir)
{
	struct dir *d = dir->dir;
	struct directory_record now;
	int r;

	/* Not read yet: names_load_directory() finds what is there. */
	if (!atomic_load_explicit(&d->loaded, memory_order_acquire))
		return 0;
	r = read_record(e, dir, &now);
	/* It has been removed, here or below; or it is on its way. */
	if (r == -ENOENT && dir != e->root && !node_has_name(e, dir))
		return r;
	if (r == -ENOENT || r == -EBADMSG) {
		r = node_in_place(e, dir);
		return r < 0 ? r : -EIO;
	}
	if (r < 0)
		return r;
	if (r == 0 || (!ids_is_holder(e, dir) && (!d->duplicate || shared_gets_id(e, dir))))
		return forsake(e, dir);
	if (!has_same_generations(d, &now))
		follow_generations(e, dir);
	return 0;
}

int shared_look(struct engine *e, struct node *n)
{
	int r;

	if (!e->options.shared)
		return 0;
	r = node_in_place(e, n);
	return r == 0 && n->dir ? look_at_record(e, n) : r;
}

/* ------------------------------------------------------------------ opening */

/* A descriptor is kept, so that who has the file open goes on reading what it opened; while there are plenty of them. */
static bool keep_open(struct engine *e, struct node *n)
{
	enum { PINS_MAX = 1 << 15 };

	pthread_mutex_lock(&n->lock);

	bool room = n->pins < PINS_MAX;

	pthread_mutex_unlock(&n->lock);
	return room && !descriptor_scarce(e) && node_pin(e, n) == 0;
}

static bool is_as_read(struct engine *e, struct node *n)
{
	struct file *f;

	/* Reading says what is wrong with it. */
	if (file_lock_for_read(e, n, &f) < 0)
		return false;

	bool as_read = atomic_exchange(&f->as_read, true);

	file_unlock(f);
	return as_read;
}

int fs_open_shared(struct engine *e, uint64_t node, bool *as_read, bool *held)
{
	struct node *n = node_get(e, node);
	int r = n ? node_use(e, n) : -ESTALE;

	*as_read = *held = false;
	if (r == 0) {
		r = shared_look(e, n);
		if (r == 0 && S_ISREG(n->type)) {
			*as_read = is_as_read(e, n);
			*held = keep_open(e, n);
		}
		node_unuse(e, n);
	}
	node_unref(e, n);
	/* What a listing says of it is for the listing to say. */
	return r == -EIO ? 0 : r;
}

void fs_release(struct engine *e, uint64_t node)
{
	struct node *n = node_get(e, node);

	if (n)
		node_unpin(e, n);
	node_unref(e, n);
}

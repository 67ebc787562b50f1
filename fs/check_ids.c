/* Lost directory ids: found again from what else remembers them.
 *
 *  (1) An id is accepted only if a name of the directory authenticates under it; chance or an attacker without the keys
 *      cannot bring that about.
 *  (2) ... and only if no other directory of the volume has it: this may be a copy made below.
 *  (3) Nothing authenticates in an empty directory, and nothing depends on its id: it gets a new one. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/directory.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/worker.h"
#include "fs/zone.h"

enum { NAMES_TRIED = 1000 };

static size_t count_names(struct check *c, struct check_dir *d, uint32_t generation)
{
	size_t tried = 0, opened = 0;
	char name[NAME_MAX + 1];

	d->node->dir->record.generation = generation;
	d->node->dir->record.next = GENERATION_NONE;
	for (size_t i = 0; i < d->entries.count && tried < NAMES_TRIED; i++) {
		if (names_is_ours(d->entries.names[i]))
			continue;
		tried++;
		opened += names_decrypt(c->e, d->node, d->entries.names[i], name) == 0;
	}
	return opened;
}

/* The generations that the names are under: one, or two if they were being moved to another. */
static bool try_id(struct check *c, struct check_dir *d, const uint8_t id[DIRECTORY_ID_SIZE])
{
	struct directory_record *record = &d->node->dir->record, found = {0};
	const struct keys *k = worker_keys(c->e);

	memcpy(record->id, id, DIRECTORY_ID_SIZE);
	memcpy(found.id, id, DIRECTORY_ID_SIZE);
	zone_load(c->e, d->node);
	for (uint32_t i = 0; i < k->count; i++) {
		const struct generation_key *g = &k->generations[i];

		if (g->scope == SCOPE_FIELDS || !g->prk || count_names(c, d, g->number) == 0)
			continue;
		/* The last two of them, if there should be more. */
		if (found.next)
			found.generation = found.next;
		if (found.generation)
			found.next = g->number;
		else
			found.generation = g->number;
	}
	*record = found;
	return found.generation != GENERATION_NONE;
}

static bool try_all(struct check *c, struct check_dir *d, const struct check_candidates *ids)
{
	for (unsigned i = 0; i < ids->count; i++)
		if (try_id(c, d, ids->ids[i]))
			return true;
	return false;
}

static bool try_gone(struct check *c, struct check_dir *d)
{
	for (size_t i = 0; i < c->gone.size; i++)
		if (c->gone.slots[i].ino && try_id(c, d, c->gone.slots[i].id))
			return true;
	return false;
}

static bool has_entries(const struct check_dir *d)
{
	for (size_t i = 0; i < d->entries.count; i++)
		if (!names_is_ours(d->entries.names[i]))
			return true;
	return false;
}

bool check_has_attributes(struct check *c, int fd)
{
	char list[4096];
	ssize_t n = c->e->store->ops->listxattr(c->e->store, fd, list, sizeof list);

	if (n < 0)
		return n != -EOPNOTSUPP;
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(list + i) + 1)
		if (strncmp(list + i, "user.", 5) == 0 || strncmp(list + i, "trusted.", 8) == 0)
			return true;
	return false;
}

/* Attributes are bound to the id, too. */
static bool is_bare(struct check *c, struct check_dir *d)
{
	return !has_entries(d) && !check_has_attributes(c, d->node->fd);
}

static int new_id(struct check *c, struct check_dir *d)
{
	struct directory_record *record = &d->node->dir->record;

	int r = crypto_random(record->id, DIRECTORY_ID_SIZE);

	record->next = GENERATION_NONE;
	if (r < 0)
		return r;
	zone_load(c->e, d->node);
	record->generation = keys_active_in(worker_keys(c->e), zone_of(c->e, d->node));
	return 0;
}

enum outcome { FOUND, FRESH, COPIED, UNKNOWN };

/* What the id was, in d->node->dir->record. */
static enum outcome find_id(struct check *c, struct check_dir *d, const struct check_candidates *born)
{
	struct check_candidates root = {0};

	if (!d->up) {
		/* Which one is no question here; but a tree that does not belong under it must not be put there. */
		check_candidate(&root, keyring_root_directory(c->opened.keyring));
		if (!try_all(c, d, &root) && !(is_bare(c, d) && new_id(c, d) == 0))
			return UNKNOWN;
		memcpy(d->node->dir->record.id, root.ids[0], DIRECTORY_ID_SIZE);
		return FOUND;
	}
	if (try_all(c, d, born) || try_gone(c, d))
		return check_ids_find(&c->directories, d->node->dir->record.id) ? COPIED : FOUND;
	return is_bare(c, d) && new_id(c, d) == 0 ? FRESH : UNKNOWN;
}

/* The wrong record is kept: somebody may want to know whose it was. */
static int write_id(struct check *c, struct check_dir *d, bool missing)
{
	char aside[NAME_MAX + 1];
	int r = missing ? 0 : repair_set_aside(c, d->node->fd, DIRECTORY_RECORD_NAME, aside);

	if (r == 0)
		r = names_write_record(c->e, d->node->fd, &d->node->dir->record);
	return r < 0 ? r : c->e->store->ops->fsync(c->e->store, d->node->fd);
}

static int say(struct check *c, struct check_dir *d, const struct lost_directory *l, enum outcome o, int written)
{
	static const char *const outcomes[] = {
		[FOUND] = "its names can be read again: --repair puts it back",
		[FRESH] = "the directory is empty: --repair gives it another",
		[COPIED] =
			"another directory has the one that its names belong to: this is a copy made below; remove it",
		[UNKNOWN] = "nothing that is left knows it: put .coffer-dir back from a backup",
	};
	const char *what = l->missing   ? "is missing"
			   : !d->up     ? "is not the one of this volume's root"
			   : l->suspect ? "belongs to another directory"
					: "does not authenticate";
	const char *then = written == 0              ? (o == FOUND ? "found again" : "it is empty and has a new one")
			   : c->repair && o <= FRESH ? strerror(-written)
						     : outcomes[o];

	return check_say(c, d, NULL, NULL, (struct check_kind){CHECK_ERROR, "directory-id", written == 0},
			 "the id of the directory %s; %s", what, then);
}

static int mend(struct check *c, struct check_dir *d, const struct lost_directory *l)
{
	struct directory_record there = d->node->dir->record;
	int r = check_list_read(c->e, d->node->fd, &d->entries), written = -EROFS;

	if (r == -ENOMEM)
		return r;

	enum outcome o = find_id(c, d, &l->candidates);

	/* No other id fits better: it is the names that are wrong. */
	if (l->suspect && o != FOUND) {
		d->node->dir->record = there;
		return check_names_again(c, d);
	}
	if (c->repair && o <= FRESH)
		written = write_id(c, d, l->missing);
	r = say(c, d, l, o, written);
	return r < 0 || written < 0 ? r : check_names_again(c, d);
}

static int mend_root(struct check *c, struct check_dir *d)
{
	const struct check_candidates none = {0};
	struct lost_directory l = {.path = NULL};
	int r = names_read_record(c->e, d->node->fd, &d->node->dir->record), written = -EROFS;

	if (r == 0 &&
	    crypto_equal(d->node->dir->record.id, keyring_root_directory(c->opened.keyring), DIRECTORY_ID_SIZE))
		return 0;
	if (r < 0 && r != -ENOENT && r != -EBADMSG)
		return 0; /* the walk says so */
	l.missing = r == -ENOENT;
	r = check_list_read(c->e, d->node->fd, &d->entries);
	if (r == -ENOMEM)
		return r;

	enum outcome o = find_id(c, d, &none);

	if (o > FRESH)
		return 0;
	written = write_id(c, d, l.missing);
	return say(c, d, &l, o, written);
}

int check_root_first(struct check *c)
{
	struct check_dir *d;
	int r = check_enter_path(c, "", &d);

	if (r == 0 && d && node_use(c->e, d->node) == 0) {
		r = mend_root(c, d);
		node_unuse(c->e, d->node);
	}
	if (d)
		check_leave(c, &d);
	return r;
}

int check_lost_directories(struct check *c)
{
	int r = 0;

	for (size_t i = 0; i < c->lost_count && r == 0; i++) {
		struct check_dir *d;

		r = check_enter_path(c, c->lost[i].path, &d);
		if (r < 0 || !d)
			continue;
		if (node_use(c->e, d->node) == 0) {
			r = mend(c, d, &c->lost[i]);
			if (!d->has_id)
				c->partial = c->keep_gone = true;
			node_unuse(c->e, d->node);
		}
		while (d)
			check_leave(c, &d);
	}
	return r;
}

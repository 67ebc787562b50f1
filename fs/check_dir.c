#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/xattr.h"
#include "fs/zone.h"
#include "util/base/encode.h"

void check_candidate(struct check_candidates *c, const uint8_t id[DIRECTORY_ID_SIZE])
{
	for (unsigned i = 0; i < c->count; i++)
		if (memcmp(c->ids[i], id, DIRECTORY_ID_SIZE) == 0)
			return;
	if (c->count < CANDIDATES_MAX && !bytes_all_zero(id, DIRECTORY_ID_SIZE))
		memcpy(c->ids[c->count++], id, DIRECTORY_ID_SIZE);
}

/* ------------------------------------------------------------------ the id */

static bool is_wrong_root(const struct check *c, const struct check_dir *d)
{
	return !d->up &&
	       !crypto_equal(d->node->dir->record.id, keyring_root_directory(c->opened.keyring), DIRECTORY_ID_SIZE);
}

/* What cannot be told before the whole tree has been seen is kept for check_lost_directories. */
static int keep_lost(struct check *c, struct check_dir *d, bool missing, bool suspect)
{
	if (c->lost_count == c->lost_room) {
		size_t room = c->lost_room ? 2 * c->lost_room : 8;
		struct lost_directory *lost = reallocarray(c->lost, room, sizeof *lost);

		if (!lost)
			return -ENOMEM;
		c->lost = lost;
		c->lost_room = room;
	}

	struct lost_directory *l = &c->lost[c->lost_count];

	*l = (struct lost_directory){check_backing_path(d, ""), missing, suspect, d->candidates};
	return l->path ? (c->lost_count++, 0) : -ENOMEM;
}

/* Somebody may have put a sound record of another directory here; or the one name in it was damaged.  What its files remember decides. */
static bool is_suspect(struct check *c, struct check_dir *d)
{
	char name[NAME_MAX + 1];
	bool any = false;

	for (size_t i = 0; i < d->entries.count; i++) {
		if (names_is_ours(d->entries.names[i]) || !check_looks_like_a_name(d->entries.names[i]))
			continue;
		if (names_decrypt(c->e, d->node, d->entries.names[i], name) != -EBADMSG)
			return false;
		any = true;
	}
	return any;
}

static int enter_id(struct check *c, struct check_dir *d)
{
	uint64_t before;
	int r = check_ids_add(&c->directories, d->node->dir->record.id, d->node->ino, &before);

	d->has_id = true;
	atomic_store(&d->node->dir->loaded, true);
	if (r < 0 || before == 0 || before == d->node->ino)
		return r;
	return check_keep_doubled(c, d, NULL, before);
}

/* ------------------------------------------------------------------ attributes */

struct attributes {
	struct check *c;
	struct check_dir *d;
	const struct check_entry *en; /* NULL: the directory's own */
};

static int bad_attribute(void *data, const char *backing, int error)
{
	const struct attributes *a = data;
	const char *text = strchr(backing, '.') + 1;
	uint8_t sealed[256];
	bool ours = base64url_decode(text + (*text == '~'), strlen(text + (*text == '~')), sealed, sizeof sealed) > 20;
	struct check_kind k = {ours ? CHECK_ERROR : CHECK_NOTE, "xattr", false};

	if (!ours)
		return check_say(a->c, a->d, a->en ? a->en->backing : NULL, a->en ? a->en->name : NULL, k,
				 "attribute %s below was not made by coffer; the mount does not show it", backing);
	if (error == -ENOKEY)
		k.severity = CHECK_WARNING;
	return check_say(a->c, a->d, a->en ? a->en->backing : NULL, a->en ? a->en->name : NULL, k,
			 "attribute %s below %s", backing,
			 error == -EBADMSG  ? "does not authenticate; set it anew or remove it below"
			 : error == -ENOKEY ? "is under a generation that is suspended"
					    : "cannot be read");
}

int check_attributes(struct check *c, struct check_dir *d, const struct check_entry *en, struct node *n)
{
	struct attributes a = {c, d, en};
	int r = xattr_check(c->e, n, bad_attribute, &a);

	if (r == 0 || r == -ENOMEM)
		return r;
	return check_say(c, d, en ? en->backing : NULL, en ? en->name : NULL, check_store_kind(r),
			 "the attributes cannot be read: %s", strerror(-r));
}

/* ------------------------------------------------------------------ entries */

static int check_object(struct check *c, struct check_entry *en)
{
	if (S_ISDIR(en->st.mode))
		return check_list_add(&en->dir->below, en->backing);
	if (c->names_only)
		return 0;
	if (S_ISREG(en->st.mode))
		return check_file(c, en);
	if (S_ISLNK(en->st.mode))
		return check_symlink(c, en);
	c->report->specials++;
	return 0;
}

static int check_one(struct check *c, struct check_dir *d, const char *backing)
{
	struct check_entry en = {.dir = d, .backing = backing};
	char name[NAME_MAX + 1];
	int r;

	if (names_is_ours(backing))
		return check_own_name(c, d, backing);
	r = store_stat_at(c->e->store, d->node->fd, backing, &en.st);
	/* What a repair has renamed in the meantime. */
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		c->partial = true;
		return check_say_entry(c, &en, check_store_kind(r), "cannot be read: %s", strerror(-r));
	}
	if (d->has_id)
		r = check_name(c, &en, name);
	if (r == 0 && !en.done)
		r = check_object(c, &en);
	check_progress(c, 0);
	return r;
}

static int store_fault(struct check *c, struct check_dir *d, const char *what, int error)
{
	if (error == -ENOMEM)
		return error;
	c->partial = true;
	return check_say(c, d, NULL, NULL, check_store_kind(error), "%s: %s", what, strerror(-error));
}

int check_directory(struct check *c, struct check_dir *d)
{
	int opened = names_read_record(c->e, d->node->fd, &d->node->dir->record);
	int r = check_list_read(c->e, d->node->fd, &d->entries);
	bool suspect = false;

	c->report->directories++;
	if (opened == 0)
		zone_load(c->e, d->node);
	if (r < 0)
		r = store_fault(c, d, "the directory cannot be listed", r);
	if (r == 0 && opened < 0 && opened != -ENOENT && opened != -EBADMSG)
		r = store_fault(c, d, "the id of the directory cannot be read", opened);
	if (opened == 0 && is_wrong_root(c, d))
		opened = -EBADMSG;
	if (r == 0 && opened == 0)
		suspect = is_suspect(c, d);
	if (r == 0 && opened == 0 && !suspect)
		r = enter_id(c, d);
	for (size_t i = 0; r == 0 && !c->stop && i < d->entries.count; i++)
		r = check_one(c, d, d->entries.names[i]);
	if (r == 0 && d->has_id)
		r = check_attributes(c, d, NULL, d->node);
	if (r == 0 && opened == -ENOENT && check_has_side(c, d, NULL))
		return 0;
	if (r == 0 && (suspect || opened == -ENOENT || opened == -EBADMSG))
		r = keep_lost(c, d, opened == -ENOENT, suspect);
	return r;
}

int check_names_again(struct check *c, struct check_dir *d)
{
	int r = enter_id(c, d);

	c->names_only = true;
	for (size_t i = 0; r == 0 && i < d->entries.count; i++)
		r = check_one(c, d, d->entries.names[i]);
	c->names_only = false;
	return r == 0 ? check_attributes(c, d, NULL, d->node) : r;
}

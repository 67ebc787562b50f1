#include "fs/heal.h"

#include <errno.h>
#include <string.h>

#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/names.h"
#include "fs/worker.h"
#include "fs/xattr.h"
#include "fs/zone.h"
#include "util/base/log.h"

struct healing {
	struct engine *e;
	struct node *dir;
	char name[NAME_MAX + 1]; /* a backing name in it */
};

static int first_name(void *data, const struct store_dirent *d)
{
	struct healing *h = data;

	if (names_is_ours(d->name))
		return 0;
	strcpy(h->name, d->name);
	return 1;
}

/* True if a name in the directory authenticates under this id, which the directory then has in memory. */
static bool suits(struct healing *h, const char *text, size_t n)
{
	char plain[NAME_MAX + 1];

	if (directory_record_accept(worker_keys(h->e), text, n, &h->dir->dir->record) < 0)
		return false;
	zone_load(h->e, h->dir);
	return names_decrypt(h->e, h->dir, h->name, plain) == 0;
}

static int try_id(void *data, const struct store_dirent *d)
{
	struct healing *h = data;
	char text[DIRECTORY_RECORD_TEXT + 2];
	ssize_t n = names_read_text(h->e, h->e->gone_dir, d->name, text, sizeof text);

	return n > 0 && suits(h, text, (size_t)n);
}

static int new_id(struct healing *h)
{
	struct directory_record *record = &h->dir->dir->record;

	int r = crypto_random(record->id, sizeof record->id);

	record->next = GENERATION_NONE;
	if (r < 0)
		return r;
	zone_load(h->e, h->dir);
	record->generation = keys_active_in(worker_keys(h->e), zone_of(h->e, h->dir));
	return 0;
}

int heal_directory(struct engine *e, struct node *dir)
{
	struct healing h = {.e = e, .dir = dir};
	int r = directory_scan(e, dir->fd, first_name, &h);
	bool anew = r == 0;

	if (anew)
		r = new_id(&h);
	else if (r > 0 && e->gone_dir >= 0)
		r = directory_scan(e, e->gone_dir, try_id, &h) == 1 ? 0 : -ENOENT;
	if (r < 0 || e->options.read_only)
		return r < 0 ? r : 0;
	r = names_write_record(e, dir->fd, &dir->dir->record);
	/* What was bound to the id that it had opens no more. */
	if (r == 0 && anew)
		xattr_drop_all(e, dir);
	if (r == 0)
		dirty_in_place(e, dir);
	if (r == 0)
		log_info("gave a directory its id again, which a crash had parted from it");
	return r;
}

void heal_from_journal(struct engine *e, struct node *dir, const char *text, size_t n)
{
	struct healing h = {.e = e, .dir = dir};
	struct store_stat st;

	if (store_stat_at(e->store, dir->fd, DIRECTORY_RECORD_NAME, &st) != -ENOENT ||
	    directory_scan(e, dir->fd, first_name, &h) != 1 || !suits(&h, text, n))
		return;
	if (names_write_record(e, dir->fd, &dir->dir->record) < 0) {
		log_warning("cannot give a directory its id again");
		return;
	}
	dirty_in_place(e, dir);
	log_info("gave a directory its id again, from the journal");
}

#include "fs/side.h"

#include <errno.h>
#include <string.h>

#include "fs/dirty.h"
#include "fs/file.h"
#include "fs/node.h"
#include "fs/record.h"
#include "fs/worker.h"
#include "util/base/log.h"

/* A path in a directory: its own, a slash, the name. */
static size_t path_in(struct engine *e, struct node *dir, const char *name, char *out, size_t room)
{
	size_t n = dir == e->root ? 0 : names_backing_path(e, dir, out, room), length = strlen(name);

	if ((dir != e->root && n == 0) || n + 1 + length > room)
		return 0;
	if (n)
		out[n++] = '/';
	memcpy(out + n, name, length);
	return n + length;
}

static int append(struct engine *e, unsigned type, const uint8_t *body, size_t n)
{
	dirty_keep_side(e);
	return journal_append(e->journal, type, body, n, NULL, 0, NULL, NULL);
}

static int log_side(struct engine *e, const struct side_record *r)
{
	uint8_t body[RECORD_PATH_MAX + 1024];

	return append(e, RECORD_SIDE, body, side_record_encode(r, body));
}

int side_log_directory(struct engine *e, struct node *parent, const char *name, const struct directory_record *record)
{
	char path[RECORD_PATH_MAX], text[DIRECTORY_RECORD_TEXT + 1];
	struct side_record r = {.path = {path, 0}, .name = {"", 0}};
	int result;

	if (!e->journal)
		return 0;
	result = directory_record_seal(worker_keys(e)->directory_key, record, text);
	if (result < 0)
		return result;
	r.path.size = path_in(e, parent, name, path, sizeof path);
	r.text = (struct record_path){text, DIRECTORY_RECORD_TEXT};
	/* Too deep to be told: then only the check can help. */
	return r.path.size ? log_side(e, &r) : 0;
}

int side_log_sidecar(struct engine *e, struct node *dir, const struct backing_name *b)
{
	char path[RECORD_PATH_MAX];
	struct side_record r = {.path = {path, 0}};

	if (!e->journal || !b->is_long)
		return 0;
	r.path.size = path_in(e, dir, b->name, path, sizeof path);
	r.name = (struct record_path){b->sidecar, strlen(b->sidecar)};
	r.text = (struct record_path){b->full, strlen(b->full)};
	return r.path.size ? log_side(e, &r) : 0;
}

int side_settle_target(struct engine *e, struct node *to, const struct backing_name *b)
{
	if (!e->journal || dirty_store_orders_names(e) || !(b->is_long || atomic_load(&to->name_new)))
		return 0;

	int r = dirty_sync(e, to);

	return r < 0 ? r : dirty_sync_above(e, to);
}

void side_drop_sidecar(struct engine *e, struct node *dir, const struct backing_name *b)
{
	/* One that stays behind is found by the check, and used by the next entry of that name. */
	if (b->is_long && e->journal && !dirty_store_orders_names(e) && dirty_sync(e, dir) < 0)
		return;
	names_drop_sidecar(e, dir->fd, b);
}

/* The id of a file that has records. */
static bool logged_file(struct node *n, uint8_t id[16])
{
	bool logged = false;

	pthread_mutex_lock(&n->lock);

	struct file *f = n->file;

	pthread_mutex_unlock(&n->lock);
	if (!f)
		return false;
	pthread_rwlock_rdlock(&f->lock);
	if (f->log.pinned) {
		memcpy(id, f->head.file_id, 16);
		logged = true;
	}
	pthread_rwlock_unlock(&f->lock);
	return logged;
}

/* Hints only: what cannot be appended is missed by nobody but the clock. */
void side_log_moved(struct engine *e, struct node *n, const char *from, size_t size)
{
	char path[RECORD_PATH_MAX];
	uint8_t body[2 * RECORD_PATH_MAX + 32];
	struct moved_record r = {.from = {from, size}, .to = {path, 0}};
	bool some = false;

	if (!e->journal || size == 0)
		return;
	if (n->dir)
		some = true;
	else if (node_use_cached(n)) {
		some = logged_file(n, r.file_id);
		node_unuse(e, n);
	}
	r.to.size = some ? names_backing_path(e, n, path, sizeof path) : 0;
	if (r.to.size &&
	    journal_append(e->journal, RECORD_MOVED, body, moved_record_encode(&r, body), NULL, 0, NULL, NULL) < 0)
		log_info("a hint for recovery could not be written");
}

/* (N2) If its removal does not last the file is where it was told to be, or nowhere: else nothing is said.  What is not told makes recovery look
 * for the file in vain. */
static void log_gone(struct engine *e, struct node *n, struct node *dir, const uint8_t id[16])
{
	if ((dirty_names_settled(e, n, dir) || !RULE(N2settled)) &&
	    journal_append(e->journal, RECORD_GONE, id, 16, NULL, 0, NULL, NULL) < 0)
		log_info("a hint for recovery could not be written");
}

void side_log_gone(struct engine *e, struct node *n, struct node *dir)
{
	uint8_t id[16];

	if (!e->journal || !n || !S_ISREG(n->type) || !node_use_cached(n))
		return;
	if (logged_file(n, id))
		log_gone(e, n, dir, id);
	node_unuse(e, n);
}

void side_log_nameless(struct engine *e, struct node *n, const uint8_t id[16])
{
	/* Of one that had a name nobody knows any more where. */
	if (atomic_load(&n->never_named))
		log_gone(e, n, NULL, id);
}

void side_log_named(struct engine *e, struct node *n, struct node *dir, const char *name)
{
	char path[RECORD_PATH_MAX];
	uint8_t body[RECORD_PATH_MAX + 32];
	struct moved_record r = {.from = {"", 0}, .to = {path, 0}};

	if (!e->journal || !S_ISREG(n->type) || node_has_name(e, n) || !logged_file(n, r.file_id))
		return;
	r.to.size = path_in(e, dir, name, path, sizeof path);
	if (r.to.size &&
	    journal_append(e->journal, RECORD_MOVED, body, moved_record_encode(&r, body), NULL, 0, NULL, NULL) < 0)
		log_info("a hint for recovery could not be written");
}

static int log_mode(struct engine *e, struct node *n, mode_t mode, mode_t lent)
{
	char path[RECORD_PATH_MAX];
	uint8_t body[RECORD_PATH_MAX + 16];
	struct mode_record r = {mode, lent, {path, names_backing_path(e, n, path, sizeof path)}};
	int result;

	if (r.path.size == 0)
		return 0;
	result = append(e, RECORD_MODE, body, mode_record_encode(&r, body));
	return result < 0 ? result : journal_sync(e->journal, journal_end(e->journal).number);
}

int side_log_mode(struct engine *e, struct node *n, mode_t mode, mode_t lent)
{
	if (!e->journal || !RULE(N4))
		return 0;
	atomic_store(&n->lent, true);
	return log_mode(e, n, mode, lent);
}

int side_log_chmod(struct engine *e, struct node *n, mode_t mode)
{
	return e->journal && atomic_load(&n->lent) ? log_mode(e, n, mode, 0) : 0;
}

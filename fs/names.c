#include "fs/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fs/heal.h"
#include "fs/ids.h"
#include "fs/lend.h"
#include "fs/node.h"
#include "fs/shared.h"
#include "fs/worker.h"
#include "fs/zone.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { PADDED_MAX = 256, SEALED_MAX = SIV_TAG + PADDED_MAX };

static const char ours_prefix[] = ".coffer-", ours_suffix[] = ".n";

bool names_is_ours(const char *backing)
{
	size_t n = strlen(backing), suffix = sizeof ours_suffix - 1;

	return strncmp(backing, ours_prefix, sizeof ours_prefix - 1) == 0 ||
	       (n >= suffix && strcmp(backing + n - suffix, ours_suffix) == 0);
}

/* ------------------------------------------------------------------ small texts */

static ssize_t read_small_file(struct engine *e, int dir, const char *name, char *out, size_t size)
{
	struct store_stat st;
	int fd = store_open(e->store, dir, name, O_RDONLY | O_NONBLOCK, 0);

	if (fd < 0)
		return fd == -ENXIO ? -EBADMSG : fd; /* a socket */

	ssize_t n = store_stat(e->store, fd, &st);

	if (n == 0 && !S_ISREG(st.mode))
		n = -EBADMSG;
	if (n == 0)
		n = store_pread(e->store, fd, out, size, 0);
	store_close(e->store, fd);
	return n;
}

static ssize_t read_raw_text(struct engine *e, int dir, const char *name, char *out, size_t size)
{
	ssize_t n = e->store->ops->readlink(e->store, dir, name, out, size);

	return n == -EINVAL ? read_small_file(e, dir, name, out, size) : n;
}

ssize_t names_read_text(struct engine *e, int dir, const char *name, char *out, size_t size)
{
	ssize_t n = read_raw_text(e, dir, name, out, size);
	mode_t before;

	/* Who may list a directory but not search it is to see its names all the same. */
	if (n == -EACCES && lend(e, NULL, dir, 0100, &before)) {
		n = read_raw_text(e, dir, name, out, size);
		lend_back(e, NULL, dir, 0100, before);
	}
	if (n < 0)
		return n;
	/* Too long, or not a text. */
	if ((size_t)n == size || memchr(out, 0, (size_t)n))
		return -EBADMSG;
	out[n] = 0;
	return n;
}

int names_write_text(struct engine *e, int dir, const char *name, const char *text)
{
	if (!e->settings.portable && e->caps.symlinks)
		return e->store->ops->symlink(e->store, text, dir, name);

	int fd = store_open(e->store, dir, name, O_CREAT | O_EXCL | O_WRONLY, 0600);

	if (fd < 0)
		return fd;

	ssize_t put = store_pwrite(e->store, fd, text, strlen(text), 0);
	/* A link is there whole or not at all; of a file the sync of its directory, behind which nothing else has the text any more, makes only
	 * the name durable. */
	int r = put < 0 ? (int)put : e->store->ops->fdatasync(e->store, fd);

	store_close(e->store, fd);
	if (r < 0)
		e->store->ops->unlink(e->store, dir, name);
	return r;
}

/* ------------------------------------------------------------------ directories */

int names_write_record(struct engine *e, int fd, const struct directory_record *r)
{
	char text[DIRECTORY_RECORD_TEXT + 1];
	int result = directory_record_seal(worker_keys(e)->directory_key, r, text);

	return result < 0 ? result : names_write_text(e, fd, DIRECTORY_RECORD_NAME, text);
}

int names_read_record(struct engine *e, int fd, struct directory_record *r)
{
	char text[DIRECTORY_RECORD_TEXT + 2];
	ssize_t n = names_read_text(e, fd, DIRECTORY_RECORD_NAME, text, sizeof text);

	return n < 0 ? (int)n : directory_record_accept(worker_keys(e), text, (size_t)n, r);
}

/* Errors that say nothing of the record. */
static bool will_pass(int r)
{
	return r == -EIO || r == -ENOKEY || r == -ENOMEM || r == -EACCES || r == -EMFILE || r == -ENFILE;
}

static bool is_usable(struct engine *e, struct node *dir, uint32_t generation)
{
	int error = 0;

	/* Under one that is suspended the names say so themselves. */
	return generation &&
	       (keys_for_open_in(worker_keys(e), zone_of(e, dir), generation, &error) || error == -ENOKEY);
}

/* Under a generation that is not accepted there (any more) no name could be read: that is not an empty directory. */
static int check_generation(struct engine *e, struct node *dir)
{
	const struct directory_record *r = &dir->dir->record;

	zone_load(e, dir);
	if (e->options.inspect || is_usable(e, dir, r->generation) || is_usable(e, dir, r->next))
		return 0;
	return -EBADMSG;
}

/* -EBADMSG: it is missing, damaged, or of no use. */
static int read_record(struct engine *e, struct node *dir)
{
	char path[1024];
	int r = names_read_record(e, dir->fd, &dir->dir->record);

	if (r == 0)
		r = check_generation(e, dir);
	/* Somebody may be removing it, and have set its id aside: what came of that? */
	if (r == -ENOENT) {
		pthread_rwlock_rdlock(&dir->dir->lock);
		r = names_read_record(e, dir->fd, &dir->dir->record);
		if (r == -ENOENT && e->recovered.done && node_has_name(e, dir))
			r = heal_directory(e, dir);
		pthread_rwlock_unlock(&dir->dir->lock);
	}
	if (will_pass(r))
		return r;
	/* What was removed has no id any more. */
	if (r == -ENOENT && dir != e->root && !node_has_name(e, dir))
		return r;
	if (r < 0) {
		names_path(e, dir, path, sizeof path);
		log_error("the id of directory %s is %s; its names cannot be read (coffer check --repair may find it "
			  "again)",
			  path, r == -ENOENT ? "missing" : "damaged");
		return -EBADMSG;
	}
	dir->dir->duplicate = !ids_claim(e, dir) && !(shared_gets_id(e, dir) && ids_claim(e, dir));
	if (dir->dir->duplicate) {
		names_path(e, dir, path, sizeof path);
		log_warning("directory %s is a copy, made below, of one that is known; it can be read only, until "
			    "coffer check --repair gives it an id of its own",
			    path);
	}
	return 0;
}

int names_load_directory(struct engine *e, struct node *dir)
{
	struct dir *d = dir->dir;

	if (!d)
		return -ENOTDIR;
	if (atomic_load_explicit(&d->loaded, memory_order_acquire))
		return d->error;
	pthread_mutex_lock(&d->loading);

	int r = 0;

	if (!d->loaded) {
		uint32_t serial = zone_load_begin(e);

		r = read_record(e, dir);
		if (r == 0 || r == -EBADMSG) {
			r = r < 0 ? -EIO : 0;
			d->error = r;
			atomic_store_explicit(&d->loaded, true, memory_order_release);
		}
		zone_load_end(e, dir, serial);
	} else {
		r = d->error;
	}
	pthread_mutex_unlock(&d->loading);
	return r;
}

/* ------------------------------------------------------------------ names */

static int seal_full(struct engine *e, struct node *dir, uint32_t generation, const char *name, size_t n,
		     char full[FULL_NAME_MAX + 1])
{
	const uint8_t *id = dir->dir->record.id;
	uint8_t padded[PADDED_MAX] = {0}, sealed[SEALED_MAX];
	size_t size = (n + 15) & ~(size_t)15;
	int r;
	struct siv *siv = worker_siv(e, SIV_NAMES, zone_of(e, dir), generation, &r);

	if (!siv)
		return r;
	memcpy(padded, name, n);
	r = siv_seal(siv, id, DIRECTORY_ID_SIZE, NULL, padded, size, sealed);
	if (r < 0)
		return r;
	base64url_encode(sealed, SIV_TAG + size, full);
	return 0;
}

static int hash_name(struct engine *e, struct node *dir, uint32_t generation, const char *full,
		     char out[LONG_NAME_SIZE + 1])
{
	uint8_t hash[SHA256_SIZE];
	int r = worker_hash(e, HASH_LONG_NAMES, zone_of(e, dir), generation, full, strlen(full), hash);

	if (r < 0)
		return r;
	out[0] = '~';
	base64url_encode(hash, sizeof hash, out + 1);
	return 0;
}

/* What lies below, if it can be an entry: the sidecar of a long name goes by it. */
static int take_as_it_is(struct engine *e, const char *name, struct backing_name *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = strlen(name);

	out->is_long = name[0] == '~';
	if (n == 0 || n > e->settings.name_max || strspn(name + out->is_long, letters) != n - out->is_long ||
	    (out->is_long && n != LONG_NAME_SIZE))
		return -ENOENT;
	strcpy(out->name, name);
	snprintf(out->sidecar, sizeof out->sidecar, "%.*s%s", LONG_NAME_SIZE, name, ours_suffix);
	out->full[0] = '\0';
	return 0;
}

int names_encrypt(struct engine *e, struct node *dir, uint32_t generation, const char *name, struct backing_name *out)
{
	size_t n = strlen(name);
	int r;

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	if (n == 0)
		return -ENOENT;
	r = seal_full(e, dir, generation, name, n, out->full);
	if (r < 0)
		return r;
	out->is_long = strlen(out->full) > e->settings.name_max;
	if (!out->is_long) {
		strcpy(out->name, out->full);
		return 0;
	}
	r = hash_name(e, dir, generation, out->full, out->name);
	if (r == 0)
		snprintf(out->sidecar, sizeof out->sidecar, "%.*s%s", LONG_NAME_SIZE, out->name, ours_suffix);
	return r;
}

int names_lookup(struct engine *e, struct node *dir, const char *name, struct backing_name *out, struct store_stat *st)
{
	const struct directory_record *record = &dir->dir->record;
	int r;

	if (zone_is_locked(e, dir)) {
		r = take_as_it_is(e, name, out);
		return r < 0 ? r : store_stat_at(e->store, dir->fd, out->name, st);
	}
	r = names_encrypt(e, dir, names_generation(dir->dir), name, out);
	if (r == 0)
		r = store_stat_at(e->store, dir->fd, out->name, st);
	/* While the names are being moved to another generation, an entry may still stand under the older one. */
	if (r == -ENOENT && record->next) {
		r = names_encrypt(e, dir, record->generation, name, out);
		if (r == 0)
			r = store_stat_at(e->store, dir->fd, out->name, st);
		if (r == -ENOENT)
			r = names_encrypt(e, dir, record->next, name, out) < 0 ? -EIO : -ENOENT;
	}
	return r;
}

static int open_full(struct engine *e, struct node *dir, uint32_t generation, const char *full, char out[NAME_MAX + 1])
{
	const uint8_t *id = dir->dir->record.id;
	uint8_t sealed[SEALED_MAX], plain[PADDED_MAX + 1] = {0};
	ssize_t n = base64url_decode(full, strlen(full), sealed, sizeof sealed);
	int r;

	if (n <= SIV_TAG || (n - SIV_TAG) % 16 != 0)
		return -EBADMSG;

	struct siv *siv = worker_siv(e, SIV_NAMES, zone_of(e, dir), generation, &r);

	if (!siv)
		return r;
	r = siv_open(siv, id, DIRECTORY_ID_SIZE, NULL, sealed, (size_t)n, plain);
	if (r < 0)
		return r;

	size_t room = (size_t)n - SIV_TAG, length = strlen((char *)plain);

	if (length == 0 || length > NAME_MAX || length + 16 <= room || !bytes_all_zero(plain + length, room - length) ||
	    strchr((char *)plain, '/') || strcmp((char *)plain, ".") == 0 || strcmp((char *)plain, "..") == 0)
		return -EBADMSG;
	memcpy(out, plain, length + 1);
	return 0;
}

static int decrypt_under(struct engine *e, struct node *dir, uint32_t generation, const char *backing,
			 char out[NAME_MAX + 1])
{
	char sidecar[NAME_MAX + 1], full[FULL_NAME_MAX + 2], hash[LONG_NAME_SIZE + 1];

	if (backing[0] != '~') {
		if (strlen(backing) > e->settings.name_max)
			return -EBADMSG;
		return open_full(e, dir, generation, backing, out);
	}
	if (strlen(backing) != LONG_NAME_SIZE)
		return -EBADMSG;
	snprintf(sidecar, sizeof sidecar, "%s%s", backing, ours_suffix);

	ssize_t n = names_read_text(e, dir->fd, sidecar, full, sizeof full);

	if (n < 0)
		return n == -ENOENT ? -EBADMSG : (int)n;
	if ((size_t)n <= e->settings.name_max)
		return -EBADMSG;

	int r = hash_name(e, dir, generation, full, hash);

	if (r == 0 && strcmp(hash, backing) != 0)
		r = -EBADMSG;
	return r < 0 ? r : open_full(e, dir, generation, full, out);
}

int names_decrypt(struct engine *e, struct node *dir, const char *backing, char out[NAME_MAX + 1])
{
	const struct directory_record *record = &dir->dir->record;
	struct backing_name shape;
	int r;

	if (zone_is_locked(e, dir)) {
		r = take_as_it_is(e, backing, &shape);
		if (r == 0)
			strcpy(out, backing);
		return r < 0 ? -EBADMSG : 0;
	}
	r = decrypt_under(e, dir, names_generation(dir->dir), backing, out);

	if (r == -EBADMSG && record->next)
		r = decrypt_under(e, dir, record->generation, backing, out);
	return r;
}

/* ------------------------------------------------------------------ sidecars */

int names_add_sidecar(struct engine *e, int dir, const struct backing_name *b)
{
	char there[FULL_NAME_MAX + 2];

	if (!b->is_long)
		return 0;

	int r = names_write_text(e, dir, b->sidecar, b->full);

	if (r != -EEXIST)
		return r;
	/* One that a crash left, or that another name's removal has not taken away: right or replaced. */
	if (names_read_text(e, dir, b->sidecar, there, sizeof there) >= 0 && strcmp(there, b->full) == 0)
		return 0;
	r = e->store->ops->unlink(e->store, dir, b->sidecar);
	return r < 0 ? r : names_write_text(e, dir, b->sidecar, b->full);
}

void names_drop_sidecar(struct engine *e, int dir, const struct backing_name *b)
{
	/* One that stays behind harms nobody: `check` reports it, a new entry of that name uses it. */
	if (b->is_long)
		e->store->ops->unlink(e->store, dir, b->sidecar);
}

/* ------------------------------------------------------------------ paths */

size_t names_backing_path(struct engine *e, struct node *n, char *out, size_t room)
{
	size_t at = room;

	pthread_mutex_lock(&e->table.lock);

	struct node *child = n;

	while (child != e->root) {
		struct link *l = child->links;
		size_t length = l ? strlen(l->name) : 0;

		if (!l || l->parent == e->open_node || length + 1 > at)
			break;
		at -= length;
		memcpy(out + at, l->name, length);
		if (l->parent != e->root)
			out[--at] = '/';
		child = l->parent;
	}
	pthread_mutex_unlock(&e->table.lock);
	if (child != e->root)
		return 0;
	memmove(out, out + at, room - at);
	return room - at;
}

void names_birth(struct engine *e, struct node *n, uint8_t birth[DIRECTORY_ID_SIZE])
{
	struct node *parent = node_first_parent(e, n, NULL);

	memset(birth, 0, DIRECTORY_ID_SIZE);
	if (parent && parent->dir && parent->dir->loaded && parent->dir->error == 0)
		memcpy(birth, parent->dir->record.id, DIRECTORY_ID_SIZE);
	node_unref(e, parent);
}

void names_path(struct engine *e, struct node *n, char *out, size_t size)
{
	size_t at = size - 1;
	char backing[NAME_MAX + 1], name[NAME_MAX + 1];
	struct node *child = node_ref(e, n);

	out[at] = 0;
	while (child != e->root) {
		struct node *parent = node_first_parent(e, child, backing);

		node_unref(e, child);
		child = parent;
		if (!parent || parent == e->open_node) {
			strcpy(name, "(unlinked)");
		} else if (!parent->dir->loaded || node_use(e, parent) < 0) {
			snprintf(name, sizeof name, "%s", backing);
		} else {
			if (names_decrypt(e, parent, backing, name) < 0)
				snprintf(name, sizeof name, "%s", backing);
			node_unuse(e, parent);
		}

		size_t length = strlen(name);

		if (length + 1 > at)
			break;
		at -= length;
		memcpy(out + at, name, length);
		if (!parent || parent == e->open_node)
			break;
		out[--at] = '/';
	}
	if (child)
		node_unref(e, child);
	if (at == size - 1)
		out[--at] = '/';
	memmove(out, out + at, size - at);
}

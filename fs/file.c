#include "fs/file.h"

#include <errno.h>
#include <sys/stat.h>

#include "fs/ahead.h"
#include "fs/change.h"
#include "fs/damage.h"
#include "fs/dirty.h"
#include "fs/job.h"
#include "fs/logged.h"
#include "fs/look.h"
#include "fs/names.h"
#include "fs/shared.h"
#include "fs/zone.h"
#include "util/base/log.h"

/* Invariants:
 *  (1) a file is its head in place and the records of the journal that continue it; between operations memory says the same as both.
 *      Without records: as the store; of a shared store it is compared before each operation (shared.h).
 *  (2) no page behind the end has an entry, and the last page is exactly as long as the size asks.
 *  (3) content goes in place before the entries that name it; what fails half-way leaves the old head, or a head that
 *      names only what was written. */

enum { CHANGED_TRIES = 4 };

void file_free(struct engine *e, struct file *f)
{
	if (!f)
		return;
	maps_drop(e, f);
	logged_free(&f->log.pages);
	extents_free(&f->log.freed);
	job_free(f->log.job);
	if (f->log.expected)
		journal_expect(e->journal, -f->log.expected);
	pthread_mutex_destroy(&f->maps.lock);
	pthread_rwlock_destroy(&f->lock);
	free(f);
}

/* The state of an open node; made at its first use. */
static struct file *get_file(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	if (!n->file) {
		n->file = calloc(1, sizeof *n->file);
		if (n->file) {
			pthread_rwlock_init(&n->file->lock, NULL);
			pthread_mutex_init(&n->file->maps.lock, NULL);
		}
	}

	struct file *f = n->file;

	pthread_mutex_unlock(&n->lock);
	return f;
}

static int load(struct engine *e, struct node *n, struct file *f)
{
	uint8_t head[PAGE_BYTES];
	struct store_stat st;
	int r;

	if (f->refused)
		return f->refused;
	ahead_read(e, n);
	r = store_stat(e->store, n->fd, &st);
	if (r < 0)
		return r;
	memset(&f->head, 0, sizeof f->head);
	memset(&f->body, 0, sizeof f->body);
	f->has_head = st.size > 0;
	if (atomic_load(&e->lost_ranges))
		return look_load(e, n, f);
	if (f->has_head) {
		ssize_t got = store_pread(e->store, n->fd, head, sizeof head, 0);

		r = got < 0 ? (int)got : head_open(e, f->zone, head, (size_t)got, st.size, &f->head, &f->body);
		if (r < 0)
			return damage_report(e, n, r, "head", 0);
		head_version(head, f->log.base);
	}
	f->size_below = f->log.highest = f->head.size;
	f->newborn = false;
	f->loaded = true;
	return 0;
}

int file_lock_unloaded(struct node *n, struct file **out)
{
	struct file *f = get_file(n);

	if (!f)
		return -ENOMEM;
	pthread_rwlock_wrlock(&f->lock);
	/* What the journal says counts wherever the file lies; what is sealed then is sealed by a checkpoint. */
	f->zone = ZONE_ANY;
	*out = f;
	return 0;
}

int file_version(struct engine *e, struct node *n, uint8_t out[AEAD_TAG])
{
	uint8_t prefix[PREFIX_SIZE], id[16];
	ssize_t got = store_pread(e->store, n->fd, prefix, sizeof prefix, 0);

	if (got < 0)
		return (int)got;
	if (got < PREFIX_SIZE || !head_is_ours(prefix, id))
		return -ENODATA;
	head_version(prefix, out);
	return 0;
}

int file_load_as_it_is(struct engine *e, struct node *n, struct file *f)
{
	uint8_t head[PAGE_BYTES];
	ssize_t got = store_pread(e->store, n->fd, head, sizeof head, 0);
	int r = got < 0 ? (int)got : head_open_claimed(e, f->zone, head, (size_t)got, &f->head, &f->body);

	if (r < 0)
		return r;
	head_version(head, f->log.base);
	f->has_head = f->loaded = true;
	f->size_below = f->log.highest = f->head.size;
	return 0;
}

void file_note_zone(struct file *f, uint32_t zone)
{
	if (f->zone != zone)
		f->zone = zone;
}

static bool is_changed_below(struct engine *e, struct node *n, struct file *f)
{
	return f->loaded && !f->log.pinned && shared_is_changed(e, n, f);
}

int file_lock_for_write(struct engine *e, struct node *n, struct file **out)
{
	struct file *f = get_file(n);
	uint32_t zone = zone_of(e, n);

	if (!f)
		return -ENOMEM;
	pthread_rwlock_wrlock(&f->lock);
	file_note_zone(f, zone);
	if (is_changed_below(e, n, f)) {
		maps_drop(e, f);
		f->loaded = false;
		atomic_store(&f->as_read, false);
	}

	int r = f->loaded ? 0 : load(e, n, f);

	if (r < 0) {
		pthread_rwlock_unlock(&f->lock);
		return r;
	}
	*out = f;
	return 0;
}

int file_lock_for_read(struct engine *e, struct node *n, struct file **out)
{
	struct file *f = get_file(n);
	uint32_t zone = zone_of(e, n);

	if (!f)
		return -ENOMEM;
	pthread_rwlock_rdlock(&f->lock);
	file_note_zone(f, zone);
	/* Whoever changes it all the time gets it read as it was a moment ago. */
	for (unsigned tries = 0; !f->loaded || (tries < CHANGED_TRIES && is_changed_below(e, n, f)); tries++) {
		pthread_rwlock_unlock(&f->lock);

		int r = file_lock_for_write(e, n, &f);

		if (r < 0)
			return r;
		pthread_rwlock_unlock(&f->lock);
		pthread_rwlock_rdlock(&f->lock);
	}
	*out = f;
	return 0;
}

void file_unlock(struct file *f)
{
	pthread_rwlock_unlock(&f->lock);
}

static void warn_of_others(struct engine *e, struct node *n)
{
	char path[1024], escaped[2048];

	names_path(e, n, path, sizeof path);
	log_warning("%s: others have changed it while a change here failed; it keeps the size they gave it",
		    log_escape(path, escaped, sizeof escaped));
}

void file_fall_back(struct engine *e, struct node *n, struct file *f)
{
	if (f->log.pinned)
		return;
	/* What others have put in place since is not cut. */
	if (shared_is_theirs(e, n, f))
		warn_of_others(e, n);
	else if (e->store->ops->truncate(e->store, n->fd, layout_physical_size(f->size_below, f->has_head)) < 0)
		log_warning("cannot give a file its size back after a change that failed");
	maps_drop(e, f);
	f->loaded = false;
}

int file_make_head(struct engine *e, struct node *n, struct file *f)
{
	if (f->has_head || !bytes_all_zero(f->head.file_id, sizeof f->head.file_id))
		return 0;
	if (bytes_all_zero(f->head.birth, sizeof f->head.birth))
		names_birth(e, n, f->head.birth);
	return crypto_random(f->head.file_id, sizeof f->head.file_id);
}

int file_write_head(struct engine *e, struct node *n, struct file *f, uint64_t size, const void *body,
		    struct nonce *nonce, uint8_t *room, size_t more)
{
	uint8_t own[PAGE_BYTES], *sealed = room ? room : own;
	struct head h = f->head;

	h.size = size;
	h.commit++;
	h.newborn = f->newborn;
	h.epoch = f->newborn ? atomic_load(&e->epoch) : 0;

	int length = head_seal(e, f->zone, &h, nonce, body, sealed);

	if (length < 0)
		return length;

	ssize_t put = store_pwrite(e->store, n->fd, sealed, (size_t)length + more, 0);

	if (put < 0)
		return (int)put;
	f->head.commit = h.commit;
	f->head.newborn = h.newborn;
	f->head.epoch = h.epoch;
	f->head.generation = head_generation(sealed);
	f->has_head = true;
	f->size_below = size;
	head_version(sealed, f->log.base);
	return 0;
}

/* The sink of maps that go in place. */
struct in_place {
	struct engine *e;
	struct node *n;
};

static int put_map_in_place(void *data, struct layout_slot at, const uint8_t sealed[PAGE_BYTES])
{
	struct in_place *to = data;
	ssize_t put = store_pwrite(to->e->store, to->n->fd, sealed, PAGE_BYTES, at.physical << PAGE_SHIFT);

	return put < 0 ? (int)put : 0;
}

/* Brings the store to what memory says of a paged file.  An error of a map does not keep the head from being written:
 * tree_seal_maps left a tree that is sound without that map.  But a file that was not paged keeps the head that it has, which still
 * holds or means all its content. */
int file_commit(struct engine *e, struct node *n, struct file *f)
{
	struct in_place to = {e, n};
	const struct map_sink sink = {put_map_in_place, &to, false};
	struct nonce nonce;
	int r = nonce_start(&nonce);

	if (r < 0)
		return r;
	r = tree_seal_maps(e, f, &nonce, &sink);
	if (r < 0 && !layout_is_paged(f->size_below))
		return r;

	int h = file_write_head(e, n, f, f->head.size, &f->body, &nonce, NULL, 0);

	return r < 0 ? r : h;
}

/* True if neither the tree nor the store can hold a file of this size; asked first, so that a refusal changes nothing. */
bool file_is_too_big(const struct engine *e, uint64_t off, uint64_t size)
{
	if (off > layout_max_size() || size > layout_max_size() - off)
		return true;
	return layout_physical_size(off + size, true) > e->caps.file_max;
}

int file_size(struct engine *e, struct node *n, uint64_t *size)
{
	struct file *f;
	int r = file_lock_for_read(e, n, &f);

	if (r < 0)
		return r;
	*size = f->head.size;
	file_unlock(f);
	return 0;
}

int file_born_in(struct engine *e, struct node *n, const uint8_t directory[DIRECTORY_ID_SIZE])
{
	struct file *f;
	int r = file_lock_for_write(e, n, &f);

	if (r < 0)
		return r;
	memcpy(f->head.birth, directory, DIRECTORY_ID_SIZE);
	file_unlock(f);
	return 0;
}

/* A head for a file that has no content and needs an id.  That is no change of content, so the time of the last one stays, and
 * so do set-uid and set-gid. */
static int make_empty_head(struct engine *e, struct node *n, struct file *f)
{
	static const uint8_t none[INLINE_MAX];
	struct store_stat st;
	int r = store_stat(e->store, n->fd, &st);

	if (r == 0)
		r = change_commit_inline(e, n, f, none, 0);
	if (r == 0) {
		const struct timespec ts[2] = {{0, UTIME_OMIT}, st.mtime};

		r = e->store->ops->utimens(e->store, n->fd, ts);
	}
	/* Writing as the owner took set-uid and set-gid away. */
	if (r == 0 && (st.mode & (S_ISUID | S_ISGID)))
		r = e->store->ops->chmod(e->store, n->fd, st.mode & 07777);
	return r;
}

int file_id(struct engine *e, struct node *n, bool make, uint8_t id[16])
{
	struct file *f;
	int r = file_lock_for_write(e, n, &f);

	if (r < 0)
		return r;
	if (!f->has_head)
		r = make ? make_empty_head(e, n, f) : -ENODATA;
	if (r == 0)
		memcpy(id, f->head.file_id, 16);
	file_unlock(f);
	return r;
}

int file_set_mtime(struct engine *e, struct node *n, const struct timespec *mtime)
{
	size_t cost = change_cost(0);
	struct file *f;
	int r = change_reserve(e, cost);

	if (r < 0)
		return r;
	r = file_lock_for_write(e, n, &f);
	if (r == 0) {
		if (f->log.pinned)
			r = change_commit_time(e, n, f, mtime) < 0 ? -EIO : 1;
		else
			overlay_set_mtime(n, mtime);
		file_unlock(f);
	}
	change_release(e, cost);
	return r;
}

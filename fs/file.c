#include "fs/file.h"

#include <errno.h>
#include <sys/stat.h>

#include "fs/damage.h"
#include "fs/file_parts.h"
#include "fs/names.h"
#include "util/base/log.h"

/* Invariants:
 *  (1) between operations, memory and store say the same: every change ends with commit(), which writes dirty maps, children
 *      first, and then the head.
 *  (2) no page behind the end has an entry, and the last page is exactly as long as the size asks.
 *  (3) content goes in place before the entries that name it; what fails half-way leaves the old head, or a head that
 *      names only what was written. */

void file_free(struct engine *e, struct file *f)
{
	if (!f)
		return;
	tree_drop(e, f);
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
	int r = store_stat(e->store, n->fd, &st);

	if (r < 0)
		return r;
	memset(&f->head, 0, sizeof f->head);
	memset(&f->body, 0, sizeof f->body);
	f->has_head = st.size > 0;
	if (f->has_head) {
		ssize_t got = store_pread(e->store, n->fd, head, sizeof head, 0);

		r = got < 0 ? (int)got : head_open(e, head, (size_t)got, st.size, &f->head, &f->body);
		if (r < 0)
			return damage_report(e, n, r, "head", 0);
	}
	f->size_below = f->head.size;
	f->loaded = true;
	return 0;
}

int file_lock_for_write(struct engine *e, struct node *n, struct file **out)
{
	struct file *f = get_file(n);

	if (!f)
		return -ENOMEM;
	pthread_rwlock_wrlock(&f->lock);

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

	if (!f)
		return -ENOMEM;
	pthread_rwlock_rdlock(&f->lock);
	while (!f->loaded) {
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

void file_fall_back(struct engine *e, struct node *n, struct file *f)
{
	if (e->store->ops->truncate(e->store, n->fd, layout_physical_size(f->size_below, f->has_head)) < 0)
		log_warning("cannot give a file its size back after a change that failed");
	tree_drop(e, f);
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

/* Writes a head of this size over this body in place; the size and body in memory are the caller's. */
static int write_head(struct engine *e, struct node *n, struct file *f, uint64_t size, const void *body,
		      struct nonce *nonce)
{
	uint8_t sealed[PAGE_BYTES];
	struct head h = f->head;

	h.size = size;
	h.commit++;

	int length = head_seal(e, &h, nonce, body, sealed);

	if (length < 0)
		return length;

	ssize_t put = store_pwrite(e->store, n->fd, sealed, (size_t)length, 0);

	if (put < 0)
		return (int)put;
	f->head.commit = h.commit;
	f->has_head = true;
	f->size_below = size;
	return 0;
}

/* Brings the store to what memory says of a paged file.  An error of a map does not keep the head from being written:
 * tree_write_maps left a tree that is sound without that map.  But a file that was not paged keeps the head that it has, which still
 * holds or means all its content. */
int file_commit(struct engine *e, struct node *n, struct file *f)
{
	struct nonce nonce;
	int r = nonce_start(&nonce);

	if (r < 0)
		return r;
	r = tree_write_maps(e, f, n->fd, &nonce);
	if (r < 0 && !layout_is_paged(f->size_below))
		return r;

	int h = write_head(e, n, f, f->head.size, &f->body, &nonce);

	return r < 0 ? r : h;
}

/* An inline file gets this content. */
int file_put_inline(struct engine *e, struct node *n, struct file *f, const uint8_t *content, uint64_t size)
{
	struct nonce nonce;
	int r = file_make_head(e, n, f);

	if (r == 0)
		r = nonce_start(&nonce);
	if (r == 0)
		r = write_head(e, n, f, size, content, &nonce);
	if (r < 0)
		return r;
	memset(&f->body, 0, sizeof f->body);
	memcpy(f->body.content, content, size);
	f->head.size = size;
	return 0;
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
		r = file_put_inline(e, n, f, none, 0);
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

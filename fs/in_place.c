#include "fs/in_place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/dirty.h"
#include "fs/file_parts.h"
#include "util/base/log.h"

/* Rule engine (6): a checkpoint never changes what `ls -l` or getcap shows. */
struct keepsake {
	mode_t mode;
	ssize_t capability_size;
	uint8_t capability[64];
};

static const char capability[] = "security.capability";

static int keep(struct engine *e, int fd, struct keepsake *k)
{
	struct store_stat st;
	int r = store_stat(e->store, fd, &st);

	k->mode = st.mode & 07777;
	k->capability_size = e->store->ops->getxattr(e->store, fd, capability, k->capability, sizeof k->capability);
	return r;
}

static int give_back(struct engine *e, int fd, const struct keepsake *k, const struct timespec *mtime)
{
	const struct timespec ts[2] = {{0, UTIME_OMIT}, *mtime};
	int r = 0;

	if (k->mode & (S_ISUID | S_ISGID))
		r = e->store->ops->chmod(e->store, fd, k->mode);
	if (r == 0 && k->capability_size > 0)
		r = e->store->ops->setxattr(e->store, fd, capability, k->capability, (size_t)k->capability_size, 0);
	if (r == 0 && mtime->tv_sec)
		r = e->store->ops->utimens(e->store, fd, ts);
	return r;
}

/* Moves that lie side by side in the file go in one write. */
static int write_moves(struct engine *e, struct job *j)
{
	uint8_t *room = worker_buffer();
	int r = room ? 0 : -ENOMEM;

	for (size_t i = 0, n; i < j->count && r == 0; i += n) {
		size_t bytes = 0;

		for (n = 0; i + n < j->count && j->moves[i + n].to == j->moves[i].to + bytes &&
			    bytes + j->moves[i + n].bytes <= IO_MAX && r == 0;
		     n++) {
			r = journal_read_payload(e->journal, j->moves[i + n].from, room + bytes, j->moves[i + n].bytes);
			bytes += j->moves[i + n].bytes;
		}
		if (r < 0)
			break;

		ssize_t put = store_pwrite(e->store, j->node->fd, room, bytes, j->moves[i].to);

		r = put < 0 ? (int)put : 0;
	}
	return r;
}

/* Never below what pages need that later records name, or that a write in place has just put there (C5). */
static int set_size(struct engine *e, struct job *j)
{
	struct file *f = j->node->file;

	if (RULE(C5way))
		pthread_rwlock_wrlock(&f->lock);

	uint64_t size = f->log.highest > j->size && RULE(C5size) ? f->log.highest : j->size;
	int r = e->store->ops->truncate(e->store, j->node->fd, layout_physical_size(size, true));

	if (RULE(C5way))
		pthread_rwlock_unlock(&f->lock);
	return r;
}

int in_place_write(struct engine *e, struct job *j)
{
	struct keepsake k;
	int fd = j->node->fd, r = keep(e, fd, &k);

	if (r == 0)
		r = write_moves(e, j);
	if (r == 0) {
		ssize_t put = store_pwrite(e->store, fd, j->head, (size_t)j->head_length, 0);

		r = put < 0 ? (int)put : 0;
	}
	if (r == 0)
		r = set_size(e, j);
	/* Before the times are given back, as it changes them. */
	if (r == 0 && file_punch_extents(e, j->node, &j->freed) < 0)
		log_warning("cannot give back the space of holes");
	if (r == 0)
		r = give_back(e, fd, &k, &j->mtime);
	if (r < 0)
		log_warning("cannot bring a file in place: %s; its changes stay in the journal", strerror(-r));
	return r;
}

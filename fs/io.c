/* Reading, writing and the space of files, as operations on node ids. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "fs/attr.h"
#include "fs/dirty.h"
#include "fs/file.h"
#include "fs/node.h"
#include "fs/shared.h"

/* A node that is a regular file, with its descriptor in use. */
static int begin(struct engine *e, uint64_t id, struct node **out)
{
	struct node *n = node_get(e, id);
	int r = n ? (S_ISREG(n->type) ? node_use(e, n) : -EINVAL) : -ESTALE;

	if (r < 0) {
		node_unref(e, n);
		return r;
	}
	*out = n;
	return 0;
}

static void end(struct engine *e, struct node *n)
{
	node_unuse(e, n);
	node_unref(e, n);
}

/* The same of one that is to be changed: it must be the one that its name leads to. */
static int begin_change(struct engine *e, uint64_t id, struct node **out)
{
	int r = begin(e, id, out);

	if (r < 0)
		return r;
	r = shared_look(e, *out);
	if (r < 0)
		end(e, *out);
	return r;
}

ssize_t fs_read(struct engine *e, uint64_t node, void *buf, size_t n, uint64_t off)
{
	struct node *f;
	ssize_t got = begin(e, node, &f);

	if (got < 0)
		return got;
	got = file_read(e, f, buf, n, off);
	end(e, f);
	return got;
}

/* NULL: at the end. */
static ssize_t write_at(struct engine *e, uint64_t node, const void *buf, size_t n, const uint64_t *off,
			bool kill_privileges)
{
	struct node *f;
	ssize_t put = begin_change(e, node, &f);

	if (put < 0)
		return put;
	if (kill_privileges)
		put = attr_drop_privileges(e, f);
	if (put == 0)
		put = off ? file_write(e, f, buf, n, *off) : file_append(e, f, buf, n);
	end(e, f);
	return put;
}

ssize_t fs_write(struct engine *e, uint64_t node, const void *buf, size_t n, uint64_t off, bool kill_privileges)
{
	return write_at(e, node, buf, n, &off, kill_privileges);
}

ssize_t fs_append(struct engine *e, uint64_t node, const void *buf, size_t n, bool kill_privileges)
{
	return write_at(e, node, buf, n, NULL, kill_privileges);
}

static int allocate(struct engine *e, struct node *f, int mode, uint64_t off, uint64_t n)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	int r = 0;

	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		break;
	case FALLOC_FL_PUNCH_HOLE:
		if (!keep || !e->caps.punch_hole)
			return -EOPNOTSUPP;
		return file_punch(e, f, off, n);
	case FALLOC_FL_ZERO_RANGE:
		if (!e->caps.punch_hole)
			return -EOPNOTSUPP;
		r = file_punch(e, f, off, n);
		break;
	default:
		return -EOPNOTSUPP;
	}
	/* Space before size: a full store says so before the file has changed. */
	if (r == 0)
		r = file_reserve(e, f, off, n);
	if (r == 0 && !keep)
		r = file_grow(e, f, off + n);
	return r;
}

int fs_fallocate(struct engine *e, uint64_t node, int mode, uint64_t off, uint64_t n)
{
	struct node *f;
	int r;

	if (n == 0)
		return -EINVAL;
	if (off > INT64_MAX || n > INT64_MAX - off)
		return -EFBIG;
	r = dirty_refusal(e);
	if (r < 0)
		return r;
	r = begin_change(e, node, &f);
	if (r < 0)
		return r;
	r = allocate(e, f, mode, off, n);
	end(e, f);
	return r;
}

int fs_lseek(struct engine *e, uint64_t node, uint64_t off, bool hole, uint64_t *out)
{
	struct node *f;
	int r = begin(e, node, &f);

	if (r < 0)
		return r;
	r = file_seek(e, f, off, hole, out);
	end(e, f);
	return r;
}

enum { COPY_STEP = 1 << 20, COPY_MAX = 16 << 20 };

/* What is a hole in the source becomes one in the target, or the target's end moves. */
static int copy_hole(struct engine *e, struct node *to, uint64_t off, uint64_t n)
{
	int r = file_punch(e, to, off, n);

	return r < 0 ? r : file_grow(e, to, off + n);
}

/* One step; returns how far it came. */
static ssize_t copy_some(struct engine *e, struct node *from, uint64_t from_off, struct node *to, uint64_t to_off,
			 uint64_t n, uint8_t *buf)
{
	uint64_t data, hole;
	int r = file_seek(e, from, from_off, false, &data);

	if (r < 0 && r != -ENXIO)
		return r;
	if (r == -ENXIO || data >= from_off + n) {
		r = copy_hole(e, to, to_off, n);
		return r < 0 ? r : (ssize_t)n;
	}
	if (data > from_off) {
		r = copy_hole(e, to, to_off, data - from_off);
		return r < 0 ? r : (ssize_t)(data - from_off);
	}
	r = file_seek(e, from, from_off, true, &hole);
	if (r < 0)
		return r;
	if (n > hole - from_off)
		n = hole - from_off;
	if (n > COPY_STEP)
		n = COPY_STEP;

	ssize_t got = file_read(e, from, buf, (size_t)n, from_off);

	return got <= 0 ? got : file_write(e, to, buf, (size_t)got, to_off);
}

static ssize_t copy(struct engine *e, struct node *from, uint64_t from_off, struct node *to, uint64_t to_off,
		    uint64_t n)
{
	_cleanup_free_ uint8_t *buf = malloc(COPY_STEP);
	uint64_t size, done = 0;
	ssize_t step = file_size(e, from, &size);

	if (!buf)
		return -ENOMEM;
	if (step < 0)
		return step;
	if (from_off >= size)
		return 0;
	n = n < size - from_off ? n : size - from_off;
	n = n < COPY_MAX ? n : COPY_MAX;
	while (done < n) {
		step = copy_some(e, from, from_off + done, to, to_off + done, n - done, buf);
		if (step <= 0)
			break;
		done += (uint64_t)step;
	}
	return done ? (ssize_t)done : step;
}

ssize_t fs_copy_range(struct engine *e, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, uint64_t n)
{
	struct node *source, *target;
	ssize_t done = begin(e, from, &source);

	if (done < 0)
		return done;
	done = begin_change(e, to, &target);
	if (done == 0) {
		done = copy(e, source, from_off, target, to_off, n);
		end(e, target);
	}
	end(e, source);
	return done;
}

int fs_fsync(struct engine *e, uint64_t node, bool data_only)
{
	struct node *f;
	int r = begin_change(e, node, &f);

	if (r < 0)
		return r;
	r = file_sync(e, f, !data_only);
	if (r == 0)
		r = dirty_sync_above(e, f);
	/* (W6) */
	if (r == 0 && dirty_refusal(e) < 0)
		r = -EIO;
	end(e, f);
	return r;
}

int fs_fsyncdir(struct engine *e, uint64_t node)
{
	struct node *n = node_get(e, node);
	int r = n ? node_use(e, n) : -ESTALE;

	if (r == 0) {
		/* (N3) The names in it that need an id or a sidecar must not last without. */
		if (e->journal && !dirty_store_orders_names(e) && RULE(N3sync))
			r = journal_sync(e->journal, journal_end(e->journal).number);
		if (r == 0)
			r = e->journal ? dirty_sync(e, n) : e->store->ops->fsync(e->store, n->fd);
		if (r == 0 && e->journal)
			r = dirty_sync_above(e, n);
		if (r == 0 && dirty_refusal(e) < 0)
			r = -EIO;
		node_unuse(e, n);
	}
	node_unref(e, n);
	return r;
}

int fs_statfs(struct engine *e, struct statvfs *out)
{
	int r = e->store->ops->statvfs(e->store, e->data, out);

	if (r == 0)
		out->f_namemax = NAME_MAX;
	return r;
}

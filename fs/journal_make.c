/* Making a journal, for a new volume or in the place of another. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "fs/journal_parts.h"
#include "fs/rules.h"
#include "util/base/log.h"

static int write_zeros(struct store *s, int fd, uint64_t size)
{
	enum { STEP = 1 << 20 };
	_cleanup_free_ void *zeros = calloc(1, STEP);

	if (!zeros)
		return -ENOMEM;
	for (uint64_t at = 0; at < size; at += STEP) {
		ssize_t put = store_pwrite(s, fd, zeros, size - at < STEP ? (size_t)(size - at) : STEP, at);

		if (put < 0)
			return (int)put;
	}
	return s->ops->fsync(s, fd);
}

static uint64_t default_size(struct store *s, int dot)
{
	struct statvfs fs;
	uint64_t size = JOURNAL_DEFAULT_MAX;

	if (s->ops->statvfs(s, dot, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize / 16 < size)
		size = (uint64_t)fs.f_bavail * fs.f_frsize / 16;
	return size < JOURNAL_MIN ? JOURNAL_MIN : size;
}

/* A journal that holds nothing, under this name, synced; its name is not. */
static int make_file(struct store *s, int dot, const char *name, const struct settings *set, const struct keys *keys,
		     uint64_t size, struct superblock *b)
{
	int fd = store_open(s, dot, name, O_CREAT | O_EXCL | O_RDWR, 0600), r;

	if (fd < 0)
		return fd;
	b->size = size - RING_AT;
	/* A full store that copies on write would have no place for what the journal has a place for. */
	r = s->ops->no_copy_on_write(s, fd);
	if (r == 0 || r == -EOPNOTSUPP)
		r = crypto_random(b->random, RANDOM_SIZE);
	if (r == 0)
		r = write_zeros(s, fd, size);
	if (r == 0)
		r = journal_write_superblock(s, fd, keys, set->instance_id, b);
	if (r == 0)
		r = s->ops->fdatasync(s, fd);
	store_close(s, fd);
	return r;
}

static int choose_size(struct store *s, int dot, uint64_t *size, struct fault *why)
{
	if (*size == 0)
		*size = default_size(s, dot);
	*size &= ~(uint64_t)(SUPERBLOCK - 1);
	if (*size < JOURNAL_MIN || *size > JOURNAL_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "a journal has 4 MiB to 1 GiB");
	return 0;
}

static int cannot_make(struct store *s, int dot, const char *name, int error, uint64_t size, struct fault *why)
{
	s->ops->unlink(s, dot, name);
	return fault_errno(why, EXIT_STORE, error, "cannot make .coffer/%s of %llu MiB", name,
			   (unsigned long long)size >> 20);
}

int journal_make(struct store *s, int dot, const struct settings *set, const struct keys *keys, uint64_t size,
		 struct fault *why)
{
	struct superblock b = {.serial = 1, .state = {.clean = true}};
	int r = choose_size(s, dot, &size, why);

	if (r < 0)
		return r;
	r = make_file(s, dot, "journal", set, keys, size, &b);
	if (r == -EEXIST)
		return fault_errno(why, EXIT_STORE, r, "cannot make .coffer/journal");
	if (r == 0)
		r = s->ops->fsync(s, dot);
	return r < 0 ? cannot_make(s, dot, "journal", r, size, why) : 0;
}

/* ------------------------------------------------------------------ a new one in the place of another */

static const char renewed_name[] = "journal.new";

/* Nobody knows what was in it, nor which epochs there have been: the next are above all of them, as no store is ticked a million times a
 * second; and everything that was being made may have been cut short. */
static struct superblock superblock_of_nothing(void)
{
	struct superblock b = {.serial = 1, .incarnation = 1, .state = {.clean = true, .range_count = 1}};

	b.state.since = time(NULL);
	b.state.durable = (uint64_t)b.state.since << 20;
	b.state.ranges[0] = (struct lost_range){0, b.state.durable, INT64_MIN, b.state.since + LOST_SLACK};
	return b;
}

/* What the journal that is there knows besides its records lives on. */
static int superblock_of_the_next(struct store *s, int dot, const struct settings *set, const struct keys *keys,
				  struct superblock *out)
{
	struct journal *old;
	int r = journal_open(s, dot, set, keys, true, &old);

	if (r == -ENOENT || r == -EBADMSG || r == -EIO) {
		*out = superblock_of_nothing();
		return 0;
	}
	if (r < 0)
		return r;
	*out = (struct superblock){.serial = old->serial + 1, .incarnation = old->incarnation, .state = old->state};
	out->start.number = old->start.number;
	journal_close(&old);
	if (!out->state.clean)
		journal_lose_epochs(&out->state);
	out->state.clean = true;
	return 0;
}

/* As the volume's own directory has it: root may be doing this for the owner. */
static int give_to_owner(struct store *s, int dot)
{
	struct store_stat st, ours;
	int r = store_stat(s, dot, &st), fd = store_open(s, dot, renewed_name, O_RDWR, 0);

	if (r == 0)
		r = fd < 0 ? fd : store_stat(s, fd, &ours);
	if (r == 0 && ours.uid != st.uid)
		r = s->ops->chown(s, fd, st.uid, st.gid);
	if (r == 0)
		r = s->ops->fsync(s, fd);
	store_close(s, fd);
	return r;
}

/* The old one is read as that of `before`, the new one is that of `set`. */
static int renew(struct store *s, int dot, const struct settings *before, const struct settings *set,
		 const struct keys *keys, uint64_t size, struct fault *why)
{
	struct superblock b;
	int r = choose_size(s, dot, &size, why);

	if (r < 0)
		return r;
	r = superblock_of_the_next(s, dot, before, keys, &b);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot read .coffer/journal");
	journal_clear_renewed(s, dot);
	r = make_file(s, dot, renewed_name, set, keys, size, &b);
	if (r == 0)
		r = give_to_owner(s, dot);
	if (r == 0)
		r = s->ops->rename(s, dot, renewed_name, dot, "journal", 0);
	if (r < 0)
		return cannot_make(s, dot, renewed_name, r, size, why);
	/* Before anything is written that only the new one knows. */
	r = s->ops->fsync(s, dot);
	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot sync .coffer") : 0;
}

int journal_renew(struct store *s, int dot, const struct settings *set, const struct keys *keys, uint64_t size,
		  struct fault *why)
{
	return renew(s, dot, set, set, keys, size, why);
}

int journal_follow(struct store *s, int dot, const struct settings *before, const struct settings *set,
		   const struct keys *keys, struct fault *why)
{
	struct journal *j;
	int r = journal_open(s, dot, set, keys, true, &j);

	if (r == 0)
		journal_close(&j);
	return r == -EBADMSG ? renew(s, dot, before, set, keys, set->journal_size, why) : 0;
}

void journal_clear_renewed(struct store *s, int dot)
{
	s->ops->unlink(s, dot, renewed_name);
}

void journal_lose_epochs(struct journal_state *s)
{
	struct lost_range range = {s->durable + 1, s->durable + EPOCHS_LOST, s->since - LOST_SLACK,
				   time(NULL) + LOST_SLACK};

	if (s->range_count == LOST_RANGES_MAX) {
		s->ranges[0].last = s->ranges[1].last;
		s->ranges[0].to = s->ranges[1].to;
		memmove(&s->ranges[1], &s->ranges[2], (LOST_RANGES_MAX - 2) * sizeof s->ranges[0]);
		s->range_count--;
	}
	if (RULE(R5))
		s->ranges[s->range_count++] = range;
	s->durable += EPOCHS_LOST;
}

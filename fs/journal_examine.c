/* Looking at a journal without opening it for use, for the check. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/journal_parts.h"
#include "util/base/bytes.h"

static bool never_written(struct journal *j, unsigned slot)
{
	uint8_t block[SUPERBLOCK];
	ssize_t got = store_pread(j->store, j->fd, block, SUPERBLOCK, (uint64_t)slot * SUPERBLOCK);

	return got == SUPERBLOCK && j->serial == 1 && bytes_all_zero(block, SUPERBLOCK);
}

static int examine_first(struct journal *j, struct journal_facts *out)
{
	struct journal_record record;
	ssize_t got = store_pread(j->store, j->fd, j->buffer, FRAME, journal_place(j, j->start.at));

	if (got != FRAME)
		return got < 0 ? (int)got : 0;

	bool possible = journal_frame_is_possible(j, j->buffer, &j->start);
	int r = journal_load_record_key(j);

	if (r == 0)
		r = journal_read(j, &record);
	out->first = r > 0 ? JOURNAL_FIRST_OPENS : (possible ? JOURNAL_FIRST_FOREIGN : JOURNAL_FIRST_NONE);
	return r < 0 ? r : 0;
}

static int examine(struct journal *j, struct journal_facts *out)
{
	struct store_stat st;
	int r = store_stat(j->store, j->fd, &st);

	if (r < 0)
		return r;
	out->regular = S_ISREG(st.mode);
	out->bytes = st.size;
	r = out->regular ? journal_choose_superblock(j) : 0;
	if (r < 0 || !out->regular)
		return r == -EBADMSG ? 0 : r;
	out->valid = (j->slots[0] == 0) + (j->slots[1] == 0);
	out->half = out->valid == 1 && !never_written(j, j->slots[0] == 0);
	out->state = j->state;
	out->right = j->size + RING_AT;
	out->fits = st.size == out->right && st.nlink == 1;
	return out->fits && j->state.clean ? examine_first(j, out) : 0;
}

int journal_examine(struct store *s, int dot, const struct settings *set, const struct keys *keys,
		    struct journal_facts *out)
{
	struct journal *j = calloc(1, sizeof *j);
	int r;

	*out = (struct journal_facts){0};
	if (!j)
		return -ENOMEM;
	journal_prepare(j, s, set, keys);
	j->fd = store_open(s, dot, "journal", O_RDONLY | O_NONBLOCK, 0);
	r = j->fd < 0 ? j->fd : (j->buffer ? examine(j, out) : -ENOMEM);
	/* A link or a directory in its place is something to look at, and not it. */
	if (r == -ELOOP || r == -EISDIR)
		r = 0;
	journal_close(&j);
	return r;
}

/* A journal that is damaged, made usable or anew.
 *
 *  (1) The old file is never deleted: it is in .coffer/lost/ before there is another.
 *  (2) One that cannot be used has nothing to tell: with the new one every file counts as possibly cut short (journal_renew), until all
 *      have been looked at. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/directory.h"

enum { PIECE = 1 << 20 };

/* ------------------------------------------------------------------ superblocks */

/* Writes the state as the next superblock of the journal that is there. */
static int write_state(struct check *c, const struct journal_state *state)
{
	struct opened *o = &c->opened;
	struct journal *j = NULL;
	int r = journal_open(o->store, o->dot, keyring_settings(o->keyring), o->keys, false, &j);

	if (r < 0)
		return r;

	struct journal_mark start = journal_start(j);

	r = journal_superblock(j, &start, state, false);
	journal_close(&j);
	return r;
}

/* ------------------------------------------------------------------ files */

/* (1) */
static int set_aside(struct check *c, char out[OWN_NAME_MAX])
{
	int r = repair_open_lost(c);

	if (r == 0)
		r = directory_own_name("journal", out);
	if (r == 0)
		r = repair_move(c, c->opened.dot, "journal", c->lost_fd, out);
	return r == 0 ? c->e->store->ops->fsync(c->e->store, c->lost_fd) : r;
}

/* All of it is written, holes too: later writes must need no space. */
static int copy_whole(struct check *c, int from, int to, uint64_t size)
{
	_cleanup_free_ uint8_t *buf = malloc(PIECE);
	struct store *s = c->e->store;

	if (!buf)
		return -ENOMEM;
	for (uint64_t at = 0; at < size; at += PIECE) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
		ssize_t got = store_pread(s, from, buf, n, at);

		if (got < 0)
			return (int)got;
		memset(buf + got, 0, n - (size_t)got);
		got = store_pwrite(s, to, buf, n, at);
		if (got < 0)
			return (int)got;
	}
	return 0;
}

/* As the volume's own directory has it: root may be doing this for the owner. */
static int give_to_owner(struct check *c, int fd)
{
	struct store *s = c->e->store;
	struct store_stat st, ours;
	int r = store_stat(s, c->opened.dot, &st);

	if (r == 0)
		r = store_stat(s, fd, &ours);
	if (r == 0 && ours.uid != st.uid)
		r = s->ops->chown(s, fd, st.uid, st.gid);
	return r < 0 ? r : s->ops->fsync(s, fd);
}

/* A file of the right size and with one name, with what the old one has. */
static int copy_aside(struct check *c, const char *old)
{
	struct store *s = c->e->store;
	int from = store_open(s, c->lost_fd, old, O_RDONLY, 0);
	int to = from < 0 ? from : store_open(s, c->opened.dot, "journal", O_CREAT | O_EXCL | O_RDWR, 0600);
	int r = to < 0 ? to : copy_whole(c, from, to, c->journal.facts.right);

	if (r == 0)
		r = give_to_owner(c, to);
	store_close(s, from);
	store_close(s, to);
	if (r == 0)
		return s->ops->fsync(s, c->opened.dot);
	if (to >= 0)
		s->ops->unlink(s, c->opened.dot, "journal");
	return r;
}

static void put_back(struct check *c, const char *old)
{
	/* If this fails, too, it is still in lost/. */
	int r = repair_move(c, c->lost_fd, old, c->opened.dot, "journal");

	(void)r;
}

static int fit(struct check *c)
{
	char old[OWN_NAME_MAX];
	int r = set_aside(c, old);

	if (r < 0)
		return r;
	r = copy_aside(c, old);
	if (r < 0)
		put_back(c, old);
	return r;
}

int check_mend_journal(struct check *c)
{
	struct journal_state state = c->journal.facts.state;

	if (!c->journal.facts.fits)
		return fit(c);
	/* What it holds is going to be recovered. */
	if (c->journal.facts.first == JOURNAL_FIRST_OPENS)
		state.clean = false;
	return write_state(c, &state);
}

/* ------------------------------------------------------------------ anew */

/* (2) */
int check_remake_journal(struct check *c)
{
	const struct settings *set = keyring_settings(c->opened.keyring);
	struct fault why = {.status = EXIT_OK};
	bool there = c->journal.error != -ENOENT;
	char old[OWN_NAME_MAX];
	int r = there ? set_aside(c, old) : 0;

	if (r < 0)
		return r;
	r = journal_renew(c->opened.store, c->opened.dot, set, c->opened.keys, set->journal_size, &why);
	if (r < 0 && there)
		put_back(c, old);
	return r;
}

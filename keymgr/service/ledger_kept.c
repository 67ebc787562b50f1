/* Rows that were read and are wanted again: ledger.c (6).
 *
 * Where a row is kept in memory, it is the one that the index names, because
 * 1. it was held against the index when it was read, and goes when a commit gives the index another revision;
 * 2. all of them go when the backend says that somebody else has written, which it is asked before the first look after each rest or commit.
 *
 * What was made of a row (an opened key, say) goes with it, so that what a commit takes away is wiped before anybody is answered. */
#include "keymgr/service/ledger_internal.h"

enum {
	KEPT_MAX = 1 << 16, /* rows, of 1 to 3 KiB; those that nobody has looked at for longest go */
	MADE_MAX = 64,      /* of them with something made: handles of libgcrypt share a pool */
};

void ledger_drop(struct ledger *l, struct indexed *e)
{
	if (!e->body)
		return;
	TAILQ_REMOVE(&l->kept, e, kept);
	l->kept_count--;
	json_object_put(e->body);
	e->body = NULL;
	if (!e->made.p)
		return;
	TAILQ_REMOVE(&l->with_made, e, with_made);
	l->made_count--;
	e->made.free(e->made.p);
	e->made = (struct ledger_made){0};
}

static void drop_oldest(struct ledger *l)
{
	struct indexed *e;

	while (l->kept_count > KEPT_MAX && (e = TAILQ_FIRST(&l->kept)))
		ledger_drop(l, e);
	while (l->made_count > MADE_MAX && (e = TAILQ_FIRST(&l->with_made)))
		ledger_drop(l, e);
}

/* Between two requests, so that nothing goes that one of them has in hand. */
static int look_around(struct ledger *l)
{
	bool changed;
	int ret = l->looked ? 0 : l->backend->ops->look(l->backend, &changed);

	if (ret < 0 || l->looked)
		return ret;
	while (changed && !TAILQ_EMPTY(&l->kept))
		ledger_drop(l, TAILQ_FIRST(&l->kept));
	drop_oldest(l);
	l->looked = true;
	return 0;
}

int ledger_look(struct ledger *l, const char *name, json_object **out)
{
	struct indexed *e;
	int ret;

	*out = NULL;
	if (ledger_staged_row(l, name))
		return ledger_get(l, name, out);
	ret = look_around(l);
	if (ret < 0)
		return ret;
	e = ledger_find(l, name);
	if (!e)
		return -ENOENT;
	if (e->body) {
		TAILQ_REMOVE(&l->kept, e, kept);
	} else {
		ret = ledger_read(l, e, &e->body);
		if (ret < 0)
			return ret;
		l->kept_count++;
	}
	TAILQ_INSERT_TAIL(&l->kept, e, kept);
	if (e->made.p) {
		TAILQ_REMOVE(&l->with_made, e, with_made);
		TAILQ_INSERT_TAIL(&l->with_made, e, with_made);
	}
	*out = json_object_get(e->body);
	return 0;
}

void *ledger_made(const struct ledger *l, const char *name)
{
	const struct indexed *e = ledger_staged_row(l, name) ? NULL : ledger_find(l, name);

	return e ? e->made.p : NULL;
}

bool ledger_keep(struct ledger *l, const char *name, void *made, void (*free_made)(void *made))
{
	struct indexed *e = ledger_staged_row(l, name) ? NULL : ledger_find(l, name);

	if (!e || !e->body || e->made.p)
		return false;
	e->made = (struct ledger_made){made, free_made};
	TAILQ_INSERT_TAIL(&l->with_made, e, with_made);
	l->made_count++;
	return true;
}

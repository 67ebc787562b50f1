/* What the syncs before the cut have made durable (survive.h). */
#include <linux/fs.h>
#include <stdlib.h>

#include "survive_internal.h"

bool *survive_flags(size_t n)
{
	return need(calloc(n + 1, sizeof(bool)));
}

/* ------------------------------------------------------------------ what is durable */

/* Looking backwards from the cut: which objects were synced later on. */
struct synced {
	bool all, *full, *data;  /* by inode */
	bool *emptied, *reached; /* directories that a durable call needs empty, or there */
	uint64_t *needed;        /* names that it needs */
	size_t count, room;
};

static uint64_t name_key(uint32_t dir, const char *name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ dir;

	while (*name)
		h = (h ^ (uint8_t)*name++) * UINT64_C(0x100000001B3);
	return h;
}

static bool is_needed(const struct synced *y, uint32_t dir, const char *name)
{
	uint64_t key = name ? name_key(dir, name) : 0;

	if (!name)
		return false;
	for (size_t i = 0; i < y->count; i++)
		if (y->needed[i] == key)
			return true;
	return false;
}

static void need_name(struct synced *y, uint32_t dir, const char *name)
{
	if (!name || is_needed(y, dir, name))
		return;
	y->needed = grow(y->needed, y->count, &y->room, sizeof(*y->needed));
	y->needed[y->count++] = name_key(dir, name);
}

static bool name_is_durable(struct synced *y, const struct call *c)
{
	bool in = y->full[c->dir] || y->emptied[c->dir];

	if (y->all)
		return true;
	if (c->name2)
		in |= y->full[c->dir2] || y->emptied[c->dir2];
	if (!in && !y->reached[c->ino] && !is_needed(y, c->dir, c->name) && !is_needed(y, c->dir2, c->name2))
		return false;
	need_name(y, c->dir, c->name);
	need_name(y, c->dir2, c->name2);
	if (c->kind == CALL_UNLINK)
		y->emptied[c->ino] = true;
	else if (c->kind == CALL_RENAME && !(c->flags & RENAME_EXCHANGE))
		y->emptied[c->there] = true;
	if (y->reached[c->ino] || (c->kind == CALL_RENAME && c->dir != c->dir2))
		y->reached[c->name2 ? c->dir2 : c->dir] = true;
	return true;
}

static bool is_durable(struct synced *y, const struct call *c, size_t cut)
{
	if (call_is_sync(c) && c->failed)
		y->full[c->ino] = y->data[c->ino] = false;
	if (call_is_sync(c) && c->done > cut)
		return false; /* under way, or failed */
	switch (c->kind) {
	case CALL_SYNCFS:
		y->all = true;
		return true;
	case CALL_FSYNC:
		y->full[c->ino] = y->data[c->ino] = true;
		return true;
	case CALL_FDATASYNC:
		y->data[c->ino] = true;
		return true;
	default:
		break;
	}
	if (call_is_name(c))
		return name_is_durable(y, c);
	return y->all || (call_changes_size(c) ? y->data[c->ino] : y->full[c->ino]);
}

void survive_find_durable(struct survival *s)
{
	struct synced y = {.full = survive_flags(s->inodes),
			   .data = survive_flags(s->inodes),
			   .emptied = survive_flags(s->inodes),
			   .reached = survive_flags(s->inodes)};

	for (size_t i = s->cut->calls; i-- > 0;) {
		s->durable[i] = is_durable(&y, &s->r->calls[i], s->cut->calls);
		s->all_of[i] = y.all || y.full[s->r->calls[i].ino];
	}
	free(y.full);
	free(y.data);
	free(y.emptied);
	free(y.reached);
	free(y.needed);
}

/* ------------------------------------------------------------------ ORDERED: the prefix of metadata */

static bool allocates(const struct call *c)
{
	bool any = c->kind == CALL_TRUNCATE || c->kind == CALL_PUNCH || c->kind == CALL_ALLOCATE;

	for (size_t i = 0; c->kind == CALL_WRITE && i < call_pages(c); i++)
		any |= c->fresh[i];
	return any;
}

/* The prefix that the syncs before the cut have made durable (o1). */
size_t survive_durable_prefix(const struct survival *s)
{
	size_t *any = need(calloc(s->inodes, sizeof(size_t))), *space = need(calloc(s->inodes, sizeof(size_t))),
	       least = 0;
	uint64_t *size = need(calloc(s->inodes, sizeof(uint64_t)));

	for (size_t i = 0; i < s->cut->calls; i++) {
		const struct call *c = &s->r->calls[i];
		size_t to = 0;

		if (call_is_sync(c) && c->done > s->cut->calls)
			continue;
		if (c->kind == CALL_SYNCFS)
			to = i;
		else if (c->kind == CALL_FSYNC)
			to = any[c->ino];
		else if (c->kind == CALL_FDATASYNC)
			to = space[c->ino];
		if (to > least)
			least = to;
		if (call_is_sync(c))
			continue;
		any[c->ino] = any[c->dir] = any[c->dir2] = any[c->there] = i + 1;
		/* A write within allocated pages moves the end, or does not; sizes are not known here, so the end of the longest so far
		 * decides.  Too much for a file that was cut meanwhile would be too kind: cutting starts again. */
		if (allocates(c) || (c->kind == CALL_WRITE && c->off + c->size > size[c->ino]))
			space[c->ino] = i + 1;
		if (c->kind == CALL_TRUNCATE)
			size[c->ino] = c->size;
		else if (c->kind == CALL_WRITE && c->off + c->size > size[c->ino])
			size[c->ino] = c->off + c->size;
	}
	free(any);
	free(space);
	free(size);
	return least;
}

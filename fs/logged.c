/* Which pages of a file lie in the journal, and where: an open-addressed table with linear probing. */
#include "fs/logged.h"

#include <errno.h>
#include <stdlib.h>

static size_t slot_of(const struct logged *l, uint64_t page)
{
	return (size_t)(page * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (l->size - 1);
}

static bool is_free(const struct logged_page *p)
{
	return p->bytes == 0;
}

static struct logged_page *find(const struct logged *l, uint64_t page)
{
	size_t i = slot_of(l, page);

	while (!is_free(&l->slots[i]) && l->slots[i].page != page)
		i = (i + 1) & (l->size - 1);
	return &l->slots[i];
}

int logged_make_room(struct logged *l, size_t more)
{
	size_t size = l->size ? l->size : 16;

	while (2 * (l->count + more) > size)
		size *= 2;
	if (size == l->size)
		return 0;

	struct logged bigger = {calloc(size, sizeof *bigger.slots), size, l->count};

	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < l->size; i++)
		if (!is_free(&l->slots[i]))
			*find(&bigger, l->slots[i].page) = l->slots[i];
	free(l->slots);
	*l = bigger;
	return 0;
}

void logged_put(struct logged *l, uint64_t page, uint64_t at, uint32_t bytes)
{
	struct logged_page *p = find(l, page);

	l->count += is_free(p);
	*p = (struct logged_page){page, at, bytes};
}

const struct logged_page *logged_find(const struct logged *l, uint64_t page)
{
	struct logged_page *p = l->count ? find(l, page) : NULL;

	return p && !is_free(p) ? p : NULL;
}

/* Takes one out and moves up those behind it that it had pushed away. */
static void take_out(struct logged *l, size_t hole)
{
	for (size_t i = (hole + 1) & (l->size - 1); !is_free(&l->slots[i]); i = (i + 1) & (l->size - 1)) {
		size_t home = slot_of(l, l->slots[i].page);

		if (((i - home) & (l->size - 1)) >= ((i - hole) & (l->size - 1))) {
			l->slots[hole] = l->slots[i];
			hole = i;
		}
	}
	l->slots[hole].bytes = 0;
	l->count--;
}

void logged_remove(struct logged *l, uint64_t page, uint64_t at)
{
	struct logged_page *p = l->count ? find(l, page) : NULL;

	if (p && !is_free(p) && (at == LOGGED_ANYWHERE || p->at == at))
		take_out(l, (size_t)(p - l->slots));
}

void logged_remove_range(struct logged *l, uint64_t first, uint64_t end)
{
	for (size_t i = 0; l->count && i < l->size;) {
		struct logged_page *p = &l->slots[i];

		if (!is_free(p) && p->page >= first && p->page < end)
			take_out(l, i); /* another one may have come here */
		else
			i++;
	}
}

void logged_free(struct logged *l)
{
	free(l->slots);
	*l = (struct logged){0};
}

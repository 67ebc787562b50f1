#include "fs/extents.h"

#include <stdlib.h>

void extents_free(struct extents *x)
{
	free(x->list);
	*x = (struct extents){0};
}

void extents_add(struct extents *x, struct page_range pages, uint64_t begin, uint64_t end)
{
	if (x->count && x->list[x->count - 1].end == begin && x->list[x->count - 1].pages.end == pages.first) {
		x->list[x->count - 1].pages.end = pages.end;
		x->list[x->count - 1].end = end;
		return;
	}
	if (x->count == x->room) {
		size_t room = x->room ? x->room * 2 : 16;
		void *list = realloc(x->list, room * sizeof *x->list);

		if (!list)
			return;
		x->list = list;
		x->room = room;
	}
	x->list[x->count].pages = pages;
	x->list[x->count].begin = begin;
	x->list[x->count++].end = end;
}

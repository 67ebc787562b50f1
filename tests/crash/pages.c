#include "pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct page {
	unsigned refs;
	uint8_t bytes[CRASH_PAGE];
};

static const uint8_t zeros[CRASH_PAGE];

void *need(void *p)
{
	if (!p) {
		fputs("no memory\n", stderr);
		abort();
	}
	return p;
}

void *grow(void *list, size_t count, size_t *room, size_t each)
{
	if (count < *room)
		return list;
	*room = *room ? 2 * *room : 16;
	return need(realloc(list, *room * each));
}

char *copy_text(const char *text)
{
	return text ? need(strdup(text)) : NULL;
}

void *copy_bytes(const void *bytes, size_t n)
{
	void *copy = need(malloc(n ? n : 1));

	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

static void drop(struct page **at)
{
	if (*at && --(*at)->refs == 0)
		free(*at);
	*at = NULL;
}

void pages_copy(struct pages *to, const struct pages *from)
{
	to->count = from->count;
	to->at = NULL;
	if (!from->count)
		return;
	to->at = need(calloc(to->count, sizeof(struct page *)));
	for (size_t i = 0; i < to->count; i++) {
		to->at[i] = from->at[i];
		if (to->at[i])
			to->at[i]->refs++;
	}
}

void pages_free(struct pages *p)
{
	for (size_t i = 0; i < p->count; i++)
		drop(&p->at[i]);
	free(p->at);
	*p = (struct pages){0};
}

/* The bytes of a page that nobody else sees. */
static uint8_t *own(struct pages *p, size_t i)
{
	struct page *old, *fresh;

	if (i >= p->count) {
		size_t count = i + 1 + i / 2;

		p->at = need(realloc(p->at, count * sizeof(struct page *)));
		memset(p->at + p->count, 0, (count - p->count) * sizeof(struct page *));
		p->count = count;
	}
	old = p->at[i];
	if (old && old->refs == 1)
		return old->bytes;
	fresh = need(malloc(sizeof(*fresh)));
	fresh->refs = 1;
	memcpy(fresh->bytes, old ? old->bytes : zeros, CRASH_PAGE);
	drop(&p->at[i]);
	p->at[i] = fresh;
	return fresh->bytes;
}

void pages_write(struct pages *p, const void *buf, size_t n, uint64_t off)
{
	for (size_t done = 0; done < n;) {
		size_t in = (size_t)((off + done) % CRASH_PAGE), part = CRASH_PAGE - in;

		if (part > n - done)
			part = n - done;
		memcpy(own(p, (size_t)((off + done) / CRASH_PAGE)) + in, (const uint8_t *)buf + done, part);
		done += part;
	}
}

void pages_read(const struct pages *p, void *buf, size_t n, uint64_t off)
{
	for (size_t done = 0; done < n;) {
		size_t in = (size_t)((off + done) % CRASH_PAGE), part = CRASH_PAGE - in;
		uint64_t i = (off + done) / CRASH_PAGE;

		if (part > n - done)
			part = n - done;
		memcpy((uint8_t *)buf + done, (i < p->count && p->at[i] ? p->at[i]->bytes : zeros) + in, part);
		done += part;
	}
}

void pages_punch(struct pages *p, uint64_t off, uint64_t n)
{
	uint64_t limit = (uint64_t)p->count * CRASH_PAGE, end = n < limit && off < limit - n ? off + n : limit;

	while (off < end) {
		uint64_t i = off / CRASH_PAGE, part = CRASH_PAGE - off % CRASH_PAGE;

		if (part > end - off)
			part = end - off;
		if (part == CRASH_PAGE)
			drop(&p->at[i]);
		else if (p->at[i])
			memset(own(p, (size_t)i) + off % CRASH_PAGE, 0, (size_t)part);
		off += part;
	}
}

void pages_cut(struct pages *p, uint64_t size)
{
	pages_punch(p, size, UINT64_MAX - size);
}

bool pages_present(const struct pages *p, uint64_t page)
{
	return page < p->count && p->at[page];
}

bool pages_same(const struct pages *a, const struct pages *b, uint64_t page)
{
	const struct page *x = page < a->count ? a->at[page] : NULL, *y = page < b->count ? b->at[page] : NULL;

	return x == y || memcmp(x ? x->bytes : zeros, y ? y->bytes : zeros, CRASH_PAGE) == 0;
}

uint64_t pages_used(const struct pages *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->count; i++)
		n += p->at[i] != NULL;
	return n;
}

#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "pages.h"

void call_copy(struct call *to, const struct call *from)
{
	*to = *from;
	to->name = copy_text(from->name);
	to->name2 = copy_text(from->name2);
	to->text = copy_text(from->text);
	if (from->data)
		to->data = copy_bytes(from->data, (size_t)from->size);
	if (from->fresh)
		to->fresh = copy_bytes(from->fresh, call_pages(from) * sizeof(bool));
}

void call_free(struct call *c)
{
	free(c->name);
	free(c->name2);
	free(c->text);
	free(c->data);
	free(c->fresh);
}

void record_add(struct record *r, const struct call *c)
{
	r->calls = grow(r->calls, r->count, &r->room, sizeof(*r->calls));
	call_copy(&r->calls[r->count++], c);
}

void record_copy(struct record *to, const struct record *from, size_t n)
{
	*to = (struct record){0};
	for (size_t i = 0; i < n; i++) {
		record_add(to, &from->calls[i]);
		if (to->calls[i].done > n)
			to->calls[i].done = SIZE_MAX;
	}
}

void record_free(struct record *r)
{
	for (size_t i = 0; i < r->count; i++)
		call_free(&r->calls[i]);
	free(r->calls);
	*r = (struct record){0};
}

void call_print(FILE *out, const struct call *c)
{
	static const char *const kinds[] = {"make",     "link",     "unlink",    "rename", "write",   "truncate",
					    "punch",    "allocate", "chmod",     "chown",  "utimens", "setxattr",
					    "remxattr", "fsync",    "fdatasync", "syncfs"};

	fprintf(out, "%-9s #%u", kinds[c->kind], c->ino);
	if (c->name)
		fprintf(out, " %u/%.24s", c->dir, c->name);
	if (c->name2)
		fprintf(out, " -> %u/%.24s", c->dir2, c->name2);
	if (c->there)
		fprintf(out, " over #%u", c->there);
	if (c->kind >= CALL_WRITE && c->kind <= CALL_ALLOCATE)
		fprintf(out, " at %llu, %llu", (unsigned long long)c->off, (unsigned long long)c->size);
	if (c->kind == CALL_WRITE && c->size > 4 && memcmp(c->data, "COJR", 4) == 0)
		fprintf(out, " record of type %u", c->data[4]);
	if (c->kind == CALL_CHMOD || c->kind == CALL_MAKE)
		fprintf(out, " mode %o", c->mode);
	fputc('\n', out);
}

/* Content in pages that are shared until they are written: copies cost a pointer for each page.
 *
 * What is missing is a hole and reads as zeros.  Not thread-safe; memory that runs out ends the program, as everywhere in tests/crash. */
#ifndef COFFER_TESTS_CRASH_PAGES_H
#define COFFER_TESTS_CRASH_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CRASH_PAGE = 4096, CRASH_SECTOR = 512 };

struct page;

struct pages {
	struct page **at; /* NULL: a hole */
	size_t count;
};

/* *to is empty or garbage before. */
void pages_copy(struct pages *to, const struct pages *from);
void pages_free(struct pages *p);
void pages_write(struct pages *p, const void *buf, size_t n, uint64_t off);
void pages_read(const struct pages *p, void *buf, size_t n, uint64_t off);
/* Makes all from `size` on a hole, and zeros within its page. */
void pages_cut(struct pages *p, uint64_t size);
/* Whole pages become holes, parts of pages zeros. */
void pages_punch(struct pages *p, uint64_t off, uint64_t n);
bool pages_present(const struct pages *p, uint64_t page);
bool pages_same(const struct pages *a, const struct pages *b, uint64_t page);
uint64_t pages_used(const struct pages *p);

/* malloc and friends that do not fail. */
void *need(void *p);
void *grow(void *list, size_t count, size_t *room, size_t each);
char *copy_text(const char *text);
void *copy_bytes(const void *bytes, size_t n);

#endif

/* Every name of a TOML text that was seen, so that what TOML forbids is refused (format_toml.c (1) to (4)). */
#ifndef COFFER_FIELD_TOML_TREE_H
#define COFFER_FIELD_TOML_TREE_H

#include "util/field/scan.h"

enum toml_entry_kind {
	ENTRY_IMPLIED, /* a table that only a longer header named */
	ENTRY_HEADER,
	ENTRY_DOTTED, /* made by a key with dots, in `section` */
	ENTRY_TABLES, /* an array of tables; `element` is the last one */
	ENTRY_VALUE,
};

struct toml_entry {
	enum toml_entry_kind kind;
	uint32_t parent; /* entry */
	uint32_t node;   /* of the path */
	uint32_t section, element;
	uint64_t elements;
	size_t name, length;
	uint32_t hash;
};

struct toml {
	struct scan *s;
	size_t at;
	struct toml_entry *entries; /* 0: the top */
	size_t count, room;
	uint32_t *buckets;
	size_t bucket_count;
	struct buffer names, key;
	uint32_t table;   /* entry that keys go into */
	uint32_t section; /* counts headers and inline tables */
	unsigned nested;
};

void toml_free(struct toml *t);
/* Room for one more entry. */
int toml_grow(struct toml *t) MUST_CHECK;
/* The entry of that name below `parent`; 0: there is none. */
uint32_t toml_find(const struct toml *t, uint32_t parent, const char *name, size_t n);
/* A new entry; `name` NULL: one that no name leads to (an element). */
int toml_add(struct toml *t, uint32_t parent, const char *name, size_t n, enum toml_entry_kind kind, uint32_t node,
	     uint32_t *out) MUST_CHECK;
int toml_add_named(struct toml *t, uint32_t parent, const struct buffer *name, enum toml_entry_kind kind,
		   uint32_t *out) MUST_CHECK;
/* The next element of an array of tables. */
int toml_add_element(struct toml *t, uint32_t tables) MUST_CHECK;

#endif

#include "util/field/toml_tree.h"

#include <errno.h>
#include <string.h>

void toml_free(struct toml *t)
{
	free(t->entries);
	free(t->buckets);
	buffer_free(&t->names);
	buffer_free(&t->key);
}

static uint32_t hash_of(uint32_t parent, const char *name, size_t n)
{
	uint32_t h = 2166136261u ^ parent * 2654435761u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	return h;
}

uint32_t toml_find(const struct toml *t, uint32_t parent, const char *name, size_t n)
{
	uint32_t hash = hash_of(parent, name, n);

	if (!t->bucket_count)
		return 0;
	for (size_t b = hash % t->bucket_count; t->buckets[b]; b = (b + 1) % t->bucket_count) {
		const struct toml_entry *e = &t->entries[t->buckets[b]];

		if (e->hash == hash && e->parent == parent && e->length == n &&
		    (n == 0 || memcmp(t->names.bytes + e->name, name, n) == 0))
			return t->buckets[b];
	}
	return 0;
}

static void put_bucket(struct toml *t, uint32_t id)
{
	size_t b = t->entries[id].hash % t->bucket_count;

	while (t->buckets[b])
		b = (b + 1) % t->bucket_count;
	t->buckets[b] = id;
}

int toml_grow(struct toml *t)
{
	size_t room = t->room ? 2 * t->room : 64;
	struct toml_entry *bigger;

	if (t->count < t->room)
		return 0;
	bigger = reallocarray(t->entries, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	t->entries = bigger;
	t->room = room;
	free(t->buckets);
	t->bucket_count = 4 * room;
	t->buckets = calloc(t->bucket_count, sizeof(*t->buckets));
	if (!t->buckets)
		return -ENOMEM;
	for (uint32_t i = 1; i < t->count; i++)
		put_bucket(t, i);
	return 0;
}

int toml_add(struct toml *t, uint32_t parent, const char *name, size_t n, enum toml_entry_kind kind, uint32_t node,
	     uint32_t *out)
{
	int ret = toml_grow(t);
	size_t at = t->names.size;

	if (ret == 0 && name)
		ret = buffer_add(&t->names, name, n);
	if (ret < 0)
		return ret;
	t->entries[t->count] = (struct toml_entry){.kind = kind,
						   .parent = parent,
						   .node = node,
						   .section = t->section,
						   .name = at,
						   .length = n,
						   .hash = name ? hash_of(parent, name, n) : 0};
	/* Without a name no search leads there: its hash differs from every parent's but by chance, and its parent is none. */
	if (!name)
		t->entries[t->count].parent = UINT32_MAX;
	put_bucket(t, (uint32_t)t->count);
	*out = (uint32_t)t->count++;
	return 0;
}

int toml_add_named(struct toml *t, uint32_t parent, const struct buffer *name, enum toml_entry_kind kind, uint32_t *out)
{
	uint32_t node = NODE_TOP;
	const char *text = name->bytes ? name->bytes : "";
	int ret = scan_add_node(t->s, t->entries[parent].node, STEP_KEY, 1, text, name->size, &node);

	return ret < 0 ? ret : toml_add(t, parent, text, name->size, kind, node, out);
}

int toml_add_element(struct toml *t, uint32_t tables)
{
	uint32_t node = NODE_TOP, element = 0;
	int ret = scan_add_node(t->s, t->entries[tables].node, STEP_INDEX, t->entries[tables].elements, "", 0, &node);

	if (ret == 0)
		ret = toml_add(t, tables, NULL, 0, ENTRY_HEADER, node, &element);
	if (ret < 0)
		return ret;
	t->entries[tables].elements++;
	t->entries[tables].element = element;
	return 0;
}

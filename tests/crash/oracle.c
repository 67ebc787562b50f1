/* The history.  oracle_judge.c holds states against it. */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

void oracle_init(struct oracle *o, uint64_t root_ino)
{
	*o = (struct oracle){0};
	oracle_object(o, root_ino, S_IFDIR, NULL, 0, 0);
	o->objects[ORACLE_ROOT].readable_at = 0;
}

static void object_free(struct object *b)
{
	for (size_t i = 0; i < b->version_count; i++)
		pages_free(&b->versions[i].data);
	for (size_t i = 0; i < b->fact_count; i++) {
		free(b->facts[i].key);
		free(b->facts[i].value);
	}
	free(b->versions);
	free(b->facts);
	free(b->content);
	free(b->attributes);
	free(b->names);
	free(b->target);
}

void oracle_free(struct oracle *o)
{
	for (size_t i = 0; i < o->object_count; i++)
		object_free(&o->objects[i]);
	for (size_t i = 0; i < o->binding_count; i++) {
		free(o->bindings[i].name);
		free(o->bindings[i].promises);
	}
	free(o->objects);
	free(o->bindings);
	*o = (struct oracle){0};
}

unsigned oracle_object(struct oracle *o, uint64_t ino, mode_t type, const char *target, size_t begin, size_t end)
{
	struct object b = {.ino = ino, .type = type & S_IFMT, .target = copy_text(target), .readable_at = SIZE_MAX};

	o->objects = grow(o->objects, o->object_count, &o->object_room, sizeof(*o->objects));
	o->objects[o->object_count] = b;
	if (S_ISREG(type))
		oracle_version(o, (unsigned)o->object_count, HOW_WHOLE, begin, end);
	return (unsigned)o->object_count++;
}

struct version *oracle_version(struct oracle *o, unsigned object, enum how how, size_t begin, size_t end)
{
	struct object *b = &o->objects[object];
	struct version v = {.begin = begin, .end = end, .how = how};

	if (b->version_count) {
		const struct version *last = &b->versions[b->version_count - 1];

		v.size = last->size;
		pages_copy(&v.data, &last->data);
	}
	b->versions = grow(b->versions, b->version_count, &b->version_room, sizeof(*b->versions));
	b->versions[b->version_count] = v;
	return &b->versions[b->version_count++];
}

void oracle_fact(struct oracle *o, unsigned object, const char *key, const void *value, size_t size, bool absent,
		 size_t begin, size_t end)
{
	struct object *b = &o->objects[object];

	b->facts = grow(b->facts, b->fact_count, &b->fact_room, sizeof(*b->facts));
	b->facts[b->fact_count++] = (struct fact){begin, end, copy_text(key), copy_bytes(value, size), size, absent};
}

void oracle_bind(struct oracle *o, unsigned dir, const char *name, unsigned object, bool replaces, size_t begin,
		 size_t end)
{
	struct binding b = {.dir = dir,
			    .object = object,
			    .name = copy_text(name),
			    .made_begin = begin,
			    .made_end = end,
			    .gone_begin = SIZE_MAX,
			    .gone_end = SIZE_MAX,
			    .made_by = o->operation,
			    .replaces = replaces};

	if (o->objects[object].version_count)
		b.version = o->objects[object].version_count - 1;
	o->bindings = grow(o->bindings, o->binding_count, &o->binding_room, sizeof(*o->bindings));
	o->bindings[o->binding_count++] = b;
}

struct binding *oracle_bound(struct oracle *o, unsigned dir, const char *name)
{
	for (size_t i = o->binding_count; i-- > 0;) {
		struct binding *b = &o->bindings[i];

		if (b->gone_end == SIZE_MAX && b->dir == dir && strcmp(b->name, name) == 0)
			return b;
	}
	return NULL;
}

struct binding *oracle_name_of(struct oracle *o, unsigned object)
{
	for (size_t i = o->binding_count; i-- > 0;)
		if (o->bindings[i].gone_end == SIZE_MAX && o->bindings[i].object == object)
			return &o->bindings[i];
	return NULL;
}

void oracle_unbind(struct oracle *o, struct binding *b, bool moved, size_t begin, size_t end)
{
	b->gone_begin = begin;
	b->gone_end = end;
	b->gone_by = o->operation;
	b->moved = moved;
}

static void add(struct promise **list, size_t *count, size_t *room, size_t from, size_t at)
{
	*list = grow(*list, *count, room, sizeof(**list));
	(*list)[(*count)++] = (struct promise){from, at};
}

void oracle_promise_content(struct oracle *o, unsigned object, size_t from, size_t at)
{
	struct object *b = &o->objects[object];

	add(&b->content, &b->content_count, &b->content_room, from, at);
}

void oracle_promise_attributes(struct oracle *o, unsigned object, size_t from, size_t at)
{
	struct object *b = &o->objects[object];

	add(&b->attributes, &b->attributes_count, &b->attributes_room, from, at);
}

static void promise_id(struct object *b, size_t at)
{
	if (at < b->readable_at)
		b->readable_at = at;
}

void oracle_promise_names(struct oracle *o, unsigned dir, size_t from, size_t at)
{
	struct object *b = &o->objects[dir];

	add(&b->names, &b->names_count, &b->names_room, from, at);
	promise_id(b, at);
}

void oracle_promise_way(struct oracle *o, unsigned object, size_t from, size_t at)
{
	for (size_t i = 0; i < o->binding_count; i++) {
		struct binding *b = &o->bindings[i];

		if (b->object != object || b->gone_end != SIZE_MAX)
			continue;
		add(&b->promises, &b->promise_count, &b->promise_room, from, at);
		promise_id(&o->objects[b->dir], at);
		/* What was done to the directories above since the object's own name was made, its fsync need not reach. */
		if (b->dir != ORACLE_ROOT)
			oracle_promise_way(o, b->dir, from < b->made_end ? from : b->made_end, at);
	}
}

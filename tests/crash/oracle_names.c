/* Holding the names of a state against the history. */
#include <string.h>

#include "oracle_internal.h"

/* Up to where it is promised what stands under a name. */
static size_t name_promised(const struct judging *j, unsigned dir, const char *name)
{
	const struct object *d = &j->o->objects[dir];
	bool any = false;
	size_t from = judge_promised(j->v, d->names, d->names_count, &any);

	for (size_t i = 0; j->v->model == MODEL_ORDERED && i < j->o->binding_count; i++) {
		const struct binding *b = &j->o->bindings[i];
		size_t also;

		if (b->dir != dir || strcmp(b->name, name) != 0)
			continue;
		also = judge_promised(j->v, b->promises, b->promise_count, &any);
		if (also > from)
			from = also;
	}
	return from;
}

static bool stood_at(const struct binding *b, size_t from)
{
	return b->made_end <= from && b->gone_end > from;
}

static bool demands_less(const struct binding *a, const struct binding *b)
{
	return !b || (b->replaces && (!a->replaces || a->version < b->version));
}

/* The binding by which an object may stand under a name.  It may have left it and come back, over something: if the coming back may have been
 * lost, and the leaving as well, it stands there as it first did. */
const struct binding *judge_binding(const struct judging *j, unsigned dir, const char *name, unsigned object)
{
	size_t from = name_promised(j, dir, name);
	const struct binding *found = NULL;

	for (size_t i = j->o->binding_count; i-- > 0;) {
		const struct binding *b = &j->o->bindings[i];

		if (b->dir == dir && b->object == object && strcmp(b->name, name) == 0 &&
		    judge_is_begun(j->v, b->made_begin, b->made_end) && b->gone_end > from && demands_less(b, found))
			found = b;
	}
	return found;
}

static const struct binding *successor(const struct oracle *o, const struct binding *b)
{
	for (size_t i = 0; i < o->binding_count; i++) {
		const struct binding *n = &o->bindings[i];

		if (n != b && n->made_by == b->gone_by && n->dir == b->dir && strcmp(n->name, b->name) == 0)
			return n;
	}
	return NULL;
}

/* A name that stood when it was promised: may it be gone by now? */
static bool may_be_gone(const struct judging *j, const struct binding *b)
{
	while (b->gone_end != SIZE_MAX && judge_is_begun(j->v, b->gone_begin, b->gone_end)) {
		const struct binding *next = successor(j->o, b);

		if (!next)
			return true;
		b = next;
	}
	return false;
}

unsigned judge_object(const struct oracle *o, uint64_t ino)
{
	for (size_t i = 0; i < o->object_count; i++)
		if (o->objects[i].ino == ino || (ino && o->objects[i].ino_before == ino))
			return (unsigned)i;
	return UINT32_MAX;
}

static bool is_shown(const struct judging *j, const struct binding *b)
{
	uint64_t parent = j->o->objects[b->dir].ino;

	for (size_t i = 1; i < j->s->count; i++)
		if (j->s->list[i].parent == parent && strcmp(j->s->list[i].name, b->name) == 0)
			return true;
	return false;
}

static void set_path(struct judging *j, unsigned dir, const char *name)
{
	for (size_t i = 0; i < j->s->count; i++)
		if (j->s->list[i].ino == j->o->objects[dir].ino) {
			char above[256];

			snapshot_path(j->s, i, above, sizeof(above));
			snprintf(j->path, sizeof(j->path), "%s/%.60s", above, name);
			return;
		}
	snprintf(j->path, sizeof(j->path), "?/%.60s", name);
}

/* Names that have to be there. */
void judge_missing(struct judging *j, const bool *unreadable)
{
	for (size_t i = 0; i < j->o->binding_count; i++) {
		const struct binding *b = &j->o->bindings[i];

		if (!j->shown[b->dir] || unreadable[b->dir] || !stood_at(b, name_promised(j, b->dir, b->name)) ||
		    may_be_gone(j, b) || is_shown(j, b))
			continue;
		set_path(j, b->dir, b->name);
		judge_complain(j, "%s name: it was promised, and is not there (%llu names do not decrypt)",
			       j->v->exact ? "(4)" : "(1)", (unsigned long long)j->s->undecryptable);
	}
}

static bool was_promised(const struct judging *j, unsigned object)
{
	if (object == ORACLE_ROOT)
		return true;
	for (size_t i = 0; i < j->o->binding_count; i++) {
		const struct binding *b = &j->o->bindings[i];

		if (b->object == object && stood_at(b, name_promised(j, b->dir, b->name)) && was_promised(j, b->dir))
			return true;
	}
	return false;
}

static bool was_removed(const struct judging *j, unsigned object)
{
	for (size_t i = 0; i < j->o->binding_count; i++) {
		const struct binding *b = &j->o->bindings[i];

		if (b->object == object && b->gone_end != SIZE_MAX && !b->moved &&
		    judge_is_begun(j->v, b->gone_begin, b->gone_end))
			return true;
	}
	return false;
}

/* Objects that were moved only have to be somewhere. */
void judge_lost(struct judging *j)
{
	for (unsigned i = 1; i < j->o->object_count; i++) {
		if (j->shown[i] || was_removed(j, i) || !was_promised(j, i))
			continue;
		for (size_t n = 0; n < j->o->binding_count; n++)
			if (j->o->bindings[n].object == i)
				set_path(j, j->o->bindings[n].dir, j->o->bindings[n].name);
		judge_complain(j,
			       "name: it was promised, was not removed, and is nowhere (%llu names do not decrypt, %u "
			       "unpromised "
			       "directories are unreadable)",
			       (unsigned long long)j->s->undecryptable, j->out->unreadable);
	}
}

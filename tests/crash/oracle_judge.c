/* Holding a state against the history (oracle.h). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

struct judging {
	const struct oracle *o;
	const struct view *v;
	const struct snapshot *s;
	struct verdict *out;
	bool *shown; /* objects */
	char path[512];
};

static __attribute__((format(printf, 2, 3))) void complain(struct judging *j, const char *format, ...)
{
	size_t used;
	va_list ap;

	if (j->out->violations++)
		return;
	snprintf(j->out->text, sizeof(j->out->text), "%s: ", *j->path ? j->path : "/");
	used = strlen(j->out->text);
	va_start(ap, format);
	vsnprintf(j->out->text + used, sizeof(j->out->text) - used, format, ap);
	va_end(ap);
}

/* An operation that made no calls is answered where it began. */
static bool is_begun(const struct view *v, size_t begin, size_t end)
{
	return begin < v->begun || end <= v->done;
}

/* Up to where the latest promise that holds reaches; *any: there is one. */
static size_t promised(const struct view *v, const struct promise *list, size_t count, bool *any)
{
	size_t from = 0;

	for (size_t i = 0; i < count; i++)
		if (list[i].at <= v->done) {
			*any = true;
			if (list[i].from > from)
				from = list[i].from;
		}
	if (v->exact) {
		*any = true;
		from = v->done;
	}
	return from;
}

/* ------------------------------------------------------------------ content */

static bool is_version(const struct seen *s, const struct version *v)
{
	if (s->size != v->size)
		return false;
	for (uint64_t page = 0; page * CRASH_PAGE < v->size; page++)
		if (!pages_same(&s->data, &v->data, page))
			return false;
	return true;
}

static bool is_first_part(const struct seen *s, const struct version *v)
{
	uint64_t whole = s->size / CRASH_PAGE;
	uint8_t a[CRASH_PAGE], b[CRASH_PAGE];

	if (s->size > v->size)
		return false;
	for (uint64_t page = 0; page < whole; page++)
		if (!pages_same(&s->data, &v->data, page))
			return false;
	pages_read(&s->data, a, (size_t)(s->size % CRASH_PAGE), whole * CRASH_PAGE);
	pages_read(&v->data, b, (size_t)(s->size % CRASH_PAGE), whole * CRASH_PAGE);
	return memcmp(a, b, (size_t)(s->size % CRASH_PAGE)) == 0;
}

typedef bool match(const struct seen *s, const struct version *v);

/* A write of which the pages before `end` got through. */
static bool is_part_of_write(const struct seen *s, const struct version *old, const struct version *new, match *matches)
{
	bool found = false;
	uint64_t end;

	for (end = (new->off / CRASH_PAGE + 1) * CRASH_PAGE; !found && end < new->off + new->n; end += CRASH_PAGE) {
		struct version v = {.size = old->size > end ? old->size : end};
		uint8_t *bytes = need(malloc((size_t)(end - new->off)));

		pages_copy(&v.data, &old->data);
		pages_read(&new->data, bytes, (size_t)(end - new->off), new->off);
		pages_write(&v.data, bytes, (size_t)(end - new->off), new->off);
		found = matches(s, &v);
		pages_free(&v.data);
		free(bytes);
	}
	return found;
}

static bool is_mix_of_pages(const struct seen *s, const struct version *old, const struct version *new)
{
	if (s->size != old->size && s->size != new->size)
		return false;
	for (uint64_t page = 0; page * CRASH_PAGE < s->size; page++)
		if (!pages_same(&s->data, &old->data, page) && !pages_same(&s->data, &new->data, page))
			return false;
	return true;
}

static bool is_between(const struct seen *s, const struct version *old, const struct version *new, match *matches)
{
	if (new->how == HOW_WRITE)
		return is_part_of_write(s, old, new, matches);
	return new->how == HOW_PAGES &&matches == is_version &&is_mix_of_pages(s, old, new);
}

/* The version from which on the content may be, and the first that was not begun. */
static size_t first_version(const struct judging *j, const struct object *b, bool *any)
{
	size_t from = promised(j->v, b->content, b->content_count, any), first = 0;

	for (size_t i = 1; *any && i < b->version_count && b->versions[i].end <= from; i++)
		first = i;
	return first;
}

static size_t end_version(const struct judging *j, const struct object *b)
{
	size_t end = 1;

	while (end < b->version_count && is_begun(j->v, b->versions[end].begin, b->versions[end].end))
		end++;
	return end;
}

static bool is_explained(const struct seen *s, const struct object *b, size_t first, size_t end, match *matches)
{
	for (size_t i = end; i-- > first;) {
		if (matches(s, &b->versions[i]))
			return true;
		if (i > first && is_between(s, &b->versions[i - 1], &b->versions[i], matches))
			return true;
	}
	return false;
}

/* What the content is, if it is not what it may be. */
static void describe(const struct seen *s, const struct object *b, size_t first, size_t end, char *out, size_t size)
{
	for (size_t i = b->version_count; i-- > 0;)
		if (is_version(s, &b->versions[i])) {
			snprintf(out, size, "that is version %zu, which it %s", i,
				 i < first ? "had before" : "did not have yet");
			return;
		}
	for (size_t i = end; i-- > first;)
		for (uint64_t page = 0; s->size == b->versions[i].size && page * CRASH_PAGE < s->size; page++)
			if (!pages_same(&s->data, &b->versions[i].data, page)) {
				snprintf(out, size, "against version %zu the first page that differs is %llu", i,
					 (unsigned long long)page);
				return;
			}
	snprintf(out, size, "no version since has that size%s", s->size ? "" : ": it is empty");
}

static void judge_content(struct judging *j, const struct seen *s, const struct object *b, const struct binding *name)
{
	bool any = false;
	size_t first = first_version(j, b, &any), end = end_version(j, b);
	char how[256];

	if (name->replaces && name->version > first) {
		first = name->version; /* (8) */
		any = true;
	}
	if (is_explained(s, b, first, end, is_version) || (!any && is_explained(s, b, first, end, is_first_part)))
		return;
	describe(s, b, first, end, how, sizeof(how));
	complain(j, "%s content: %llu bytes are no state of it; versions %zu to %zu may be (%llu to %llu bytes)%s; %s",
		 j->v->exact ? "(4)" : (name->replaces && name->version == first ? "(8)" : (any ? "(1)" : "(3)")),
		 (unsigned long long)s->size, first, end - 1, (unsigned long long)b->versions[first].size,
		 (unsigned long long)b->versions[end - 1].size, any ? "" : ", or a first part", how);
}

/* ------------------------------------------------------------------ attributes */

static const struct seen_xattr *seen_xattr(const struct seen *s, const char *name)
{
	for (size_t i = 0; i < s->xattr_count; i++)
		if (strcmp(s->xattrs[i].name, name) == 0)
			return &s->xattrs[i];
	return NULL;
}

static bool is_fact(const struct fact *f, const void *value, size_t size)
{
	return value ? !f->absent && f->size == size && memcmp(f->value, value, size) == 0 : f->absent;
}

/* True if `key` may have this value (NULL: be absent). */
static bool fact_allowed(const struct judging *j, const struct object *b, const char *key, const void *value,
			 size_t size)
{
	bool any = false, allowed = value == NULL; /* at first there are none */
	size_t from = promised(j->v, b->attributes, b->attributes_count, &any);

	for (size_t i = 0; i < b->fact_count; i++) {
		const struct fact *f = &b->facts[i];

		if (strcmp(f->key, key) != 0 || !is_begun(j->v, f->begin, f->end))
			continue;
		if (any && f->end <= from)
			allowed = false;
		allowed |= is_fact(f, value, size);
	}
	return allowed;
}

static void judge_attributes(struct judging *j, const struct seen *s, const struct object *b)
{
	mode_t mode = s->mode & 07777;

	if (!S_ISLNK(b->type) && !fact_allowed(j, b, "mode", &mode, sizeof(mode)))
		complain(j, "mode %o is none that it may have", mode);
	for (size_t i = 0; i < s->xattr_count; i++)
		if (!fact_allowed(j, b, s->xattrs[i].name, s->xattrs[i].value, s->xattrs[i].size))
			complain(j, "attribute %s has a value that it may not have", s->xattrs[i].name);
	for (size_t i = 0; i < b->fact_count; i++)
		if (s->mode & S_IRUSR && strcmp(b->facts[i].key, "mode") != 0 && !seen_xattr(s, b->facts[i].key) &&
		    !fact_allowed(j, b, b->facts[i].key, NULL, 0))
			complain(j, "attribute %s is missing", b->facts[i].key);
}

/* ------------------------------------------------------------------ names */

/* Up to where it is promised what stands under a name. */
static size_t name_promised(const struct judging *j, unsigned dir, const char *name)
{
	const struct object *d = &j->o->objects[dir];
	bool any = false;
	size_t from = promised(j->v, d->names, d->names_count, &any);

	for (size_t i = 0; j->v->model == MODEL_ORDERED && i < j->o->binding_count; i++) {
		const struct binding *b = &j->o->bindings[i];
		size_t also;

		if (b->dir != dir || strcmp(b->name, name) != 0)
			continue;
		also = promised(j->v, b->promises, b->promise_count, &any);
		if (also > from)
			from = also;
	}
	return from;
}

static bool stood_at(const struct binding *b, size_t from)
{
	return b->made_end <= from && b->gone_end > from;
}

/* The binding by which an object may stand under a name. */
static const struct binding *allowed_binding(const struct judging *j, unsigned dir, const char *name, unsigned object)
{
	size_t from = name_promised(j, dir, name);

	for (size_t i = j->o->binding_count; i-- > 0;) {
		const struct binding *b = &j->o->bindings[i];

		if (b->dir == dir && b->object == object && strcmp(b->name, name) == 0 &&
		    is_begun(j->v, b->made_begin, b->made_end) && b->gone_end > from)
			return b;
	}
	return NULL;
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
	while (b->gone_end != SIZE_MAX && is_begun(j->v, b->gone_begin, b->gone_end)) {
		const struct binding *next = successor(j->o, b);

		if (!next)
			return true;
		b = next;
	}
	return false;
}

static unsigned object_of(const struct oracle *o, uint64_t ino)
{
	for (size_t i = 0; i < o->object_count; i++)
		if (o->objects[i].ino == ino)
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
static void judge_missing(struct judging *j, const bool *unreadable)
{
	for (size_t i = 0; i < j->o->binding_count; i++) {
		const struct binding *b = &j->o->bindings[i];

		if (!j->shown[b->dir] || unreadable[b->dir] || !stood_at(b, name_promised(j, b->dir, b->name)) ||
		    may_be_gone(j, b) || is_shown(j, b))
			continue;
		set_path(j, b->dir, b->name);
		complain(j, "%s name: it was promised, and is not there (%llu names do not decrypt)",
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
		    is_begun(j->v, b->gone_begin, b->gone_end))
			return true;
	}
	return false;
}

/* Objects that were moved only have to be somewhere. */
static void judge_lost(struct judging *j)
{
	for (unsigned i = 1; i < j->o->object_count; i++) {
		if (j->shown[i] || was_removed(j, i) || !was_promised(j, i))
			continue;
		for (size_t n = 0; n < j->o->binding_count; n++)
			if (j->o->bindings[n].object == i)
				set_path(j, j->o->bindings[n].dir, j->o->bindings[n].name);
		complain(j,
			 "name: it was promised, was not removed, and is nowhere (%llu names do not decrypt, %u "
			 "unpromised "
			 "directories are unreadable)",
			 (unsigned long long)j->s->undecryptable, j->out->unreadable);
	}
}

/* ------------------------------------------------------------------ all */

static void judge_entry(struct judging *j, size_t at, bool *unreadable)
{
	const struct seen *s = &j->s->list[at];
	unsigned object = object_of(j->o, s->ino), dir = at ? object_of(j->o, s->parent) : ORACLE_ROOT;
	const struct binding *name;
	const struct object *b;

	snapshot_path(j->s, at, j->path, sizeof(j->path));
	j->out->retried += s->retried;
	if (s->error && s->what[0] == 'l' && !s->ino) {
		complain(j, "(2) lookup: %s", strerror(-s->error));
		return;
	}
	if (object == UINT32_MAX || dir == UINT32_MAX) {
		complain(j, "is an object that was never made");
		return;
	}
	j->shown[object] = true;
	b = &j->o->objects[object];
	if (s->error && strcmp(s->what, "readdir") == 0 && j->v->model == MODEL_STRICT && !j->v->exact &&
	    b->readable_at > j->v->done) {
		j->out->unreadable++;
		unreadable[object] = true;
	} else if (s->error) {
		complain(j, "(2) %s: %s", s->what, strerror(-s->error));
		return;
	}
	if (!at)
		return;
	name = allowed_binding(j, dir, s->name, object);
	if (!name) {
		complain(j, "name: object %u may not be there", object);
		return;
	}
	if (S_ISREG(b->type))
		judge_content(j, s, b, name);
	if (b->target && strcmp(b->target, s->target) != 0)
		complain(j, "has another target");
	if (!unreadable[object])
		judge_attributes(j, s, b);
}

void oracle_judge(const struct oracle *o, const struct view *v, const struct snapshot *s, struct verdict *out)
{
	struct judging j = {.o = o, .v = v, .s = s, .out = out};
	bool *unreadable = need(calloc(o->object_count, sizeof(bool)));

	j.shown = need(calloc(o->object_count, sizeof(bool)));
	*out = (struct verdict){0};
	for (size_t i = 0; i < s->count; i++)
		judge_entry(&j, i, unreadable);
	judge_missing(&j, unreadable);
	judge_lost(&j);
	free(j.shown);
	free(unreadable);
}

/* Holding a state against the history (oracle.h). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle_internal.h"

void judge_complain(struct judging *j, const char *format, ...)
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
bool judge_is_begun(const struct view *v, size_t begin, size_t end)
{
	return begin < v->begun || end <= v->done;
}

/* Up to where the latest promise that holds reaches; *any: there is one. */
size_t judge_promised(const struct view *v, const struct promise *list, size_t count, bool *any)
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

/* A page of what is seen, as far as that goes, is the version's. */
static bool is_page_of(const struct seen *s, const struct version *v, uint64_t page)
{
	size_t n = s->size - page * CRASH_PAGE < CRASH_PAGE ? (size_t)(s->size - page * CRASH_PAGE) : CRASH_PAGE;
	uint8_t a[CRASH_PAGE], b[CRASH_PAGE];

	pages_read(&s->data, a, n, page * CRASH_PAGE);
	pages_read(&v->data, b, n, page * CRASH_PAGE);
	return memcmp(a, b, n) == 0;
}

static bool is_mix_of_pages(const struct seen *s, const struct version *old, const struct version *new, bool first_part)
{
	uint64_t most = old->size > new->size ? old->size : new->size;

	if (first_part ? s->size > most : s->size != old->size && s->size != new->size)
		return false;
	for (uint64_t page = 0; page * CRASH_PAGE < s->size; page++)
		if (!is_page_of(s, old, page) && !is_page_of(s, new, page))
			return false;
	return true;
}

static bool is_between(const struct seen *s, const struct version *old, const struct version *new, match *matches)
{
	if (new->how == HOW_WRITE)
		return is_part_of_write(s, old, new, matches);
	return new->how == HOW_PAGES &&is_mix_of_pages(s, old, new, matches == is_first_part);
}

/* The version from which on the content may be, and the first that was not begun. */
static size_t first_version(const struct judging *j, const struct object *b, bool *any)
{
	size_t from = judge_promised(j->v, b->content, b->content_count, any), first = 0;

	for (size_t i = 1; *any && i < b->version_count && b->versions[i].end <= from; i++)
		first = i;
	return first;
}

static size_t end_version(const struct judging *j, const struct object *b)
{
	size_t end = 1;

	while (end < b->version_count && judge_is_begun(j->v, b->versions[end].begin, b->versions[end].end))
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
	/* Where nothing but emptiness was promised, a first part of what came later will do. */
	bool parts = !any || b->versions[first].size == 0;

	if (is_explained(s, b, first, end, is_version) || (parts && is_explained(s, b, first, end, is_first_part)))
		return;
	describe(s, b, first, end, how, sizeof(how));
	judge_complain(
		j, "%s content: %llu bytes are no state of it; versions %zu to %zu may be (%llu to %llu bytes)%s; %s",
		j->v->exact ? "(4)" : (name->replaces && name->version == first ? "(8)" : (any ? "(1)" : "(3)")),
		(unsigned long long)s->size, first, end - 1, (unsigned long long)b->versions[first].size,
		(unsigned long long)b->versions[end - 1].size, parts ? ", or a first part" : "", how);
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
	size_t from = judge_promised(j->v, b->attributes, b->attributes_count, &any);

	for (size_t i = 0; i < b->fact_count; i++) {
		const struct fact *f = &b->facts[i];

		if (strcmp(f->key, key) != 0 || !judge_is_begun(j->v, f->begin, f->end))
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
		judge_complain(j, "mode %o is none that it may have", mode);
	for (size_t i = 0; i < s->xattr_count; i++)
		if (!fact_allowed(j, b, s->xattrs[i].name, s->xattrs[i].value, s->xattrs[i].size))
			judge_complain(j, "attribute %s has a value that it may not have", s->xattrs[i].name);
	for (size_t i = 0; i < b->fact_count; i++)
		if (s->mode & S_IRUSR && strcmp(b->facts[i].key, "mode") != 0 && !seen_xattr(s, b->facts[i].key) &&
		    !fact_allowed(j, b, b->facts[i].key, NULL, 0))
			judge_complain(j, "attribute %s is missing", b->facts[i].key);
}

/* ------------------------------------------------------------------ all */

static void judge_entry(struct judging *j, size_t at, bool *unreadable)
{
	const struct seen *s = &j->s->list[at];
	unsigned object = judge_object(j->o, s->ino), dir = at ? judge_object(j->o, s->parent) : ORACLE_ROOT;
	const struct binding *name;
	const struct object *b;

	snapshot_path(j->s, at, j->path, sizeof(j->path));
	j->out->retried += s->retried;
	if (s->error && s->what[0] == 'l' && !s->ino) {
		judge_complain(j, "(2) lookup: %s", strerror(-s->error));
		return;
	}
	if (object == UINT32_MAX || dir == UINT32_MAX) {
		judge_complain(j, "is an object that was never made");
		return;
	}
	j->shown[object] = true;
	b = &j->o->objects[object];
	if (s->error && strcmp(s->what, "readdir") == 0 && j->v->model == MODEL_STRICT && !j->v->exact &&
	    b->readable_at > j->v->done) {
		j->out->unreadable++;
		unreadable[object] = true;
	} else if (s->error) {
		judge_complain(j, "(2) %s: %s", s->what, strerror(-s->error));
		return;
	}
	if (!at)
		return;
	name = judge_binding(j, dir, s->name, object);
	if (!name) {
		judge_complain(j, "name: object %u may not be there", object);
		return;
	}
	if (S_ISREG(b->type))
		judge_content(j, s, b, name);
	if (b->target && strcmp(b->target, s->target) != 0)
		judge_complain(j, "has another target");
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
	j.path[0] = 0;
	if (s->undecryptable && (v->model != MODEL_STRICT || v->exact))
		judge_complain(&j, "(2) %llu names do not decrypt", (unsigned long long)s->undecryptable);
	out->unreadable += (unsigned)s->undecryptable;
	judge_missing(&j, unreadable);
	judge_lost(&j);
	free(j.shown);
	free(unreadable);
}

#include "fs/recover_paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_AT_FIRST = 256 };

/* FNV-1a: only hints hang on it. */
static uint32_t hash(uint32_t parent, struct record_path name)
{
	uint32_t h = 2166136261U ^ parent;

	for (size_t i = 0; i < name.size; i++)
		h = (h ^ (uint8_t)name.text[i]) * 16777619U;
	return h;
}

static struct record_path name_of(const struct place *at)
{
	return (struct record_path){at->name, strlen(at->name)};
}

static void link_in(struct paths *p, uint32_t at)
{
	uint32_t *bucket = &p->buckets[hash(p->list[at].parent, name_of(&p->list[at])) & (p->size - 1)];

	p->list[at].chain = *bucket;
	*bucket = at;
}

static void unlink_from(struct paths *p, uint32_t at)
{
	uint32_t *to = &p->buckets[hash(p->list[at].parent, name_of(&p->list[at])) & (p->size - 1)];

	while (*to != PLACE_NONE && *to != at)
		to = &p->list[*to].chain;
	if (*to == at)
		*to = p->list[at].chain;
}

static uint32_t child(const struct paths *p, uint32_t parent, struct record_path name)
{
	uint32_t at = p->buckets[hash(parent, name) & (p->size - 1)];

	for (; at != PLACE_NONE; at = p->list[at].chain)
		if (p->list[at].parent == parent && strlen(p->list[at].name) == name.size &&
		    memcmp(p->list[at].name, name.text, name.size) == 0)
			break;
	return at;
}

/* Those that are found by no path stay out. */
static int grow_buckets(struct paths *p)
{
	uint32_t *old = p->buckets, size = p->size, more = size ? 2 * size : BUCKETS_AT_FIRST;
	uint32_t *fresh = malloc(more * sizeof *fresh);

	if (!fresh)
		return -ENOMEM;
	for (uint32_t i = 0; i < more; i++)
		fresh[i] = PLACE_NONE;
	p->buckets = fresh;
	p->size = more;
	for (uint32_t i = 0; i < size; i++)
		for (uint32_t at = old[i], next; at != PLACE_NONE; at = next) {
			next = p->list[at].chain;
			link_in(p, at);
		}
	free(old);
	return 0;
}

static int add(struct paths *p, uint32_t parent, struct record_path name, uint32_t *out)
{
	if (p->count == p->room) {
		uint32_t room = p->room ? 2 * p->room : 64;
		void *list = realloc(p->list, room * sizeof *p->list);

		if (!list)
			return -ENOMEM;
		p->list = list;
		p->room = room;
	}
	if (p->count >= p->size && grow_buckets(p) < 0)
		return -ENOMEM;

	char *copy = strndup(name.text, name.size);

	if (!copy)
		return -ENOMEM;
	*out = p->count++;
	p->list[*out] = (struct place){copy, parent, PLACE_NONE, 0};
	link_in(p, *out);
	return 0;
}

int paths_start(struct paths *p)
{
	*p = (struct paths){0};
	p->list = calloc(1, sizeof *p->list);
	if (!p->list)
		return -ENOMEM;
	p->list[PLACE_ROOT] = (struct place){NULL, PLACE_NONE, PLACE_NONE, 0};
	p->count = p->room = 1;
	return grow_buckets(p);
}

void paths_free(struct paths *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		free(p->list[i].name);
	free(p->list);
	free(p->buckets);
	*p = (struct paths){0};
}

/* ------------------------------------------------------------------ paths */

/* Takes the first component off. */
static struct record_path take_first(struct record_path *rest)
{
	const char *slash = rest->size ? memchr(rest->text, '/', rest->size) : NULL;
	struct record_path first = {rest->text, slash ? (size_t)(slash - rest->text) : rest->size};
	size_t used = first.size + (slash ? 1 : 0);

	*rest = (struct record_path){rest->text + used, rest->size - used};
	return first;
}

struct record_path paths_last(struct record_path path)
{
	const char *slash = path.size ? memrchr(path.text, '/', path.size) : NULL;
	size_t above = slash ? (size_t)(slash - path.text) + 1 : 0;

	return (struct record_path){path.text + above, path.size - above};
}

int paths_enter(struct paths *p, struct record_path path, uint32_t *out)
{
	uint32_t at = PLACE_ROOT;
	int r = 0;

	while (path.size && r == 0) {
		struct record_path name = take_first(&path);
		uint32_t next = child(p, at, name);

		if (next == PLACE_NONE)
			r = add(p, at, name, &next);
		at = next;
	}
	*out = at;
	return r;
}

int paths_enter_above(struct paths *p, struct record_path path, uint32_t *out)
{
	size_t last = paths_last(path).size;

	path.size -= last;
	path.size -= path.size ? 1 : 0;
	return paths_enter(p, path, out);
}

uint32_t paths_find(const struct paths *p, struct record_path path)
{
	uint32_t at = PLACE_ROOT;

	while (path.size && at != PLACE_NONE)
		at = child(p, at, take_first(&path));
	return at;
}

static bool lies_in(const struct paths *p, uint32_t place, uint32_t above)
{
	while (place != PLACE_NONE && place != above)
		place = p->list[place].parent;
	return place == above;
}

int paths_move(struct paths *p, uint32_t place, struct record_path to, uint32_t when)
{
	struct record_path name = paths_last(to);
	uint32_t above, there;
	int r = paths_enter_above(p, to, &above);

	/* What moves into itself is nonsense, and would never end. */
	if (r < 0 || place == PLACE_ROOT || name.size == 0 || lies_in(p, above, place))
		return r;
	there = child(p, above, name);
	if (there == place)
		return 0;

	char *copy = strndup(name.text, name.size);

	if (!copy)
		return -ENOMEM;
	if (there != PLACE_NONE)
		unlink_from(p, there);
	unlink_from(p, place);
	free(p->list[place].name);
	p->list[place].name = copy;
	p->list[place].parent = above;
	p->list[place].moved = when;
	link_in(p, place);
	return 0;
}

bool paths_moved_since(const struct paths *p, uint32_t place, uint32_t when)
{
	while (place != PLACE_NONE && p->list[place].moved <= when)
		place = p->list[place].parent;
	return place != PLACE_NONE;
}

/* ------------------------------------------------------------------ text */

char *paths_text_in(const struct paths *p, uint32_t place, struct record_path name)
{
	size_t size = name.size;

	for (uint32_t at = place; at != PLACE_ROOT; at = p->list[at].parent)
		size += strlen(p->list[at].name) + (size ? 1 : 0);

	char *text = size <= RECORD_PATH_MAX ? malloc(size + 1) : NULL;

	if (!text)
		return NULL;

	char *end = text + size - name.size;

	if (name.size)
		memcpy(end, name.text, name.size);
	text[size] = 0;
	for (uint32_t at = place; at != PLACE_ROOT; at = p->list[at].parent) {
		size_t n = strlen(p->list[at].name);

		if (end < text + size)
			*--end = '/';
		end -= n;
		memcpy(end, p->list[at].name, n);
	}
	return text;
}

char *paths_text(const struct paths *p, uint32_t place)
{
	return paths_text_in(p, place, (struct record_path){"", 0});
}

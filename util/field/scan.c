#include "util/field/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/base/log.h"
#include "util/field/format.h"

enum { COUNTED_LINEAR = 16, FILE_ROOM = 200 };

/* How often a name was seen in a container. */
struct counted {
	uint32_t hash;
	size_t name, length; /* in level.names */
	uint64_t count;
};

struct level {
	uint32_t member; /* node of the member that is open; at first that of the container */
	uint64_t next_index;
	struct counted *counted;
	size_t count, room;
	uint32_t *buckets; /* position + 1 in counted; NULL while there are few */
	size_t bucket_count;
	struct buffer names;
};

static void level_free(struct level *l)
{
	free(l->counted);
	free(l->buckets);
	buffer_free(&l->names);
	*l = (struct level){0};
}

void scan_free(struct scan *s)
{
	if (s->format && s->format->end)
		s->format->end(s);
	for (size_t i = 0; i < s->level_room; i++)
		level_free(&s->levels[i]);
	free(s->levels);
	free(s->leaves);
	free(s->nodes);
	buffer_free(&s->names);
	*s = (struct scan){0};
}

/* Room for one more of an array. */
static int grow(void **array, size_t count, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 32;
	void *bigger;

	if (count < *room)
		return 0;
	if (more > UINT32_MAX / 2)
		return -ENOMEM;
	bigger = realloc(*array, more * size);
	if (!bigger)
		return -ENOMEM;
	memset((char *)bigger + *room * size, 0, (more - *room) * size);
	*array = bigger;
	*room = more;
	return 0;
}

/* ------------------------------------------------------------------ pieces of a file */

uint32_t scan_container(const struct scan *s)
{
	return s->depth > 1 ? s->levels[s->depth - 2].member : NODE_TOP;
}

/* Only the nodes of what is open stay: one for each level at most, in the order of depth. */
static int keep_open_nodes(struct scan *s)
{
	_cleanup_buffer_ struct buffer names = {0};
	size_t kept = s->node_count ? 1 : 0;
	uint32_t above = NODE_TOP, was_above = NODE_TOP;

	if (s->format->keeps_nodes)
		return 0;
	for (size_t i = 0; i < s->depth; i++) {
		uint32_t id = s->levels[i].member;

		if (id != was_above) {
			struct node node = s->nodes[id]; /* id >= kept: nodes below are made later */
			size_t at = names.size;
			int ret = buffer_add(&names, s->names.bytes + node.name, node.length);
			if (ret < 0)
				return ret;
			s->nodes[kept] = (struct node){above, node.kind, node.number, at, node.length};
			above = (uint32_t)kept++;
			was_above = id;
		}
		s->levels[i].member = above;
	}
	s->node_count = kept;
	buffer_free(&s->names);
	s->names = names;
	names = (struct buffer){0};
	return 0;
}

int scan_begin(struct scan *s, const char *text, size_t size, bool final)
{
	s->first = !s->started;
	if (s->first)
		s->line = s->column = 1;
	s->text = text;
	s->size = size;
	s->final = final;
	s->count = 0;
	return s->first ? 0 : keep_open_nodes(s);
}

void scan_advance(struct scan *s, size_t used)
{
	scan_position(s, used, &s->line, &s->column);
	s->started = s->started || used;
}

/* The line break from i on, before `end`: \n, \r\n (where its \n is) or \r alone; SIZE_MAX: there is none.  `returns`: there are \r at all. */
static size_t next_break(const struct scan *s, size_t i, size_t end, bool returns)
{
	const char *found = memchr(s->text + i, '\n', end - i);
	size_t at = found ? (size_t)(found - s->text) : SIZE_MAX;

	for (; returns && i < end && i < at; i++)
		if (s->text[i] == '\r' && (i + 1 >= s->size || s->text[i + 1] != '\n'))
			return i;
	return at;
}

void scan_position(const struct scan *s, size_t at, uint64_t *line, uint64_t *column)
{
	size_t end = at < s->size ? at : s->size, start = 0, next;
	uint64_t l = s->line, c = s->column;
	bool returns = end && memchr(s->text, '\r', end);

	while (start < end && (next = next_break(s, start, end, returns)) != SIZE_MAX) {
		start = next + 1;
		l++;
		c = 1;
	}
	for (; start < end; start++)
		c += ((unsigned char)s->text[start] & 0xc0) != 0x80;
	*line = l;
	*column = c;
}

int scan_error(struct scan *s, size_t at, const char *format, ...)
{
	char what[240], file[FILE_ROOM];
	uint64_t line, column;
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	scan_position(s, at, &line, &column);
	return fault_set(s->why, EXIT_FAILED, EINVAL, "%s:%" PRIu64 ":%" PRIu64 ": %s",
			 log_escape(s->file, file, sizeof(file)), line, column, what);
}

/* ------------------------------------------------------------------ nodes and leaves */

int scan_add_node(struct scan *s, uint32_t parent, enum step_kind kind, uint64_t number, const char *name,
		  size_t length, uint32_t *out)
{
	int ret = grow((void **)&s->nodes, s->node_count, &s->node_room, sizeof(*s->nodes));

	if (ret == 0 && s->node_count == 0) {
		s->nodes[0] = (struct node){0}; /* the top */
		s->node_count = 1;
	}
	if (ret == 0)
		ret = grow((void **)&s->nodes, s->node_count, &s->node_room, sizeof(*s->nodes));
	size_t at = s->names.size;
	if (ret == 0)
		ret = buffer_add(&s->names, name, length);
	if (ret < 0)
		return ret;
	s->nodes[s->node_count] = (struct node){parent, kind, number, at, length};
	*out = (uint32_t)s->node_count++;
	return 0;
}

int scan_leaf(struct scan *s, uint32_t node, size_t start, size_t end, enum leaf_type type, uint8_t quoting)
{
	int ret = grow((void **)&s->leaves, s->count, &s->room, sizeof(*s->leaves));

	if (ret < 0)
		return ret;
	s->leaves[s->count++] = (struct leaf){start, end, node, type, quoting, s->document};
	return 0;
}

int scan_path(const struct scan *s, const struct leaf *l, struct buffer *out)
{
	uint32_t chain[SCAN_DEPTH_MAX + 2];
	size_t n = 0;
	int ret = s->documents ? path_push(out, STEP_DOCUMENT, l->document, "", 0) : 0;

	for (uint32_t i = l->node; i != NODE_TOP && n < SCAN_DEPTH_MAX + 2; i = s->nodes[i].parent)
		chain[n++] = i;
	while (ret == 0 && n > 0) {
		const struct node *node = &s->nodes[chain[--n]];

		ret = path_push(out, node->kind, node->number, s->names.bytes + node->name, node->length);
	}
	return ret;
}

/* ------------------------------------------------------------------ containers */

uint32_t scan_node(const struct scan *s)
{
	return s->depth ? s->levels[s->depth - 1].member : NODE_TOP;
}

int scan_open(struct scan *s)
{
	uint32_t container = scan_node(s);
	struct level *l;
	int ret;

	if (s->depth >= SCAN_DEPTH_MAX)
		return -E2BIG;
	ret = grow((void **)&s->levels, s->depth, &s->level_room, sizeof(*s->levels));
	if (ret < 0)
		return ret;
	l = &s->levels[s->depth++];
	l->member = container;
	l->next_index = 0;
	l->count = 0;
	buffer_reset(&l->names);
	free(l->buckets);
	l->buckets = NULL;
	return 0;
}

void scan_close(struct scan *s)
{
	s->depth--;
}

static uint32_t hash_of(const char *name, size_t n)
{
	uint32_t h = 2166136261u; /* FNV-1a; what it does badly costs time only */

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	return h;
}

static int rehash(struct level *l)
{
	size_t n = 4 * l->room;

	free(l->buckets);
	l->buckets = calloc(n, sizeof(*l->buckets));
	if (!l->buckets)
		return -ENOMEM;
	l->bucket_count = n;
	for (size_t i = 0; i < l->count; i++) {
		size_t at = l->counted[i].hash % n;

		while (l->buckets[at])
			at = (at + 1) % n;
		l->buckets[at] = (uint32_t)i + 1;
	}
	return 0;
}

static bool is_name(const struct level *l, const struct counted *c, uint32_t hash, const char *name, size_t length)
{
	return c->hash == hash && c->length == length &&
	       (length == 0 || memcmp(l->names.bytes + c->name, name, length) == 0);
}

static struct counted *find_counted(struct level *l, uint32_t hash, const char *name, size_t length)
{
	if (!l->buckets) {
		for (size_t i = 0; i < l->count; i++)
			if (is_name(l, &l->counted[i], hash, name, length))
				return &l->counted[i];
		return NULL;
	}
	for (size_t at = hash % l->bucket_count; l->buckets[at]; at = (at + 1) % l->bucket_count)
		if (is_name(l, &l->counted[l->buckets[at] - 1], hash, name, length))
			return &l->counted[l->buckets[at] - 1];
	return NULL;
}

static int add_counted(struct level *l, uint32_t hash, const char *name, size_t length)
{
	size_t at = l->names.size, before = l->room;
	int ret = grow((void **)&l->counted, l->count, &l->room, sizeof(*l->counted));

	if (ret == 0)
		ret = buffer_add(&l->names, name, length);
	if (ret < 0)
		return ret;
	l->counted[l->count++] = (struct counted){hash, at, length, 1};
	if (l->count <= COUNTED_LINEAR)
		return 0;
	if (!l->buckets || l->room != before)
		return rehash(l);
	size_t b = hash % l->bucket_count;
	while (l->buckets[b])
		b = (b + 1) % l->bucket_count;
	l->buckets[b] = (uint32_t)l->count;
	return 0;
}

int scan_count(struct scan *s, enum step_kind kind, const char *name, size_t length, uint64_t *before)
{
	struct level *l = &s->levels[s->depth - 1];
	uint32_t hash = hash_of(name, length) ^ (kind == STEP_ATTRIBUTE);
	struct counted *c = find_counted(l, hash, name, length);

	*before = c ? c->count++ : 0;
	return c ? 0 : add_counted(l, hash, name, length);
}

int scan_key(struct scan *s, enum step_kind kind, const char *name, size_t length, uint64_t *before)
{
	struct level *l = &s->levels[s->depth - 1];
	uint64_t count;
	int ret = scan_count(s, kind, name, length, &count);

	if (before)
		*before = count;
	return ret < 0 ? ret : scan_add_node(s, scan_container(s), kind, count + 1, name, length, &l->member);
}

int scan_index(struct scan *s)
{
	struct level *l = &s->levels[s->depth - 1];

	return scan_add_node(s, scan_container(s), STEP_INDEX, l->next_index++, "", 0, &l->member);
}

#include "observe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { READ_STEP = 1 << 17, VALUE_MAX = 1 << 16 };

static bool keep_name(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next,
		      const struct node_attr *attr)
{
	struct seen_xattr *list = data; /* a list of names, in value; size is what is used */
	size_t n = strlen(name) + 1;

	(void)ino;
	(void)type;
	(void)next;
	(void)attr;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	list->value = need(realloc(list->value, list->size + n));
	memcpy(list->value + list->size, name, n);
	list->size += n;
	return true;
}

static void refuse(struct seen *s, const char *what, ssize_t error)
{
	if (s->error)
		return;
	s->error = (int)error;
	s->what = what;
}

static ssize_t read_all(struct engine *e, uint64_t node, struct seen *s)
{
	uint8_t *buf = need(malloc(READ_STEP));
	ssize_t got;

	pages_free(&s->data);
	s->size = 0;
	while ((got = fs_read(e, node, buf, READ_STEP, s->size)) > 0) {
		pages_write(&s->data, buf, (size_t)got, s->size);
		s->size += (uint64_t)got;
	}
	free(buf);
	return got;
}

static void see_content(struct engine *e, struct node_attr *a, struct seen *s)
{
	ssize_t r = read_all(e, a->node, s);

	if (r < 0 || s->size != a->st.size) {
		struct node_attr again;
		int error = fs_getattr(e, a->node, &again);

		s->retried = true;
		if (error < 0) {
			refuse(s, "getattr", error);
			return;
		}
		*a = again;
		r = read_all(e, a->node, s);
	}
	if (r < 0)
		refuse(s, "read", r);
	else if (s->size != a->st.size)
		refuse(s, "size", -ERANGE);
}

static void see_xattrs(struct engine *e, uint64_t node, struct seen *s)
{
	char *names = need(malloc(VALUE_MAX));
	uint8_t *value = need(malloc(VALUE_MAX));
	ssize_t used = fs_listxattr(e, node, names, VALUE_MAX);

	if (used < 0 && used != -EOPNOTSUPP)
		refuse(s, "listxattr", used);
	for (ssize_t at = 0; at < used; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t n = fs_getxattr(e, node, names + at, value, VALUE_MAX);

		if (n < 0) {
			refuse(s, "getxattr", n);
			continue;
		}
		s->xattrs = grow(s->xattrs, s->xattr_count, &s->xattr_room, sizeof(*s->xattrs));
		s->xattrs[s->xattr_count++] =
			(struct seen_xattr){copy_text(names + at), copy_bytes(value, (size_t)n), (size_t)n};
	}
	free(names);
	free(value);
}

static void see_target(struct engine *e, uint64_t node, struct seen *s)
{
	char target[4097];
	ssize_t n = fs_readlink(e, node, target, sizeof(target) - 1);

	if (n < 0) {
		refuse(s, "readlink", n);
		return;
	}
	target[n] = 0;
	s->target = copy_text(target);
}

static void see_entry(struct engine *e, struct node_attr *a, size_t up, const char *name, struct snapshot *out);

static void see_directory(struct engine *e, uint64_t node, size_t at, struct snapshot *out)
{
	struct seen_xattr names = {0};
	int r = fs_readdir(e, node, 0, false, keep_name, &names);

	if (r < 0)
		refuse(&out->list[at], "readdir", r);
	for (size_t i = 0; i < names.size; i += strlen((char *)names.value + i) + 1) {
		struct node_attr a = {0};
		const char *name = (char *)names.value + i;

		r = fs_lookup(e, node, name, &a);
		if (r < 0) {
			struct seen s = {.error = r, .what = "lookup", .name = copy_text(name), .up = at};

			s.parent = out->list[at].ino;
			out->list = grow(out->list, out->count, &out->room, sizeof(*out->list));
			out->list[out->count++] = s;
			continue;
		}
		see_entry(e, &a, at, name, out);
		fs_forget(e, a.node, 1);
	}
	free(names.value);
}

static void see_entry(struct engine *e, struct node_attr *a, size_t up, const char *name, struct snapshot *out)
{
	struct seen s = {.ino = a->st.ino, .name = copy_text(name), .up = up, .mode = a->st.mode};
	size_t at = out->count;

	s.parent = at ? out->list[up].ino : 0;
	if (S_ISREG(s.mode))
		see_content(e, a, &s);
	else if (S_ISLNK(s.mode))
		see_target(e, a->node, &s);
	if ((S_ISREG(s.mode) || S_ISDIR(s.mode)) && s.mode & S_IRUSR) /* else the kernel would not ask */
		see_xattrs(e, a->node, &s);
	out->list = grow(out->list, out->count, &out->room, sizeof(*out->list));
	out->list[out->count++] = s;
	if (S_ISDIR(s.mode))
		see_directory(e, a->node, at, out);
}

void observe(struct engine *e, struct snapshot *out)
{
	struct engine_counts counts;
	struct node_attr a;
	int r = fs_getattr(e, ROOT_NODE, &a);

	*out = (struct snapshot){0};
	if (r < 0)
		a = (struct node_attr){.node = ROOT_NODE, .st.mode = S_IFDIR};
	see_entry(e, &a, 0, "", out);
	if (r < 0)
		refuse(&out->list[0], "getattr", r);
	engine_counts(e, &counts);
	out->undecryptable = counts.undecryptable_names;
}

void snapshot_free(struct snapshot *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct seen *e = &s->list[i];

		for (size_t x = 0; x < e->xattr_count; x++) {
			free(e->xattrs[x].name);
			free(e->xattrs[x].value);
		}
		free(e->xattrs);
		free(e->name);
		free(e->target);
		pages_free(&e->data);
	}
	free(s->list);
	*s = (struct snapshot){0};
}

void snapshot_path(const struct snapshot *s, size_t at, char *out, size_t size)
{
	char *copy;

	snprintf(out, size, "%.40s", s->list[at].name);
	while (at && (at = s->list[at].up)) {
		copy = copy_text(out);
		snprintf(out, size, "%.40s/%s", s->list[at].name, copy);
		free(copy);
	}
}

/* ------------------------------------------------------------------ comparing */

static bool same_content(const struct seen *a, const struct seen *b)
{
	if (a->size != b->size)
		return false;
	for (uint64_t page = 0; page * CRASH_PAGE < a->size; page++)
		if (!pages_same(&a->data, &b->data, page))
			return false;
	return true;
}

static bool same_xattrs(const struct seen *a, const struct seen *b)
{
	bool same = a->xattr_count == b->xattr_count;

	for (size_t i = 0; same && i < a->xattr_count; i++) {
		const struct seen_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];

		same = strcmp(x->name, y->name) == 0 && x->size == y->size && memcmp(x->value, y->value, x->size) == 0;
	}
	return same;
}

static const struct seen *other(const struct snapshot *s, const struct seen *like)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].parent == like->parent && strcmp(s->list[i].name, like->name) == 0)
			return &s->list[i];
	return NULL;
}

static const char *entry_differs(const struct seen *a, const struct seen *b)
{
	if (!b)
		return "is missing";
	if (a->ino != b->ino)
		return "is another object";
	if (a->mode != b->mode)
		return "has another mode";
	if (!same_content(a, b))
		return "has other content";
	if (!a->target != !b->target || (a->target && strcmp(a->target, b->target) != 0))
		return "has another target";
	return same_xattrs(a, b) ? NULL : "has other attributes";
}

const char *snapshot_differs(const struct snapshot *a, const struct snapshot *b)
{
	static char text[512];
	char path[256];

	for (size_t i = 0; i < a->count; i++) {
		const char *how = entry_differs(&a->list[i], other(b, &a->list[i]));

		if (!how)
			continue;
		snapshot_path(a, i, path, sizeof(path));
		snprintf(text, sizeof(text), "%s %s", *path ? path : "/", how);
		return text;
	}
	return a->count == b->count ? NULL : "there is more";
}

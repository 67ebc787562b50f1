#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/directory.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/zone.h"

/* ------------------------------------------------------------------ lists of names */

int check_list_add(struct check_list *l, const char *name)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 32;
		char **names = reallocarray(l->names, room, sizeof *names);

		if (!names)
			return -ENOMEM;
		l->names = names;
		l->room = room;
	}
	l->names[l->count] = strdup(name);
	return l->names[l->count] ? (l->count++, 0) : -ENOMEM;
}

void check_list_free(struct check_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->names[i]);
	free(l->names);
	*l = (struct check_list){0};
}

static int add_entry(void *data, const struct store_dirent *d)
{
	return check_list_add(data, d->name);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int check_list_read(struct engine *e, int fd, struct check_list *out)
{
	int r = directory_scan(e, fd, add_entry, out);

	if (out->count)
		qsort(out->names, out->count, sizeof *out->names, compare);
	return r;
}

size_t check_list_first(const struct check_list *l, const char *prefix)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(l->names[middle], prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < l->count && strncmp(l->names[low], prefix, strlen(prefix)) == 0 ? low : l->count;
}

bool check_list_has(const struct check_list *l, const char *name)
{
	size_t i = check_list_first(l, name);

	return i < l->count && strcmp(l->names[i], name) == 0;
}

/* ------------------------------------------------------------------ frames */

static struct check_dir *new_frame(struct check *c, struct check_dir *up, struct node *n, const char *backing)
{
	struct check_dir *d = calloc(1, sizeof *d);

	if (!d) {
		node_unref(c->e, n);
		return NULL;
	}
	d->up = up;
	d->node = n;
	snprintf(d->backing, sizeof d->backing, "%s", backing);
	return d;
}

void check_leave(struct check *c, struct check_dir **at)
{
	struct check_dir *d = *at;

	*at = d->up;
	check_list_free(&d->entries);
	check_list_free(&d->below);
	node_unref(c->e, d->node);
	free(d);
}

/* A frame for a directory in d; NULL if it is none (any more). */
static int enter(struct check *c, struct check_dir *up, const char *backing, struct check_dir **out)
{
	struct store_stat st;
	struct node *n;
	int r = node_use(c->e, up->node);

	*out = NULL;
	if (r < 0)
		return 0;
	r = store_stat_at(c->e->store, up->node->fd, backing, &st);
	if (r == 0 && S_ISDIR(st.mode)) {
		n = node_enter(c->e, up->node, backing, &st, false);
		*out = n ? new_frame(c, up, n, backing) : NULL;
		if (*out)
			(*out)->named = up->has_id && (names_decrypt(c->e, up->node, backing, (*out)->name) == 0 ||
						       check_copy_name(c, up->node, backing, (*out)->name));
		r = *out ? 0 : -ENOMEM;
	}
	node_unuse(c->e, up->node);
	return r == -ENOMEM ? r : 0;
}

static struct check_dir *enter_root(struct check *c)
{
	return new_frame(c, NULL, node_ref(c->e, c->e->root), "");
}

/* Reads the record again on the way to a path: what a visit found out is not kept. */
static void load_id(struct check *c, struct check_dir *d)
{
	if (node_use(c->e, d->node) < 0)
		return;
	d->has_id = names_read_record(c->e, d->node->fd, &d->node->dir->record) == 0;
	if (d->has_id)
		zone_load(c->e, d->node);
	atomic_store(&d->node->dir->loaded, d->has_id);
	node_unuse(c->e, d->node);
}

int check_enter_path(struct check *c, const char *path, struct check_dir **out)
{
	_cleanup_free_ char *copy = strdup(path);
	struct check_dir *d = copy ? enter_root(c) : NULL, *child;
	char *rest = copy, *component;
	int r = d ? 0 : -ENOMEM;

	while (r == 0 && d && (component = strsep(&rest, "/"))) {
		if (!*component)
			continue;
		load_id(c, d);
		r = enter(c, d, component, &child);
		if (r == 0 && child) {
			d = child;
			continue;
		}
		while (d)
			check_leave(c, &d);
	}
	*out = d;
	return r;
}

/* ------------------------------------------------------------------ the walk */

static int visit_one(struct check *c, struct check_dir *d, check_visit *visit)
{
	int r = node_use(c->e, d->node);

	if (r == 0) {
		r = visit(c, d);
		check_list_free(&d->entries);
		node_unuse(c->e, d->node);
		return r;
	}
	c->partial = true;
	/* Counting beforehand is silent. */
	return visit == check_measure ? 0
				      : check_say(c, d, NULL, NULL, check_store_kind(r),
						  "the directory cannot be opened: %s", strerror(-r));
}

int check_walk(struct check *c, check_visit *visit)
{
	struct check_dir *d = enter_root(c), *child;
	int r = d ? visit_one(c, d, visit) : -ENOMEM;

	while (d) {
		if (r == 0 && !c->stop && d->next < d->below.count) {
			r = enter(c, d, d->below.names[d->next++], &child);
			if (r == 0 && child) {
				d = child;
				r = visit_one(c, d, visit);
			}
		} else {
			check_leave(c, &d);
		}
	}
	return r;
}

int check_measure(struct check *c, struct check_dir *d)
{
	int r = check_list_read(c->e, d->node->fd, &d->entries);

	if (r == -ENOMEM)
		return r;
	for (size_t i = 0; i < d->entries.count; i++) {
		const char *name = d->entries.names[i];
		struct store_stat st;

		if (names_is_ours(name) || store_stat_at(c->e->store, d->node->fd, name, &st) < 0)
			continue;
		if (S_ISREG(st.mode))
			c->total += st.size < st.blocks * 512 ? st.size : st.blocks * 512;
		if (S_ISDIR(st.mode) && check_list_add(&d->below, name) < 0)
			return -ENOMEM;
	}
	return 0;
}

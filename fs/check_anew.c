/* Objects that have the id of another, because somebody copied them below: --repair gives them ids of their own.
 *
 *  (1) The copy is made anew beside itself through the engine, as a program in the mount would do it, and takes the place of the
 *      first one only when it is whole and synced.  What cannot be read completely stays as it is.
 *  (2) Files first, then directories, the deepest first: a new directory takes over entries that are in order already. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/directory.h"

enum { PIECE = 1 << 20, ATTRIBUTES_MAX = 65536 };

int check_keep_doubled(struct check *c, const struct check_dir *d, const struct check_entry *en, uint64_t other)
{
	struct doubled *at;

	if (c->doubled_count == c->doubled_room) {
		size_t room = c->doubled_room ? 2 * c->doubled_room : 16;
		struct doubled *more = reallocarray(c->doubled, room, sizeof *more);

		if (!more)
			return -ENOMEM;
		c->doubled = more;
		c->doubled_room = room;
	}
	at = &c->doubled[c->doubled_count];
	*at = (struct doubled){.directory = !en, .quiet = en && en->copy, .other = other};
	at->path = check_path(d, en ? en->backing : NULL, en ? en->name : NULL, &at->plain);
	return at->path ? (c->doubled_count++, 0) : -ENOMEM;
}

/* ------------------------------------------------------------------ what a copy takes along */

static int copy_range(struct engine *e, uint64_t from, uint64_t to, uint64_t begin, uint64_t end)
{
	_cleanup_free_ uint8_t *buf = malloc(PIECE);

	if (!buf)
		return -ENOMEM;
	while (begin < end) {
		ssize_t n = fs_read(e, from, buf, end - begin < PIECE ? end - begin : PIECE, begin);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		n = fs_write(e, to, buf, (size_t)n, begin, false);
		if (n < 0)
			return (int)n;
		begin += (uint64_t)n;
	}
	return 0;
}

static int copy_content(struct engine *e, uint64_t from, uint64_t to, uint64_t size)
{
	const struct setattr_request r = {.size_set = true, .size = size};
	uint64_t begin = 0, end = 0;
	struct node_attr ignored;
	int result = 0;

	while (result == 0 && end < size) {
		result = fs_lseek(e, from, end, false, &begin);
		if (result == -ENXIO) /* a hole up to the end */
			break;
		if (result == 0)
			result = fs_lseek(e, from, begin, true, &end);
		if (result == 0)
			result = copy_range(e, from, to, begin, end);
	}
	return result == 0 || result == -ENXIO ? fs_setattr(e, to, &r, &ignored) : result;
}

static int copy_attribute(struct engine *e, uint64_t from, uint64_t to, const char *name)
{
	_cleanup_free_ uint8_t *value = malloc(ATTRIBUTES_MAX);
	ssize_t n = value ? fs_getxattr(e, from, name, value, ATTRIBUTES_MAX) : -ENOMEM;

	return n < 0 ? (int)n : fs_setxattr(e, to, name, value, (size_t)n, 0, false);
}

static int copy_attributes(struct engine *e, uint64_t from, uint64_t to)
{
	_cleanup_free_ char *list = malloc(ATTRIBUTES_MAX);
	ssize_t n = list ? fs_listxattr(e, from, list, ATTRIBUTES_MAX) : -ENOMEM;
	int r = 0;

	if (n < 0)
		return n == -EOPNOTSUPP ? 0 : (int)n;
	for (ssize_t i = 0; i < n && r == 0; i += (ssize_t)strlen(list + i) + 1)
		r = copy_attribute(e, from, to, list + i);
	return r;
}

/* Owner before attributes (a change of owner takes capabilities away), mode and times last. */
static int copy_rest(struct engine *e, const struct node_attr *from, uint64_t to)
{
	const struct store_stat *st = &from->st;
	const struct setattr_request owner = {.uid_set = true, .gid_set = true, .uid = st->uid, .gid = st->gid};
	const struct setattr_request rest = {.mode_set = true,
					     .atime_set = true,
					     .mtime_set = true,
					     .mode = st->mode & 07777,
					     .atime = st->atime,
					     .mtime = st->mtime};
	struct node_attr ignored;
	int r = fs_setattr(e, to, &owner, &ignored);

	if (r == 0)
		r = copy_attributes(e, from->node, to);
	return r == 0 ? fs_setattr(e, to, &rest, &ignored) : r;
}

/* ------------------------------------------------------------------ files */

static const struct caller *self(struct caller *out)
{
	*out = (struct caller){geteuid(), getegid(), getpid(), 0077};
	return out;
}

static int file_anew(struct check_place *p)
{
	char temporary[OWN_NAME_MAX];
	struct node_attr made = {0};
	struct caller caller;
	int r = directory_own_name("check", temporary);

	if (r == 0 && (!S_ISREG(p->attr.st.mode) || p->attr.st.nlink > 1))
		r = -EMLINK;
	if (r == 0)
		r = fs_mknod(p->e, self(&caller), p->parent, temporary, S_IFREG | 0600, 0, &made);
	if (r < 0)
		return r;
	r = copy_content(p->e, p->attr.node, made.node, p->attr.st.size);
	if (r == 0)
		r = copy_rest(p->e, &p->attr, made.node);
	if (r == 0)
		r = fs_fsync(p->e, made.node, false);
	if (r == 0)
		r = fs_rename(p->e, p->parent, temporary, p->parent, p->name, 0);
	if (r < 0)
		fs_unlink(p->e, p->parent, temporary);
	return r;
}

/* ------------------------------------------------------------------ directories */

static bool collect(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next,
		    const struct node_attr *attr)
{
	(void)ino;
	(void)type;
	(void)next;
	(void)attr;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	return check_list_add(data, name) == 0;
}

static int move_all(struct engine *e, uint64_t from, uint64_t to)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	int r = fs_readdir(e, from, 0, false, collect, &list);

	for (size_t i = 0; i < list.count && r == 0; i++)
		r = fs_rename(e, from, list.names[i], to, list.names[i], RENAME_NOREPLACE);
	return r;
}

static int directory_anew(struct check_place *p)
{
	char temporary[OWN_NAME_MAX];
	struct node_attr made = {0};
	struct caller caller;
	int r = directory_own_name("check", temporary);

	if (r == 0)
		r = fs_mkdir(p->e, self(&caller), p->parent, temporary, 0700, &made);
	if (r < 0)
		return r;
	r = move_all(p->e, p->attr.node, made.node);
	if (r == 0)
		r = copy_rest(p->e, &p->attr, made.node);
	/* Fails if something is left in it that is not ours. */
	if (r == 0)
		r = fs_rename(p->e, p->parent, temporary, p->parent, p->name, 0);
	if (r < 0 && move_all(p->e, made.node, p->attr.node) == 0)
		fs_rmdir(p->e, p->parent, temporary);
	return r;
}

/* ------------------------------------------------------------------ all of them */

int check_find(struct engine *e, const char *path, struct check_place *p)
{
	_cleanup_free_ char *copy = strdup(path);
	char *rest = copy, *component;
	int r = copy ? 0 : -ENOMEM;

	*p = (struct check_place){.e = e, .parent = ROOT_NODE, .attr.node = ROOT_NODE};
	while (r == 0 && (component = strsep(&rest, "/"))) {
		p->parent = p->attr.node;
		strncpy(p->name, component, NAME_MAX);
		r = fs_lookup(e, p->parent, component, &p->attr);
		if (r == 0 && !p->attr.node)
			r = -ENOENT;
	}
	return r;
}

static int make_anew(struct check *c, struct engine *e, const struct doubled *d, const char *kind)
{
	struct check_place p;
	int r = d->plain ? check_find(e, d->path, &p) : -ENOENT;

	if (r == 0)
		r = d->directory ? directory_anew(&p) : file_anew(&p);
	if (r == -ENOMEM)
		return r;

	struct check_finding f = {CHECK_WARNING, r == 0, d->plain, kind, d->path, NULL};

	if (r == 0 && d->quiet)
		return 0;
	if (asprintf(&f.text, "it had the id of the object with inode %" PRIu64 " below; %s", d->other,
		     r == 0         ? "it has its own now"
		     : r == -EMLINK ? "it has hard links: copy it through a mount and remove it there"
				    : strerror(-r)) < 0)
		return -ENOMEM;
	r = check_report_add(c->report, &f);
	free(f.text);
	return r;
}

static int say_doubled(struct check *c, const struct doubled *d, const char *kind)
{
	struct check_finding f = {CHECK_WARNING, false, d->plain, kind, d->path, NULL};
	int r;

	if (d->quiet)
		return 0;
	if (asprintf(&f.text,
		     "the object with inode %" PRIu64
		     " below has the same id; one is a copy that was made below: --repair gives it an id of its own",
		     d->other) < 0)
		return -ENOMEM;
	r = check_report_add(c->report, &f);
	free(f.text);
	return r;
}

static int one(struct check *c, struct engine *e, const struct doubled *d)
{
	const char *kind = d->directory ? "doubled-directory" : "doubled-file";

	return e ? make_anew(c, e, d, kind) : say_doubled(c, d, kind);
}

static int all(struct check *c, struct engine *e)
{
	int r = 0;

	for (size_t i = 0; i < c->doubled_count && r == 0 && !c->stop; i++)
		if (!c->doubled[i].directory)
			r = one(c, e, &c->doubled[i]);
	for (size_t i = c->doubled_count; i-- > 0 && r == 0 && !c->stop;)
		if (c->doubled[i].directory)
			r = one(c, e, &c->doubled[i]);
	return r;
}

/* The ids of the directories that were replaced; their parents are synced. */
static void sweep_gone(struct check *c)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	struct store *s = c->e->store;

	if (c->keep_gone || c->e->gone_dir < 0 || check_list_read(c->e, c->e->gone_dir, &list) < 0)
		return;
	for (size_t i = 0; i < list.count; i++)
		s->ops->unlink(s, c->e->gone_dir, list.names[i]);
}

int check_doubled(struct check *c)
{
	struct engine_options eo = {.inspect = true};
	struct fault ignored = {.status = EXIT_OK};
	struct opened *o = &c->opened;
	struct engine *e;
	int r, stopped;

	if (!c->repair || c->doubled_count == 0)
		return all(c, NULL);
	r = engine_start(o->store, o->dot, o->data, keyring_settings(o->keyring), keyring_root_directory(o->keyring),
			 o->keys, &eo, &e, &ignored);
	if (r < 0)
		return r;
	e->caps = c->e->caps;
	r = all(c, e);
	stopped = engine_stop(&e);
	sweep_gone(c);
	return r < 0 ? r : stopped;
}

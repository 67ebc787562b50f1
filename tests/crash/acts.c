#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acts_internal.h"
#include "fs/rekey.h"

static const struct caller me = {.umask = 022};

/* ------------------------------------------------------------------ frame */

/* Begins an operation: the number of calls before it. */
static size_t begin(struct live *l)
{
	l->o.operation++;
	return crash_store_count(l->m.cs);
}

static size_t now(struct live *l)
{
	return crash_store_count(l->m.cs);
}

/* True if it worked. */
static bool worked(struct live *l, const char *what, ssize_t r)
{
	if (r < 0 && !l->refused[0])
		snprintf(l->refused, sizeof(l->refused), "operation %u, %s: %s", l->o.operation, what,
			 strerror((int)-r));
	return r >= 0;
}

static void start(struct live *l, struct crash_store *cs)
{
	struct fault why = {0};

	if (mounted_start(&l->m, l->base, cs, &why) < 0) {
		fprintf(stderr, "cannot start: %s\n", why.text);
		abort();
	}
}

void live_start(struct live *l, const struct base *b, uint64_t seed)
{
	struct node_attr a = {0};

	*l = (struct live){.base = b, .random = seed, .contents = 1};
	start(l, crash_store_new(&b->image));
	worked(l, "getattr", fs_getattr(l->m.e, ROOT_NODE, &a));
	oracle_init(&l->o, a.st.ino);
	l->o.objects[ORACLE_ROOT].node = ROOT_NODE;
}

void live_stop(struct live *l)
{
	worked(l, "stop", mounted_stop(&l->m));
}

void live_free(struct live *l)
{
	oracle_free(&l->o);
	crash_store_free(l->m.cs);
	keys_unref(l->rotated.keys);
}

uint64_t live_draw(struct live *l, uint64_t below)
{
	l->random = mix(l->random, 1);
	return l->random % below;
}

static void learn(struct live *l, unsigned object, const struct node_attr *a)
{
	struct object *b = &l->o.objects[object];

	b->node = a->node;
	b->lookups++;
}

/* The node of an object, looked up if need be. */
static uint64_t node_of(struct live *l, unsigned object)
{
	struct binding *b = oracle_name_of(&l->o, object);
	struct node_attr a;

	if (l->o.objects[object].node || !b)
		return l->o.objects[object].node;
	if (worked(l, "lookup", fs_lookup(l->m.e, node_of(l, b->dir), b->name, &a)))
		learn(l, object, &a);
	return l->o.objects[object].node;
}

static void note_mode(struct live *l, unsigned object, mode_t mode, size_t from)
{
	mode &= 07777;
	oracle_fact(&l->o, object, "mode", &mode, sizeof(mode), false, from, now(l));
}

/* ------------------------------------------------------------------ names */

static unsigned made(struct live *l, unsigned dir, const char *name, const char *target, const struct node_attr *a,
		     size_t from)
{
	unsigned object = oracle_object(&l->o, a->st.ino, a->st.mode, target, from, now(l));

	learn(l, object, a);
	note_mode(l, object, a->st.mode, from);
	if (name)
		oracle_bind(&l->o, dir, name, object, false, from, now(l));
	return object;
}

unsigned act_create(struct live *l, unsigned dir, const char *name, mode_t mode)
{
	uint64_t parent = node_of(l, dir);
	struct node_attr a = {0};
	size_t from = begin(l);

	worked(l, "create", fs_mknod(l->m.e, &me, parent, name, S_IFREG | mode, 0, &a));
	return made(l, dir, name, NULL, &a, from);
}

unsigned act_tmpfile(struct live *l, unsigned dir)
{
	uint64_t parent = node_of(l, dir);
	struct node_attr a = {0};
	size_t from = begin(l);

	worked(l, "tmpfile", fs_tmpfile(l->m.e, &me, parent, 0644, &a));
	return made(l, dir, NULL, NULL, &a, from);
}

unsigned act_mkdir(struct live *l, unsigned dir, const char *name, mode_t mode)
{
	uint64_t parent = node_of(l, dir);
	struct node_attr a = {0};
	size_t from = begin(l);

	worked(l, "mkdir", fs_mkdir(l->m.e, &me, parent, name, mode, &a));
	return made(l, dir, name, NULL, &a, from);
}

void act_symlink(struct live *l, unsigned dir, const char *name, const char *target)
{
	uint64_t parent = node_of(l, dir);
	struct node_attr a = {0};
	size_t from = begin(l);

	worked(l, "symlink", fs_symlink(l->m.e, &me, target, parent, name, &a));
	made(l, dir, name, target, &a, from);
}

void act_link(struct live *l, unsigned object, unsigned dir, const char *name)
{
	uint64_t node = node_of(l, object), parent = node_of(l, dir);
	struct node_attr a = {0};
	size_t from = begin(l);

	if (worked(l, "link", fs_link(l->m.e, &me, node, parent, name, &a)))
		learn(l, object, &a);
	oracle_bind(&l->o, dir, name, object, false, from, now(l));
}

void act_unlink(struct live *l, unsigned dir, const char *name)
{
	uint64_t parent = node_of(l, dir);
	struct binding *b = oracle_bound(&l->o, dir, name);
	bool directory = S_ISDIR(l->o.objects[b->object].type);
	size_t from = begin(l);

	worked(l, "unlink", directory ? fs_rmdir(l->m.e, parent, name) : fs_unlink(l->m.e, parent, name));
	oracle_unbind(&l->o, b, false, from, now(l));
}

static bool is_directory(const struct live *l, unsigned object)
{
	return object && S_ISDIR(l->o.objects[object].type);
}

void act_rename(struct live *l, unsigned dir, const char *name, unsigned dir2, const char *name2, unsigned flags)
{
	uint64_t parent = node_of(l, dir), parent2 = node_of(l, dir2);
	struct binding *a = oracle_bound(&l->o, dir, name), *b = oracle_bound(&l->o, dir2, name2);
	unsigned moved = a->object, there = b ? b->object : 0;
	bool exchange = flags & RENAME_EXCHANGE;
	size_t from = begin(l);

	worked(l, "rename", fs_rename(l->m.e, parent, name, parent2, name2, flags));
	/* Two names of one file: POSIX leaves both, and nothing is replaced. */
	if (moved == there)
		return;
	oracle_unbind(&l->o, a, true, from, now(l));
	if (b)
		oracle_unbind(&l->o, b, exchange, from, now(l));
	/* These may move the bindings. */
	oracle_bind(&l->o, dir2, name2, moved, there && !exchange, from, now(l));
	if (exchange)
		oracle_bind(&l->o, dir, name, there, false, from, now(l));
	/* A directory that is replaced changes places with the new one, and goes from there: two steps (engine (12)). */
	if (is_directory(l, there) && !exchange) {
		oracle_bind(&l->o, dir, name, there, false, from, now(l));
		oracle_unbind(&l->o, oracle_bound(&l->o, dir, name), false, from, now(l));
	}
}

/* ------------------------------------------------------------------ content */

uint64_t act_size(const struct live *l, unsigned object)
{
	const struct object *b = &l->o.objects[object];

	return b->versions[b->version_count - 1].size;
}

static void fill(uint8_t *buf, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		if (i % 8 == 0)
			seed = mix(seed, i);
		buf[i] = (uint8_t)(seed >> i % 8 * 8) | 1; /* never zero */
	}
}

void act_write(struct live *l, unsigned object, uint64_t off, size_t n)
{
	uint64_t node = node_of(l, object);
	uint8_t *buf = need(malloc(n));
	size_t from = begin(l);
	struct version *v;

	ssize_t put;

	fill(buf, n, l->contents++);
	put = fs_write(l->m.e, node, buf, n, off, false);
	if (l->meanwhile.kind == MEANWHILE_PAGE)
		acts_end_meanwhile(l);
	if (put == -ENOSPC && l->full) {
		free(buf);
		return;
	}
	/* A full store may have taken a first part. */
	if (l->full && put > 0)
		n = (size_t)put;
	worked(l, "write", put);
	v = oracle_version(&l->o, object, HOW_WRITE, from, now(l));
	pages_write(&v->data, buf, n, off);
	v->off = off;
	v->n = n;
	if (off + n > v->size)
		v->size = off + n;
	free(buf);
}

void act_read(struct live *l, unsigned object)
{
	uint64_t node = node_of(l, object);
	uint8_t byte;

	begin(l);
	worked(l, "read", fs_read(l->m.e, node, &byte, 1, 0));
}

void act_append(struct live *l, unsigned object, size_t n)
{
	act_write(l, object, act_size(l, object), n);
}

void act_truncate(struct live *l, unsigned object, uint64_t size)
{
	struct setattr_request r = {.size_set = true, .size = size};
	uint64_t node = node_of(l, object);
	struct node_attr a;
	size_t from = begin(l);
	struct version *v;

	worked(l, "truncate", fs_setattr(l->m.e, node, &r, &a));
	v = oracle_version(&l->o, object, HOW_WHOLE, from, now(l));
	pages_cut(&v->data, size);
	v->size = size;
}

void act_punch(struct live *l, unsigned object, uint64_t off, uint64_t n)
{
	uint64_t node = node_of(l, object);
	size_t from = begin(l);
	struct version *v;

	worked(l, "punch", fs_fallocate(l->m.e, node, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, n));
	v = oracle_version(&l->o, object, HOW_PAGES, from, now(l));
	pages_punch(&v->data, off, n);
}

void act_allocate(struct live *l, unsigned object, uint64_t off, uint64_t n)
{
	uint64_t node = node_of(l, object);
	size_t from = begin(l);
	struct version *v;

	worked(l, "fallocate", fs_fallocate(l->m.e, node, 0, off, n));
	v = oracle_version(&l->o, object, HOW_WHOLE, from, now(l));
	if (off + n > v->size)
		v->size = off + n;
}

void act_copy(struct live *l, unsigned from, unsigned to, uint64_t off, uint64_t n)
{
	/* Steps of a copy end where pages of the source do: pages of the target as well. */
	uint64_t a = node_of(l, from), b = node_of(l, to),
		 at = (act_size(l, to) + CRASH_PAGE - 1) / CRASH_PAGE * CRASH_PAGE;
	uint8_t *buf = need(malloc((size_t)n));
	size_t start_of = begin(l);
	struct version *v;

	pages_read(&l->o.objects[from].versions[l->o.objects[from].version_count - 1].data, buf, (size_t)n, off);
	worked(l, "copy", fs_copy_range(l->m.e, a, off, b, at, n));
	v = oracle_version(&l->o, to, HOW_WRITE, start_of, now(l));
	pages_write(&v->data, buf, (size_t)n, at);
	v->off = at;
	v->n = n;
	v->size = at + n;
	free(buf);
}

/* ------------------------------------------------------------------ attributes */

void act_chmod(struct live *l, unsigned object, mode_t mode)
{
	struct setattr_request r = {.mode_set = true, .mode = mode};
	uint64_t node = node_of(l, object);
	struct node_attr a;
	size_t from = begin(l);

	worked(l, "chmod", fs_setattr(l->m.e, node, &r, &a));
	note_mode(l, object, mode, from);
}

void act_setxattr(struct live *l, unsigned object, const char *name, size_t n)
{
	uint64_t node = node_of(l, object);
	uint8_t *value = need(malloc(n ? n : 1));
	size_t from = begin(l);

	fill(value, n, l->contents++);
	worked(l, "setxattr", fs_setxattr(l->m.e, node, name, value, n, 0, false));
	oracle_fact(&l->o, object, name, value, n, false, from, now(l));
	free(value);
}

void act_removexattr(struct live *l, unsigned object, const char *name)
{
	uint64_t node = node_of(l, object);
	size_t from = begin(l);

	worked(l, "removexattr", fs_removexattr(l->m.e, node, name));
	oracle_fact(&l->o, object, name, "", 0, true, from, now(l));
}

/* ------------------------------------------------------------------ syncing */

bool act_fsync(struct live *l, unsigned object)
{
	uint64_t node = node_of(l, object);
	size_t from = begin(l);
	int r;

	r = fs_fsync(l->m.e, node, false);
	acts_end_meanwhile(l);
	if ((r < 0 && l->failing) || !worked(l, "fsync", r))
		return false;
	oracle_promise_content(&l->o, object, from, now(l));
	oracle_promise_attributes(&l->o, object, from, now(l));
	oracle_promise_way(&l->o, object, from, now(l));
	return true;
}

void act_fdatasync(struct live *l, unsigned object)
{
	uint64_t node = node_of(l, object);
	size_t from = begin(l);

	worked(l, "fdatasync", fs_fsync(l->m.e, node, true));
	acts_end_meanwhile(l);
	oracle_promise_content(&l->o, object, from, now(l));
}

void act_fsyncdir(struct live *l, unsigned dir)
{
	uint64_t node = node_of(l, dir);
	size_t from = begin(l);

	worked(l, "fsyncdir", fs_fsyncdir(l->m.e, node));
	acts_end_meanwhile(l);
	oracle_promise_names(&l->o, dir, from, now(l));
	oracle_promise_attributes(&l->o, dir, from, now(l));
	oracle_promise_way(&l->o, dir, from, now(l));
}

bool act_tick(struct live *l)
{
	size_t from = begin(l);
	int r = mounted_tick(&l->m);

	acts_end_meanwhile(l);
	if ((r < 0 && (l->failing || l->full)) || !worked(l, "checkpoint", r))
		return false;
	for (unsigned i = 0; base_can_journal() && l->base->journal && i < l->o.object_count; i++) {
		if (S_ISREG(l->o.objects[i].type))
			oracle_promise_content(&l->o, i, from, now(l));
		if (S_ISDIR(l->o.objects[i].type) && l->o.objects[i].readable_at > now(l))
			l->o.objects[i].readable_at = now(l);
	}
	return true;
}

void act_remount(struct live *l)
{
	struct crash_store *cs = l->m.cs;
	size_t from = begin(l), to;

	worked(l, "stop", mounted_stop(&l->m));
	to = now(l);
	start(l, cs);
	for (unsigned i = 0; i < l->o.object_count; i++) {
		struct object *b = &l->o.objects[i];

		b->node = i == ORACLE_ROOT ? ROOT_NODE : 0;
		b->lookups = 0;
		oracle_promise_content(&l->o, i, from, to);
		oracle_promise_attributes(&l->o, i, from, to);
		if (S_ISDIR(b->type))
			oracle_promise_names(&l->o, i, from, to);
	}
}

void act_kill(struct live *l)
{
	struct mounted was = l->m;
	const struct record *r = crash_store_record(was.cs);
	struct cut cut = {.model = MODEL_KILL, .calls = r->count};
	struct image left;

	begin(l);
	survive(&l->base->image, r, &cut, &left, NULL);
	start(l, crash_store_after_kill(&left, r, r->count, NULL));
	image_free(&left);
	mounted_stop(&was);
	crash_store_free(was.cs);
	for (unsigned i = 0; i < l->o.object_count; i++) {
		l->o.objects[i].node = i == ORACLE_ROOT ? ROOT_NODE : 0;
		l->o.objects[i].lookups = 0;
	}
}

void act_forget(struct live *l, unsigned object)
{
	struct object *b = &l->o.objects[object];

	if (object == ORACLE_ROOT || !b->node)
		return;
	begin(l);
	fs_forget(l->m.e, b->node, b->lookups);
	b->node = 0;
	b->lookups = 0;
}

/* ------------------------------------------------------------------ keys */

void act_rotate(struct live *l)
{
	l->rotated = *l->base;
	l->rotated.keys = base_other_keys(l->base);
	l->base = &l->rotated;
	act_remount(l);
}

/* A link has another inode then: in what a crash leaves, either. */
static void learn_links(struct live *l)
{
	for (unsigned i = 0; i < l->o.object_count; i++) {
		struct object *b = &l->o.objects[i];
		struct node_attr a;

		if (!S_ISLNK(b->type) || !oracle_name_of(&l->o, i))
			continue;
		if (!worked(l, "getattr", fs_getattr(l->m.e, node_of(l, i), &a)) || a.st.ino == b->ino)
			continue;
		b->ino_before = b->ino;
		b->ino = a.st.ino;
	}
}

void act_rekey(struct live *l, struct rekey *k)
{
	k->e = l->m.e;
	begin(l);
	worked(l, "rekey", rekey_aim(k, REKEY_ALL));
	worked(l, "rekey", rekey_pass(k));
	learn_links(l);
}

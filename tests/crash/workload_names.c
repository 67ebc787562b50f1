/* Workloads on names and attributes. */
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "workload_internal.h"

/* ------------------------------------------------------------------ names */

void run_moves(struct live *l)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	unsigned dirs[3] = {ORACLE_ROOT, act_mkdir(l, ORACLE_ROOT, "one", 0755),
			    act_mkdir(l, ORACLE_ROOT, "two", 0755)};

	for (unsigned i = 0; i < 45; i++) {
		unsigned dir = dirs[live_draw(l, 3)], dir2 = dirs[live_draw(l, 3)];
		const char *name = names[live_draw(l, 5)], *name2 = names[live_draw(l, 5)];
		struct binding *a = oracle_bound(&l->o, dir, name), *b = oracle_bound(&l->o, dir2, name2);

		if (!a) {
			unsigned file = act_create(l, dir, name, 0644);

			act_append(l, file, draw_size(l));
			if (draw_one_in(l, 3))
				act_sync_somehow(l, file, dir);
		} else if (a == b || (b && a->object == b->object)) {
			act_append(l, a->object, draw_size(l));
		} else if (b && draw_one_in(l, 2)) {
			act_rename(l, dir, name, dir2, name2, RENAME_EXCHANGE);
		} else if (!b && draw_one_in(l, 3)) {
			act_link(l, a->object, dir2, name2);
		} else if (draw_one_in(l, 6)) {
			act_unlink(l, dir, name);
		} else {
			act_rename(l, dir, name, dir2, name2, b ? 0 : (unsigned)live_draw(l, 2));
		}
		if (draw_one_in(l, 4))
			act_fsyncdir(l, draw_one_in(l, 2) ? dir : dir2);
		act_meanwhile(l);
	}
}

static void long_name(struct live *l, char out[256], unsigned n)
{
	size_t size = draw_one_in(l, 2) ? 255 : (size_t)draw_between(l, 150, 200);

	memset(out, 'n', 255);
	out[snprintf(out, 16, "long%u", n)] = '-';
	out[size] = 0;
}

/* Directories, renamed with dirty files in them, and names that are kept in sidecars. */
void run_trees(struct live *l)
{
	unsigned dirs[40] = {ORACLE_ROOT}, count = 1;
	char name[256];

	for (unsigned i = 0; i < 30; i++) {
		unsigned at = (unsigned)live_draw(l, count), dir = dirs[at];
		struct binding *b = dir == ORACLE_ROOT ? NULL : oracle_name_of(&l->o, dir);

		if (draw_one_in(l, 3))
			long_name(l, name, i);
		else
			snprintf(name, sizeof(name), "entry-%u", i);
		if (draw_one_in(l, 3)) {
			dirs[count++] = act_mkdir(l, dir, name, 0755);
		} else if (b && draw_one_in(l, 3)) {
			act_rename(l, b->dir, b->name, draw_one_in(l, 2) ? b->dir : ORACLE_ROOT, name, 0);
		} else {
			unsigned file = act_create(l, dir, name, 0644);

			act_append(l, file, draw_size(l));
			if (draw_one_in(l, 4))
				act_fsync(l, file);
			if (draw_one_in(l, 6))
				act_unlink(l, dir, name);
		}
		if (draw_one_in(l, 5))
			act_fsyncdir(l, dir);
		if (i == 15 && draw_one_in(l, 3))
			act_remount(l);
		act_meanwhile(l);
	}
}

/* Directories that come and go, and what was in them. */
void run_removals(struct live *l)
{
	unsigned keep = act_mkdir(l, ORACLE_ROOT, "keep", 0755);

	for (unsigned i = 0; i < 9; i++) {
		unsigned dir = act_mkdir(l, ORACLE_ROOT, "passing", 0755), file = act_create(l, dir, "f", 0644);
		char name[32];

		act_append(l, file, draw_size(l));
		if (draw_one_in(l, 2))
			act_fsync(l, file);
		if (draw_one_in(l, 2))
			act_fsyncdir(l, dir);
		if (draw_one_in(l, 2))
			act_fsyncdir(l, ORACLE_ROOT);
		snprintf(name, sizeof(name), "saved-%u", i);
		if (draw_one_in(l, 2))
			act_rename(l, dir, "f", keep, name, 0);
		else
			act_unlink(l, dir, "f");
		if (draw_one_in(l, 3))
			act_fsyncdir(l, keep);
		if (draw_one_in(l, 3)) {
			act_mkdir(l, ORACLE_ROOT, "new", 0755);
			act_rename(l, ORACLE_ROOT, "new", ORACLE_ROOT, "passing", 0);
		}
		act_unlink(l, ORACLE_ROOT, "passing");
		if (draw_one_in(l, 3))
			act_fsyncdir(l, ORACLE_ROOT);
		act_meanwhile(l);
	}
}

/* Files that are written on without a name, or before they have one. */
void run_nameless(struct live *l)
{
	for (unsigned i = 0; i < 10; i++) {
		unsigned file = act_create_numbered(l, ORACLE_ROOT, "open", i), none = act_tmpfile(l, ORACLE_ROOT);
		char name[32];

		act_append(l, file, draw_size(l));
		if (draw_one_in(l, 2))
			act_fsync(l, file);
		snprintf(name, sizeof(name), "open-%u", i);
		act_unlink(l, ORACLE_ROOT, name);
		act_append(l, file, draw_size(l));
		act_append(l, none, draw_size(l));
		if (draw_one_in(l, 2))
			act_fsync(l, none);
		if (draw_one_in(l, 2)) {
			snprintf(name, sizeof(name), "named-%u", i);
			act_link(l, none, ORACLE_ROOT, name);
			if (draw_one_in(l, 2))
				act_append(l, none, draw_size(l));
			if (draw_one_in(l, 2))
				act_fsync(l, none);
		}
		if (draw_one_in(l, 2))
			act_fsync(l, file);
		if (draw_one_in(l, 2))
			act_forget(l, file);
		if (draw_one_in(l, 3))
			act_fsyncdir(l, ORACLE_ROOT);
		act_meanwhile(l);
	}
}

/* ------------------------------------------------------------------ attributes */

static void attribute_step(struct live *l, unsigned file, bool *has)
{
	static const mode_t modes[] = {0644, 0444, 0000, 0600, 0200, 0755};

	switch (live_draw(l, 5)) {
	case 0:
		act_chmod(l, file, modes[live_draw(l, 6)]);
		act_forget(l, file);
		break;
	case 1:
		act_setxattr(l, file, "user.one", (size_t)draw_between(l, 0, 300));
		*has = true;
		break;
	case 2:
		if (*has)
			act_removexattr(l, file, "user.one");
		*has = false;
		break;
	case 3:
		act_setxattr(l, file, "user.two", (size_t)draw_between(l, 0, 30));
		break;
	default:
		act_append(l, file, draw_size(l));
		break;
	}
}

void run_attributes(struct live *l)
{
	unsigned files[4];
	bool has[4] = {false};

	for (unsigned i = 0; i < 4; i++)
		files[i] = act_create_numbered(l, ORACLE_ROOT, "attributed", i);
	for (unsigned i = 0; i < 40; i++) {
		unsigned at = (unsigned)live_draw(l, 4);

		if (act_size(l, files[at]) > 30 * PAGE)
			act_truncate(l, files[at], 0);
		/* A mode that forbids reading forbids attributes as well: what the kernel would not ask. */
		act_chmod(l, files[at], 0644);
		attribute_step(l, files[at], &has[at]);
		if (draw_one_in(l, 3))
			act_sync_somehow(l, files[at], ORACLE_ROOT);
		act_meanwhile(l);
	}
}

#include "workload.h"

#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

enum { PAGE = CRASH_PAGE };

static bool one_in(struct live *l, uint64_t n)
{
	return live_draw(l, n) == 0;
}

static uint64_t between(struct live *l, uint64_t low, uint64_t high)
{
	return low + live_draw(l, high - low + 1);
}

/* What happens by itself now and then. */
static void meanwhile(struct live *l)
{
	if (one_in(l, 14))
		act_tick(l);
}

/* A size on either side of the edges: empty, inline, the last inline ones, one page, some. */
static size_t any_size(struct live *l)
{
	switch (live_draw(l, 6)) {
	case 0:
		return (size_t)between(l, 1, 40);
	case 1:
		return (size_t)between(l, 100, 3000);
	case 2:
		return (size_t)between(l, 3960, 3976);
	case 3:
		return (size_t)between(l, 4090, 4100);
	default:
		return (size_t)between(l, 4200, 5 * PAGE);
	}
}

static unsigned numbered(struct live *l, unsigned dir, const char *stem, unsigned n)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%u", stem, n);
	return act_create(l, dir, name, 0644);
}

static void sync_somehow(struct live *l, unsigned file, unsigned dir)
{
	switch (live_draw(l, 5)) {
	case 0:
		act_fsync(l, file);
		break;
	case 1:
		act_fdatasync(l, file);
		break;
	case 2:
		act_fsync(l, file);
		act_fsyncdir(l, dir);
		break;
	case 3:
		act_fsyncdir(l, dir);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------------ files */

static void small_files(struct live *l)
{
	unsigned dir = act_mkdir(l, ORACLE_ROOT, "small", 0755);

	for (unsigned i = 0; i < 24; i++) {
		unsigned in = one_in(l, 3) ? ORACLE_ROOT : dir, file = numbered(l, in, "file", i);

		if (!one_in(l, 8))
			act_append(l, file, any_size(l));
		if (one_in(l, 4))
			act_append(l, file, any_size(l));
		if (one_in(l, 2))
			sync_somehow(l, file, in);
		if (one_in(l, 3))
			act_forget(l, file);
		if (i == 11 && one_in(l, 3))
			act_remount(l);
		meanwhile(l);
	}
}

static void logs(struct live *l)
{
	unsigned synced = act_create(l, ORACLE_ROOT, "synced.log", 0644);
	unsigned never = act_create(l, ORACLE_ROOT, "never.log", 0644);
	unsigned data = act_create(l, ORACLE_ROOT, "data.log", 0644);

	act_fsyncdir(l, ORACLE_ROOT);
	for (unsigned i = 0; i < 40; i++) {
		act_append(l, synced, (size_t)between(l, 20, one_in(l, 4) ? 9000 : 900));
		if (one_in(l, 4))
			act_fsync(l, synced);
		act_append(l, never, (size_t)between(l, 20, 1500));
		if (one_in(l, 2))
			act_append(l, data, (size_t)between(l, 1, 400));
		if (one_in(l, 5))
			act_fdatasync(l, data);
		if (i == 20 && one_in(l, 3))
			act_remount(l);
		meanwhile(l);
	}
}

static void rewrite_some(struct live *l, unsigned file, unsigned pages, unsigned count)
{
	while (count--)
		act_write(l, file, live_draw(l, pages) * PAGE, PAGE);
}

/* As SQLite with journal_mode=DELETE. */
static void rollback(struct live *l)
{
	enum { PAGES = 24 };
	unsigned db = act_create(l, ORACLE_ROOT, "db", 0644);

	act_write(l, db, 0, PAGES * PAGE);
	act_fsync(l, db);
	act_fsyncdir(l, ORACLE_ROOT);
	if (one_in(l, 2))
		act_remount(l);
	for (unsigned i = 0; i < 6; i++) {
		unsigned journal = act_create(l, ORACLE_ROOT, "db-journal", 0644);

		act_write(l, journal, 0, 512);
		for (unsigned n = 0; n < 3; n++)
			act_append(l, journal, PAGE + 8);
		act_fsync(l, journal);
		act_write(l, journal, 0, 12);
		act_fsync(l, journal);
		act_fsyncdir(l, ORACLE_ROOT);
		rewrite_some(l, db, PAGES, 3);
		act_fsync(l, db);
		act_unlink(l, ORACLE_ROOT, "db-journal");
		if (one_in(l, 2))
			act_fsyncdir(l, ORACLE_ROOT);
		meanwhile(l);
	}
}

/* As SQLite with journal_mode=WAL. */
static void wal(struct live *l)
{
	enum { PAGES = 16 };
	unsigned db = act_create(l, ORACLE_ROOT, "db", 0644), log = act_create(l, ORACLE_ROOT, "db-wal", 0644);
	uint64_t at = 0;

	act_write(l, db, 0, PAGES * PAGE);
	act_fsync(l, db);
	act_fsyncdir(l, ORACLE_ROOT);
	for (unsigned i = 0; i < 30; i++) {
		if (at == 0)
			act_write(l, log, at, 32);
		at = at ? at : 32;
		act_write(l, log, at, 24);
		act_write(l, log, at + 24, PAGE);
		at += 24 + PAGE;
		if (one_in(l, 2))
			act_fdatasync(l, log);
		if (!one_in(l, 8)) {
			meanwhile(l);
			continue;
		}
		act_fdatasync(l, log); /* checkpoint */
		rewrite_some(l, db, PAGES, 4);
		act_fdatasync(l, db);
		at = 0;
		if (one_in(l, 3))
			act_truncate(l, log, 0);
	}
}

static void replace_once(struct live *l, unsigned dir, const char *name, unsigned i)
{
	char tmp[64];
	unsigned file;

	snprintf(tmp, sizeof(tmp), ".%s.%u", name, i);
	file = act_create(l, dir, tmp, 0644);
	act_append(l, file, any_size(l));
	if (one_in(l, 3))
		act_append(l, file, any_size(l));
	if (one_in(l, 3))
		act_fsync(l, file);
	if (one_in(l, 6))
		act_tick(l);
	act_rename(l, dir, tmp, dir, name, 0);
	if (one_in(l, 3))
		act_fsyncdir(l, dir);
	if (one_in(l, 4))
		act_append(l, file, any_size(l));
	if (one_in(l, 4))
		act_fsync(l, file);
	if (one_in(l, 3))
		act_forget(l, file);
}

static void replacing(struct live *l)
{
	unsigned dir = act_mkdir(l, ORACLE_ROOT, "etc", 0755);

	act_append(l, act_create(l, dir, "passwd", 0644), any_size(l));
	act_append(l, act_create(l, dir, "group", 0644), any_size(l));
	for (unsigned i = 0; i < 12; i++) {
		replace_once(l, dir, one_in(l, 2) ? "passwd" : "group", i);
		if (i == 6 && one_in(l, 3))
			act_remount(l);
		meanwhile(l);
	}
}

/* ------------------------------------------------------------------ sizes and holes */

static uint64_t edge_size(struct live *l)
{
	static const uint64_t sizes[] = {0,    1,    128,  3967, 3968,  3969,      4095,      4096,
					 4097, 8064, 8192, 8193, 16384, 60 * 4096, 61 * 4096, 61 * 4096 + 17};

	return sizes[live_draw(l, sizeof(sizes) / sizeof(sizes[0]))];
}

static void resizing(struct live *l)
{
	unsigned files[3];

	for (unsigned i = 0; i < 3; i++)
		files[i] = numbered(l, ORACLE_ROOT, "sized", i);
	for (unsigned i = 0; i < 45; i++) {
		unsigned file = files[live_draw(l, 3)];

		switch (live_draw(l, 4)) {
		case 0:
			act_truncate(l, file, edge_size(l));
			break;
		case 1:
			act_append(l, file, any_size(l));
			break;
		case 2:
			act_write(l, file, edge_size(l), (size_t)between(l, 1, 2 * PAGE));
			break;
		default:
			act_write(l, file, live_draw(l, act_size(l, file) + 1), (size_t)between(l, 1, PAGE));
			break;
		}
		if (one_in(l, 3))
			sync_somehow(l, file, ORACLE_ROOT);
		if (one_in(l, 6))
			act_forget(l, file);
		if (i == 20 && one_in(l, 3))
			act_remount(l);
		meanwhile(l);
	}
}

static void holes(struct live *l)
{
	unsigned file = act_create(l, ORACLE_ROOT, "sparse", 0644), other = act_create(l, ORACLE_ROOT, "copy", 0644);

	act_write(l, file, 0, 12 * PAGE);
	for (unsigned i = 0; i < 30; i++) {
		uint64_t size = act_size(l, file);

		switch (live_draw(l, 6)) {
		case 0:
			act_punch(l, file, live_draw(l, 12) * PAGE, between(l, 1, 4) * PAGE);
			break;
		case 1:
			act_punch(l, file, live_draw(l, 12 * PAGE), between(l, 1, 3 * PAGE));
			break;
		case 2:
			act_write(l, file, between(l, size, size + 9 * PAGE), any_size(l));
			break;
		case 3:
			act_allocate(l, file, live_draw(l, 20) * PAGE, between(l, 1, 3 * PAGE));
			break;
		case 4:
			if (act_size(l, other) < 40 * PAGE)
				act_copy(l, file, other, live_draw(l, 6) * PAGE, between(l, PAGE, 5 * PAGE));
			break;
		default:
			act_write(l, file, live_draw(l, 12) * PAGE, PAGE);
			break;
		}
		if (one_in(l, 3))
			sync_somehow(l, one_in(l, 4) ? other : file, ORACLE_ROOT);
		if (act_size(l, file) > 100 * PAGE)
			act_truncate(l, file, 12 * PAGE);
		meanwhile(l);
	}
}

/* More than 60 pages: map pages. */
static void maps(struct live *l)
{
	unsigned file = act_create(l, ORACLE_ROOT, "large", 0644), other = act_create(l, ORACLE_ROOT, "growing", 0644);

	act_write(l, file, 0, between(l, 0, 1) ? 70 * PAGE : 200 * PAGE);
	for (unsigned i = 0; i < 24; i++) {
		uint64_t pages = act_size(l, file) / PAGE;

		if (one_in(l, 3))
			act_write(l, file, live_draw(l, pages) * PAGE, (size_t)between(l, 1, 3) * PAGE);
		else if (one_in(l, 3))
			act_write(l, file, live_draw(l, pages * PAGE), (size_t)between(l, 1, 200));
		else if (one_in(l, 4))
			act_truncate(l, file, between(l, 50 * PAGE, 75 * PAGE));
		else
			act_append(l, one_in(l, 2) ? file : other, (size_t)between(l, 1, 16 * PAGE));
		if (one_in(l, 4))
			act_append(l, other, 24 * PAGE);
		if (one_in(l, 3))
			sync_somehow(l, one_in(l, 2) ? file : other, ORACLE_ROOT);
		if (i == 12 && one_in(l, 3))
			act_remount(l);
		meanwhile(l);
	}
}

/* ------------------------------------------------------------------ names */

static void moves(struct live *l)
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

			act_append(l, file, any_size(l));
			if (one_in(l, 3))
				sync_somehow(l, file, dir);
		} else if (a == b || (b && a->object == b->object)) {
			act_append(l, a->object, any_size(l));
		} else if (b && one_in(l, 2)) {
			act_rename(l, dir, name, dir2, name2, RENAME_EXCHANGE);
		} else if (!b && one_in(l, 3)) {
			act_link(l, a->object, dir2, name2);
		} else if (one_in(l, 6)) {
			act_unlink(l, dir, name);
		} else {
			act_rename(l, dir, name, dir2, name2, b ? 0 : (unsigned)live_draw(l, 2));
		}
		if (one_in(l, 4))
			act_fsyncdir(l, one_in(l, 2) ? dir : dir2);
		meanwhile(l);
	}
}

static void long_name(struct live *l, char out[256], unsigned n)
{
	size_t size = one_in(l, 2) ? 255 : (size_t)between(l, 150, 200);

	memset(out, 'n', 255);
	out[snprintf(out, 16, "long%u", n)] = '-';
	out[size] = 0;
}

/* Directories, renamed with dirty files in them, and names that are kept in sidecars. */
static void trees(struct live *l)
{
	unsigned dirs[40] = {ORACLE_ROOT}, count = 1;
	char name[256];

	for (unsigned i = 0; i < 30; i++) {
		unsigned at = (unsigned)live_draw(l, count), dir = dirs[at];
		struct binding *b = dir == ORACLE_ROOT ? NULL : oracle_name_of(&l->o, dir);

		if (one_in(l, 3))
			long_name(l, name, i);
		else
			snprintf(name, sizeof(name), "entry-%u", i);
		if (one_in(l, 3)) {
			dirs[count++] = act_mkdir(l, dir, name, 0755);
		} else if (b && one_in(l, 3)) {
			act_rename(l, b->dir, b->name, one_in(l, 2) ? b->dir : ORACLE_ROOT, name, 0);
		} else {
			unsigned file = act_create(l, dir, name, 0644);

			act_append(l, file, any_size(l));
			if (one_in(l, 4))
				act_fsync(l, file);
			if (one_in(l, 6))
				act_unlink(l, dir, name);
		}
		if (one_in(l, 5))
			act_fsyncdir(l, dir);
		if (i == 15 && one_in(l, 3))
			act_remount(l);
		meanwhile(l);
	}
}

/* Directories that come and go, and what was in them. */
static void removals(struct live *l)
{
	unsigned keep = act_mkdir(l, ORACLE_ROOT, "keep", 0755);

	for (unsigned i = 0; i < 9; i++) {
		unsigned dir = act_mkdir(l, ORACLE_ROOT, "passing", 0755), file = act_create(l, dir, "f", 0644);
		char name[32];

		act_append(l, file, any_size(l));
		if (one_in(l, 2))
			act_fsync(l, file);
		if (one_in(l, 2))
			act_fsyncdir(l, dir);
		if (one_in(l, 2))
			act_fsyncdir(l, ORACLE_ROOT);
		snprintf(name, sizeof(name), "saved-%u", i);
		if (one_in(l, 2))
			act_rename(l, dir, "f", keep, name, 0);
		else
			act_unlink(l, dir, "f");
		if (one_in(l, 3))
			act_fsyncdir(l, keep);
		if (one_in(l, 3)) {
			act_mkdir(l, ORACLE_ROOT, "new", 0755);
			act_rename(l, ORACLE_ROOT, "new", ORACLE_ROOT, "passing", 0);
		}
		act_unlink(l, ORACLE_ROOT, "passing");
		if (one_in(l, 3))
			act_fsyncdir(l, ORACLE_ROOT);
		meanwhile(l);
	}
}

/* Files that are written on without a name, or before they have one. */
static void nameless(struct live *l)
{
	for (unsigned i = 0; i < 10; i++) {
		unsigned file = numbered(l, ORACLE_ROOT, "open", i), none = act_tmpfile(l, ORACLE_ROOT);
		char name[32];

		act_append(l, file, any_size(l));
		if (one_in(l, 2))
			act_fsync(l, file);
		snprintf(name, sizeof(name), "open-%u", i);
		act_unlink(l, ORACLE_ROOT, name);
		act_append(l, file, any_size(l));
		act_append(l, none, any_size(l));
		if (one_in(l, 2))
			act_fsync(l, none);
		if (one_in(l, 2)) {
			snprintf(name, sizeof(name), "named-%u", i);
			act_link(l, none, ORACLE_ROOT, name);
			if (one_in(l, 2))
				act_append(l, none, any_size(l));
			if (one_in(l, 2))
				act_fsync(l, none);
		}
		if (one_in(l, 2))
			act_fsync(l, file);
		if (one_in(l, 2))
			act_forget(l, file);
		if (one_in(l, 3))
			act_fsyncdir(l, ORACLE_ROOT);
		meanwhile(l);
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
		act_setxattr(l, file, "user.one", (size_t)between(l, 0, 300));
		*has = true;
		break;
	case 2:
		if (*has)
			act_removexattr(l, file, "user.one");
		*has = false;
		break;
	case 3:
		act_setxattr(l, file, "user.two", (size_t)between(l, 0, 30));
		break;
	default:
		act_append(l, file, any_size(l));
		break;
	}
}

static void attributes(struct live *l)
{
	unsigned files[4];
	bool has[4] = {false};

	for (unsigned i = 0; i < 4; i++)
		files[i] = numbered(l, ORACLE_ROOT, "attributed", i);
	for (unsigned i = 0; i < 40; i++) {
		unsigned at = (unsigned)live_draw(l, 4);

		if (act_size(l, files[at]) > 30 * PAGE)
			act_truncate(l, files[at], 0);
		/* A mode that forbids reading forbids attributes as well: what the kernel would not ask. */
		act_chmod(l, files[at], 0644);
		attribute_step(l, files[at], &has[at]);
		if (one_in(l, 3))
			sync_somehow(l, files[at], ORACLE_ROOT);
		meanwhile(l);
	}
}

/* ------------------------------------------------------------------ anything */

static void mix_step(struct live *l, unsigned dir, unsigned i)
{
	char name[32], name2[32];
	struct binding *b, *b2;

	snprintf(name, sizeof(name), "m%llu", (unsigned long long)live_draw(l, 9));
	snprintf(name2, sizeof(name2), "m%llu", (unsigned long long)live_draw(l, 9));
	b = oracle_bound(&l->o, dir, name);
	b2 = oracle_bound(&l->o, dir, name2);
	if (!b) {
		act_append(l, act_create(l, dir, name, 0644), any_size(l));
		return;
	}
	switch (live_draw(l, 10)) {
	case 0:
		act_unlink(l, dir, name);
		break;
	case 1:
		act_truncate(l, b->object, live_draw(l, 2) ? edge_size(l) : live_draw(l, 6 * PAGE));
		break;
	case 2:
		if (b != b2)
			act_rename(l, dir, name, dir, name2, 0);
		break;
	case 3:
		if (b2 && b != b2)
			act_rename(l, dir, name, dir, name2, RENAME_EXCHANGE);
		break;
	case 4:
		act_punch(l, b->object, live_draw(l, 5) * PAGE, between(l, 1, 2 * PAGE));
		break;
	case 5:
		act_forget(l, b->object);
		break;
	case 6:
		act_append(l, b->object, any_size(l));
		break;
	default:
		act_write(l, b->object, live_draw(l, act_size(l, b->object) + PAGE), (size_t)between(l, 1, 3 * PAGE));
		break;
	}
	b = oracle_bound(&l->o, dir, name);
	if (b && i % 3 == 0)
		sync_somehow(l, b->object, dir);
}

static void mixed(struct live *l)
{
	unsigned dirs[2] = {ORACLE_ROOT, act_mkdir(l, ORACLE_ROOT, "sub", 0755)};

	for (unsigned i = 0; i < 60; i++) {
		mix_step(l, dirs[live_draw(l, 2)], i);
		if (i % 25 == 24 && one_in(l, 2))
			act_remount(l);
		meanwhile(l);
	}
}

const struct workload workloads[] = {
	{"small", small_files},     {"log", logs},        {"rollback", rollback}, {"wal", wal},
	{"replace", replacing},     {"resize", resizing}, {"holes", holes},       {"maps", maps},
	{"moves", moves},           {"trees", trees},     {"removals", removals}, {"nameless", nameless},
	{"attributes", attributes}, {"mix", mixed},
};
const size_t workload_count = sizeof(workloads) / sizeof(workloads[0]);

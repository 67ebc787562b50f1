/* Workloads on content: how programs write files. */
#include <stdio.h>

#include "workload_internal.h"

/* ------------------------------------------------------------------ files */

void run_small_files(struct live *l)
{
	unsigned dir = act_mkdir(l, ORACLE_ROOT, "small", 0755);

	for (unsigned i = 0; i < 24; i++) {
		unsigned in = draw_one_in(l, 3) ? ORACLE_ROOT : dir, file = act_create_numbered(l, in, "file", i);

		if (!draw_one_in(l, 8))
			act_append(l, file, draw_size(l));
		if (draw_one_in(l, 4))
			act_append(l, file, draw_size(l));
		if (draw_one_in(l, 2))
			act_sync_somehow(l, file, in);
		if (draw_one_in(l, 3))
			act_forget(l, file);
		if (i == 11 && draw_one_in(l, 3))
			act_remount(l);
		act_meanwhile(l);
	}
}

void run_logs(struct live *l)
{
	unsigned synced = act_create(l, ORACLE_ROOT, "synced.log", 0644);
	unsigned never = act_create(l, ORACLE_ROOT, "never.log", 0644);
	unsigned data = act_create(l, ORACLE_ROOT, "data.log", 0644);

	act_fsyncdir(l, ORACLE_ROOT);
	for (unsigned i = 0; i < 40; i++) {
		act_append(l, synced, (size_t)draw_between(l, 20, draw_one_in(l, 4) ? 9000 : 900));
		if (draw_one_in(l, 4))
			act_fsync(l, synced);
		act_append(l, never, (size_t)draw_between(l, 20, 1500));
		if (draw_one_in(l, 2))
			act_append(l, data, (size_t)draw_between(l, 1, 400));
		if (draw_one_in(l, 5))
			act_fdatasync(l, data);
		if (i == 20 && draw_one_in(l, 3))
			act_remount(l);
		act_meanwhile(l);
	}
}

static void rewrite_some(struct live *l, unsigned file, unsigned pages, unsigned count)
{
	while (count--)
		act_write(l, file, live_draw(l, pages) * PAGE, PAGE);
}

/* As SQLite with journal_mode=DELETE. */
void run_rollback(struct live *l)
{
	enum { PAGES = 24 };
	unsigned db = act_create(l, ORACLE_ROOT, "db", 0644);

	act_write(l, db, 0, PAGES * PAGE);
	act_fsync(l, db);
	act_fsyncdir(l, ORACLE_ROOT);
	if (draw_one_in(l, 2))
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
		if (draw_one_in(l, 2))
			act_fsyncdir(l, ORACLE_ROOT);
		act_meanwhile(l);
	}
}

/* As SQLite with journal_mode=WAL. */
void run_wal(struct live *l)
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
		if (draw_one_in(l, 2))
			act_fdatasync(l, log);
		if (!draw_one_in(l, 8)) {
			act_meanwhile(l);
			continue;
		}
		act_fdatasync(l, log); /* checkpoint */
		rewrite_some(l, db, PAGES, 4);
		act_fdatasync(l, db);
		at = 0;
		if (draw_one_in(l, 3))
			act_truncate(l, log, 0);
	}
}

static void replace_once(struct live *l, unsigned dir, const char *name, unsigned i)
{
	char tmp[64];
	unsigned file;

	snprintf(tmp, sizeof(tmp), ".%s.%u", name, i);
	file = act_create(l, dir, tmp, 0644);
	act_append(l, file, draw_size(l));
	if (draw_one_in(l, 3))
		act_append(l, file, draw_size(l));
	if (draw_one_in(l, 3))
		act_fsync(l, file);
	if (draw_one_in(l, 6))
		act_tick(l);
	act_rename(l, dir, tmp, dir, name, 0);
	if (draw_one_in(l, 3))
		act_fsyncdir(l, dir);
	if (draw_one_in(l, 4))
		act_append(l, file, draw_size(l));
	if (draw_one_in(l, 4))
		act_fsync(l, file);
	if (draw_one_in(l, 3))
		act_forget(l, file);
}

void run_replacing(struct live *l)
{
	unsigned dir = act_mkdir(l, ORACLE_ROOT, "etc", 0755);

	act_append(l, act_create(l, dir, "passwd", 0644), draw_size(l));
	act_append(l, act_create(l, dir, "group", 0644), draw_size(l));
	for (unsigned i = 0; i < 12; i++) {
		replace_once(l, dir, draw_one_in(l, 2) ? "passwd" : "group", i);
		if (i == 6 && draw_one_in(l, 3))
			act_remount(l);
		act_meanwhile(l);
	}
}

/* ------------------------------------------------------------------ sizes and holes */

void run_resizing(struct live *l)
{
	unsigned files[3];

	for (unsigned i = 0; i < 3; i++)
		files[i] = act_create_numbered(l, ORACLE_ROOT, "sized", i);
	for (unsigned i = 0; i < 45; i++) {
		unsigned file = files[live_draw(l, 3)];

		switch (live_draw(l, 4)) {
		case 0:
			act_truncate(l, file, draw_edge(l));
			break;
		case 1:
			act_append(l, file, draw_size(l));
			break;
		case 2:
			act_write(l, file, draw_edge(l), (size_t)draw_between(l, 1, 2 * PAGE));
			break;
		default:
			act_write(l, file, live_draw(l, act_size(l, file) + 1), (size_t)draw_between(l, 1, PAGE));
			break;
		}
		if (draw_one_in(l, 3))
			act_sync_somehow(l, file, ORACLE_ROOT);
		if (draw_one_in(l, 6))
			act_forget(l, file);
		if (i == 20 && draw_one_in(l, 3))
			act_remount(l);
		act_meanwhile(l);
	}
}

void run_holes(struct live *l)
{
	unsigned file = act_create(l, ORACLE_ROOT, "sparse", 0644), other = act_create(l, ORACLE_ROOT, "copy", 0644);

	act_write(l, file, 0, 12 * PAGE);
	for (unsigned i = 0; i < 30; i++) {
		uint64_t size = act_size(l, file);

		switch (live_draw(l, 6)) {
		case 0:
			act_punch(l, file, live_draw(l, 12) * PAGE, draw_between(l, 1, 4) * PAGE);
			break;
		case 1:
			act_punch(l, file, live_draw(l, 12 * PAGE), draw_between(l, 1, 3 * PAGE));
			break;
		case 2:
			act_write(l, file, draw_between(l, size, size + 9 * PAGE), draw_size(l));
			break;
		case 3:
			act_allocate(l, file, live_draw(l, 20) * PAGE, draw_between(l, 1, 3 * PAGE));
			break;
		case 4:
			if (act_size(l, other) < 40 * PAGE)
				act_copy(l, file, other, live_draw(l, 6) * PAGE, draw_between(l, PAGE, 5 * PAGE));
			break;
		default:
			act_write(l, file, live_draw(l, 12) * PAGE, PAGE);
			break;
		}
		if (draw_one_in(l, 3))
			act_sync_somehow(l, draw_one_in(l, 4) ? other : file, ORACLE_ROOT);
		if (act_size(l, file) > 100 * PAGE)
			act_truncate(l, file, 12 * PAGE);
		act_meanwhile(l);
	}
}

/* More than 60 pages: map pages. */
void run_maps(struct live *l)
{
	unsigned file = act_create(l, ORACLE_ROOT, "large", 0644), other = act_create(l, ORACLE_ROOT, "growing", 0644);

	act_write(l, file, 0, draw_between(l, 0, 1) ? 70 * PAGE : 200 * PAGE);
	for (unsigned i = 0; i < 24; i++) {
		uint64_t pages = act_size(l, file) / PAGE;

		if (draw_one_in(l, 3))
			act_write(l, file, live_draw(l, pages) * PAGE, (size_t)draw_between(l, 1, 3) * PAGE);
		else if (draw_one_in(l, 3))
			act_write(l, file, live_draw(l, pages * PAGE), (size_t)draw_between(l, 1, 200));
		else if (draw_one_in(l, 4))
			act_truncate(l, file, draw_between(l, 50 * PAGE, 75 * PAGE));
		else
			act_append(l, draw_one_in(l, 2) ? file : other, (size_t)draw_between(l, 1, 16 * PAGE));
		if (draw_one_in(l, 4))
			act_append(l, other, 24 * PAGE);
		if (draw_one_in(l, 3))
			act_sync_somehow(l, draw_one_in(l, 2) ? file : other, ORACLE_ROOT);
		if (i == 12 && draw_one_in(l, 3))
			act_remount(l);
		act_meanwhile(l);
	}
}

/* ------------------------------------------------------------------ syncs that take their time */

/* What happens during a sync. */
struct during {
	unsigned file;
	unsigned kind;
	uint64_t off;
	size_t size;
};

static void during_sync(struct live *l, void *data)
{
	const struct during *d = data;

	switch (d->kind) {
	case 0:
		act_append(l, d->file, d->size);
		break;
	case 1:
		act_fsync(l, d->file); /* another descriptor's */
		break;
	case 2:
		act_append(l, d->file, d->size);
		act_fdatasync(l, d->file);
		break;
	default:
		act_write(l, d->file, d->off, d->size);
		break;
	}
}

/* Writes and syncs that come while a sync is under way. */
void run_overlaps(struct live *l)
{
	unsigned files[4];

	for (unsigned i = 0; i < 4; i++)
		files[i] = act_create_numbered(l, ORACLE_ROOT, "shared", i);
	act_fsyncdir(l, ORACLE_ROOT);
	for (unsigned i = 0; i < 30; i++) {
		unsigned file = files[draw_between(l, 0, 3)];
		struct during d = {.file = draw_one_in(l, 3) ? files[draw_between(l, 0, 3)] : file,
				   .kind = (unsigned)draw_between(l, 0, 5),
				   .size = draw_size(l)};

		if (draw_one_in(l, 3))
			act_append(l, file, draw_size(l));
		else
			act_write(l, file, live_draw(l, act_size(l, file) + 1), draw_size(l));
		if (act_size(l, file) > 40 * PAGE)
			act_truncate(l, file, live_draw(l, 5 * PAGE));
		d.off = live_draw(l, act_size(l, d.file) + 1);
		if (!draw_one_in(l, 3))
			act_meanwhile_sync(l, (unsigned)live_draw(l, 3), during_sync, &d);
		switch (live_draw(l, 4)) {
		case 0:
			act_tick(l);
			break;
		case 1:
			act_fdatasync(l, file);
			break;
		default:
			act_fsync(l, file);
			break;
		}
	}
}

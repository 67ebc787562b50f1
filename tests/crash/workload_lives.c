/* Workloads on what is rare: several lives, shared syncs, what comes into the middle of a checkpoint, rights that are lent, a store that refuses. */
#include <stdio.h>

#include "fs/layout.h"
#include "fs/record.h"
#include "workload_internal.h"

/* ------------------------------------------------------------------ lives */

/* Killed and mounted again, in the middle of anything. */
void run_lives(struct live *l)
{
	unsigned dirs[2] = {ORACLE_ROOT, act_mkdir(l, ORACLE_ROOT, "sub", 0755)};

	for (unsigned i = 0; i < 50; i++) {
		mix_step(l, dirs[live_draw(l, 2)], i);
		if (draw_one_in(l, 12))
			act_kill(l);
		act_meanwhile(l);
	}
}

/* ------------------------------------------------------------------ syncs and ticks that take their time */

struct late {
	unsigned file;
	uint64_t off;
	size_t size;
	bool sync;
};

static void write_late(struct live *l, void *data)
{
	const struct late *late = data;

	act_write(l, late->file, late->off, late->size);
	if (late->sync)
		act_fsync(l, late->file);
}

static void make_files(struct live *l, unsigned *files, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		files[i] = act_create_numbered(l, ORACLE_ROOT, "f", i);
		act_append(l, files[i], 4 * PAGE);
		act_fsync(l, files[i]);
	}
	act_fsyncdir(l, ORACLE_ROOT);
	act_tick(l);
}

/* Programs that sync at the same time. */
void run_sharing(struct live *l)
{
	unsigned files[3];

	make_files(l, files, 3);
	for (unsigned i = 0; i < 12; i++) {
		unsigned at = (unsigned)live_draw(l, 3);
		struct late late = {
			.file = files[(at + 1) % 3], .off = live_draw(l, 4) * PAGE, .size = PAGE, .sync = true};

		act_write(l, files[at], live_draw(l, 4) * PAGE, PAGE);
		act_meanwhile_sync(l, 0, write_late, &late);
		act_fsync(l, files[at]);
		act_meanwhile(l);
	}
}

/* Large writes, some of whose pages are written over, and ticks into which more comes. */
void run_ticks(struct live *l)
{
	enum { LARGE = 18 };
	unsigned files[2];

	make_files(l, files, 2);
	for (unsigned i = 0; i < 8; i++) {
		unsigned file = files[live_draw(l, 2)];
		uint64_t pages = act_size(l, file) / PAGE;
		struct late late = {.file = draw_one_in(l, 3) ? files[0] : file, .size = PAGE};

		if (pages > 100)
			act_truncate(l, file, live_draw(l, 6) * PAGE);
		else
			act_append(l, file, LARGE * PAGE);
		for (unsigned n = (unsigned)live_draw(l, 3); n > 0; n--)
			act_write(l, file, live_draw(l, act_size(l, file) / PAGE + 1) * PAGE, PAGE);
		if (draw_one_in(l, 3))
			act_fsync(l, file);
		late.off = live_draw(l, act_size(l, late.file) / PAGE + 3) * PAGE;
		if (draw_one_in(l, 4))
			late.size = LARGE * PAGE;
		act_meanwhile_sync(l, (unsigned)live_draw(l, 2), write_late, &late);
		act_tick(l);
	}
}

/* Many maps, and another file's records between them: the ring then begins in the middle of a checkpoint. */
void run_sparse(struct live *l)
{
	enum { MAPS = MAPS_MAX + 40 };
	unsigned files[2];

	make_files(l, files, 2);
	for (unsigned i = 0; i < 3; i++) {
		struct late late = {.file = files[1], .off = live_draw(l, 4) * PAGE, .size = PAGE};

		act_tick(l);
		for (unsigned k = 1; k <= MAPS; k++)
			act_write(l, files[0], (uint64_t)k * MAP_ENTRIES * PAGE, 100);
		act_meanwhile_record(l, RECORD_MAPS, write_late, &late);
		act_tick(l);
		for (unsigned n = 0; n < 12; n++)
			act_write(l, files[0], live_draw(l, MAPS) * MAP_ENTRIES * PAGE,
				  (size_t)draw_between(l, 1, PAGE));
		if (draw_one_in(l, 2))
			act_fsync(l, files[0]);
		if (draw_one_in(l, 3))
			act_kill(l);
	}
}

/* ------------------------------------------------------------------ modes, and a full store */

/* Files whose modes forbid their owner what the mount has to do. */
void run_lending(struct live *l)
{
	static const mode_t modes[] = {0444, 0000, 0400, 0200, 0644};
	unsigned files[2];

	make_files(l, files, 2);
	for (unsigned i = 0; i < 10; i++) {
		unsigned file = files[live_draw(l, 2)];

		act_chmod(l, file, modes[live_draw(l, 5)]);
		if (draw_one_in(l, 3))
			act_fsync(l, file);
		if (draw_one_in(l, 2))
			act_remount(l);
		else
			act_kill(l);
		act_write(l, file, live_draw(l, 4) * PAGE, PAGE);
		if (draw_one_in(l, 2))
			act_fsync(l, file);
		act_meanwhile(l);
	}
}

/* Pages that the store refuses. */
void run_refusals(struct live *l)
{
	enum { LARGE = 20 };
	unsigned files[2];

	make_files(l, files, 2);
	for (unsigned i = 0; i < 14; i++) {
		unsigned file = files[live_draw(l, 2)];
		uint64_t pages = act_size(l, file) / PAGE;

		if (pages > 60)
			act_truncate(l, file, live_draw(l, 6) * PAGE);
		act_refuse(l, file, live_draw(l, pages + LARGE));
		act_append(l, file, draw_one_in(l, 2) ? LARGE * PAGE : draw_size(l));
		if (draw_one_in(l, 4))
			act_tick(l);
		act_refuse_no_more(l);
		act_write(l, file, live_draw(l, 4) * PAGE, PAGE);
		if (draw_one_in(l, 3))
			act_sync_somehow(l, file, ORACLE_ROOT);
		act_meanwhile(l);
	}
}

/* The list, what the workloads share, and the one that does anything. */
#include <linux/fs.h>
#include <stdio.h>

#include "workload_internal.h"

bool draw_one_in(struct live *l, uint64_t n)
{
	return live_draw(l, n) == 0;
}

uint64_t draw_between(struct live *l, uint64_t low, uint64_t high)
{
	return low + live_draw(l, high - low + 1);
}

/* What happens by itself now and then. */
void act_meanwhile(struct live *l)
{
	if (draw_one_in(l, 14))
		act_tick(l);
}

/* A size on either side of the edges: empty, inline, the last inline ones, one page, some. */
size_t draw_size(struct live *l)
{
	switch (live_draw(l, 6)) {
	case 0:
		return (size_t)draw_between(l, 1, 40);
	case 1:
		return (size_t)draw_between(l, 100, 3000);
	case 2:
		return (size_t)draw_between(l, 3960, 3976);
	case 3:
		return (size_t)draw_between(l, 4090, 4100);
	default:
		return (size_t)draw_between(l, 4200, 5 * PAGE);
	}
}

unsigned act_create_numbered(struct live *l, unsigned dir, const char *stem, unsigned n)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%u", stem, n);
	return act_create(l, dir, name, 0644);
}

void act_sync_somehow(struct live *l, unsigned file, unsigned dir)
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

uint64_t draw_edge(struct live *l)
{
	static const uint64_t sizes[] = {0,    1,    128,  3967, 3968,  3969,      4095,      4096,
					 4097, 8064, 8192, 8193, 16384, 60 * 4096, 61 * 4096, 61 * 4096 + 17};

	return sizes[live_draw(l, sizeof(sizes) / sizeof(sizes[0]))];
}

/* ------------------------------------------------------------------ anything */

void mix_step(struct live *l, unsigned dir, unsigned i)
{
	char name[32], name2[32];
	struct binding *b, *b2;

	snprintf(name, sizeof(name), "m%llu", (unsigned long long)live_draw(l, 9));
	snprintf(name2, sizeof(name2), "m%llu", (unsigned long long)live_draw(l, 9));
	b = oracle_bound(&l->o, dir, name);
	b2 = oracle_bound(&l->o, dir, name2);
	if (!b) {
		act_append(l, act_create(l, dir, name, 0644), draw_size(l));
		return;
	}
	switch (live_draw(l, 10)) {
	case 0:
		act_unlink(l, dir, name);
		break;
	case 1:
		act_truncate(l, b->object, live_draw(l, 2) ? draw_edge(l) : live_draw(l, 6 * PAGE));
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
		act_punch(l, b->object, live_draw(l, 5) * PAGE, draw_between(l, 1, 2 * PAGE));
		break;
	case 5:
		act_forget(l, b->object);
		break;
	case 6:
		act_append(l, b->object, draw_size(l));
		break;
	default:
		act_write(l, b->object, live_draw(l, act_size(l, b->object) + PAGE),
			  (size_t)draw_between(l, 1, 3 * PAGE));
		break;
	}
	b = oracle_bound(&l->o, dir, name);
	if (b && i % 3 == 0)
		act_sync_somehow(l, b->object, dir);
}

static void mixed(struct live *l)
{
	unsigned dirs[2] = {ORACLE_ROOT, act_mkdir(l, ORACLE_ROOT, "sub", 0755)};

	for (unsigned i = 0; i < 60; i++) {
		mix_step(l, dirs[live_draw(l, 2)], i);
		if (i % 25 == 24 && draw_one_in(l, 2))
			act_remount(l);
		act_meanwhile(l);
	}
}

const struct workload workloads[] = {
	{"small", run_small_files},
	{"log", run_logs},
	{"rollback", run_rollback},
	{"wal", run_wal},
	{"replace", run_replacing},
	{"resize", run_resizing},
	{"holes", run_holes},
	{"maps", run_maps},
	{"overlaps", run_overlaps},
	{"moves", run_moves},
	{"trees", run_trees},
	{"removals", run_removals},
	{"nameless", run_nameless},
	{"attributes", run_attributes},
	{"mix", mixed},
	{"lives", run_lives},
	{"sharing", run_sharing},
	{"ticks", run_ticks},
	{"sparse", run_sparse, 50},
	{"lending", run_lending},
	{"refusals", run_refusals},
	{"rekeying", run_rekeying, 4},
};
const size_t workload_count = sizeof(workloads) / sizeof(workloads[0]);

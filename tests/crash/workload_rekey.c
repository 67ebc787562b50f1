/* Re-encryption, while programs go on. */
#include <stdio.h>
#include <string.h>

#include "fs/rekey.h"
#include "fs/worker.h"
#include "workload_internal.h"

struct busy {
	struct live *l;
	unsigned dirs[3], steps;
};

/* Between two steps of the pass. */
static int work(void *data, uint64_t bytes)
{
	struct busy *b = data;
	struct live *l = b->l;

	(void)bytes;
	if (draw_one_in(l, 6) && b->steps < 60)
		mix_step(l, b->dirs[live_draw(l, 3)], b->steps++);
	else
		act_meanwhile(l);
	return 0;
}

/* One of everything, in three directories; some of it durable. */
static void furnish(struct live *l, struct busy *b)
{
	char name[256];

	b->dirs[0] = ORACLE_ROOT;
	b->dirs[1] = act_mkdir(l, ORACLE_ROOT, "sub", 0755);
	b->dirs[2] = act_mkdir(l, b->dirs[1], "sub", 0755);
	for (unsigned i = 0; i < 14; i++) {
		unsigned dir = b->dirs[live_draw(l, 3)], file;

		if (draw_one_in(l, 4)) {
			memset(name, 'n', 255);
			name[snprintf(name, 16, "long%u", i)] = '-';
			name[255] = '\0';
			file = act_create(l, dir, name, 0644);
		} else {
			file = act_create_numbered(l, dir, "f", i);
		}
		act_append(l, file, draw_size(l));
		if (draw_one_in(l, 4))
			act_setxattr(l, file, "user.a", 20);
		if (draw_one_in(l, 3))
			act_sync_somehow(l, file, dir);
	}
	act_setxattr(l, b->dirs[1], "user.d", 30);
	act_symlink(l, ORACLE_ROOT, "link", "target");
	memset(name, 't', 255);
	name[255] = '\0';
	act_symlink(l, b->dirs[2], "another", name);
	act_append(l, act_create(l, ORACLE_ROOT, "large", 0644), 70 * PAGE);
}

static void pass(struct live *l, struct busy *b)
{
	struct rekey k = {.rest = work, .data = b};

	act_rekey(l, &k);
	if (k.failed && !l->refused[0])
		snprintf(l->refused, sizeof(l->refused), "%llu objects could not be re-encrypted",
			 (unsigned long long)k.failed);
}

void run_rekeying(struct live *l)
{
	struct busy b = {.l = l};

	furnish(l, &b);
	if (!l->base->journal) /* which is refused */
		return;
	act_rotate(l);
	pass(l, &b);
	if (draw_one_in(l, 2))
		act_tick(l);
	pass(l, &b);
}

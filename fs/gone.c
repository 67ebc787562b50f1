#include "fs/gone.h"

#include "fs/directory.h"
#include "util/base/log.h"

struct sweep {
	struct engine *e;
	int fd;
	time_t after, before; /* only what changed between, both included */
};

static int sweep_one(void *data, const struct store_dirent *d)
{
	struct sweep *s = data;
	struct store_stat st;

	if (store_stat_at(s->e->store, s->fd, d->name, &st) < 0 || S_ISDIR(st.mode) || st.ctime.tv_sec < s->after)
		return 0;
	if (st.ctime.tv_sec <= s->before)
		s->e->store->ops->unlink(s->e->store, s->fd, d->name);
	else
		atomic_store(&s->e->gone_some, true); /* the next time */
	return 0;
}

static void sweep(struct engine *e, int fd, time_t after, time_t before)
{
	struct sweep s = {e, fd, after, before};

	if (fd >= 0 && directory_scan(e, fd, sweep_one, &s) < 0)
		log_warning("cannot list a directory of .coffer/");
}

void gone_sweep(struct engine *e, time_t before)
{
	if (atomic_exchange(&e->gone_some, false))
		sweep(e, e->gone_dir, e->started, before - 1);
}

void gone_sweep_open(struct engine *e)
{
	sweep(e, e->open_dir, 0, time(NULL));
}

#include "shared_engines.h"

#include <sys/resource.h>

struct vol v, w;

static int stat_without_birth(struct store *s, int fd, struct store_stat *out)
{
	int r = v.plain->ops->stat(s, fd, out);

	out->btime_ns = 0;
	return r;
}

static int stat_at_without_birth(struct store *s, int dir, const char *name, struct store_stat *out)
{
	int r = v.plain->ops->stat_at(s, dir, name, out);

	out->btime_ns = 0;
	return r;
}

void two_engines(bool births)
{
	struct rlimit few = {LIMIT + RESERVE, LIMIT + RESERVE};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	vol_new(&v, "vol", CIPHER_NONE, false);
	v.options.journal = false;
	v.options.shared = true;
	if (!births) {
		v.quick_ops.stat = stat_without_birth;
		v.quick_ops.stat_at = stat_at_without_birth;
	}
	w = v;
	vol_start(&v);
	vol_start(&w);
}

void two_engines_end(void)
{
	vol_stop(&w);
	vol_free(&v);
}

int find(struct vol *x, const char *path, struct node_attr *out)
{
	int r = 0;

	for (int tries = 0; tries < 3; tries++) {
		char copy[2048], *rest = copy, *part;

		snprintf(copy, sizeof(copy), "%s", path);
		r = fs_getattr(x->e, ROOT_NODE, out);
		while (r == 0 && (part = strsep(&rest, "/")))
			r = fs_lookup(x->e, out->node, part, out);
		if (r != -ESTALE)
			break;
	}
	return r;
}

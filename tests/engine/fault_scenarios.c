/* What the faults are injected into: each operation on what it begins with. */
#include "fault_scenarios.h"

#include <linux/falloc.h>
#include <linux/fs.h>

static char long_a[NAME_MAX + 1], long_b[NAME_MAX + 1], long_target[3000];
static uint8_t big[2 << 20], other[2 << 20];

static void prepare_nothing(struct vol *v, uint64_t dir)
{
	make(v, dir, "bystander");
}

static void write_f(struct vol *v, uint64_t dir, size_t n)
{
	make(v, dir, "bystander");
	put(v, make(v, dir, "f"), big, n, 0);
}

static void prepare_inline(struct vol *v, uint64_t dir)
{
	write_f(v, dir, 1000);
}

static void prepare_paged(struct vol *v, uint64_t dir)
{
	write_f(v, dir, 300000);
}

static void prepare_small_paged(struct vol *v, uint64_t dir)
{
	write_f(v, dir, 5000);
}

static void prepare_sparse(struct vol *v, uint64_t dir)
{
	write_f(v, dir, 300000);
	put(v, walk(v, "t/f"), big, 5000, 1600000);
}

static void prepare_tree(struct vol *v, uint64_t dir)
{
	uint64_t a, b;

	make(v, dir, "bystander");
	put(v, make(v, dir, "one"), "one", 3, 0);
	put(v, make(v, dir, "two"), "two", 3, 0);
	put(v, make(v, dir, long_a), "long a", 6, 0);
	put(v, make(v, dir, long_b), "long b", 6, 0);
	a = make_dir(v, dir, "full");
	put(v, make(v, a, "x"), "x", 1, 0);
	make_dir(v, dir, "empty");
	b = make_dir(v, dir, "d");
	put(v, make(v, b, long_a), "inside", 6, 0);
}

static void prepare_link(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	make(v, dir, "one");
	ck_assert_int_eq(fs_symlink(v->e, &me, long_target, dir, "link", &a), 0);
}

#define F walk(v, "t/f")

/* Less than was asked for is an error, too: the next write would say so. */
static int result(ssize_t r, size_t n)
{
	return r < 0 ? (int)r : (r == (ssize_t)n ? 0 : CAME_SHORT);
}

static int op_create_small(struct vol *v, uint64_t dir)
{
	struct node_attr a;
	int r = fs_mknod(v->e, &me, dir, "f", S_IFREG | 0644, 0, &a);

	return r < 0 ? r : result(fs_write(v->e, a.node, big, 1000, 0, false), 1000);
}

static int op_create_large(struct vol *v, uint64_t dir)
{
	struct node_attr a;
	int r = fs_mknod(v->e, &me, dir, "f", S_IFREG | 0644, 0, &a);

	return r < 0 ? r : result(fs_write(v->e, a.node, big, 1500000, 0, false), 1500000);
}

static int write_at(struct vol *v, size_t n, uint64_t off)
{
	return result(fs_write(v->e, F, other, n, off, false), n);
}

static int op_inline_grows(struct vol *v, uint64_t dir)
{
	(void)dir;
	return write_at(v, 2000, 900);
}

static int op_inline_to_paged(struct vol *v, uint64_t dir)
{
	(void)dir;
	return write_at(v, 600000, 1000);
}

static int op_inline_to_far(struct vol *v, uint64_t dir)
{
	(void)dir;
	return write_at(v, 10, UINT64_C(1) << 20);
}

static int op_append(struct vol *v, uint64_t dir)
{
	(void)dir;
	return write_at(v, 500000, 300000);
}

static int op_gap(struct vol *v, uint64_t dir)
{
	(void)dir;
	return write_at(v, 5000, 1600000);
}

static int op_overwrite(struct vol *v, uint64_t dir)
{
	(void)dir;
	return write_at(v, 200000, 1000);
}

static int op_fill_hole(struct vol *v, uint64_t dir)
{
	(void)dir;
	return write_at(v, 400000, 901120);
}

static int op_grow(struct vol *v, uint64_t dir)
{
	(void)dir;
	return resize(v, F, 1900000);
}

static int op_grow_inline(struct vol *v, uint64_t dir)
{
	(void)dir;
	return resize(v, F, 3000);
}

static int op_shrink(struct vol *v, uint64_t dir)
{
	(void)dir;
	return resize(v, F, 250001);
}

static int op_shrink_to_inline(struct vol *v, uint64_t dir)
{
	(void)dir;
	return resize(v, F, 777);
}

static int op_empty(struct vol *v, uint64_t dir)
{
	(void)dir;
	return resize(v, F, 0);
}

static int op_punch(struct vol *v, uint64_t dir)
{
	(void)dir;
	return fs_fallocate(v->e, F, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 280000);
}

static int op_allocate(struct vol *v, uint64_t dir)
{
	(void)dir;
	return fs_fallocate(v->e, F, 0, 200000, 1500000);
}

static int op_copy(struct vol *v, uint64_t dir)
{
	(void)dir;
	return result(fs_copy_range(v->e, F, 0, F, 400000, 300000), 300000);
}

static int op_mkdir(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	return fs_mkdir(v->e, &me, dir, "new", 0755, &a);
}

static int op_mkdir_narrow(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	return fs_mkdir(v->e, &me, dir, long_a, 0055, &a);
}

static int op_mknod_long(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	return fs_mknod(v->e, &me, dir, long_a, S_IFREG | 0644, 0, &a);
}

static int op_fifo(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	return fs_mknod(v->e, &me, dir, long_a, S_IFIFO | 0644, 0, &a);
}

static int op_link(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	return fs_link(v->e, &me, look(v, dir, "bystander"), dir, long_a, &a);
}

static int op_symlink(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	return fs_symlink(v->e, &me, "short", dir, "link", &a);
}

static int op_symlink_long(struct vol *v, uint64_t dir)
{
	struct node_attr a;

	return fs_symlink(v->e, &me, long_target, dir, long_a, &a);
}

static int op_unlink(struct vol *v, uint64_t dir)
{
	return fs_unlink(v->e, dir, "one");
}

static int op_unlink_long(struct vol *v, uint64_t dir)
{
	return fs_unlink(v->e, dir, long_a);
}

static int op_unlink_link(struct vol *v, uint64_t dir)
{
	return fs_unlink(v->e, dir, "link");
}

static int op_rmdir(struct vol *v, uint64_t dir)
{
	return fs_rmdir(v->e, dir, "empty");
}

static int op_rmdir_full(struct vol *v, uint64_t dir)
{
	int r = fs_rmdir(v->e, dir, "full");

	return r == -ENOTEMPTY ? 0 : (r == 0 ? -EINVAL : r);
}

static int op_rename(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, "one", dir, "three", RENAME_NOREPLACE);
}

static int op_rename_over(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, "one", dir, "two", 0);
}

static int op_rename_to_long(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, "one", dir, long_a, 0);
}

static int op_rename_long(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, long_a, dir, long_b, 0);
}

static int op_rename_long_away(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, long_a, walk(v, "t/full"), long_a, 0);
}

static int op_rename_dir(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, "d", walk(v, "t/full"), long_b, 0);
}

static int op_rename_over_dir(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, "full", dir, "empty", 0);
}

static int op_exchange(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, "full", dir, long_a, RENAME_EXCHANGE);
}

static int op_rename_over_link(struct vol *v, uint64_t dir)
{
	return fs_rename(v->e, dir, "one", dir, "link", 0);
}

static int op_setxattr(struct vol *v, uint64_t dir)
{
	return v->e->caps.user_xattrs ? fs_setxattr(v->e, look(v, dir, "bystander"), "user.x", big, 700, 0, false) : 0;
}

static int op_chmod(struct vol *v, uint64_t dir)
{
	return chmod_node(v, look(v, dir, "bystander"), 0600);
}

const struct scenario scenarios[] = {
	{"create and write a little", CONTENT, prepare_nothing, op_create_small},
	{"create and write much", IN_PLACE, prepare_nothing, op_create_large},
	{"an inline file grows", IN_PLACE, prepare_inline, op_inline_grows},
	{"an inline file becomes paged", CONTENT, prepare_inline, op_inline_to_paged},
	{"an inline file is written to far behind its end", CONTENT, prepare_inline, op_inline_to_far},
	{"append to a paged file", IN_PLACE, prepare_paged, op_append},
	{"write behind a gap", IN_PLACE, prepare_paged, op_gap},
	{"write behind a gap, with short pages", IN_PLACE, prepare_small_paged, op_gap},
	{"write over", IN_PLACE, prepare_paged, op_overwrite},
	{"write into a hole", IN_PLACE, prepare_sparse, op_fill_hole},
	{"truncate up", IN_PLACE, prepare_paged, op_grow},
	{"truncate an inline file up", IN_PLACE, prepare_inline, op_grow_inline},
	{"truncate an inline file to paged", CONTENT, prepare_inline, op_grow},
	{"truncate down", IN_PLACE, prepare_paged, op_shrink},
	{"truncate a sparse file down", IN_PLACE, prepare_sparse, op_shrink},
	{"truncate down to inline", IN_PLACE, prepare_paged, op_shrink_to_inline},
	{"truncate to nothing", IN_PLACE, prepare_paged, op_empty},
	{"truncate an inline file to nothing", IN_PLACE, prepare_inline, op_empty},
	{"punch a hole", IN_PLACE, prepare_paged, op_punch},
	{"punch a hole into a sparse file", IN_PLACE, prepare_sparse, op_punch},
	{"allocate", IN_PLACE, prepare_paged, op_allocate},
	{"copy within a file", IN_PLACE, prepare_paged, op_copy},
	{"mkdir", ATOMIC, prepare_nothing, op_mkdir},
	{"mkdir with a mode that denies the owner", ATOMIC, prepare_nothing, op_mkdir_narrow},
	{"mkdir that exists", ATOMIC, prepare_tree, op_mkdir_narrow},
	{"mknod with a long name", ATOMIC, prepare_nothing, op_mknod_long},
	{"mkfifo with a long name", ATOMIC, prepare_nothing, op_fifo},
	{"link with a long name", ATOMIC, prepare_nothing, op_link},
	{"symlink", ATOMIC, prepare_nothing, op_symlink},
	{"symlink with a body", ATOMIC, prepare_nothing, op_symlink_long},
	{"unlink", ATOMIC, prepare_tree, op_unlink},
	{"unlink a long name", ATOMIC, prepare_tree, op_unlink_long},
	{"unlink a link with a body", ATOMIC, prepare_link, op_unlink_link},
	{"rmdir", ATOMIC, prepare_tree, op_rmdir},
	{"rmdir of a full directory", ATOMIC, prepare_tree, op_rmdir_full},
	{"rename", ATOMIC, prepare_tree, op_rename},
	{"rename over a file", ATOMIC, prepare_tree, op_rename_over},
	{"rename to a long name that exists", ATOMIC, prepare_tree, op_rename_to_long},
	{"rename a long name over another", ATOMIC, prepare_tree, op_rename_long},
	{"rename a long name away", ATOMIC, prepare_tree, op_rename_long_away},
	{"rename a directory", ATOMIC, prepare_tree, op_rename_dir},
	{"rename over a directory", ATOMIC, prepare_tree, op_rename_over_dir},
	{"exchange", ATOMIC, prepare_tree, op_exchange},
	{"rename over a link with a body", ATOMIC, prepare_link, op_rename_over_link},
	{"setxattr", ATOMIC, prepare_nothing, op_setxattr},
	{"chmod", ATOMIC, prepare_nothing, op_chmod},
};

const size_t scenario_count = sizeof(scenarios) / sizeof(scenarios[0]);

void scenarios_fill(void)
{
	memset(long_a, 'a', 200);
	memset(long_b, 'b', 255);
	memset(long_target, 't', 2000);
	fill(big, sizeof(big), 1);
	fill(other, sizeof(other), 2);
}

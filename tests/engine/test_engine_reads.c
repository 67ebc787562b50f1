/* A store that cannot read for a moment: an error then, and nothing that stays behind it.  Every call that only looks fails once. */
#include "fixture.h"

static struct vol v;
static struct faulty f;

enum { LONG = 200 };
static char long_name[LONG + 1];
static uint8_t content[300 << 10]; /* with maps */

static bool emit(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next, const struct node_attr *attr)
{
	(void)name;
	(void)ino;
	(void)type;
	(void)next;
	(void)attr;
	++*(unsigned *)data;
	return true;
}

/* The first error, or 0 if everything is as it was made. */
static int see_everything(void)
{
	static uint8_t got[sizeof(content)];
	struct node_attr d, a, l, n;
	unsigned entries = 0;
	char target[64];
	ssize_t done;
	int r = fs_lookup(v.e, ROOT_NODE, "dir", &d);

	if (r == 0)
		r = fs_lookup(v.e, d.node, "file", &a);
	if (r == 0)
		r = fs_lookup(v.e, d.node, "link", &l);
	if (r == 0)
		r = fs_lookup(v.e, d.node, long_name, &n);
	if (r < 0)
		return r;
	ck_assert_uint_ne(d.node && a.node && l.node && n.node, 0);
	ck_assert_uint_eq(a.st.size, sizeof(content));
	done = fs_read(v.e, a.node, got, sizeof(got), 0);
	if (done < 0)
		return (int)done;
	ck_assert_int_eq(done, sizeof(content));
	ck_assert_mem_eq(got, content, sizeof(content));
	done = fs_readlink(v.e, l.node, target, sizeof(target));
	if (done < 0)
		return (int)done;
	ck_assert_int_eq(done, 6);
	ck_assert_mem_eq(target, "target", 6);
	r = fs_readdir(v.e, d.node, 0, true, emit, &entries);
	ck_assert(r < 0 || entries >= 3);
	return r;
}

START_TEST(each_look_fails_once)
{
	struct node_attr link;
	uint64_t dir;
	int n = 0, failed = 0;

	vol_new(&v, "vol", CIPHER_NONE, false);
	faulty_init(&f, &v.quick);
	v.store = &f.store;
	memset(long_name, 'n', LONG);
	fill(content, sizeof(content), 7);
	vol_start(&v);
	dir = make_dir(&v, ROOT_NODE, "dir");
	put(&v, make(&v, dir, "file"), content, sizeof(content), 0);
	make(&v, dir, long_name);
	ck_assert_int_eq(fs_symlink(v.e, &me, "target", dir, "link", &link), 0);
	do {
		int r;

		vol_restart(&v);
		f.reads = true;
		f.failed = NULL;
		f.calls = 0;
		f.error = -EIO;
		f.fail_at = ++n;
		r = see_everything();
		f.fail_at = 0;
		f.reads = false;
		failed += r < 0;
		ck_assert_msg(r == 0 || r == -EIO, "call %d (%s): %s", n, f.failed, strerror(-r));
		r = see_everything();
		ck_assert_msg(r == 0, "call %d (%s) leaves %s behind", n, f.failed, strerror(-r));
	} while (f.failed);
	/* Lookups of three kinds, maps and pages, a target, a listing. */
	ck_assert_int_gt(failed, 8);
	vol_free(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("reads");

	tcase_add_test(t, each_look_fails_once);
	return run_engine_suite("engine_reads", t);
}

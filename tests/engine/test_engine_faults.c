/* Every call that changes the store fails once, or for good, in every operation: afterwards the operation is done or not done, what was
 * there before can be read, nothing strange is listed, and everything can be removed. */
#include "fault_scenarios.h"

#include <linux/falloc.h>
#include <linux/fs.h>

static struct vol v;
static struct faulty f;

/* ------------------------------------------------------------------ what a directory holds, as a text */

struct story {
	char *text;
	size_t size;
	FILE *out;
};

static uint64_t hash(const uint8_t *b, size_t n)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 1099511628211u;
	return h;
}

static void tell_file(FILE *out, uint64_t node, size_t size)
{
	uint8_t *buf = malloc(size + 1);
	ssize_t n = fs_read(v.e, node, buf, size, 0);

	if (n < 0)
		fprintf(out, " %s", strerror((int)-n));
	else
		fprintf(out, " size %zd content %016llx", n, (unsigned long long)hash(buf, (size_t)n));
	free(buf);
}

static void tell(FILE *out, uint64_t dir, int depth)
{
	struct shown s = list_dir(&v, dir);

	for (size_t i = 0; i < s.count; i++) {
		char target[4096], value[4096];
		struct node_attr a;
		int r = fs_lookup(v.e, dir, s.names[i], &a);

		fprintf(out, "%*s%.20s(%zu)", depth, "", s.names[i], strlen(s.names[i]));
		if (r < 0) {
			fprintf(out, " lookup: %s\n", strerror(-r));
			continue;
		}
		fprintf(out, " %o", a.st.mode);
		if (S_ISREG(a.st.mode))
			tell_file(out, a.node, a.st.size);
		if (S_ISLNK(a.st.mode)) {
			ssize_t n = fs_readlink(v.e, a.node, target, sizeof(target));

			fprintf(out, " target %zd %016llx", n,
				(unsigned long long)hash((uint8_t *)target, n < 0 ? 0 : (size_t)n));
		} else if (v.e->caps.user_xattrs) {
			ssize_t n = fs_getxattr(v.e, a.node, "user.x", value, sizeof(value));

			if (n != -ENODATA)
				fprintf(out, " user.x %zd %016llx", n,
					(unsigned long long)hash((uint8_t *)value, n < 0 ? 0 : (size_t)n));
		}
		fprintf(out, "\n");
		if (S_ISDIR(a.st.mode))
			tell(out, a.node, depth + 1);
	}
	shown_free(&s);
}

static char *story(uint64_t dir)
{
	struct story s = {0};

	s.out = open_memstream(&s.text, &s.size);
	tell(s.out, dir, 0);
	fclose(s.out);
	return s.text;
}

static int remove_all(uint64_t dir)
{
	struct shown s = list_dir(&v, dir);
	int r = 0;

	for (size_t i = 0; i < s.count && r == 0; i++) {
		struct node_attr a;

		r = fs_lookup(v.e, dir, s.names[i], &a);
		if (r == 0 && S_ISDIR(a.st.mode))
			r = remove_all(a.node);
		if (r == 0)
			r = S_ISDIR(a.st.mode) ? fs_rmdir(v.e, dir, s.names[i]) : fs_unlink(v.e, dir, s.names[i]);
	}
	shown_free(&s);
	return r;
}

#define T walk(&v, "t")
#define F walk(&v, "t/f")

/* ------------------------------------------------------------------ content */

struct image {
	uint8_t *b;
	size_t n;
	bool there;
};

static struct image image_of(void)
{
	struct image m = {0};
	uint64_t node = F;

	if (!node)
		return m;
	m.there = true;
	m.n = attr(&v, node).size;
	m.b = malloc(m.n + 1);
	ck_assert_int_eq(fs_read(v.e, node, m.b, m.n, 0), (ssize_t)m.n);
	return m;
}

/* The fault and the moment, for messages. */
static struct {
	const struct scenario *s;
	int n, error, result;
	int plain; /* the result without a fault */
	bool for_ever;
	size_t torn;
	const char *when;
} now;

static unsigned complaints;

static void complain(const char *what, const char *detail)
{
	if (complaints++ < 40)
		printf("%s: call %d (%s)%s%s: %s, result %d; %s: %s%s\n", now.s->name, now.n, f.failed,
		       now.for_ever ? " and all after it" : "", now.torn ? " torn" : "", strerror(-now.error),
		       now.result, now.when, what, detail);
	fflush(stdout);
}

/* False after the first complaint. */
static bool check_page(const struct image *before, const struct image *after, uint64_t node, size_t page, size_t size)
{
	size_t want = size - page * 4096 < 4096 ? size - page * 4096 : 4096;
	uint8_t got[4096];
	ssize_t r = fs_read(v.e, node, got, want, page * 4096);
	bool may_be_lost = !v.options.journal && (now.s->kind == IN_PLACE || now.torn) && now.error == -EIO;
	char text[64];

	snprintf(text, sizeof(text), "page %zu", page);
	if (r < 0 && may_be_lost)
		return true;
	if (r != (ssize_t)want) {
		complain("cannot be read: ", text);
		return false;
	}
	for (size_t k = 0; k < want; k++) {
		size_t i = page * 4096 + k;
		bool old = i < before->n ? got[k] == before->b[i] : got[k] == 0;
		bool new = i < after->n &&got[k] == after->b[i];

		if (!old && !new) {
			complain("has wrong content: ", text);
			return false;
		}
	}
	return true;
}

static void check_content(const struct image *before, const struct image *after)
{
	struct node_attr a;
	uint64_t node = F;
	size_t low = before->n < after->n ? before->n : after->n, high = before->n < after->n ? after->n : before->n;

	if (!node) {
		if (before->there)
			complain("the file is gone", "");
		return;
	}
	ck_assert_int_eq(fs_getattr(v.e, node, &a), 0);
	if (a.st.size < low || a.st.size > high)
		complain("has an impossible size", "");
	if (now.result == 0 && a.st.size != after->n)
		complain("has not the size it should have", "");
	for (size_t page = 0; page * 4096 < a.st.size; page++)
		if (!check_page(before, after, node, page, a.st.size))
			break;
}

/* ------------------------------------------------------------------ one fault after the other */

/* A fresh directory "t" with what the scenario begins with. */
static uint64_t begin(const struct scenario *s)
{
	uint64_t dir = make_dir(&v, ROOT_NODE, "t");

	s->prepare(&v, dir);
	return dir;
}

static void end(void)
{
	int r = remove_all(T);

	if (r < 0)
		complain("cannot be removed: ", strerror(-r));
	r = r < 0 ? r : fs_rmdir(v.e, ROOT_NODE, "t");
	if (r < 0) {
		/* Out of the way of the next. */
		static int nth;
		char name[32];

		snprintf(name, sizeof(name), "left %d", nth++);
		ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "t", ROOT_NODE, name, 0), 0);
	}
}

static void check(const char *when, const char *old, const char *new, const struct image *before,
		  const struct image *after)
{
	char *is;

	now.when = when;
	if (now.s->kind != ATOMIC) {
		check_content(before, after);
		if (!look(&v, T, "bystander"))
			complain("a bystander is gone", "");
		return;
	}
	is = story(T);
	if (strcmp(is, new) != 0 && (strcmp(is, old) != 0 || now.result == 0))
		complain("is neither done nor undone:\n", is);
	free(is);
}

static int operate(uint64_t dir)
{
	int r = now.s->op(&v, dir);

	return r == CAME_SHORT ? now.error : r;
}

static void arm(void)
{
	f.failed = NULL;
	f.calls = 0;
	f.error = now.error;
	f.torn = now.torn;
	f.for_ever = now.for_ever;
	f.full = now.error != -EIO;
	f.reserved_count = 0;
	f.fail_at = now.n;
}

static void disarm(void)
{
	f.fail_at = 0;
	f.full = false;
}

/* Whether its end could bring everything in place or not. */
static void restart_somehow(void)
{
	(void)engine_stop(&v.e);
	vol_start(&v);
}

/* True if the fault was reached. */
static bool one_fault(const char *old, const char *new, const struct image *before, const struct image *after)
{
	uint64_t dir = begin(now.s);

	vol_restart(&v);
	dir = T;
	arm();
	now.result = operate(dir);
	disarm();
	if (f.failed) {
		now.when = "at once";
		if (now.result < 0 && now.result != now.error && now.result != now.plain)
			complain("another error than the store's", "");
		check("at once", old, new, before, after);
		restart_somehow();
		check("after a restart", old, new, before, after);
	}
	end();
	return f.failed;
}

/* The same in the tick behind it: what was accepted stays, whatever that meets (journal (C7)).  A fault for ever lasts to the end of the mount:
 * the next one has to recover. */
static bool one_fault_in_a_tick(const char *new, const struct image *after)
{
	begin(now.s);
	vol_restart(&v);
	now.result = operate(T);
	arm();
	(void)engine_checkpoint(v.e); /* what it says is one's own affair */
	if (!now.for_ever)
		disarm();
	if (f.failed) {
		check("behind the tick", new, new, after, after);
		(void)engine_stop(&v.e);
		disarm();
		vol_start(&v);
		check("behind the tick and a restart", new, new, after, after);
	}
	disarm();
	end();
	return f.failed;
}

static void all_faults(const struct scenario *s)
{
	static const struct {
		int error;
		bool for_ever;
		size_t torn;
	} ways[] = {{-ENOSPC, false, 0}, {-ENOSPC, true, 0}, {-EDQUOT, true, 0}, {-EIO, false, 0}, {-EIO, false, 1000}};
	size_t step = getenv("COFFER_TEST_SCALE") ? 4 : 1;
	struct image before, after;
	char *old, *new;

	now.s = s;
	begin(s);
	old = story(T);
	before = image_of();
	now.plain = s->op(&v, T);
	ck_assert_msg(now.plain == 0 || now.plain == -EEXIST, "%s", s->name);
	new = story(T);
	after = image_of();
	end();
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		now.error = ways[i].error;
		now.torn = ways[i].torn;
		now.for_ever = ways[i].for_ever;
		/* With fewer seeds, other calls for each of the ways. */
		size_t first = 1 + i % step;

		for (now.n = first; one_fault(old, new, &before, &after); now.n += step)
			;
		for (now.n = first; v.options.journal && one_fault_in_a_tick(new, &after); now.n += step)
			;
	}
	free(old);
	free(new);
	free(before.b);
	free(after.b);
}

START_TEST(scenario)
{
	scenarios_fill();
	vol_new(&v, "vol", CIPHER_NONE, false);
	faulty_init(&f, &v.quick);
	v.store = &f.store;
	vol_start(&v);
	all_faults(&scenarios[_i]);
	vol_free(&v);
	ck_assert_msg(complaints == 0, "%s: %u complaints", scenarios[_i].name, complaints);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("faults");

	tcase_add_loop_test(t, scenario, 0, (int)scenario_count);
	return run_engine_suite("engine_faults", t);
}

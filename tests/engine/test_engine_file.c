/* Content: random writes, truncations, holes, reservations, seeks and copies against a model, at the sizes where something
 * changes, with the engine restarted in between. */
#include "fixture.h"

#include <linux/falloc.h>

/* ------------------------------------------------------------------ the model */

enum { SLOTS = 1 << 16 };

/* A sparse file: pages by number; a page that is not there is zero. */
struct model {
	uint64_t size;
	uint64_t *numbers; /* page + 1; 0: free slot */
	uint8_t **pages;
	size_t count;
};

static void model_init(struct model *m)
{
	*m = (struct model){.numbers = calloc(SLOTS, sizeof(*m->numbers)), .pages = calloc(SLOTS, sizeof(*m->pages))};
	ck_assert(m->numbers && m->pages);
}

static void model_free(struct model *m)
{
	for (size_t i = 0; i < SLOTS; i++)
		free(m->pages[i]);
	free(m->numbers);
	free(m->pages);
}

static uint8_t *model_page(struct model *m, uint64_t page, bool make_it)
{
	size_t i = (size_t)(page * UINT64_C(0x9E3779B97F4A7C15) >> 48) & (SLOTS - 1);

	while (m->numbers[i] && m->numbers[i] != page + 1)
		i = (i + 1) & (SLOTS - 1);
	if (!m->numbers[i] && make_it) {
		HOLD(++m->count < SLOTS);
		m->numbers[i] = page + 1;
		m->pages[i] = calloc(1, PAGE_BYTES);
	}
	return m->pages[i];
}

/* Calls for each part of a page in [off, off + n). */
static void model_copy_in(struct model *m, const uint8_t *from, uint64_t off, uint64_t n)
{
	while (n) {
		size_t at = off % PAGE_BYTES, part = n < PAGE_BYTES - at ? (size_t)n : PAGE_BYTES - at;

		if (from) {
			memcpy(model_page(m, off / PAGE_BYTES, true) + at, from, part);
			from += part;
		} else if (model_page(m, off / PAGE_BYTES, false)) {
			memset(model_page(m, off / PAGE_BYTES, false) + at, 0, part);
		}
		off += part;
		n -= part;
	}
}

static void model_copy_out(struct model *m, uint8_t *to, uint64_t off, uint64_t n)
{
	while (n) {
		size_t at = off % PAGE_BYTES, part = n < PAGE_BYTES - at ? (size_t)n : PAGE_BYTES - at;
		const uint8_t *page = model_page(m, off / PAGE_BYTES, false);

		if (page)
			memcpy(to, page + at, part);
		else
			memset(to, 0, part);
		to += part;
		off += part;
		n -= part;
	}
}

/* Zeroes what is in [off, end), however far apart. */
static void model_zero(struct model *m, uint64_t off, uint64_t end)
{
	for (size_t i = 0; i < SLOTS && off < end; i++) {
		uint64_t begin = m->numbers[i] ? (m->numbers[i] - 1) * PAGE_BYTES : UINT64_MAX;

		if (!m->numbers[i] || begin >= end || begin + PAGE_BYTES <= off)
			continue;

		size_t from = off > begin ? (size_t)(off - begin) : 0;
		size_t to = end - begin < PAGE_BYTES ? (size_t)(end - begin) : PAGE_BYTES;

		memset(m->pages[i] + from, 0, to - from);
	}
}

static void model_truncate(struct model *m, uint64_t size)
{
	if (size < m->size)
		model_zero(m, size, UINT64_MAX);
	m->size = size;
}

/* ------------------------------------------------------------------ one file and its model */

static struct vol v;

struct subject {
	const char *name;
	uint64_t node;
	struct model m;
};

static uint8_t *scratch, *scratch2;
enum { SCRATCH = 4 << 20 };

static void check_read(struct subject *s, uint64_t off, size_t n)
{
	size_t expected = off >= s->m.size ? 0 : (n < s->m.size - off ? n : (size_t)(s->m.size - off));
	ssize_t got;

	memset(scratch, 0xaa, n);
	got = fs_read(v.e, s->node, scratch, n, off);
	ck_assert_msg(got == (ssize_t)expected, "%s: read of %zu at %llu of %llu: %zd", s->name, n,
		      (unsigned long long)off, (unsigned long long)s->m.size, got);
	model_copy_out(&s->m, scratch2, off, expected);
	for (size_t i = 0; i < expected; i++)
		if (scratch[i] != scratch2[i])
			ck_abort_msg("%s: byte %llu of %llu is %02x, not %02x", s->name, (unsigned long long)(off + i),
				     (unsigned long long)s->m.size, scratch[i], scratch2[i]);
	for (size_t i = expected; i < n; i++)
		HOLD(scratch[i] == 0xaa);
}

/* All that was ever written, and the size. */
static void check_all(struct subject *s)
{
	ck_assert_uint_eq(attr(&v, s->node).size, s->m.size);
	for (size_t i = 0; i < SLOTS; i++)
		if (s->m.numbers[i])
			check_read(s, (s->m.numbers[i] - 1) * PAGE_BYTES, PAGE_BYTES);
	if (s->m.size)
		check_read(s, s->m.size - 1, 2);
}

/* What is not zero is data; what SEEK_HOLE gives reads as zeros; both go forward. */
static void check_seek(struct subject *s, uint64_t off)
{
	uint64_t at;
	int r = fs_lseek(v.e, s->node, off, false, &at);

	if (off >= s->m.size) {
		ck_assert_int_eq(r, -ENXIO);
		ck_assert_int_eq(fs_lseek(v.e, s->node, off, true, &at), -ENXIO);
		return;
	}
	ck_assert(r == 0 || r == -ENXIO);
	if (r == -ENXIO)
		at = s->m.size;
	HOLD(at >= off && at <= s->m.size);
	/* Nothing that is not zero lies in what was jumped over. */
	for (size_t i = 0; i < SLOTS; i++) {
		uint64_t begin = s->m.numbers[i] ? (s->m.numbers[i] - 1) * PAGE_BYTES : UINT64_MAX;

		if (!s->m.numbers[i] || begin >= at || begin + PAGE_BYTES <= off)
			continue;
		for (unsigned b = 0; b < PAGE_BYTES; b++)
			if (begin + b >= off && begin + b < at && begin + b < s->m.size)
				HOLD(s->m.pages[i][b] == 0);
	}
	ck_assert_int_eq(fs_lseek(v.e, s->node, off, true, &at), 0);
	HOLD(at >= off && at <= s->m.size);
	if (at < s->m.size)
		check_read(s, at, PAGE_BYTES - at % PAGE_BYTES);
}

/* ------------------------------------------------------------------ where things change */

static const uint64_t edges[] = {
	0,
	3968,
	4096,
	8192,
	60 * 4096,
	61 * 4096,
	(60 + 128) * 4096,
	UINT64_C(4156) * 4096,
	UINT64_C(4156 + 128) * 4096,
	UINT64_C(4156 + 16384) * 4096,
	UINT64_C(462908) * 4096,
	UINT64_C(462908 + 2097152) * 4096,
	UINT64_C(4657212) * 4096,
	UINT64_C(273092668) * 4096,
};
enum { EDGES = sizeof(edges) / sizeof(edges[0]) };

/* Near an edge, more often a low one. */
static uint64_t near_edge(uint64_t *seed, unsigned high)
{
	uint64_t at = edges[below(seed, below(seed, 3) ? 6 : high)];

	switch (below(seed, 4)) {
	case 0:
		return at;
	case 1:
		at += below(seed, 5);
		return at > 2 ? at - 2 : at;
	case 2:
		return at + below(seed, 3) * PAGE_BYTES;
	default:
		at += below(seed, 6 * PAGE_BYTES);
		return at > 3 * PAGE_BYTES ? at - 3 * PAGE_BYTES : at;
	}
}

static size_t some_size(uint64_t *seed)
{
	switch (below(seed, 8)) {
	case 0:
		return 1 + below(seed, 10);
	case 1:
		return PAGE_BYTES;
	case 2:
		return below(seed, 8) ? 3 * PAGE_BYTES : 1 + below(seed, 2 << 20);
	case 3:
		return 1 + below(seed, 300000);
	default:
		return 1 + below(seed, 2 * PAGE_BYTES);
	}
}

static void do_write(struct subject *s, uint64_t *seed, uint64_t off, size_t n)
{
	static uint8_t *buf;

	if (!buf)
		buf = malloc(SCRATCH);
	fill(buf, n, rnd(seed));
	put(&v, s->node, buf, n, off);
	model_copy_in(&s->m, buf, off, n);
	if (off + n > s->m.size)
		s->m.size = off + n;
	check_read(s, off > 5000 ? off - 5000 : 0, n + 10000);
}

static void do_truncate(struct subject *s, uint64_t size)
{
	ck_assert_int_eq(resize(&v, s->node, size), 0);
	model_truncate(&s->m, size);
	check_read(s, size > 5000 ? size - 5000 : 0, 10000);
}

static void do_fallocate(struct subject *s, uint64_t *seed, uint64_t off, uint64_t n)
{
	static const int modes[] = {0,
				    FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	int mode = modes[below(seed, 6)], r = fs_fallocate(v.e, s->node, mode, off, n);

	if (r == -EOPNOTSUPP)
		return; /* the store lacks it */
	ck_assert_int_eq(r, 0);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		model_zero(&s->m, off, off + n < s->m.size ? off + n : s->m.size);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && off + n > s->m.size)
		s->m.size = off + n;
	check_read(s, off > 5000 ? off - 5000 : 0, 20000);
}

static void do_copy(struct subject *from, uint64_t from_off, struct subject *to, uint64_t to_off, uint64_t n)
{
	uint64_t expected = from_off < from->m.size ? from->m.size - from_off : 0;
	ssize_t done;

	expected = expected < n ? expected : n;
	if (from == to && from_off < to_off + n && to_off < from_off + n)
		return; /* the kernel refuses what overlaps */
	done = fs_copy_range(v.e, from->node, from_off, to->node, to_off, n);
	ck_assert_msg(done == (ssize_t)expected, "copied %zd of %llu", done, (unsigned long long)expected);
	if (!done)
		return;
	model_copy_out(&from->m, scratch2, from_off, (uint64_t)done);
	model_zero(&to->m, to_off, to_off + (uint64_t)done);
	model_copy_in(&to->m, scratch2, to_off, (uint64_t)done);
	if (to_off + (uint64_t)done > to->m.size)
		to->m.size = to_off + (uint64_t)done;
	check_read(to, to_off > 5000 ? to_off - 5000 : 0, 20000);
}

static void reopen(struct subject *s, unsigned n)
{
	vol_restart(&v);
	for (unsigned i = 0; i < n; i++) {
		s[i].node = walk(&v, s[i].name);
		ck_assert_uint_ne(s[i].node, 0);
	}
}

static void one_step(struct subject *s, unsigned count, unsigned high, uint64_t *seed)
{
	struct subject *a = &s[below(seed, count)], *b = &s[below(seed, count)];
	uint64_t off = below(seed, 6) || !a->m.size ? near_edge(seed, high) : below(seed, a->m.size);

	switch (below(seed, 16)) {
	case 0:
	case 1:
		do_truncate(a, off);
		break;
	case 2:
		do_truncate(a, a->m.size > 6 ? a->m.size + below(seed, 12) - 6 : below(seed, 9000));
		break;
	case 3:
	case 4:
	case 5:
		do_fallocate(a, seed, off, some_size(seed));
		break;
	case 6:
		do_copy(a, off, b, near_edge(seed, high), some_size(seed));
		break;
	case 7:
		check_seek(a, off);
		break;
	case 8:
		do_write(a, seed, a->m.size, some_size(seed)); /* append */
		break;
	default:
		do_write(a, seed, off, some_size(seed));
	}
}

static void random_steps(uint64_t seed, unsigned steps, unsigned high)
{
	struct subject s[2] = {{.name = "one"}, {.name = "two"}};

	for (int i = 0; i < 2; i++) {
		model_init(&s[i].m);
		s[i].node = make(&v, ROOT_NODE, s[i].name);
	}
	for (unsigned step = 0; step < steps; step++) {
		one_step(s, 2, high, &seed);
		if (below(&seed, 50) == 0)
			reopen(s, 2);
		if (below(&seed, 100) == 0)
			check_all(&s[below(&seed, 2)]);
	}
	reopen(s, 2);
	for (int i = 0; i < 2; i++) {
		check_all(&s[i]);
		model_free(&s[i].m);
		ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, s[i].name), 0);
	}
	ck_assert_uint_eq(log_lines("damaged"), 0);
}

static void begin(void)
{
	scratch = malloc(SCRATCH);
	scratch2 = malloc(SCRATCH);
	vol_default(&v);
}

static void finish(void)
{
	vol_free(&v);
	free(scratch);
	free(scratch2);
}

/* Each low and high edge; a seed that fails is printed and can be given in COFFER_TEST_SEED. */
START_TEST(random_operations)
{
	uint64_t seed = first_seed((uint64_t)_i * 1000);

	begin();
	for (unsigned i = 0; i < scaled(40); i++) {
		printf("seed %llu\n", (unsigned long long)(seed + i));
		fflush(stdout);
		random_steps(seed + i, 300, _i ? EDGES : 9);
	}
	finish();
}
END_TEST

/* The same with the smallest cache of maps. */
START_TEST(no_memory_for_maps)
{
	begin();
	vol_stop(&v);
	v.options.memory = 1;
	vol_start(&v);
	for (unsigned i = 0; i < scaled(10); i++)
		random_steps(first_seed(5000) + i, 300, EDGES);
	finish();
}
END_TEST

/* Every step from one size to another of those at which the form changes. */
START_TEST(all_pairs_of_sizes)
{
	static const uint64_t sizes[] = {0,      1,      127,    128,    3967,   3968,    3969,   4095,
					 4096,   4097,   8191,   8192,   8193,   245759,  245760, 245761,
					 249856, 253952, 700000, 770048, 770049, 1 << 20, 3000000};
	enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
	uint8_t *content = malloc(SCRATCH), *empty = calloc(2, SCRATCH);
	bool all = !getenv("COFFER_TEST_SCALE");

	begin();
	fill(content, SCRATCH, 1);
	for (size_t a = 0; a < SIZES; a++)
		for (size_t b = 0; b < SIZES; b += all ? 1 : 3) {
			uint64_t node = make(&v, ROOT_NODE, "f");

			if (sizes[a])
				put(&v, node, content, sizes[a], 0);
			ck_assert_int_eq(resize(&v, node, sizes[b]), 0);
			if (sizes[b] > sizes[a])
				memset(content + sizes[a], 0, sizes[b] - sizes[a]);
			assert_content(&v, node, content, sizes[b]);
			vol_restart(&v);
			node = walk(&v, "f");
			assert_content(&v, node, content, sizes[b]);
			/* And written over from the middle to one behind. */
			fill(content, SCRATCH, 1);
			ck_assert_int_eq(resize(&v, node, 0), 0);
			assert_content(&v, node, content, 0);
			ck_assert_int_eq(resize(&v, node, sizes[a]), 0);
			assert_content(&v, node, empty, sizes[a]);
			put(&v, node, content, sizes[b] + 1, sizes[a] / 2);
			memcpy(empty + sizes[a] / 2, content, sizes[b] + 1);
			{
				uint64_t end = sizes[a] / 2 + sizes[b] + 1;

				assert_content(&v, node, empty, end > sizes[a] ? end : sizes[a]);
			}
			memset(empty, 0, 2 * SCRATCH);
			ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "f"), 0);
		}
	free(content);
	free(empty);
	finish();
}
END_TEST

START_TEST(limits)
{
	uint64_t node, at;
	uint8_t byte = 1;

	begin();
	node = make(&v, ROOT_NODE, "f");
	ck_assert_int_eq(fs_write(v.e, node, &byte, 1, layout_max_size(), false), -EFBIG);
	ck_assert_int_eq(fs_write(v.e, node, &byte, 1, UINT64_MAX, false), -EFBIG);
	ck_assert_int_eq(fs_write(v.e, node, &byte, 1, INT64_MAX, false), -EFBIG);
	ck_assert_int_eq(resize(&v, node, layout_max_size() + 1), -EFBIG);
	ck_assert_int_eq(resize(&v, node, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(fs_fallocate(v.e, node, 0, 0, 0), -EINVAL);
	ck_assert_int_eq(fs_fallocate(v.e, node, 0, INT64_MAX, 1), -EFBIG);
	ck_assert_int_eq(fs_fallocate(v.e, node, 0, UINT64_MAX, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(fs_fallocate(v.e, node, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
	ck_assert_int_eq(fs_fallocate(v.e, node, FALLOC_FL_PUNCH_HOLE, 0, 4096), -EOPNOTSUPP);
	ck_assert_int_eq(fs_lseek(v.e, node, 0, false, &at), -ENXIO);
	ck_assert_int_eq(fs_lseek(v.e, node, 0, true, &at), -ENXIO);
	ck_assert_uint_eq(attr(&v, node).size, 0);
	ck_assert_int_eq(fs_read(v.e, node, &byte, 1, UINT64_MAX), 0);
	ck_assert_int_eq(fs_write(v.e, ROOT_NODE, &byte, 1, 0, false), -EINVAL);
	ck_assert_int_eq(fs_read(v.e, 12345, &byte, 1, 0), -ESTALE);
	finish();
}
END_TEST

static uint64_t blocks(const char *name)
{
	ck_assert_int_eq(engine_checkpoint(v.e), 0);
	return attr(&v, walk(&v, name)).blocks * 512;
}

/* A hole gives its space back; a reservation takes it, of what was asked and not of what lies around it. */
START_TEST(space)
{
	uint8_t *buf = malloc(SCRATCH);
	uint64_t node;

	begin();
	fill(buf, SCRATCH, 1);
	node = make(&v, ROOT_NODE, "f");
	put(&v, node, buf, SCRATCH, 0);
	ck_assert_int_eq(fs_fsync(v.e, node, false), 0);
	ck_assert_uint_ge(blocks("f"), SCRATCH);
	if (fs_fallocate(v.e, node, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SCRATCH) == 0)
		ck_assert_uint_lt(blocks("f"), 100000);
	ck_assert_uint_eq(attr(&v, node).size, SCRATCH);
	memset(buf, 0, SCRATCH);
	assert_content(&v, node, buf, SCRATCH);

	node = make(&v, ROOT_NODE, "big");
	ck_assert_int_eq(resize(&v, node, UINT64_C(1) << 40), 0);
	ck_assert_int_eq(fs_fallocate(v.e, node, FALLOC_FL_KEEP_SIZE, 0, 100), 0);
	ck_assert_int_eq(fs_fallocate(v.e, node, 0, (UINT64_C(1) << 40) - 8192, 8192), 0);
	ck_assert_uint_lt(blocks("big"), 1 << 20);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, "big"), 0);

	node = make(&v, ROOT_NODE, "kept");
	ck_assert_int_eq(fs_fallocate(v.e, node, FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
	ck_assert_uint_ge(blocks("kept"), 1 << 20);
	ck_assert_uint_eq(attr(&v, node).size, 0);
	free(buf);
	finish();
}
END_TEST

/* The time of the last change is that of the last change of content or size; an id that a file is given leaves it. */
START_TEST(times)
{
	struct setattr_request r = {.mtime_set = true, .mtime = {1000, 123456789}, .atime_set = true, .atime = {5, 6}};
	struct node_attr a;
	uint64_t node;

	begin();
	node = make(&v, ROOT_NODE, "f");
	ck_assert_int_eq(fs_setattr(v.e, node, &r, &a), 0);
	ck_assert_int_eq(a.st.mtime.tv_sec, 1000);
	ck_assert_int_eq(a.st.mtime.tv_nsec, 123456789);
	ck_assert_int_eq(a.st.atime.tv_nsec, 6);
	if (fs_setxattr(v.e, node, "user.x", "y", 1, 0, false) == 0)
		ck_assert_int_eq(attr(&v, node).mtime.tv_sec, 1000);
	put(&v, node, "z", 1, 0);
	ck_assert_int_gt(attr(&v, node).mtime.tv_sec, 1000);
	ck_assert_int_eq(fs_setattr(v.e, node, &r, &a), 0);
	ck_assert_int_eq(resize(&v, node, 1), 0); /* the same size */
	ck_assert_int_gt(attr(&v, node).mtime.tv_sec, 1000);
	finish();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("file");

	tcase_add_loop_test(t, random_operations, 0, 4);
	tcase_add_test(t, no_memory_for_maps);
	tcase_add_test(t, all_pairs_of_sizes);
	tcase_add_test(t, limits);
	tcase_add_test(t, space);
	tcase_add_test(t, times);
	return run_engine_suite("engine_file", t);
}

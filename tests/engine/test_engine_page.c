/* Heads, maps and data pages: what is sealed opens, and nothing else does. */
#include "fixture.h"

#include "fs/page.h"

static struct vol v;

static const enum cipher ciphers[] = {CIPHER_AES_256_OCB, CIPHER_AES_256_GCM, CIPHER_CHACHA20_POLY1305};
enum { CIPHERS = 3 };

static void begin(int i)
{
	vol_new(&v, "vol", ciphers[i], false);
	vol_start(&v);
	ck_assert_int_eq(v.keys->cipher, ciphers[i]);
}

static void end(void)
{
	vol_free(&v);
}

struct sealed_page {
	uint8_t id[16], bytes[PAGE_BYTES];
	size_t n;
	struct page_place where;
	struct entry entry;
};

static void seal(struct sealed_page *p, const uint8_t *plain, size_t n, enum page_kind kind, unsigned height,
		 uint64_t first)
{
	struct nonce nonce;

	memset(p->id, 0x5a, sizeof(p->id));
	p->n = n;
	p->where = (struct page_place){ZONE_DEFAULT, p->id, kind, height, first};
	ck_assert_int_eq(nonce_start(&nonce), 0);
	ck_assert_int_eq(page_seal(v.e, &p->where, &nonce, plain, n, p->bytes, &p->entry), 0);
}

static int open_page(const struct sealed_page *p, uint8_t *out)
{
	memset(out, 0xee, PAGE_BYTES);
	return page_open(v.e, &p->where, &p->entry, p->bytes, p->n, out);
}

static void assert_refused(const struct sealed_page *p)
{
	uint8_t out[PAGE_BYTES];

	HOLD(open_page(p, out) == -EBADMSG);
	HOLD(bytes_all_zero(out, p->n));
}

START_TEST(round_trip)
{
	static const size_t sizes[] = {1, 15, 16, 17, 904, 4095, 4096};
	uint8_t plain[PAGE_BYTES], out[PAGE_BYTES];
	struct sealed_page p;

	begin(_i);
	fill(plain, sizeof(plain), 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		seal(&p, plain, sizes[i], PAGE_DATA, 0, i);
		ck_assert_int_eq(open_page(&p, out), 0);
		ck_assert_mem_eq(out, plain, sizes[i]);
		/* In place, too. */
		ck_assert_int_eq(page_open(v.e, &p.where, &p.entry, p.bytes, p.n, p.bytes), 0);
		ck_assert_mem_eq(p.bytes, plain, sizes[i]);
	}
	end();
}
END_TEST

/* Every bit of the page and of what its parent holds of it. */
START_TEST(every_bit_of_a_page)
{
	uint8_t plain[PAGE_BYTES], out[PAGE_BYTES];
	size_t n = getenv("COFFER_TEST_SCALE") ? 500 : 4096;
	struct sealed_page p;

	begin(_i);
	fill(plain, sizeof(plain), 2);
	for (int kind = PAGE_DATA; kind <= PAGE_MAP; kind++) {
		seal(&p, plain, n, kind, kind == PAGE_MAP, 60);
		for (size_t bit = 0; bit < n * 8; bit++) {
			p.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_refused(&p);
			p.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t bit = 0; bit < sizeof(p.entry) * 8; bit++) {
			((uint8_t *)&p.entry)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_refused(&p);
			((uint8_t *)&p.entry)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		ck_assert_int_eq(open_page(&p, out), 0);
	}
	end();
}
END_TEST

START_TEST(wrong_place)
{
	uint8_t plain[PAGE_BYTES], other[16];
	struct sealed_page p;

	begin(_i);
	fill(plain, sizeof(plain), 3);
	seal(&p, plain, PAGE_BYTES, PAGE_MAP, 2, 4156);

	struct sealed_page wrong = p;

	wrong.where.file_id = wrong.id;
	for (int bit = 0; bit < 64; bit++) {
		wrong.where.first = 4156 ^ UINT64_C(1) << bit;
		assert_refused(&wrong);
	}
	wrong.where.first = 4156;
	for (unsigned h = 0; h <= HEIGHT_MAX; h++) {
		wrong.where.height = h;
		if (h != 2)
			assert_refused(&wrong);
	}
	wrong.where.height = 2;
	wrong.where.kind = PAGE_DATA;
	assert_refused(&wrong);
	wrong.where.kind = PAGE_MAP;
	for (int bit = 0; bit < 128; bit++) {
		memcpy(other, p.id, 16);
		other[bit / 8] ^= (uint8_t)(1 << bit % 8);
		wrong.where.file_id = other;
		assert_refused(&wrong);
	}
	wrong.where.file_id = p.id;
	wrong.n = PAGE_BYTES - 1;
	assert_refused(&wrong);
	end();
}
END_TEST

/* A nonce is used once: pages of one request count up, over all carries. */
START_TEST(nonces_count_up)
{
	uint8_t plain[16] = {0}, out[16], id[16] = {0};
	struct page_place where = {ZONE_DEFAULT, id, PAGE_DATA, 0, 0};
	struct nonce nonce = {{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00}};
	static const uint8_t expected[4][12] = {
		{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00},
		{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
		{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
	};

	begin(_i);
	for (int i = 0; i < 4; i++) {
		struct entry e;

		ck_assert_int_eq(page_seal(v.e, &where, &nonce, plain, 16, out, &e), 0);
		ck_assert_mem_eq(e.nonce, expected[i], 12);
	}
	end();
}
END_TEST

/* ------------------------------------------------------------------ heads */

static int seal_head(uint64_t size, const uint8_t *body, uint8_t *out)
{
	struct head h = {.size = size, .commit = 7, .epoch = 9};
	struct nonce nonce;

	memset(h.file_id, 0x11, 16);
	memset(h.birth, 0x22, 16);
	ck_assert_int_eq(nonce_start(&nonce), 0);
	return head_seal(v.e, ZONE_DEFAULT, &h, &nonce, body, out);
}

START_TEST(heads)
{
	static const uint64_t sizes[] = {0, 1, 16, 3967, 3968, 3969, 4096, 4097, 245760, 245761, UINT64_C(1) << 40};
	uint8_t body[INLINE_MAX], out[PAGE_BYTES], back[INLINE_MAX];

	begin(_i);
	fill(body, sizeof(body), 4);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bool paged = sizes[i] > INLINE_MAX;
		uint64_t physical = layout_physical_size(sizes[i], true);
		int n = seal_head(sizes[i], body, out);
		struct head h;

		ck_assert_int_eq(n, paged ? 4096 : (int)physical);
		ck_assert_int_eq(head_open(v.e, ZONE_DEFAULT, out, (size_t)n, physical, &h, back), 0);
		ck_assert_uint_eq(h.size, sizes[i]);
		ck_assert_uint_eq(h.commit, 7);
		ck_assert_uint_eq(h.epoch, 9);
		ck_assert(h.file_id[15] == 0x11 && h.birth[15] == 0x22 && !h.newborn);
		ck_assert_mem_eq(back, body, paged ? INLINE_MAX : sizes[i]);
		/* For a file of another size it is no head. */
		for (int d = -1; d <= 1; d += 2)
			ck_assert_int_eq(head_open(v.e, ZONE_DEFAULT, out, (size_t)n, physical + (uint64_t)d, &h, back),
					 -EBADMSG);
		ck_assert_int_eq(head_open(v.e, ZONE_DEFAULT, out, (size_t)n, physical + PAGE_BYTES, &h, back),
				 -EBADMSG);
		ck_assert_int_eq(head_open(v.e, ZONE_DEFAULT, out, (size_t)n - 1, physical, &h, back), -EBADMSG);
	}
	end();
}
END_TEST

START_TEST(every_bit_of_a_head)
{
	static const uint64_t sizes[] = {0, 100, 5000};
	uint8_t body[INLINE_MAX], out[PAGE_BYTES], back[INLINE_MAX];
	struct head h;

	begin(_i);
	fill(body, sizeof(body), 5);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t physical = layout_physical_size(sizes[i], true);
		int n = seal_head(sizes[i], body, out);
		int step = n == PAGE_BYTES && getenv("COFFER_TEST_SCALE") ? 17 : 1;

		for (int bit = 0; bit < n * 8; bit += bit < 1024 ? 1 : step) {
			out[bit / 8] ^= (uint8_t)(1 << bit % 8);
			HOLD(head_open(v.e, ZONE_DEFAULT, out, (size_t)n, physical, &h, back) == -EBADMSG);
			out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		ck_assert_int_eq(head_open(v.e, ZONE_DEFAULT, out, (size_t)n, physical, &h, back), 0);
	}
	end();
}
END_TEST

/* ------------------------------------------------------------------ the same through the engine */

/* Flips a bit in each page of a file in turn: an error for what hangs on it, and the rest is what it was. */
static void flip_pages(const char *name, const uint8_t *content, size_t n)
{
	uint8_t *buf = malloc(n);
	char path[512];
	struct stat st;

	root_path(&v, name, path);
	ck_assert_int_eq(engine_checkpoint(v.e), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	for (off_t page = 0; page * PAGE_BYTES < st.st_size; page++) {
		int fd = open(path, O_RDWR);
		off_t at = page * PAGE_BYTES + 11;
		uint8_t byte, flipped;
		unsigned bad = 0;

		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		flipped = byte ^ 4;
		ck_assert_int_eq(pwrite(fd, &flipped, 1, at), 1);
		vol_restart(&v);
		for (size_t off = 0; off < n; off += PAGE_BYTES) {
			size_t want = n - off < PAGE_BYTES ? n - off : PAGE_BYTES;
			ssize_t got;

			memset(buf, 0, want);
			got = fs_read(v.e, walk(&v, name), buf, want, off);
			bad += got == -EIO;
			ck_assert(got == -EIO || got == (ssize_t)want);
			ck_assert(got < 0 ? bytes_all_zero(buf, want) : memcmp(buf, content + off, want) == 0);
		}
		ck_assert_uint_eq(bad,
				  page == 0 ? (n + 4095) / 4096 : (page == 61 ? (n - 60 * 4096 + 4095) / 4096 : 1));
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		close(fd);
	}
	vol_restart(&v);
	assert_content(&v, walk(&v, name), content, n);
	free(buf);
}

START_TEST(damage_costs_itself)
{
	size_t n = 70 * PAGE_BYTES + 123;
	uint8_t *content = malloc(n);

	begin(_i);
	fill(content, n, 6);
	put(&v, make(&v, ROOT_NODE, "file"), content, n, 0);
	log_clear();
	flip_pages("file", content, n);
	ck_assert_uint_gt(log_lines("damaged: /file: page 3 "), 0);
	ck_assert_uint_gt(log_lines("damaged: /file: map over page 60 "), 0);
	ck_assert_uint_gt(log_lines("damaged: /file: head 0 "), 0);
	free(content);
	end();
}
END_TEST

/* Any mixture of two versions of a file: pages of the older one put back, one at a time and several, and other sizes.  What is read is
 * of the version of the head, or an error. */
START_TEST(mixtures_of_versions)
{
	size_t n = 65 * PAGE_BYTES;
	uint8_t *content = malloc(n), *older = malloc(n), *buf = malloc(n);
	struct text old, new;
	uint64_t node, seed = first_seed(7);
	char path[512];

	begin(_i);
	fill(older, n, 8);
	node = make(&v, ROOT_NODE, "file");
	put(&v, node, older, n, 0);
	root_path(&v, "file", path);
	vol_stop(&v);
	old = slurp(path);
	vol_start(&v);
	fill(content, n, 9);
	put(&v, walk(&v, "file"), content, n, 0);
	vol_stop(&v);
	new = slurp(path);
	ck_assert_uint_eq(old.n, new.n);
	for (unsigned i = 0; i < scaled(300); i++) {
		struct text mixed = {malloc(new.n), new.n};
		bool touched[100] = {0};

		memcpy(mixed.b, new.b, new.n);
		for (uint64_t k = 1 + below(&seed, 5); k--;) {
			size_t page = below(&seed, new.n / PAGE_BYTES);

			touched[page] = true;
			memcpy(mixed.b + page * PAGE_BYTES, old.b + page * PAGE_BYTES, PAGE_BYTES);
		}
		spill(path, mixed.b, mixed.n);
		vol_start(&v);
		for (size_t p = 0; p < 65; p++) {
			bool is_old = touched[0], good = touched[layout_physical_page(p)] == is_old;
			ssize_t got = fs_read(v.e, walk(&v, "file"), buf, PAGE_BYTES, p * PAGE_BYTES);

			good = good && (p < 60 || touched[61] == is_old);
			ck_assert_int_eq(got, good ? PAGE_BYTES : -EIO);
			if (good)
				ck_assert_mem_eq(buf, (is_old ? older : content) + p * PAGE_BYTES, PAGE_BYTES);
		}
		vol_stop(&v);
		free(mixed.b);
	}
	/* Cut, grown, and zeroed; only a file cut to nothing reads as empty. */
	for (size_t cut = 1; cut < new.n; cut += 1 + below(&seed, 3000)) {
		spill(path, new.b, cut);
		vol_start(&v);
		ck_assert_int_eq(fs_read(v.e, walk(&v, "file"), buf, PAGE_BYTES, 0), -EIO);
		ck_assert_int_eq(fs_write(v.e, walk(&v, "file"), buf, 1, 0, false), -EIO);
		ck_assert_int_eq(resize(&v, walk(&v, "file"), 10), -EIO);
		vol_stop(&v);
	}
	vol_start(&v);
	free(old.b);
	free(new.b);
	free(content);
	free(older);
	free(buf);
	end();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("page");

	tcase_add_loop_test(t, round_trip, 0, CIPHERS);
	tcase_add_loop_test(t, every_bit_of_a_page, 0, CIPHERS);
	tcase_add_loop_test(t, wrong_place, 0, CIPHERS);
	tcase_add_loop_test(t, nonces_count_up, 0, CIPHERS);
	tcase_add_loop_test(t, heads, 0, CIPHERS);
	tcase_add_loop_test(t, every_bit_of_a_head, 0, CIPHERS);
	tcase_add_loop_test(t, damage_costs_itself, 0, CIPHERS);
	tcase_add_loop_test(t, mixtures_of_versions, 0, CIPHERS);
	return run_engine_suite("engine_page", t);
}

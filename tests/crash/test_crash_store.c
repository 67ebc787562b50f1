/* The crash store itself: what it does as a filesystem, and what survives what (the rules of survive.h, by name). */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "crash_store.h"
#include "survive.h"
#include "util/base/crypto.h"

enum { SEEDS = 200, PAGE = CRASH_PAGE, SECTOR = CRASH_SECTOR };

static struct image empty, left; /* left: of all calls so far, by crash() */
static struct crash_store *cs;
static struct store *s;
static int root;

static void setup(void)
{
	ck_assert_int_eq(crypto_start(), 0);
	image_init(&empty, 1000);
	cs = crash_store_new(&empty);
	s = crash_store_ops(cs);
	root = store_open(s, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
	ck_assert_int_ge(root, 0);
}

static void teardown(void)
{
	crash_store_free(cs);
	image_free(&empty);
	image_free(&left);
}

/* ------------------------------------------------------------------ short forms */

static int make_file(int dir, const char *name)
{
	int fd = store_open(s, dir, name, O_RDWR | O_CREAT | O_EXCL, 0644);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static int make_dir(int dir, const char *name)
{
	int fd;

	ck_assert_int_eq(s->ops->mkdir(s, dir, name, 0755), 0);
	fd = store_open(s, dir, name, O_RDONLY | O_DIRECTORY, 0);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* n bytes of one value. */
static void put(int fd, uint64_t off, size_t n, int value)
{
	uint8_t *buf = malloc(n);

	memset(buf, value, n);
	ck_assert_int_eq(store_pwrite(s, fd, buf, n, off), (ssize_t)n);
	free(buf);
}

static void sync_fd(int fd)
{
	ck_assert_int_eq(s->ops->fsync(s, fd), 0);
}

static void sync_data(int fd)
{
	ck_assert_int_eq(s->ops->fdatasync(s, fd), 0);
}

static void crash(enum crash_model model, enum crash_choice choice, uint64_t seed)
{
	struct cut cut = {.model = model, .choice = choice, .calls = crash_store_count(cs), .seed = seed};

	image_free(&left);
	survive(&empty, crash_store_record(cs), &cut, &left, NULL);
}

/* What a path leads to; NULL: nothing. */
static const struct inode *at(const char *path)
{
	char copy[256], *rest = copy, *part;
	uint32_t ino = IMAGE_ROOT;

	strcpy(copy, path);
	while (ino && (part = strsep(&rest, "/")))
		ino = image_lookup(&left, ino, part);
	return ino ? image_inode(&left, ino) : NULL;
}

static int byte(const char *path, uint64_t off)
{
	uint8_t b;

	ck_assert_ptr_nonnull(at(path));
	pages_read(&at(path)->data, &b, 1, off);
	return b;
}

/* Over many seeds: a predicate holds always, or now and then. */
enum { NEVER, SOMETIMES, ALWAYS };

static int how_often(enum crash_model model, bool (*holds)(void))
{
	unsigned count = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(model, CHOICE_RANDOM, seed);
		count += holds();
	}
	return count == 0 ? NEVER : (count == SEEDS ? ALWAYS : SOMETIMES);
}

static bool f_there(void)
{
	return at("f") != NULL;
}
static bool g_there(void)
{
	return at("g") != NULL;
}
static bool d_there(void)
{
	return at("d") != NULL;
}
static bool both_there(void)
{
	return f_there() && g_there();
}
static bool one_there(void)
{
	return f_there() != g_there();
}
static bool f_written(void)
{
	return at("f") && at("f")->size == 2 * PAGE && byte("f", 0) == 1 && byte("f", 2 * PAGE - 1) == 1;
}
static bool f_mode(void)
{
	return at("f") && (at("f")->mode & 07777) == 0600;
}
static bool f_xattr(void)
{
	return at("f") && image_xattr(at("f"), "user.x");
}

/* ------------------------------------------------------------------ a filesystem */

START_TEST(test_probe)
{
	struct store_caps caps;

	ck_assert_int_eq(store_probe(s, root, &caps), 0);
	ck_assert(caps.symlinks && caps.btime && caps.user_xattrs && caps.rename_exchange && caps.rename_noreplace);
	ck_assert(caps.hard_links && caps.special_files && caps.modes && caps.punch_hole && caps.fallocate_keep_size);
	ck_assert(!caps.trusted_xattrs && !caps.stable_inodes);
	ck_assert_uint_eq(caps.name_max, 255);
	ck_assert_uint_eq(caps.symlink_max, 4095);
	ck_assert_uint_eq(caps.time_granularity_ns, 1);
	ck_assert_uint_eq(caps.file_max, CRASH_FILE_MAX);
	ck_assert_str_eq(caps.type, "0xc0ff337");
	ck_assert_uint_eq(crash_store_handles(cs), 1);
	ck_assert_uint_eq(crash_store_image(cs)->inodes[IMAGE_ROOT]->entry_count, 0);
}
END_TEST

START_TEST(test_content)
{
	uint8_t buf[3 * PAGE];
	struct store_stat st;
	uint64_t where;
	int fd = make_file(root, "f");

	put(fd, PAGE - 10, 20, 7);
	ck_assert_int_eq(store_pread(s, fd, buf, sizeof(buf), 0), PAGE + 10);
	ck_assert(buf[PAGE - 11] == 0 && buf[PAGE - 10] == 7 && buf[PAGE + 9] == 7);
	ck_assert_int_eq(s->ops->truncate(s, fd, PAGE + 5), 0);
	ck_assert_int_eq(s->ops->truncate(s, fd, 3 * PAGE), 0);
	ck_assert_int_eq(store_pread(s, fd, buf, sizeof(buf), 0), 3 * PAGE);
	ck_assert(buf[PAGE + 4] == 7 && buf[PAGE + 5] == 0);
	ck_assert_int_eq(s->ops->seek_data(s, fd, 0, true, &where), 0);
	ck_assert_uint_eq(where, 2 * PAGE);
	ck_assert_int_eq(s->ops->seek_data(s, fd, 2 * PAGE, false, &where), -ENXIO);
	ck_assert_int_eq(s->ops->fallocate(s, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), 0);
	ck_assert_int_eq(s->ops->seek_data(s, fd, 0, false, &where), 0);
	ck_assert_uint_eq(where, PAGE);
	ck_assert_int_eq(s->ops->fallocate(s, fd, FALLOC_FL_KEEP_SIZE, 0, 9 * PAGE), 0);
	ck_assert_int_eq(store_stat(s, fd, &st), 0);
	ck_assert_uint_eq(st.size, 3 * PAGE);
	ck_assert_int_eq(s->ops->fallocate(s, fd, 0, 0, 4 * PAGE), 0);
	ck_assert_int_eq(store_stat(s, fd, &st), 0);
	ck_assert_uint_eq(st.size, 4 * PAGE);
	ck_assert_int_eq(s->ops->truncate(s, fd, (uint64_t)CRASH_FILE_MAX + 1), -EFBIG);
}
END_TEST

START_TEST(test_names)
{
	int d = make_dir(root, "d"), fd = make_file(root, "f");
	struct store_stat st;
	char text[16];

	ck_assert_int_eq(store_open(s, root, "f", O_RDWR | O_CREAT | O_EXCL, 0644), -EEXIST);
	ck_assert_int_eq(store_open(s, root, "absent", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(store_open(s, root, "f", O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
	ck_assert_int_eq(s->ops->symlink(s, "target", d, "l"), 0);
	ck_assert_int_eq(store_open(s, d, "l", O_RDONLY, 0), -ELOOP);
	ck_assert_int_eq(s->ops->readlink(s, d, "l", text, 3), 3);
	ck_assert_int_eq(s->ops->readlink(s, store_open(s, d, "l", O_PATH, 0), "", text, sizeof(text)), 6);
	ck_assert_int_eq(s->ops->rmdir(s, root, "d"), -ENOTEMPTY);
	ck_assert_int_eq(s->ops->unlink(s, root, "d"), -EISDIR);
	ck_assert_int_eq(s->ops->rename(s, root, "f", d, "l", RENAME_NOREPLACE), -EEXIST);
	ck_assert_int_eq(s->ops->rename(s, root, "f", d, "l", RENAME_EXCHANGE), 0);
	ck_assert_int_eq(s->ops->readlink(s, root, "f", text, sizeof(text)), 6);
	ck_assert_int_eq(s->ops->rename(s, root, "d", d, "d", 0), -EINVAL);
	ck_assert_int_eq(s->ops->link(s, d, "l", root, "hard"), 0);
	ck_assert_int_eq(store_stat(s, fd, &st), 0);
	ck_assert_uint_eq(st.nlink, 2);
	ck_assert_int_eq(s->ops->unlink(s, d, "l"), 0);
	ck_assert_int_eq(s->ops->unlink(s, root, "hard"), 0);
	put(fd, 0, 1, 1); /* still open */
	ck_assert_int_eq(s->ops->link_fd(s, fd, root, "again"), -ENOENT);
	ck_assert_int_eq(s->ops->rmdir(s, root, "d"), 0);
	ck_assert_int_eq(store_open(s, d, "new", O_RDWR | O_CREAT, 0644), -ENOENT);
}
END_TEST

START_TEST(test_nameless)
{
	int fd = store_open(s, root, ".", O_TMPFILE | O_RDWR, 0600);

	ck_assert_int_ge(fd, 0);
	put(fd, 0, 100, 3);
	sync_fd(fd);
	crash(MODEL_STRICT, CHOICE_ALL, 0);
	ck_assert_uint_eq(image_inode(&left, IMAGE_ROOT)->entry_count, 0);
	ck_assert_int_eq(s->ops->link_fd(s, fd, root, "f"), 0);
	sync_fd(root);
	crash(MODEL_STRICT, CHOICE_NONE, 0);
	ck_assert_uint_eq(at("f")->size, 100);
	ck_assert_int_eq(byte("f", 99), 3);
}
END_TEST

START_TEST(test_listing)
{
	_Alignas(8) char buf[256];
	struct store_dirent e;
	char name[8], seen[41] = {0};
	int64_t cookie = 0;
	ssize_t used;

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		store_close(s, make_file(root, name));
	}
	while ((used = s->ops->getdents(s, root, cookie, buf, sizeof(buf))) > 0)
		for (size_t pos = 0; store_dirent_next(buf, (size_t)used, &pos, &e); cookie = e.next) {
			if (e.name[0] == '.')
				continue;
			ck_assert_int_eq(e.type, 8 /* DT_REG */);
			seen[atoi(e.name + 1)]++;
			/* What goes meanwhile moves nothing else. */
			ck_assert_int_eq(s->ops->unlink(s, root, e.name), 0);
		}
	ck_assert_int_eq(used, 0);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(seen[i], 1);
}
END_TEST

START_TEST(test_permissions)
{
	int d = make_dir(root, "d"), fd = make_file(d, "f"), path;

	ck_assert_int_eq(s->ops->chmod(s, fd, 0444), 0);
	ck_assert_int_eq(store_open(s, d, "f", O_RDWR, 0), -EACCES);
	ck_assert_int_ge(store_open(s, d, "f", O_RDONLY, 0), 0);
	put(fd, 0, 10, 1); /* a handle stays what it is */
	ck_assert_int_eq(s->ops->setxattr(s, fd, "user.x", "v", 1, 0), -EACCES);
	path = store_open(s, d, "f", O_PATH, 0);
	ck_assert_int_ge(path, 0);
	ck_assert_int_eq(store_pread(s, path, &path, 1, 0), -EBADF);
	ck_assert_int_eq(s->ops->chmod(s, path, 0644), 0);
	ck_assert_int_eq(s->ops->setxattr(s, path, "user.x", "v", 1, 0), 0);
	ck_assert_int_eq(s->ops->chmod(s, d, 0600), 0);
	ck_assert_int_eq(store_open(s, d, "f", O_RDONLY, 0), -EACCES);
	ck_assert_int_eq(s->ops->chmod(s, d, 0500), 0);
	ck_assert_int_eq(store_open(s, d, "g", O_CREAT | O_RDWR, 0644), -EACCES);
	ck_assert_int_eq(s->ops->unlink(s, d, "f"), -EACCES);
}
END_TEST

START_TEST(test_locks)
{
	int a = make_file(root, "f"), b = store_open(s, root, "f", O_RDWR, 0);

	ck_assert_int_eq(s->ops->lock(s, a, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(s->ops->lock(s, b, LOCK_SH | LOCK_NB), -EWOULDBLOCK);
	store_close(s, a);
	ck_assert_int_eq(s->ops->lock(s, b, LOCK_EX), 0);
}
END_TEST

/* ------------------------------------------------------------------ kill */

START_TEST(test_kill)
{
	int fd = make_file(root, "f");
	const struct record *r = crash_store_record(cs);
	struct cut cut = {.model = MODEL_KILL};

	put(fd, 0, 2 * PAGE, 1);
	put(fd, PAGE - 100, 2 * PAGE, 2);
	cut.calls = r->count - 1;
	ck_assert_uint_eq(survive_parts(r, cut.calls), 2);
	ck_assert_uint_eq(survive_parts(r, r->count), 0);
	image_free(&left);
	survive(&empty, r, &cut, &left, NULL);
	ck_assert_uint_eq(at("f")->size, 2 * PAGE);
	ck_assert_int_eq(byte("f", 2 * PAGE - 1), 1);
	cut.pages = 2; /* the end of page 0, and page 1 */
	image_free(&left);
	survive(&empty, r, &cut, &left, NULL);
	ck_assert_uint_eq(at("f")->size, 2 * PAGE);
	ck_assert_int_eq(byte("f", PAGE - 101), 1);
	ck_assert_int_eq(byte("f", 2 * PAGE - 1), 2);
}
END_TEST

/* A kill makes nothing durable: the record goes on behind it. */
START_TEST(test_kill_then_cut)
{
	struct cut cut = {.model = MODEL_KILL, .calls = 2};
	struct crash_store *next;
	int fd = make_file(root, "f");

	put(fd, 0, 100, 1);
	image_free(&left);
	survive(&empty, crash_store_record(cs), &cut, &left, NULL);
	next = crash_store_after_kill(&left, crash_store_record(cs), cut.calls, NULL);
	cut = (struct cut){.model = MODEL_STRICT, .choice = CHOICE_NONE, .calls = crash_store_count(next)};
	image_free(&left);
	survive(&empty, crash_store_record(next), &cut, &left, NULL);
	ck_assert_ptr_null(at("f"));
	crash_store_free(next);
}
END_TEST

/* ------------------------------------------------------------------ content */

static bool f_whole_sectors(void)
{
	for (uint64_t i = 0; i < 2 * PAGE; i += SECTOR)
		if (byte("f", i) != byte("f", i + SECTOR - 1))
			return false;
	return true;
}

static bool f_torn(void)
{
	int first = byte("f", 0);

	for (uint64_t i = 0; i < 2 * PAGE; i += SECTOR)
		if (byte("f", i) != first)
			return true;
	return false;
}

static bool f_old(void)
{
	return f_written();
}

START_TEST(test_sectors)
{
	enum crash_model model = (enum crash_model)_i;
	int fd = make_file(root, "f");

	put(fd, 0, 2 * PAGE, 1);
	sync_fd(fd);
	sync_fd(root);
	ck_assert_int_eq(how_often(model, f_written), ALWAYS);
	put(fd, 0, 2 * PAGE, 2);
	ck_assert_int_eq(how_often(model, f_whole_sectors), ALWAYS);
	ck_assert_int_eq(how_often(model, f_torn), SOMETIMES);
	ck_assert_int_eq(how_often(model, f_old), SOMETIMES);
	crash(model, CHOICE_ALL, 0);
	ck_assert(byte("f", 0) == 2 && byte("f", 2 * PAGE - 1) == 2);
	crash(model, CHOICE_NONE, 0);
	ck_assert(f_written());
	sync_data(fd);
	crash(model, CHOICE_NONE, 0);
	ck_assert(byte("f", 0) == 2 && byte("f", 2 * PAGE - 1) == 2);
}
END_TEST

/* ------------------------------------------------------------------ ORDERED */

static bool only_f(void)
{
	return f_there() && !g_there();
}
static bool only_g(void)
{
	return g_there() && !f_there();
}
static bool g_before_f(void)
{
	return at("f") ? at("g") != NULL : true;
}

START_TEST(test_o1)
{
	int g = make_file(root, "g"), f = make_file(root, "f");

	ck_assert_int_eq(how_often(MODEL_ORDERED, g_before_f), ALWAYS); /* a prefix */
	ck_assert_int_eq(how_often(MODEL_ORDERED, only_g), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_ORDERED, only_f), NEVER);
	sync_data(g); /* neither size nor space changed */
	ck_assert_int_eq(how_often(MODEL_ORDERED, g_there), SOMETIMES);
	sync_fd(g); /* up to its own last call, which is its making */
	ck_assert_int_eq(how_often(MODEL_ORDERED, g_there), ALWAYS);
	ck_assert_int_eq(how_often(MODEL_ORDERED, f_there), SOMETIMES);
	put(f, 0, 10, 1);
	sync_data(f);
	ck_assert_int_eq(how_often(MODEL_ORDERED, both_there), ALWAYS);
	ck_assert_int_eq(s->ops->chmod(s, f, 0600), 0);
	sync_data(f);
	ck_assert_int_eq(how_often(MODEL_ORDERED, f_mode), SOMETIMES);
	put(g, 0, 1, 1);
	sync_fd(g);
	ck_assert_int_eq(how_often(MODEL_ORDERED, f_mode), ALWAYS);
}
END_TEST

static bool f_size_means_content(void)
{
	return !at("f") || at("f")->size == 0 || f_written();
}
static bool f_empty(void)
{
	return at("f") && at("f")->size == 0 && byte("f", 0) == 0;
}

START_TEST(test_o2_o3)
{
	int fd = make_file(root, "f");

	put(fd, 0, 2 * PAGE, 1);
	ck_assert_int_eq(how_often(MODEL_ORDERED, f_size_means_content), ALWAYS);
	ck_assert_int_eq(how_often(MODEL_ORDERED, f_written), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_ORDERED, f_empty), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_ORDERED, f_there), SOMETIMES);
}
END_TEST

/* ------------------------------------------------------------------ STRICT */

START_TEST(test_s1)
{
	int fd = make_file(root, "f"), g;

	put(fd, 0, 2 * PAGE, 1);
	sync_fd(fd);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_there), SOMETIMES); /* the name is the directory's */
	sync_data(root);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_there), SOMETIMES);
	sync_fd(root);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_written), ALWAYS);
	g = make_file(root, "g");
	store_close(s, g);
	ck_assert_int_eq(s->ops->unlink(s, root, "f"), 0);
	ck_assert_int_eq(how_often(MODEL_STRICT, both_there), SOMETIMES); /* each by itself */
	ck_assert_int_eq(how_often(MODEL_STRICT, only_f), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_STRICT, only_g), SOMETIMES);
	ck_assert_int_eq(s->ops->syncfs(s, root), 0);
	ck_assert_int_eq(how_often(MODEL_STRICT, only_g), ALWAYS);
}
END_TEST

static bool moved_once(void)
{
	return (at("f") != NULL) != (at("d/f") != NULL);
}
static bool moved(void)
{
	return at("d/f") && !at("f");
}

START_TEST(test_s2_rename)
{
	int d = make_dir(root, "d");

	store_close(s, make_file(root, "f"));
	sync_fd(root);
	ck_assert_int_eq(s->ops->rename(s, root, "f", d, "f", 0), 0);
	ck_assert_int_eq(how_often(MODEL_STRICT, moved_once), ALWAYS);
	ck_assert_int_eq(how_often(MODEL_STRICT, moved), SOMETIMES);
	sync_fd(d);
	ck_assert_int_eq(how_often(MODEL_STRICT, moved), ALWAYS);
}
END_TEST

static bool f_or_g(void)
{
	return f_there() || g_there();
}

/* A temporary name that is renamed over a durable one, and what a durable call needs. */
START_TEST(test_s2_needs)
{
	int d, f = make_file(root, "f");

	sync_fd(root);
	store_close(s, make_file(root, "g"));
	ck_assert_int_eq(s->ops->rename(s, root, "g", root, "f", 0), 0);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_there), ALWAYS);
	ck_assert_int_eq(how_often(MODEL_STRICT, one_there), SOMETIMES);
	store_close(s, f);

	/* Into a new directory, whose name is then durable as well; out of one that goes. */
	d = make_dir(root, "d");
	ck_assert_int_eq(s->ops->rename(s, root, "f", d, "f", 0), 0);
	sync_fd(d);
	ck_assert_int_eq(how_often(MODEL_STRICT, d_there), ALWAYS);
	ck_assert_int_eq(s->ops->rename(s, d, "f", root, "g", 0), 0);
	ck_assert_int_eq(s->ops->rmdir(s, root, "d"), 0);
	ck_assert_int_eq(how_often(MODEL_STRICT, d_there), SOMETIMES);
	sync_fd(root);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_or_g), ALWAYS);
	ck_assert_int_eq(how_often(MODEL_STRICT, d_there), NEVER);
}
END_TEST

static bool f_short(void)
{
	return at("f")->size == PAGE;
}
static bool f_zeros(void)
{
	return at("f")->size == 2 * PAGE && byte("f", 2 * PAGE - 1) == 0;
}

START_TEST(test_s3)
{
	int fd = make_file(root, "f");

	put(fd, 0, PAGE, 1);
	sync_fd(fd);
	sync_fd(root);
	put(fd, PAGE, PAGE, 1);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_short), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_zeros), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_written), SOMETIMES);
	sync_data(fd);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_written), ALWAYS);
	ck_assert_int_eq(s->ops->truncate(s, fd, PAGE), 0);
	ck_assert_int_eq(s->ops->truncate(s, fd, 2 * PAGE), 0);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_written), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_short), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_zeros), SOMETIMES);
}
END_TEST

START_TEST(test_s4)
{
	int fd = make_file(root, "f");

	sync_fd(root);
	ck_assert_int_eq(s->ops->chmod(s, fd, 0600), 0);
	ck_assert_int_eq(s->ops->setxattr(s, fd, "user.x", "v", 1, 0), 0);
	sync_data(fd);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_mode), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_xattr), SOMETIMES);
	sync_fd(fd);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_mode), ALWAYS);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_xattr), ALWAYS);
}
END_TEST

static bool half_a_hole(void)
{
	return (byte("f", 0) == 0) != (byte("f", PAGE) == 0);
}

START_TEST(test_s5)
{
	int fd = make_file(root, "f");

	put(fd, 0, 2 * PAGE, 1);
	sync_fd(fd);
	sync_fd(root);
	ck_assert_int_eq(s->ops->fallocate(s, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * PAGE), 0);
	ck_assert_int_eq(how_often(MODEL_STRICT, half_a_hole), SOMETIMES);
	ck_assert_int_eq(how_often(MODEL_ORDERED, half_a_hole), NEVER);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_written), SOMETIMES);
	sync_data(fd);
	ck_assert_int_eq(how_often(MODEL_STRICT, f_written), NEVER);
	ck_assert_int_eq(how_often(MODEL_STRICT, half_a_hole), NEVER);
}
END_TEST

START_TEST(test_s6)
{
	int d = make_dir(root, "d"), fd = make_file(d, "f");

	put(fd, 0, 100, 1);
	sync_fd(fd);
	sync_fd(d);
	crash(MODEL_STRICT, CHOICE_NONE, 0);
	ck_assert_ptr_null(at("d"));
	for (uint32_t i = 2; i < left.count; i++)
		ck_assert_ptr_null(image_inode(&left, i));
	sync_fd(root);
	crash(MODEL_STRICT, CHOICE_NONE, 0);
	ck_assert_uint_eq(at("d/f")->size, 100);
	ck_assert_uint_eq(at("d/f")->nlink, 1);
	ck_assert_uint_eq(at("d")->nlink, 2);
}
END_TEST

static int put_meanwhile(void *data, uint32_t ino)
{
	ck_assert_uint_gt(ino, IMAGE_ROOT);
	put(*(int *)data, PAGE, PAGE, 2);
	return 0;
}

/* What comes while a sync is under way is not covered by it, and nothing is durable before it returns. */
START_TEST(test_slow_sync)
{
	struct cut cut = {.model = MODEL_STRICT, .choice = CHOICE_NONE};
	int fd = make_file(root, "f");

	sync_fd(root);
	put(fd, 0, PAGE, 1);
	crash_store_on_sync(cs, put_meanwhile, &fd);
	sync_fd(fd);
	crash_store_on_sync(cs, NULL, NULL);
	crash(MODEL_STRICT, CHOICE_NONE, 0);
	ck_assert_uint_eq(at("f")->size, PAGE);
	cut.calls = crash_store_count(cs) - 1;
	for (cut.model = MODEL_ORDERED; cut.model <= MODEL_STRICT; cut.model++) {
		image_free(&left);
		survive(&empty, crash_store_record(cs), &cut, &left, NULL);
		ck_assert_uint_eq(at("f")->size, 0);
	}
}
END_TEST

static int fail_sync(void *data, uint32_t ino)
{
	(void)data;
	(void)ino;
	return -EIO;
}

/* A sync that failed is the last that would have covered what came before it. */
START_TEST(test_failed_sync)
{
	int fd = make_file(root, "f");

	sync_fd(root);
	put(fd, 0, PAGE, 1);
	crash_store_on_sync(cs, fail_sync, NULL);
	ck_assert_int_eq(s->ops->fsync(s, fd), -EIO);
	crash_store_on_sync(cs, NULL, NULL);
	put(fd, PAGE, PAGE, 2);
	sync_fd(fd);
	crash(MODEL_STRICT, CHOICE_NONE, 0);
	ck_assert_uint_eq(byte("f", 0), 0);
	ck_assert_uint_eq(byte("f", PAGE), 2);
	put(fd, 0, PAGE, 1);
	sync_fd(fd);
	crash(MODEL_STRICT, CHOICE_NONE, 0);
	ck_assert_uint_eq(byte("f", 0), 1);
}
END_TEST

static int refuse(void *data, uint32_t ino, const void *buf, size_t n, uint64_t off)
{
	(void)ino;
	(void)buf;
	return off <= *(uint64_t *)data && off + n > *(uint64_t *)data ? -ENOSPC : 0;
}

/* What is refused is not there, and not in the record. */
START_TEST(test_refused_write)
{
	int fd = make_file(root, "f");
	uint64_t at_byte = PAGE + 7;
	char b[2 * CRASH_PAGE] = {1};
	size_t calls = crash_store_count(cs);

	crash_store_on_write(cs, refuse, &at_byte);
	ck_assert_int_eq(store_pwrite(s, fd, b, sizeof(b), 0), -ENOSPC);
	ck_assert_uint_eq(crash_store_count(cs), calls);
	ck_assert_int_eq(store_pwrite(s, fd, b, PAGE, 0), PAGE);
	crash_store_on_write(cs, NULL, NULL);
	ck_assert_int_eq(store_pwrite(s, fd, b, sizeof(b), 0), sizeof(b));
}
END_TEST

/* What is told of a call happens to it. */
START_TEST(test_given)
{
	int fd = make_file(root, "f");
	uint8_t given[16];
	struct cut cut = {.model = MODEL_STRICT, .choice = CHOICE_GIVEN, .given = given};

	sync_fd(root);
	put(fd, 0, PAGE, 1);
	put(fd, PAGE, PAGE, 2);
	put(fd, 2 * PAGE, PAGE, 3);
	cut.calls = crash_store_count(cs);
	memset(given, FATE_DROPPED, sizeof(given));
	given[cut.calls - 3] = FATE_TORN;
	given[cut.calls - 2] = FATE_KEPT;
	survive(&empty, crash_store_record(cs), &cut, &left, NULL);
	ck_assert_uint_eq(at("f")->size, 2 * PAGE);
	ck_assert_uint_eq(byte("f", 0), 0);
	ck_assert_uint_eq(byte("f", SECTOR), 1);
	ck_assert_uint_eq(byte("f", PAGE), 2);
}
END_TEST

/* The same seed leaves the same. */
START_TEST(test_repeats)
{
	int fd = make_file(root, "f");
	struct image before;

	sync_fd(root);
	put(fd, 0, 9 * PAGE, 1);
	put(fd, 100, 5 * PAGE, 2);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(MODEL_STRICT, CHOICE_RANDOM, seed);
		image_copy(&before, &left);
		crash(MODEL_STRICT, CHOICE_RANDOM, seed);
		for (uint64_t page = 0; page < 9; page++)
			ck_assert(pages_same(&image_inode(&before, 2)->data, &image_inode(&left, 2)->data, page));
		image_free(&before);
	}
}
END_TEST

int main(void)
{
	const TTest *tests[] = {test_probe,     test_content,     test_names,
				test_nameless,  test_listing,     test_permissions,
				test_locks,     test_kill,        test_kill_then_cut,
				test_o1,        test_o2_o3,       test_s1,
				test_s2_rename, test_s2_needs,    test_s3,
				test_s4,        test_s5,          test_s6,
				test_slow_sync, test_failed_sync, test_refused_write,
				test_given,     test_repeats};
	Suite *suite = suite_create("crash store");
	TCase *t = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(t, tests[i]);
	tcase_add_loop_test(t, test_sectors, MODEL_ORDERED, MODEL_STRICT + 1);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

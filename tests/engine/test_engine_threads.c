/* Eight threads on one engine, on files of their own and on shared ones: nothing is lost, nothing strange is answered.  Meant for the
 * thread sanitizer, too. */
#include "fixture.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

enum { THREADS = 8, LIMIT = 128, RESERVE = 64 };

static struct vol v;
static atomic_bool stop;
static atomic_uint failures;

/* Check's assertions are for the main thread. */
#define EXPECT(x)                                                                                                      \
	do {                                                                                                           \
		if (!(x) && atomic_fetch_add(&failures, 1) < 20) {                                                     \
			printf("%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x);                                  \
			fflush(stdout);                                                                                \
		}                                                                                                      \
	} while (0)

static bool expect_one_of(int line, const char *call, long r, const int *allowed)
{
	if (r >= 0)
		return true;
	for (; *allowed; allowed++)
		if (r == -*allowed)
			return false;
	if (atomic_fetch_add(&failures, 1) < 20) {
		printf("line %d: %s: %s\n", line, call, strerror((int)-r));
		fflush(stdout);
	}
	return false;
}
/* True if the call worked; it may fail with the errors listed. */
#define MAY(call, ...) expect_one_of(__LINE__, #call, (call), (const int[]){__VA_ARGS__ __VA_OPT__(, ) 0})

static void run_threads(void *(*body)(void *), double seconds)
{
	struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	pthread_t threads[THREADS];

	atomic_store(&stop, false);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, body, (void *)i), 0);
	nanosleep(&t, NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(atomic_load(&failures), 0);
	ck_assert_uint_eq(log_lines("damaged"), 0);
	ck_assert_uint_eq(log_lines("does not decrypt"), 0);
	ck_assert_uint_eq(log_lines("the id of directory"), 0);
}

static double some_seconds(void)
{
	return getenv("COFFER_TEST_SCALE") ? 1.5 : 4;
}

static void few_descriptors(void)
{
	struct rlimit few = {LIMIT + RESERVE, LIMIT + RESERVE};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
}

/* ------------------------------------------------------------------ files */

/* Own blocks of shared files: what a thread wrote there it reads back, whatever the others do beside it. */
enum { FILES = 4, BLOCK = 5000 };
static uint64_t shared_files[FILES];

static void *blocks_of_shared_files(void *arg)
{
	uint64_t me_too = (uintptr_t)arg, seed = me_too + 1;
	uint8_t mine[BLOCK], got[BLOCK];

	while (!atomic_load(&stop)) {
		uint64_t file = shared_files[below(&seed, FILES)], row = below(&seed, 60);
		uint64_t off = (row * THREADS + me_too) * BLOCK;

		fill(mine, BLOCK, rnd(&seed));
		EXPECT(fs_write(v.e, file, mine, BLOCK, off, false) == BLOCK);
		EXPECT(fs_read(v.e, file, got, BLOCK, off) == BLOCK);
		EXPECT(memcmp(mine, got, BLOCK) == 0);
		if (below(&seed, 8) == 0) {
			int r = fs_fallocate(v.e, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, BLOCK);

			EXPECT(r == 0 || r == -EOPNOTSUPP);
			memset(mine, 0, BLOCK);
			EXPECT(r < 0 || (fs_read(v.e, file, got, BLOCK, off) == BLOCK && !memcmp(mine, got, BLOCK)));
		}
		if (below(&seed, 8) == 0)
			EXPECT(fs_fallocate(v.e, file, 0, off, BLOCK) == 0); /* never makes a file shorter */
		if (below(&seed, 16) == 0) {
			uint64_t at;

			MAY(fs_lseek(v.e, file, off, below(&seed, 2), &at), ENXIO);
			MAY(fs_copy_range(v.e, file, off, shared_files[below(&seed, FILES)], off, BLOCK));
			EXPECT(fs_fsync(v.e, file, true) == 0);
		}
	}
	fs_thread_end();
	return NULL;
}

START_TEST(shared_content)
{
	vol_new(&v, "vol", CIPHER_NONE, false);
	v.options.memory = _i; /* the second time with the smallest cache */
	vol_start(&v);
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file%u", i);
		shared_files[i] = make(&v, ROOT_NODE, name);
	}
	run_threads(blocks_of_shared_files, some_seconds());
	vol_restart(&v);
	for (unsigned i = 0; i < FILES; i++) {
		static uint8_t all[60 * THREADS * BLOCK];
		char name[16];

		snprintf(name, sizeof(name), "file%u", i);
		ck_assert_int_ge(fs_read(v.e, walk(&v, name), all, sizeof(all), 0), 0);
	}
	vol_free(&v);
}
END_TEST

/* The end of one file is moved by all. */
static void *one_end(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 1, file = shared_files[0];
	static uint8_t zeros[20000];
	uint8_t got[20000];
	struct setattr_request size = {.size_set = true};
	struct node_attr a;

	while (!atomic_load(&stop)) {
		uint64_t at = below(&seed, 300000);

		switch (below(&seed, 4)) {
		case 0:
			size.size = at;
			EXPECT(fs_setattr(v.e, file, &size, &a) == 0);
			break;
		case 1:
			EXPECT(fs_write(v.e, file, zeros, 1 + below(&seed, sizeof(zeros)), at, false) > 0);
			break;
		case 2:
			EXPECT(fs_getattr(v.e, file, &a) == 0 && a.st.size <= 320000);
			break;
		default: {
			ssize_t n = fs_read(v.e, file, got, sizeof(got), at);

			EXPECT(n >= 0 && memcmp(got, zeros, n < 0 ? 0 : (size_t)n) == 0);
		}
		}
	}
	fs_thread_end();
	return NULL;
}

START_TEST(shared_end)
{
	vol_default(&v);
	shared_files[0] = make(&v, ROOT_NODE, "file");
	run_threads(one_end, some_seconds());
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ names */

/* All threads make, move, look up, list and remove few names in few directories. */
enum { DIRS = 3, NAMES = 6 };
static uint64_t shared_dirs[DIRS];
static char long_target[1500];

static const char *some_name(uint64_t *seed)
{
	static char names[NAMES][NAME_MAX + 1];
	static atomic_bool ready;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	if (!atomic_load(&ready)) {
		pthread_mutex_lock(&lock);
		for (int i = 0; i < NAMES && !atomic_load(&ready); i++)
			memset(names[i], 'a' + i, i % 2 ? 200 : 5);
		atomic_store(&ready, true);
		pthread_mutex_unlock(&lock);
	}
	return names[below(seed, NAMES)];
}

static bool ignore(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next, const struct node_attr *a)
{
	(void)name;
	(void)ino;
	(void)type;
	(void)next;
	/* The kernel forgets what it was told of. */
	if (a)
		fs_forget(data, a->node, 1);
	return true;
}

static void use_node(uint64_t node, uint64_t *seed)
{
	struct node_attr a;
	char buf[4096];

	if (fs_getattr(v.e, node, &a) < 0)
		return;
	if (S_ISREG(a.st.mode)) {
		MAY(fs_write(v.e, node, "content", 7, below(seed, 5000), false));
		MAY(fs_read(v.e, node, buf, sizeof(buf), 0));
	} else if (S_ISLNK(a.st.mode)) {
		MAY(fs_readlink(v.e, node, buf, sizeof(buf)), ESTALE,
		    EIO); /* its body may be gone with its last name */
	}
}

static void one_name_step(uint64_t *seed)
{
	uint64_t dir = shared_dirs[below(seed, DIRS)], other = shared_dirs[below(seed, DIRS)];
	const char *name = some_name(seed), *to = some_name(seed);
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	const char *const targets[] = {"short", long_target};
	struct node_attr a, b;

	switch (below(seed, 10)) {
	case 0:
	case 1:
		if (MAY(fs_mknod(v.e, &me, dir, name, S_IFREG | 0644, 0, &a), EEXIST)) {
			use_node(a.node, seed);
			fs_forget(v.e, a.node, 1);
		}
		break;
	case 2:
		if (MAY(fs_mkdir(v.e, &me, dir, name, 0755, &a), EEXIST)) {
			/* Something long in it, while others may be removing it. */
			if (MAY(fs_mknod(v.e, &me, a.node, to, S_IFREG | 0644, 0, &b), ENOENT, ESTALE)) {
				MAY(fs_unlink(v.e, a.node, to), ENOENT, ESTALE);
				fs_forget(v.e, b.node, 1);
			}
			fs_forget(v.e, a.node, 1);
		}
		break;
	case 3:
		if (MAY(fs_symlink(v.e, &me, targets[below(seed, 2)], dir, name, &a), EEXIST))
			fs_forget(v.e, a.node, 1);
		break;
	case 4:
		if (MAY(fs_lookup(v.e, dir, name, &a), ENOENT)) {
			use_node(a.node, seed);
			fs_forget(v.e, a.node, 1);
		}
		break;
	case 5:
		if (MAY(fs_lookup(v.e, dir, name, &a), ENOENT)) {
			if (!S_ISDIR(a.st.mode) &&
			    MAY(fs_link(v.e, &me, a.node, other, to, &b), EEXIST, ENOENT, ESTALE))
				fs_forget(v.e, b.node, 1);
			fs_forget(v.e, a.node, 1);
		}
		break;
	case 6:
		MAY(fs_unlink(v.e, dir, name), ENOENT, EISDIR);
		break;
	case 7:
		MAY(fs_rmdir(v.e, dir, name), ENOENT, ENOTDIR, ENOTEMPTY);
		break;
	case 8:
		MAY(fs_rename(v.e, dir, name, other, to, flags[below(seed, 4)]), ENOENT, EEXIST, EISDIR, ENOTDIR,
		    ENOTEMPTY);
		break;
	default:
		MAY(fs_readdir(v.e, dir, 0, below(seed, 2), ignore, v.e));
	}
}

static void *names(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 1;

	while (!atomic_load(&stop))
		one_name_step(&seed);
	fs_thread_end();
	return NULL;
}

static void empty_dir(uint64_t dir)
{
	struct shown s = list_dir(&v, dir);

	for (size_t i = 0; i < s.count; i++) {
		uint64_t node = look(&v, dir, s.names[i]);

		ck_assert_uint_ne(node, 0);
		if (S_ISDIR(attr(&v, node).mode)) {
			empty_dir(node);
			ck_assert_int_eq(fs_rmdir(v.e, dir, s.names[i]), 0);
		} else {
			ck_assert_int_eq(fs_unlink(v.e, dir, s.names[i]), 0);
		}
	}
	shown_free(&s);
}

START_TEST(shared_names)
{
	if (_i)
		few_descriptors();
	memset(long_target, 't', sizeof(long_target) - 1);
	vol_default(&v);
	for (unsigned i = 0; i < DIRS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "dir%u", i);
		shared_dirs[i] = make_dir(&v, ROOT_NODE, name);
	}
	run_threads(names, some_seconds());
	/* All that is left is sound, and nothing invisible keeps a directory from being removed. */
	vol_restart(&v);
	empty_dir(ROOT_NODE);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ few descriptors */

/* A tree of many files, used all over while directories move, with a descriptor for few of them. */
enum { MANY = 400 };
static uint64_t many[MANY];

static void *all_over(void *arg)
{
	uint64_t self = (uintptr_t)arg, seed = self + 1;
	char got[16];

	while (!atomic_load(&stop)) {
		unsigned i = (unsigned)below(&seed, MANY);
		struct node_attr a;

		if (self == 0 && below(&seed, 4) == 0) {
			MAY(fs_rename(v.e, ROOT_NODE, "a", ROOT_NODE, "b", RENAME_EXCHANGE));
			MAY(fs_rename(v.e, ROOT_NODE, "c", ROOT_NODE, "d", 0), ENOENT);
			MAY(fs_rename(v.e, ROOT_NODE, "d", ROOT_NODE, "c", 0), ENOENT);
		}
		MAY(fs_getattr(v.e, many[i], &a));
		MAY(fs_read(v.e, many[i], got, sizeof(got), 0));
		if (below(&seed, 4) == 0)
			MAY(fs_write(v.e, many[i], "content", 7, 0, false));
		if (below(&seed, 16) == 0)
			MAY(fs_lookup(v.e, ROOT_NODE, "a", &a));
	}
	fs_thread_end();
	return NULL;
}

static const char *numbered(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "file%u", i);
	return name;
}

START_TEST(few_descriptors_for_many)
{
	few_descriptors();
	vol_default(&v);
	for (unsigned i = 0; i < MANY; i++) {
		char path[32];
		uint64_t dir;

		snprintf(path, sizeof(path), "%c", "abc"[i % 3]);
		dir = look(&v, ROOT_NODE, path);
		dir = dir ? dir : make_dir(&v, ROOT_NODE, path);
		snprintf(path, sizeof(path), "sub%u", i / 10);
		if (!look(&v, dir, path))
			make_dir(&v, dir, path);
		many[i] = make(&v, look(&v, dir, path), numbered(i));
	}
	run_threads(all_over, some_seconds());
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ a directory that goes while something comes into it */

static struct store slow_store;
static struct store_ops slow_ops;

static void pause_ms(long ms)
{
	const struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

static int slow_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	(void)s;
	if (flags & O_CREAT)
		pause_ms(60);
	return store_open(&v.quick, dir, name, flags, mode);
}

/* So that the entry comes after the proof that there is none. */
static int slow_rename(struct store *s, int a, const char *from, int b, const char *to, unsigned flags)
{
	(void)s;
	if (strcmp(from, ".coffer-dir") == 0)
		pause_ms(100);
	return v.quick_ops.rename(&v.quick, a, from, b, to, flags);
}

static void *make_slowly(void *arg)
{
	struct node_attr a;
	int r = fs_mknod(v.e, &me, *(uint64_t *)arg,
			 "a name that is so long that it has a sidecar, which is made before the "
			 "entry and must be there as long as the entry is, whatever else goes on "
			 "in the directory: so long",
			 S_IFREG | 0644, 0, &a);
	EXPECT(r == 0 || r == -ENOENT);
	fs_thread_end();
	return r == 0 ? arg : NULL;
}

START_TEST(removed_while_filled)
{
	uint64_t dir;
	pthread_t t;
	void *made;

	vol_new(&v, "vol", CIPHER_NONE, false);
	slow_ops = v.quick_ops;
	slow_ops.open = slow_open;
	slow_ops.rename = slow_rename;
	slow_store.ops = &slow_ops;
	v.store = &slow_store;
	vol_start(&v);
	dir = make_dir(&v, ROOT_NODE, "dir");
	make_dir(&v, ROOT_NODE, "other");
	ck_assert_int_eq(pthread_create(&t, NULL, make_slowly, &dir), 0);
	pause_ms(20);

	int r = _i ? fs_rename(v.e, ROOT_NODE, "other", ROOT_NODE, "dir", 0) : fs_rmdir(v.e, ROOT_NODE, "dir");

	pthread_join(t, &made);
	ck_assert_int_eq(r, made ? -ENOTEMPTY : 0);
	ck_assert_uint_eq(atomic_load(&failures), 0);
	vol_restart(&v);
	if (made) {
		struct shown s = list_dir(&v, walk(&v, "dir"));

		ck_assert_uint_eq(s.count, 1);
		shown_free(&s);
	}
	empty_dir(ROOT_NODE);
	vol_free(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("threads");

	tcase_add_loop_test(t, shared_content, 0, 2);
	tcase_add_test(t, shared_end);
	tcase_add_loop_test(t, shared_names, 0, 2);
	tcase_add_test(t, few_descriptors_for_many);
	tcase_add_loop_test(t, removed_while_filled, 0, 2);
	return run_engine_suite("engine_threads", t);
}

/* What the tests of the engine share. */
#include "fixture.h"

#include <linux/falloc.h>
#include <linux/fs.h>

#include "fs/directory.h"
#include "fs/names.h"

/* Log lines go to a file; what sanitizers say shall not. */
extern void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

const struct caller me = {.umask = 022};

/* ------------------------------------------------------------------ volumes */

static int no_sync(struct store *s, int fd)
{
	(void)s;
	(void)fd;
	return 0;
}

void vol_new(struct vol *v, const char *dir, enum cipher cipher, bool portable)
{
	struct unlock_secret secret = passphrase(PASSPHRASE);
	struct new_volume how = {.secrets = &secret,
				 .secret_count = 1,
				 .cipher = cipher,
				 .portable = portable,
				 .journal_size = JOURNAL_MIN,
				 .furnish = getenv("COFFER_TEST_JOURNAL") ? journal_make : NULL};
	struct fault why = {0};

	*v = (struct vol){.plain = store_posix_new()};
	v->quick_ops = *v->plain->ops;
	v->quick_ops.syncfs = v->quick_ops.fsync = v->quick_ops.fdatasync = no_sync;
	v->quick.ops = &v->quick_ops;
	v->store = &v->quick;
	v->options.shared = getenv("COFFER_TEST_SHARED") != NULL;
	v->options.journal = how.furnish && !v->options.shared;
	ck_assert_msg(volume_init(dir, &how, &v->keyring, &why) == 0, "%s", why.text);
	unlock_secret_wipe(&secret);
	ck_assert_int_eq(volume_open_dir(v->plain, dir, &v->dot, &v->data, &why), 0);
	v->keys = keyring_keys(v->keyring);
	v->settings = *keyring_settings(v->keyring);
	ck_assert_ptr_nonnull(v->keys);
}

void vol_start(struct vol *v)
{
	struct fault why = {0};
	int r = engine_start(v->store, v->dot, v->data, &v->settings, keyring_root_directory(v->keyring), v->keys,
			     &v->options, &v->e, &why);

	ck_assert_msg(r == 0, "%s", why.text);
}

void vol_stop(struct vol *v)
{
	ck_assert_int_eq(engine_stop(&v->e), 0);
}

void vol_restart(struct vol *v)
{
	vol_stop(v);
	vol_start(v);
}

void vol_free(struct vol *v)
{
	if (v->e)
		vol_stop(v);
	keys_unref(v->keys);
	keyring_free(&v->keyring);
	store_close(v->plain, v->dot);
	store_close(v->plain, v->data);
	v->plain->ops->destroy(v->plain);
}

void vol_default(struct vol *v)
{
	vol_new(v, "vol", CIPHER_NONE, false);
	vol_start(v);
}

/* ------------------------------------------------------------------ numbers */

uint64_t rnd(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

unsigned scaled(unsigned n)
{
	const char *text = getenv("COFFER_TEST_SCALE");
	unsigned by = text ? (unsigned)strtoul(text, NULL, 10) : 1;

	n /= by ? by : 1;
	return n ? n : 1;
}

uint64_t first_seed(uint64_t seed)
{
	const char *text = getenv("COFFER_TEST_SEED");

	return text ? strtoull(text, NULL, 0) : seed;
}

void fill(uint8_t *buf, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		if (i % 8 == 0)
			rnd(&seed);
		buf[i] = (uint8_t)((seed >> i % 8 * 8) | 1); /* never zero */
	}
}

/* ------------------------------------------------------------------ operations */

uint64_t look(struct vol *v, uint64_t parent, const char *name)
{
	struct node_attr a;
	int r = fs_lookup(v->e, parent, name, &a);

	ck_assert_msg(r == 0 || r == -ENOENT, "lookup of %s: %s", name, strerror(-r));
	return r == 0 ? a.node : 0;
}

uint64_t walk(struct vol *v, const char *path)
{
	char copy[4096], *rest = copy, *part;
	uint64_t at = ROOT_NODE;

	snprintf(copy, sizeof(copy), "%s", path);
	while (at && (part = strsep(&rest, "/")))
		if (*part)
			at = look(v, at, part);
	return at;
}

uint64_t make(struct vol *v, uint64_t parent, const char *name)
{
	struct node_attr a;
	int r = fs_mknod(v->e, &me, parent, name, S_IFREG | 0644, 0, &a);

	ck_assert_msg(r == 0, "mknod of %s: %s", name, strerror(-r));
	return a.node;
}

uint64_t make_dir(struct vol *v, uint64_t parent, const char *name)
{
	struct node_attr a;
	int r = fs_mkdir(v->e, &me, parent, name, 0755, &a);

	ck_assert_msg(r == 0, "mkdir of %s: %s", name, strerror(-r));
	return a.node;
}

void put(struct vol *v, uint64_t node, const void *buf, size_t n, uint64_t off)
{
	ssize_t r = fs_write(v->e, node, buf, n, off, false);

	ck_assert_msg(r == (ssize_t)n, "write of %zu at %llu: %zd", n, (unsigned long long)off, r);
}

int resize(struct vol *v, uint64_t node, uint64_t size)
{
	struct setattr_request r = {.size_set = true, .size = size};
	struct node_attr a;

	return fs_setattr(v->e, node, &r, &a);
}

int chmod_node(struct vol *v, uint64_t node, mode_t mode)
{
	struct setattr_request r = {.mode_set = true, .mode = mode};
	struct node_attr a;

	return fs_setattr(v->e, node, &r, &a);
}

struct store_stat attr(struct vol *v, uint64_t node)
{
	struct node_attr a;
	int r = fs_getattr(v->e, node, &a);

	ck_assert_msg(r == 0, "getattr: %s", strerror(-r));
	return a.st;
}

void assert_content(struct vol *v, uint64_t node, const void *expected, size_t n)
{
	uint8_t *buf = malloc(n + 1);
	ssize_t got = fs_read(v->e, node, buf, n + 1, 0);

	ck_assert_msg(got == (ssize_t)n, "read of %zu: %zd", n, got);
	ck_assert_uint_eq(attr(v, node).size, n);
	for (size_t i = 0; i < n; i++)
		if (buf[i] != ((const uint8_t *)expected)[i])
			ck_abort_msg("byte %zu of %zu differs", i, n);
	free(buf);
}

static bool collect(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next, const struct node_attr *a)
{
	struct shown *s = data;

	(void)ino;
	(void)type;
	(void)next;
	(void)a;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	s->names = realloc(s->names, (s->count + 1) * sizeof(*s->names));
	s->names[s->count++] = strdup(name);
	return true;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct shown list_dir(struct vol *v, uint64_t dir)
{
	struct shown s = {0};
	int r = fs_readdir(v->e, dir, 0, false, collect, &s);

	ck_assert_msg(r == 0, "readdir: %s", strerror(-r));
	if (s.count)
		qsort(s.names, s.count, sizeof(*s.names), by_text);
	return s;
}

void shown_free(struct shown *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->names[i]);
	free(s->names);
	*s = (struct shown){0};
}

bool shows(const struct shown *s, const char *name)
{
	return s->count && bsearch(&name, s->names, s->count, sizeof(*s->names), by_text);
}

void backing(struct vol *v, uint64_t dir, const char *name, char out[NAME_MAX + 1])
{
	struct backing_name b;
	struct store_stat st;
	struct node *d;

	ck_assert_int_eq(directory_begin(v->e, dir, DIR_READ, &d), 0);
	ck_assert_int_eq(names_lookup(v->e, d, name, &b, &st), 0);
	directory_end(v->e, d);
	strcpy(out, b.name);
}

void root_path(struct vol *v, const char *name, char out[512])
{
	char below_name[NAME_MAX + 1];

	backing(v, ROOT_NODE, name, below_name);
	snprintf(out, 512, "vol/data/%s", below_name);
}

/* ------------------------------------------------------------------ running */

static void keep_reports(void)
{
	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)dup(STDERR_FILENO));
	umask(022);
}

int run_engine_suite(const char *name, TCase *t)
{
	tcase_add_checked_fixture(t, keep_reports, NULL); /* before the one that sends stderr to the log */
	return run_suite(name, t);
}

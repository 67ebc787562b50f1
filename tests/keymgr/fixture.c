/* What the tests of keymgr share. */
#include "fixture.h"

#include <ftw.h>
#include <unistd.h>

#include "util/base/encode.h"

static char made[256];

void fixture_setup(void)
{
	static const struct argon2_cost cheap = {.t = 1, .m_kib = 8, .p = 1};
	const char *top = getenv("TMPDIR");

	ck_assert_int_lt(snprintf(made, sizeof(made), "%s/coffer-keymgr-XXXXXX", top ? top : "/tmp"),
			 (int)sizeof(made));
	ck_assert_ptr_nonnull(mkdtemp(made));
	ck_assert_int_eq(chdir(made), 0);
	ck_assert_ptr_nonnull(freopen("log", "w", stderr));
	setvbuf(stderr, NULL, _IONBF, 0);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", "", 1), 0);
	ck_assert_int_eq(crypto_start(), 0);
	ck_assert_int_eq(secret_start(1 << 20), 0);
	keyring_set_argon2_for_tests(&cheap);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void fixture_end(void)
{
	secret_stop();
	ck_assert_int_eq(chdir("/"), 0);
	remove_tree(made);
}

size_t log_lines(const char *containing)
{
	struct text t = slurp("log");
	size_t n = 0;

	for (char *at = t.b; (at = strstr(at, containing)); at++)
		n++;
	free(t.b);
	return n;
}

void log_clear(void)
{
	ck_assert_int_eq(ftruncate(fileno(stderr), 0), 0);
	rewind(stderr);
}

struct secret *secret_text(const char *text)
{
	struct secret *s = secret_new(strlen(text));

	ck_assert_ptr_nonnull(s);
	memcpy(s->bytes, text, s->size);
	return s;
}

struct unlock_secret passphrase(const char *text)
{
	return (struct unlock_secret){.kind = SECRET_PASSPHRASE, .bytes = secret_text(text)};
}

struct unlock_secret key_file(uint8_t fill)
{
	struct secret *s = secret_new(64);

	ck_assert_ptr_nonnull(s);
	memset(s->bytes, fill, s->size);
	return (struct unlock_secret){.kind = SECRET_KEY_FILE, .bytes = s};
}

void volume_make(struct volume *v)
{
	struct unlock_secret secrets[2] = {passphrase(PASSPHRASE)};
	struct new_volume how = {.secrets = secrets, .secret_count = 2};
	struct keyring *k;
	struct fault why = {0};

	ck_assert_int_eq(recovery_key_new(&secrets[1]), 0);
	ck_assert_msg(volume_init("vol", &how, &k, &why) == 0, "%s", why.text);
	keyring_free(&k);
	unlock_secret_wipe(&secrets[0]);
	v->recovery = secrets[1];
	v->s = store_posix_new();
	ck_assert_int_eq(volume_open_dir(v->s, "vol", &v->dot, &v->data, &why), 0);
}

void volume_close(struct volume *v)
{
	unlock_secret_wipe(&v->recovery);
	store_close(v->s, v->dot);
	store_close(v->s, v->data);
	v->s->ops->destroy(v->s);
}

struct keyring *open_with(struct volume *v, const struct unlock_secret *with, struct fault *why, int *ret)
{
	struct keyring *k = NULL;

	*why = (struct fault){0};
	*ret = keyring_read(v->s, v->dot, &k, why);
	if (*ret == 0)
		*ret = keyring_unlock(k, with, why);
	if (*ret == 0)
		return k;
	ck_assert_int_ne(why->status, EXIT_OK); /* every failure says why */
	ck_assert_ptr_null(strchr(why->text, '\n'));
	keyring_free(&k);
	return NULL;
}

struct keyring *open_volume(struct volume *v)
{
	struct unlock_secret s = passphrase(PASSPHRASE);
	struct fault why;
	int ret;
	struct keyring *k = open_with(v, &s, &why, &ret);

	unlock_secret_wipe(&s);
	ck_assert_msg(k != NULL, "%s", why.text);
	return k;
}

struct text slurp(const char *path)
{
	struct text t = {0};
	struct stat st;
	int fd = open(path, O_RDONLY);

	ck_assert_msg(fd >= 0, "%s", path);
	ck_assert_int_eq(fstat(fd, &st), 0);
	t.n = (size_t)st.st_size;
	t.b = malloc(t.n + 1);
	ck_assert_ptr_nonnull(t.b);
	ck_assert_int_eq(read(fd, t.b, t.n), (ssize_t)t.n);
	t.b[t.n] = '\0';
	close(fd);
	return t;
}

void spill(const char *path, const void *b, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_msg(fd >= 0, "%s", path);
	ck_assert_int_eq(write(fd, b, n), (ssize_t)n);
	close(fd);
}

void rehash(struct text *t)
{
	char hex[2 * SHA256_SIZE + 1];
	uint8_t hash[SHA256_SIZE];

	ck_assert_uint_gt(t->n, 65);
	ck_assert_int_eq(sha256(t->b, t->n - 65, hash), 0);
	hex_encode(hash, sizeof(hash), hex);
	memcpy(t->b + t->n - 65, hex, 64);
}

void replace(struct text *t, const char *from, const char *to)
{
	char *at = strstr(t->b, from), *b = malloc(t->n + strlen(to) + 1);
	size_t head;

	ck_assert_msg(at && b, "no \"%s\"", from);
	head = (size_t)(at - t->b);
	memcpy(b, t->b, head);
	memcpy(stpcpy(b + head, to), at + strlen(from), t->n - head - strlen(from) + 1);
	t->n = t->n - strlen(from) + strlen(to);
	free(t->b);
	t->b = b;
}

/* --- the failing store */

static int spend(struct store *s)
{
	struct failing_store *f = (struct failing_store *)s;

	if (f->allowed-- > 0)
		return 0;
	return f->for_ever || f->allowed == -1 ? -f->error : 0;
}

#define REAL ((struct failing_store *)s)->real
#define FAIL                                                                                                           \
	int ret = spend(s);                                                                                            \
	if (ret < 0)                                                                                                   \
		return ret;

static int f_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	if (flags & O_CREAT) {
		FAIL
	}
	return store_open(REAL, dir, name, flags, mode);
}
/* Of a write that fails a part gets through. */
static ssize_t f_pwrite(struct store *s, int fd, const void *buf, size_t n, uint64_t off)
{
	int ret = spend(s);

	if (ret < 0 && n > 1)
		ck_assert_int_ge(store_pwrite(REAL, fd, buf, n / 2, off), 0);
	return ret < 0 ? ret : store_pwrite(REAL, fd, buf, n, off);
}
static int f_fallocate(struct store *s, int fd, int mode, uint64_t off, uint64_t n)
{
	FAIL return REAL->ops->fallocate(REAL, fd, mode, off, n);
}
/* The others need no space. */
#define FAIL_UNLESS_FULL                                                                                               \
	if (((struct failing_store *)s)->error != ENOSPC) {                                                            \
		FAIL                                                                                                   \
	}
static int f_fsync(struct store *s, int fd)
{
	FAIL_UNLESS_FULL return REAL->ops->fsync(REAL, fd);
}
static int f_mkdir(struct store *s, int dir, const char *name, mode_t mode)
{
	FAIL return REAL->ops->mkdir(REAL, dir, name, mode);
}
static int f_symlink(struct store *s, const char *target, int dir, const char *name)
{
	FAIL return REAL->ops->symlink(REAL, target, dir, name);
}
static int f_unlink(struct store *s, int dir, const char *name)
{
	FAIL_UNLESS_FULL return REAL->ops->unlink(REAL, dir, name);
}
static int f_rmdir(struct store *s, int dir, const char *name)
{
	FAIL_UNLESS_FULL return REAL->ops->rmdir(REAL, dir, name);
}
static int f_rename(struct store *s, int a, const char *from, int b, const char *to, unsigned flags)
{
	FAIL return REAL->ops->rename(REAL, a, from, b, to, flags);
}

static struct store_ops failing_ops;

/* The posix store keeps no state in its handle, so the other calls can go to it as they are. */
void failing_store_init(struct failing_store *f, long allowed, int error, bool for_ever)
{
	*f = (struct failing_store){
		.real = store_posix_new(), .allowed = allowed, .error = error, .for_ever = for_ever};
	failing_ops = *f->real->ops;
	failing_ops.open = f_open;
	failing_ops.pwrite = f_pwrite;
	failing_ops.fallocate = f_fallocate;
	failing_ops.fsync = f_fsync;
	failing_ops.mkdir = f_mkdir;
	failing_ops.symlink = f_symlink;
	failing_ops.unlink = f_unlink;
	failing_ops.rmdir = f_rmdir;
	failing_ops.rename = f_rename;
	f->store.ops = &failing_ops;
}

int run_suite(const char *name, TCase *t)
{
	return run_suite_with(name, t, NULL, NULL);
}

int run_suite_with(const char *name, TCase *t, void (*setup)(void), void (*end)(void))
{
	Suite *suite = suite_create(name);
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, fixture_setup, fixture_end);
	if (setup)
		tcase_add_checked_fixture(t, setup, end);
	tcase_set_timeout(t, 120);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

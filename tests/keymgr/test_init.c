/* Making volumes: where it is refused, what a failure leaves, what an interruption leaves. */
#include "fixture.h"

#include <dirent.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

static int init(struct store *s, const char *dir, bool portable, struct fault *why)
{
	struct unlock_secret secret = passphrase(PASSPHRASE);
	struct new_volume how = {.secrets = &secret, .secret_count = 1, .portable = portable};
	struct keyring *k = NULL;
	int ret;

	*why = (struct fault){0};
	ret = s ? volume_init_on(s, dir, &how, &k, why) : volume_init(dir, &how, &k, why);
	ck_assert(ret == 0 ? k != NULL : k == NULL && why->status != EXIT_OK);
	keyring_free(&k);
	unlock_secret_wipe(&secret);
	return ret;
}

static void assert_opens(const char *dir)
{
	struct unlock_secret secret = passphrase(PASSPHRASE);
	struct volume v = {.s = store_posix_new()};
	struct keyring *k;
	struct fault why = {0};
	int ret, fd;

	ck_assert_msg(volume_open_dir(v.s, dir, &v.dot, &v.data, &why) == 0, "%s", why.text);
	k = open_with(&v, &secret, &why, &ret);
	ck_assert_msg(k != NULL, "%s", why.text);
	fd = volume_lock(v.s, v.dot, &why);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(volume_lock(v.s, v.dot, &why), -EBUSY);
	ck_assert_int_eq(why.status, EXIT_IN_USE);
	store_close(v.s, fd);
	unlock_secret_wipe(&secret);
	keyring_free(&k);
	volume_close(&v);
}

static size_t entries(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;

	ck_assert_msg(d != NULL, "%s", dir);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void assert_mode(const char *path, mode_t mode)
{
	struct stat st;

	ck_assert_msg(lstat(path, &st) == 0, "%s", path);
	ck_assert_msg((st.st_mode & 07777) == mode, "%s has mode %o", path, st.st_mode & 07777);
}

START_TEST(what_is_made)
{
	static const char *const files[] = {"volume.json",      "volume.json.bak", "keyring.json",
					    "keyring.json.bak", "keyring.lock",    "lock",
					    "audit.log"},
				 *const rooms[] = {"links", "open", "gone", "lost"};
	struct fault why;
	char path[64], target[100];

	umask(0);
	ck_assert_int_eq(init(NULL, "vol", false, &why), 0);
	ck_assert_uint_eq(entries("vol"), 2);
	ck_assert_uint_eq(entries("vol/.coffer"), 11);
	for (size_t i = 0; i < 7; i++) {
		snprintf(path, sizeof(path), "vol/.coffer/%s", files[i]);
		assert_mode(path, 0600);
	}
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "vol/.coffer/%s", rooms[i]);
		assert_mode(path, 0700);
		ck_assert_uint_eq(entries(path), 0);
	}
	assert_mode("vol", 0700);
	assert_mode("vol/.coffer", 0700);
	assert_mode("vol/data", 0755);
	ck_assert_int_eq(readlink("vol/data/.coffer-dir", target, sizeof(target)), DIRECTORY_RECORD_TEXT);
	assert_opens("vol");
	/* A name for it that is a symbolic link, and one with a slash. */
	ck_assert_int_eq(symlink("vol", "name"), 0);
	assert_opens("name");
	assert_opens("vol/");
}
END_TEST

START_TEST(portable)
{
	struct fault why;
	struct text t;

	ck_assert_int_eq(mkdir("vol", 0755), 0); /* an empty directory will do, and keeps its mode */
	ck_assert_int_eq(init(NULL, "vol/", true, &why), 0);
	assert_mode("vol", 0755);
	t = slurp("vol/data/.coffer-dir");
	ck_assert_uint_eq(t.n, DIRECTORY_RECORD_TEXT);
	free(t.b);
	assert_opens("vol");
}
END_TEST

START_TEST(refused_places)
{
	struct fault why;

	ck_assert_int_eq(mkdir("full", 0700), 0);
	spill("full/file", "x", 1);
	ck_assert_int_eq(init(NULL, "full", false, &why), -ENOTEMPTY);
	ck_assert_int_eq(why.status, EXIT_NOT_EMPTY);
	ck_assert_uint_eq(entries("full"), 1);

	ck_assert_int_eq(init(NULL, "full/file", false, &why), -ENOTDIR);
	ck_assert_int_eq(why.status, EXIT_NOT_EMPTY);
	ck_assert_int_lt(init(NULL, "no/such/parent", false, &why), 0);
	ck_assert_int_eq(why.status, EXIT_STORE);

	/* A data/ that is not ours. */
	ck_assert_int_eq(mkdir("other", 0700), 0);
	ck_assert_int_eq(mkdir("other/data", 0700), 0);
	ck_assert_int_eq(init(NULL, "other", false, &why), -ENOTEMPTY);
	ck_assert_int_eq(mkdir("other/.coffer-init", 0700), 0);
	spill("other/data/file", "x", 1);
	ck_assert_int_eq(init(NULL, "other", false, &why), -ENOTEMPTY);
	ck_assert_uint_eq(entries("other/data"), 1);

	ck_assert_int_eq(init(NULL, "vol", false, &why), 0);
	ck_assert_int_eq(init(NULL, "vol", false, &why), -EEXIST);
	ck_assert_ptr_nonnull(strstr(why.text, "is a volume already"));
	ck_assert_int_eq(mkdir("vol/data/deep", 0700), 0);
	static const char *const nested[] = {"vol/new", "vol/data/new", "vol/data/deep", "vol/data/deep/new",
					     "vol/.coffer/lost"};
	for (size_t i = 0; i < 5; i++) {
		ck_assert_int_eq(init(NULL, nested[i], false, &why), -EEXIST);
		ck_assert_int_eq(why.status, EXIT_NOT_EMPTY);
		ck_assert_ptr_nonnull(strstr(why.text, "inside the volume"));
	}
	ck_assert_uint_eq(entries("vol"), 2);
	assert_opens("vol");
}
END_TEST

/* Each call that changes something fails once: nothing may be left. */
START_TEST(failures_leave_nothing)
{
	static const int errors[] = {ENOSPC, EIO, EROFS, EDQUOT};
	struct failing_store f;
	struct fault why;
	long n;

	for (n = 0;; n++) {
		int ret;

		ck_assert_int_lt(n, 200);
		failing_store_init(&f, n, errors[n % 4], false);
		ret = init(&f.store, "vol", n % 2, &why);
		if (ret == 0 && f.allowed >= 0)
			break;
		if (ret == 0) { /* a call whose failure does no harm, such as one of the probe */
			assert_opens("vol");
			remove_tree("vol");
			continue;
		}
		ck_assert_msg(why.status == EXIT_STORE, "%ld: %s", n, why.text);
		ck_assert_msg(access("vol", F_OK) < 0, "%ld: something is left after: %s", n, why.text);
	}
	ck_assert_int_gt(n, 30);
	assert_opens("vol");
}
END_TEST

/* Everything fails from some call on, as in a power cut or a kill: the next init just works, unless the volume was made. */
START_TEST(interruptions_can_be_repeated)
{
	struct failing_store f;
	struct fault why;
	long n;
	bool done = false;

	for (n = 0; !done; n++) {
		int ret;

		ck_assert_int_lt(n, 200);
		failing_store_init(&f, n, EIO, true);
		ret = init(&f.store, "vol", n % 2, &why);
		done = ret == 0 && f.allowed >= 0;
		if (access("vol/.coffer", F_OK) < 0) {
			struct store *s = store_posix_new();
			int dot, data;

			why = (struct fault){0};
			ck_assert_int_lt(volume_open_dir(s, "vol", &dot, &data, &why), 0);
			ck_assert_int_eq(why.status, EXIT_NOT_VOLUME);
			ck_assert_msg(init(NULL, "vol", n % 3, &why) == 0, "%ld: %s", n, why.text);
		}
		assert_opens("vol");
		ck_assert_uint_eq(entries("vol"), 2);
		remove_tree("vol");
	}
}
END_TEST

/* The same with a real kill, at moments that nobody chose. */
START_TEST(killed)
{
	struct fault why;

	secret_stop();
	for (int i = 0; i < 60; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			ck_assert_int_eq(secret_start(1 << 18), 0);
			_exit(init(NULL, "vol", false, &why) ? 1 : 0);
		}
		usleep((useconds_t)(i * 150));
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(secret_start(1 << 18), 0);
		if (access("vol/.coffer", F_OK) < 0)
			ck_assert_msg(init(NULL, "vol", false, &why) == 0, "%s", why.text);
		assert_opens("vol");
		secret_stop();
		remove_tree("vol");
	}
	ck_assert_int_eq(secret_start(1 << 18), 0);
}
END_TEST

START_TEST(two_at_once)
{
	struct fault why;
	int fd;

	ck_assert_int_eq(mkdir("vol", 0700), 0);
	fd = open("vol", O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ck_assert_int_eq(init(NULL, "vol", false, &why), -EBUSY);
	ck_assert_int_eq(why.status, EXIT_IN_USE);
	ck_assert_uint_eq(entries("vol"), 0);
	close(fd);
	ck_assert_int_eq(init(NULL, "vol", false, &why), 0);
}
END_TEST

/* Real stores that are read-only or full, where this user may make some. */
START_TEST(real_stores)
{
	struct fault why;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return;
	ck_assert_int_eq(mkdir("m", 0700), 0);
	ck_assert_int_eq(mount("none", "m", "tmpfs", 0, "size=12k"), 0);
	ck_assert_int_lt(init(NULL, "m/vol", false, &why), 0);
	ck_assert_int_eq(why.status, EXIT_STORE);
	ck_assert_uint_eq(entries("m"), 0);
	ck_assert_int_eq(init(NULL, "m", false, &why) < 0, 1);
	ck_assert_uint_eq(entries("m"), 0);
	ck_assert_int_eq(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	ck_assert_int_eq(init(NULL, "m/vol", false, &why), -EROFS);
	ck_assert_int_eq(why.status, EXIT_STORE);
	ck_assert_int_eq(init(NULL, "m", false, &why), -EROFS);
	ck_assert_int_eq(umount("m"), 0);
}
END_TEST

START_TEST(no_volume)
{
	struct store *s = store_posix_new();
	struct fault why = {0};
	int dot, data;

	ck_assert_int_eq(volume_open_dir(s, "absent", &dot, &data, &why), -ENOENT);
	ck_assert_int_eq(why.status, EXIT_NOT_VOLUME);
	why = (struct fault){0};
	ck_assert_int_eq(volume_open_dir(s, ".", &dot, &data, &why), -ENOENT);
	ck_assert_int_eq(why.status, EXIT_NOT_VOLUME);
	why = (struct fault){0};
	ck_assert_int_eq(volume_open_dir(s, "log", &dot, &data, &why), -ENOTDIR);
	ck_assert_int_eq(why.status, EXIT_NOT_VOLUME);
	ck_assert_int_eq(dot, -1);
	ck_assert_int_eq(data, -1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("init");

	tcase_add_test(t, what_is_made);
	tcase_add_test(t, portable);
	tcase_add_test(t, refused_places);
	tcase_add_test(t, failures_leave_nothing);
	tcase_add_test(t, interruptions_can_be_repeated);
	tcase_add_test(t, killed);
	tcase_add_test(t, two_at_once);
	tcase_add_test(t, real_stores);
	tcase_add_test(t, no_volume);
	return run_suite("volume init", t);
}

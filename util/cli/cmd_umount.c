#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#include "util/cli/mounts.h"
#include "util/cli/options.h"
#include "util/cli/reach.h"

enum { WAIT_STEP_MS = 20, WAIT_MAX_MS = 120 * 1000, THAW_SECONDS = 30 };

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int busy(const char *point, struct fault *why)
{
	return fault_set(why, EXIT_IN_USE, EBUSY, "%s is in use; who uses it: fuser -vm %s", point, point);
}

/* Runs fusermount3 -u with its standard error in `said`.  Returns its exit status, or a negative errno. */
static int run_fusermount(const char *point, char *said, size_t room)
{
	char *const argv[] = {(char[]){"fusermount3"}, (char[]){"-u"}, (char[]){"--"}, (char *)point, NULL};
	posix_spawn_file_actions_t actions;
	size_t used = 0;
	ssize_t n;
	int ends[2], status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	int r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	while (r == 0 && used < room - 1 && (n = read(ends[0], said + used, room - 1 - used)) > 0)
		used += (size_t)n;
	close(ends[0]);
	said[used] = '\0';
	said[strcspn(said, "\n")] = '\0';
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static int unmount_as_user(const char *point, struct fault *why)
{
	char said[256] = "";

	int r = run_fusermount(point, said, sizeof said);
	if (r == 0)
		return 0;
	if (r == -ENOENT)
		return fault_set(why, EXIT_NO_FUSE, EPERM,
				 "only root may unmount %s without fusermount3 (package fuse3)", point);
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "cannot run fusermount3");
	if (strstr(said, "busy"))
		return busy(point, why);
	return fault_set(why, EXIT_FAILED, EPERM, "cannot unmount %s: %s", point, *said ? said : "fusermount3 failed");
}

static int unmount(const char *point, struct fault *why)
{
	if (umount2(point, UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno == EBUSY)
		return busy(point, why);
	if (errno == EPERM)
		return unmount_as_user(point, why);
	return fault_errno(why, EXIT_FAILED, -errno, "cannot unmount %s", point);
}

/* True while the process that served the volume still holds it. */
static bool still_held(const char *dir)
{
	_cleanup_(cli_volume_close) struct cli_volume v = CLI_VOLUME_NONE;
	struct fault ignored = {0};

	if (cli_volume_open_only(&v, dir, &ignored) < 0)
		return false; /* e.g. not ours to look at */
	return volume_hold(&v) != NOT_HELD;
}

/* The mount is gone at once, its process only when all is written.  Who wants to copy or detach the volume waits for that. */
static int wait_until_free(const char *dir, struct fault *why)
{
	for (long waited = 0; still_held(dir); waited += WAIT_STEP_MS) {
		_cleanup_mounts_ struct mounts mounts = {0};

		if (mounts_read(&mounts, why) < 0)
			return -EIO;
		if (mounts_of(&mounts, dir, NULL))
			return 0; /* another mount of it, or mounted again meanwhile */
		if (waited >= WAIT_MAX_MS)
			return fault_set(why, EXIT_IN_USE, EBUSY,
					 "unmounted, but %s is still being written; wait for it", dir);
		sleep_ms(WAIT_STEP_MS);
	}
	return 0;
}

/* A frozen mount holds its writers, and they hold it. */
static void thaw(const char *dir)
{
	_cleanup_volume_ struct cli_volume v = CLI_VOLUME_NONE;
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	struct fault ignored = {0};

	if (cli_volume_open(&v, dir, &ignored) < 0)
		return;
	_cleanup_close_ int fd = reach_volume(&v, &answer);
	if (fd >= 0)
		(void)!control_ask(fd, "thaw", NULL, THAW_SECONDS, &answer, &ignored);
}

static int not_mounted(const struct mounts *mounts, const char *path, struct fault *why)
{
	const struct mount_entry *m = mounts_of(mounts, path, NULL);

	if (m)
		return fault_set(why, EXIT_MOUNT_POINT, EINVAL, "%s is the volume; it is mounted at %s: give that",
				 path, m->point);
	return fault_set(why, EXIT_MOUNT_POINT, EINVAL, "%s is not a mount of coffer; `coffer status` lists them",
			 path);
}

int cmd_umount(const struct verb *v, int argc, char **argv, struct fault *why)
{
	static const struct option_spec specs[] = {{0}};
	_cleanup_mounts_ struct mounts mounts = {0};
	_cleanup_free_ char *point = NULL;
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = path_absolute(words.at[0], &point, why);
	if (r == 0)
		r = mounts_read(&mounts, why);
	if (r < 0)
		return r;
	const struct mount_entry *m = mounts_at(&mounts, point);
	if (!m)
		return not_mounted(&mounts, point, why);
	thaw(m->source);
	r = unmount(point, why);
	return r < 0 ? r : wait_until_free(m->source, why);
}

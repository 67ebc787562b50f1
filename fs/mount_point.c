#include "fs/mount_point.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "util/base/log.h"

extern char **environ;

/* Undoes the octal escapes of mountinfo in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
}

bool mount_point_find(const char *mount_point, char device[32])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	bool found = false;

	if (!f)
		return false;
	/* The last line of a mount point is the mount on top. */
	while (getline(&line, &room, f) > 0) {
		_cleanup_free_ char *point = malloc(strlen(line) + 1);
		char dev[32];

		if (!point || sscanf(line, "%*s %*s %31s %*s %s", dev, point) != 2)
			continue;
		unescape(point);
		if (strcmp(point, mount_point) != 0)
			continue;
		found = strstr(line, " - fuse.coffer ") != NULL;
		if (found)
			strcpy(device, dev);
	}
	fclose(f);
	return found;
}

static int run_fusermount(const char *mount_point, bool lazy)
{
	/* posix_spawn does not write to what argv points to, whatever its type says. */
	const char *const argv[] = {
		"fusermount3", "-u", "-q", lazy ? "-z" : "--", lazy ? "--" : mount_point, lazy ? mount_point : NULL,
		NULL};
	pid_t pid;
	int status, r = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ);

	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mount_point_unmount(const char *mount_point, bool lazy)
{
	if (umount2(mount_point, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	return errno == EPERM ? run_fusermount(mount_point, lazy) : -errno;
}

static bool is_inside(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == 0);
}

int mount_point_prepare(const char *volume, const char *mount_point, struct fault *why)
{
	char device[32];
	struct stat st;
	int r = stat(mount_point, &st) < 0 ? -errno : 0;

	if (r == -ENOTCONN) {
		r = mount_point_unmount(mount_point, true);
		if (r < 0)
			return fault_errno(why, EXIT_MOUNT_POINT, r,
					   "%s is a dead mount and cannot be cleared; run umount -l on it as root",
					   mount_point);
		log_info("%s: cleared a mount whose process had ended", mount_point);
		r = stat(mount_point, &st) < 0 ? -errno : 0;
	}
	if (r == -ENOENT)
		return fault_set(why, EXIT_MOUNT_POINT, ENOENT, "mount point %s does not exist; make it with mkdir",
				 mount_point);
	if (r < 0)
		return fault_errno(why, EXIT_MOUNT_POINT, r, "mount point %s", mount_point);
	if (!S_ISDIR(st.st_mode))
		return fault_set(why, EXIT_MOUNT_POINT, ENOTDIR, "mount point %s is not a directory", mount_point);
	if (is_inside(mount_point, volume))
		return fault_set(why, EXIT_MOUNT_POINT, EINVAL,
				 "mount point %s is inside the volume; choose a directory outside", mount_point);
	if (mount_point_find(mount_point, device))
		return fault_set(why, EXIT_MOUNT_POINT, EBUSY, "a coffer volume is already mounted on %s", mount_point);
	return 0;
}

#include "fs/mount_point.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

/* Calls `each` for every coffer mount in /proc/self/mountinfo. */
static void for_each_mount(void (*each)(void *data, const char *device, const char *point, const char *source),
			   void *data)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	if (!f)
		return;
	while (getline(&line, &room, f) > 0) {
		static const char type[] = " - fuse.coffer ";
		char *tail = strstr(line, type), device[32];
		_cleanup_free_ char *point = NULL, *source = NULL;

		if (!tail)
			continue;
		if (sscanf(line, "%*s %*s %31s %*s %ms", device, &point) != 2 ||
		    sscanf(tail + sizeof type - 1, "%ms", &source) != 1)
			continue;
		unescape(point);
		unescape(source);
		each(data, device, point, source);
	}
	fclose(f);
}

struct search {
	const char *point, *source;
	char *device;
	bool found;
};

static void compare(void *data, const char *device, const char *point, const char *source)
{
	struct search *s = data;

	if ((s->point && strcmp(s->point, point) != 0) || (s->source && strcmp(s->source, source) != 0))
		return;
	s->found = true;
	if (s->device)
		strcpy(s->device, device);
}

bool mount_point_find(const char *mount_point, char device[32])
{
	struct search s = {.point = mount_point, .device = device};

	for_each_mount(compare, &s);
	return s.found;
}

bool mount_point_volume_is_mounted(const char *volume)
{
	struct search s = {.source = volume};

	for_each_mount(compare, &s);
	return s.found;
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

/* Attributes may be cached for ever, and outlive their server; statfs always asks it. */
static int look(const char *mount_point, struct stat *st)
{
	struct statvfs fs;

	return statvfs(mount_point, &fs) < 0 || stat(mount_point, st) < 0 ? -errno : 0;
}

int mount_point_prepare(const char *volume, const char *mount_point, struct fault *why)
{
	char device[32];
	struct stat st = {0};
	int r = look(mount_point, &st);

	/* The last two: its process is ending at this moment, which served the device, or rings. */
	if (r == -ENOTCONN || r == -ECONNABORTED || r == -ECANCELED) {
		r = mount_point_unmount(mount_point, true);
		if (r < 0)
			return fault_errno(why, EXIT_MOUNT_POINT, r,
					   "%s is a dead mount and cannot be cleared; run umount -l on it as root",
					   mount_point);
		log_info("%s: cleared a mount whose process had ended", mount_point);
		r = look(mount_point, &st);
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

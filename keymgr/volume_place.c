/* Where a new volume may be made: not inside a volume, where its files would count as entries, and not on a mount of one, where it
 * would be encrypted twice and depend on that mount. */
#include "keymgr/volume_place.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "util/base/log.h"

enum { SHOWN = 200 };

/* The absolute path of dir, or of its parent where dir does not exist yet. */
static int resolve(const char *dir, char out[PATH_MAX], bool *exists)
{
	_cleanup_free_ char *copy = NULL;

	*exists = realpath(dir, out) != NULL;
	if (*exists)
		return 0;
	if (errno != ENOENT)
		return -errno;
	copy = strdup(dir);
	if (!copy)
		return -ENOMEM;
	return realpath(dirname(copy), out) ? 0 : -errno;
}

static bool is_volume(const char *path)
{
	_cleanup_free_ char *file = NULL;
	struct stat st;

	if (asprintf(&file, "%s/.coffer/volume.json", path) < 0) {
		file = NULL;
		return false;
	}
	return lstat(file, &st) == 0;
}

static int check_ancestors(const char *resolved, bool exists, const char *shown, struct fault *why)
{
	char path[PATH_MAX], other[SHOWN];
	char *slash;

	snprintf(path, sizeof(path), "%s", resolved);
	for (;;) {
		if (is_volume(path[0] ? path : "/"))
			return exists && strcmp(path, resolved) == 0
				       ? fault_set(why, EXIT_NOT_EMPTY, EEXIST,
						   "%s is a volume already; make a new one elsewhere", shown)
				       : fault_set(why, EXIT_NOT_EMPTY, EEXIST,
						   "%s is inside the volume %s; make a volume elsewhere", shown,
						   log_escape(path[0] ? path : "/", other, sizeof(other)));
		slash = strrchr(path, '/');
		if (!slash)
			return 0;
		*slash = '\0';
	}
}

/* The type of the filesystem with this mount id: "... - TYPE SOURCE OPTIONS" in /proc/self/mountinfo. */
static bool mount_is_coffer(uint64_t id)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	bool found = false;
	size_t room = 0;
	char *type;

	if (!f)
		return false;
	while (!found && getline(&line, &room, f) > 0) {
		if (strtoull(line, NULL, 10) != id)
			continue;
		type = strstr(line, " - ");
		found = type && (strncmp(type, " - fuse.coffer ", 15) == 0 || strncmp(type, " - coffer ", 10) == 0);
		break;
	}
	fclose(f);
	return found;
}

int volume_place_check(const char *dir, struct fault *why)
{
	char path[PATH_MAX], shown[SHOWN];
	struct statx x;
	bool exists;
	int ret;

	log_escape(dir, shown, sizeof(shown));
	ret = resolve(dir, path, &exists);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot make a volume at %s", shown);
	ret = check_ancestors(path, exists, shown, why);
	if (ret < 0)
		return ret;
	if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &x) == 0 && x.stx_mask & STATX_MNT_ID &&
	    mount_is_coffer(x.stx_mnt_id))
		return fault_set(why, EXIT_NOT_EMPTY, EEXIST, "%s is on a mounted volume; make a volume elsewhere",
				 shown);
	return 0;
}

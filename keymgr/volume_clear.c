/* Clearing away what making a volume leaves or left. */
#include "keymgr/volume_clear.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util/base/atomic_file.h"
#include "util/base/log.h"

enum { LISTING = 32 << 10, BUILDING_DEPTH = 2 };

static int open_directory(struct store *s, int dir, const char *name)
{
	return store_open(s, dir, name, O_RDONLY | O_DIRECTORY, 0);
}

int for_each_entry(struct store *s, int dir, entry_visitor visit, void *context)
{
	_cleanup_free_ char *buf = malloc(LISTING);
	struct store_dirent entry;
	int64_t cookie = 0;
	int ret = 0;

	while (buf && ret == 0) {
		ssize_t used = s->ops->getdents(s, dir, cookie, buf, LISTING);
		size_t pos = 0;

		if (used <= 0)
			return (int)used;
		while (ret == 0 && store_dirent_next(buf, (size_t)used, &pos, &entry)) {
			cookie = entry.next;
			if (strcmp(entry.name, ".") != 0 && strcmp(entry.name, "..") != 0)
				ret = visit(s, dir, entry.name, context);
		}
	}
	return buf ? ret : -ENOMEM;
}

static int remove_directory(struct store *s, int top, const char *name, int depth);

/* Nothing deeper than a trial directory of store_probe() is ever made in .coffer-init. */
static int remove_entry(struct store *s, int dir, const char *name, void *context)
{
	int depth = *(const int *)context;
	int ret = s->ops->unlink(s, dir, name);

	return ret == -EISDIR || ret == -EPERM ? remove_directory(s, dir, name, depth - 1) : ret;
}

static int remove_directory(struct store *s, int top, const char *name, int depth)
{
	int fd = open_directory(s, top, name);
	int ret;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	ret = depth > 0 ? for_each_entry(s, fd, remove_entry, &depth) : 0;
	store_close(s, fd);
	return ret < 0 ? ret : s->ops->rmdir(s, top, name);
}

int volume_clear_room(struct store *s, int top, const char *name)
{
	return remove_directory(s, top, name, BUILDING_DEPTH);
}

/* In data/ init makes the id record, in a portable volume by way of a temporary file. */
static bool is_ours_in_data(const char *name)
{
	return strcmp(name, ID_RECORD) == 0 || strncmp(name, ATOMIC_FILE_PREFIX, strlen(ATOMIC_FILE_PREFIX)) == 0;
}

static int remove_ours_in_data(struct store *s, int dir, const char *name, void *context)
{
	(void)context;
	return is_ours_in_data(name) ? s->ops->unlink(s, dir, name) : 0;
}

int volume_clear_data(struct store *s, int top)
{
	int fd = open_directory(s, top, DATA_ROOM);
	int ret;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	ret = for_each_entry(s, fd, remove_ours_in_data, NULL);
	store_close(s, fd);
	return ret < 0 ? ret : s->ops->rmdir(s, top, DATA_ROOM);
}

/* --- what may be there before */

struct found {
	bool building, data, other;
};

static int look(struct store *s, int dir, const char *name, void *context)
{
	struct found *found = context;

	(void)s;
	(void)dir;
	if (strcmp(name, BUILDING_ROOM) == 0)
		found->building = true;
	else if (strcmp(name, DATA_ROOM) == 0)
		found->data = true;
	else
		found->other = true;
	return 0;
}

static int look_in_data(struct store *s, int dir, const char *name, void *context)
{
	(void)s;
	(void)dir;
	*(bool *)context |= !is_ours_in_data(name);
	return 0;
}

/* Clears away an interrupted init, if that is all there is. */
int volume_clear_place(struct store *s, int top, const char *shown, struct fault *why)
{
	struct found found = {0};
	int ret, data;

	ret = for_each_entry(s, top, look, &found);
	if (ret == 0 && found.building && found.data) {
		data = open_directory(s, top, DATA_ROOM);
		ret = data < 0 ? data : for_each_entry(s, data, look_in_data, &found.other);
		store_close(s, data);
	}
	if (ret == 0 && (found.other || (found.data && !found.building)))
		return fault_set(why, EXIT_NOT_EMPTY, ENOTEMPTY, "%s is not empty; name a new or an empty directory",
				 shown);
	if (ret == 0 && found.building) {
		log_info("clearing away an interrupted init in %s", shown);
		ret = found.data ? volume_clear_data(s, top) : 0;
		if (ret == 0)
			ret = volume_clear_room(s, top, BUILDING_ROOM);
	}
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot make a volume at %s", shown) : 0;
}

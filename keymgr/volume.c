/* A volume directory from outside: opening, locking, erasing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "keymgr/internal.h"
#include "keymgr/volume_clear.h"
#include "util/base/atomic_file.h"
#include "util/base/log.h"

enum { SHOWN = 300 };

/* A DIR that is itself a symbolic link to a volume is followed; nothing below it is. */
static int open_top(struct store *s, const char *dir)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/.", dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return store_open(s, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

static int no_volume(struct store *s, int top, const char *shown, struct fault *why)
{
	struct store_stat st;

	if (store_stat_at(s, top, BUILDING_ROOM, &st) == 0)
		return fault_set(why, EXIT_NOT_VOLUME, ENOENT,
				 "%s: making this volume was interrupted; run \"coffer init\" on it again", shown);
	return fault_set(why, EXIT_NOT_VOLUME, ENOENT,
			 "%s is not a volume (it has no .coffer); \"coffer init\" makes one", shown);
}

int volume_open_dir(struct store *s, const char *dir, int *dot, int *data, struct fault *why)
{
	char shown[SHOWN];
	int top, ret = 0;

	*dot = *data = -1;
	log_escape(dir, shown, sizeof(shown));
	top = open_top(s, dir);
	if (top == -ENOENT || top == -ENOTDIR)
		return fault_errno(why, EXIT_NOT_VOLUME, top, "%s is not a volume", shown);
	if (top < 0)
		return fault_errno(why, EXIT_STORE, top, "cannot open %s", shown);
	*dot = store_open(s, top, FINISHED_ROOM, O_RDONLY | O_DIRECTORY, 0);
	if (*dot == -ENOENT || *dot == -ENOTDIR || *dot == -ELOOP) {
		ret = no_volume(s, top, shown, why);
	} else if (*dot < 0) {
		ret = fault_errno(why, EXIT_STORE, *dot, "cannot open %s/.coffer", shown);
	} else {
		*data = store_open(s, top, DATA_ROOM, O_RDONLY | O_DIRECTORY, 0);
		if (*data < 0)
			ret = fault_errno(why, *data == -EACCES ? EXIT_STORE : EXIT_DAMAGED, *data,
					  "cannot open %s/data, the encrypted tree", shown);
	}
	store_close(s, top);
	if (ret < 0) {
		store_close(s, *dot);
		*dot = *data = -1;
	}
	return ret;
}

int volume_lock(struct store *s, int dot, struct fault *why)
{
	int fd, ret;

	fd = store_open(s, dot, "lock", O_RDWR | O_CREAT, 0600);
	if (fd == -EROFS || fd == -EACCES)
		fd = store_open(s, dot, "lock", O_RDONLY, 0);
	if (fd < 0)
		return fault_errno(why, EXIT_STORE, fd, "cannot open .coffer/lock");
	ret = s->ops->lock(s, fd, LOCK_EX | LOCK_NB);
	if (ret == 0)
		return fd;
	store_close(s, fd);
	if (ret == -EWOULDBLOCK)
		return fault_set(why, EXIT_IN_USE, EBUSY,
				 "the volume is mounted, or another command works on it; unmount it first");
	return fault_errno(why, EXIT_STORE, ret, "cannot lock .coffer/lock");
}

/* --- erasing */

int file_overwrite(struct store *s, int fd)
{
	static const char zeros[4096];
	struct store_stat st;
	int ret = store_stat(s, fd, &st);

	if (ret == 0 && !S_ISREG(st.mode))
		return 0;
	for (uint64_t at = 0; ret == 0 && at < st.size; at += sizeof(zeros)) {
		uint64_t left = st.size - at;
		ssize_t n = store_pwrite(s, fd, zeros, left < sizeof(zeros) ? left : sizeof(zeros), at);

		ret = n < 0 ? (int)n : 0;
	}
	return ret < 0 ? ret : s->ops->fsync(s, fd);
}

static int erase_file(struct store *s, int dot, const char *name)
{
	int fd = store_open(s, dot, name, O_WRONLY | O_NONBLOCK, 0);
	int ret;

	if (fd == -ENOENT)
		return 0;
	if (fd == -ELOOP || fd == -ENXIO || fd == -EISDIR) /* planted by somebody; there is nothing to wipe in it */
		return s->ops->unlink(s, dot, name);
	if (fd < 0)
		return fd;
	ret = file_overwrite(s, fd);
	store_close(s, fd);
	return ret < 0 ? ret : s->ops->unlink(s, dot, name);
}

/* Temporary files of interrupted changes hold wrapped keys as well. */
static int erase_temporary(struct store *s, int dot, const char *name, void *context)
{
	(void)context;
	return strncmp(name, ATOMIC_FILE_PREFIX, strlen(ATOMIC_FILE_PREFIX)) == 0 ? erase_file(s, dot, name) : 0;
}

int erase_temporaries(struct store *s, int dot)
{
	return for_each_entry(s, dot, erase_temporary, NULL);
}

int volume_erase(struct store *s, int dot, struct fault *why)
{
	int lock, ret;

	lock = store_open(s, dot, LOCK_FILE, O_RDWR | O_CREAT, 0600);
	if (lock < 0)
		return fault_errno(why, EXIT_STORE, lock, "cannot open .coffer/%s", LOCK_FILE);
	ret = s->ops->lock(s, lock, LOCK_EX);
	/* The second copy first: while any is left, the first one is the newer. */
	if (ret == 0)
		ret = erase_file(s, dot, KEYRING_FILE ".bak");
	if (ret == 0)
		ret = erase_file(s, dot, KEYRING_FILE);
	if (ret == 0)
		ret = erase_temporaries(s, dot);
	if (ret == 0)
		ret = s->ops->fsync(s, dot);
	store_close(s, lock);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret,
				   "cannot erase the keys in .coffer; some may be left, try again");
	return 0;
}

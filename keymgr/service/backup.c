/* Making a backup of the key service (backup.h).
 *
 * 1. The anchor is read before the moment that the backup is of: the log of that moment has to reach it.
 * 2. The file gets its name after it was synced, read back from the disk, opened and checked; never over another one. */
#include "keymgr/service/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "util/base/encode.h"

/* A file that has no name of its own yet. */
struct unnamed {
	int dir, fd;
	char temporary[64];
	const char *name;
	char *copy, *copy_of_name;
};

static void unnamed_end(struct unnamed *u)
{
	if (*u->temporary)
		(void)unlinkat(u->dir, u->temporary, 0);
	if (u->fd >= 0)
		close(u->fd);
	if (u->dir >= 0)
		close(u->dir);
	free(u->copy);
	free(u->copy_of_name);
}

static int unnamed_begin(const char *file, struct unnamed *u)
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1], name[sizeof(u->temporary)];
	int ret = crypto_random(random, sizeof(random));

	*u = (struct unnamed){.dir = -1, .fd = -1, .copy = strdup(file), .copy_of_name = strdup(file)};
	if (ret < 0 || !u->copy || !u->copy_of_name)
		return ret < 0 ? ret : -ENOMEM;
	u->name = basename(u->copy_of_name);
	u->dir = open(dirname(u->copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u->dir < 0)
		return -errno;
	if (faccessat(u->dir, u->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	hex_encode(random, sizeof(random), hex);
	snprintf(name, sizeof(name), "%s%s", SERVICE_BACKUP_TEMPORARY, hex);
	u->fd = openat(u->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (u->fd < 0)
		return -errno;
	memcpy(u->temporary, name, sizeof(name));
	/* Whoever clears up what a crash left behind must not take this for such. */
	return flock(u->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int unnamed_finish(struct unnamed *u)
{
	if (renameat2(u->dir, u->temporary, u->dir, u->name, RENAME_NOREPLACE) < 0) {
		if (errno != EINVAL && errno != ENOSYS)
			return -errno;
		/* Not every file system can do that; a link does not replace either. */
		if (linkat(u->dir, u->temporary, u->dir, u->name, 0) < 0)
			return -errno;
		(void)unlinkat(u->dir, u->temporary, 0);
	}
	u->temporary[0] = '\0';
	return fsync(u->dir) < 0 ? -errno : 0;
}

static int write_all(const struct service_backup *b, int fd, struct backup_head *h, struct backend *from,
		     struct service_backed_up *out)
{
	int ret = backup_head_write(fd, b->keyring, b->keyring_size, b->place->keys.generation, h);

	if (ret == 0)
		ret = backup_file_write(fd, h, &b->place->keys, from, b->stop, &out->counts);
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	memcpy(out->id, h->id, sizeof(out->id));
	return ret;
}

/* (2) From its head on, as whoever restores it will: only the keys are at hand already. */
static int check_again(const struct service_backup *b, int fd, const struct audit_link *reach, bool before,
		       struct fault *why)
{
	_cleanup_(backup_head_free) struct backup_head h = {0};
	struct backend *again;
	struct audit_link end;
	bool reached = false;
	int ret;

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* from the disk, as far as that can be asked for */
	ret = backup_head_read(fd, &h, why);
	if (ret < 0)
		return ret;
	ret = backend_backup_open(fd, &h, &b->place->keys, b->stop, &again);
	if (ret < 0)
		return ret;
	ret = ledger_check(again, &b->place->keys, reach, &end, &reached, why);
	again->ops->close(again);
	if (ret == 0 && (!reached || (before && end.n != b->place->keys.before.end)))
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 "the database is older than its anchor: line %llu was written, and is not there",
				 (unsigned long long)reach->n);
	return ret;
}

static int make(const struct service_backup *b, struct unnamed *u, struct service_backed_up *out, struct fault *why)
{
	_cleanup_(backup_head_free) struct backup_head h = {0};
	struct audit_link reach = {0};
	struct backend *from;
	bool before = false;
	struct stat st;
	int ret = anchor_read(&b->place->keys, b->anchor, &reach, &before);

	if (ret < 0)
		return fault_errno(why, EXIT_DAMAGED, ret, "cannot read the anchor %s", b->anchor);
	ret = place_store(b->place, BACKEND_READ, &from, why);
	if (ret < 0)
		return ret;
	ret = write_all(b, u->fd, &h, from, out);
	from->ops->close(from);
	if (ret == 0)
		ret = check_again(b, u->fd, &reach, before, why);
	if (ret == 0 && fstat(u->fd, &st) == 0)
		out->bytes = (uint64_t)st.st_size;
	return ret == 0 ? unnamed_finish(u) : ret;
}

int service_backup(const struct service_backup *b, const char *file, struct service_backed_up *out, struct fault *why)
{
	_cleanup_(unnamed_end) struct unnamed u;
	int ret;

	*out = (struct service_backed_up){0};
	ret = unnamed_begin(file, &u);
	if (ret == 0)
		ret = make(b, &u, out, why);
	if (ret == -EEXIST)
		return fault_set(why, EXIT_REFUSED, EEXIST, "%s exists; name a new file", file);
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot write the backup %s", file) : 0;
}

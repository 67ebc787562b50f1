#include "util/cli/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "util/cli/mounts.h"

enum { STATUS_SECONDS = 10, BUSY_TRIES = 20, BUSY_MS = 50 };

/* A copy of a volume has the same instance id; the server says which directory it serves. */
static bool is_of(const struct cli_volume *v, const struct control_answer *status)
{
	const char *theirs = control_text(status, "volume");
	char ours[64];
	struct store_stat st;

	if (store_stat(v->store, v->dot, &st) < 0 || !theirs)
		return false;
	snprintf(ours, sizeof ours, "%" PRIu64 ":%" PRIu64, st.dev, st.ino);
	return strcmp(ours, theirs) == 0;
}

int reach_volume(const struct cli_volume *v, struct control_answer *status)
{
	const struct timespec moment = {0, BUSY_MS * 1000000L};
	int r = -ECONNRESET;

	/* A mount that many others ask at this moment closes the connection at once. */
	for (int tries = 0; tries < BUSY_TRIES && r == -ECONNRESET; tries++) {
		struct fault ignored = {0};
		int fd = control_connect(keyring_settings(v->keyring)->instance_id);

		if (fd < 0)
			return -ENOENT;
		r = control_ask(fd, "status", NULL, STATUS_SECONDS, status, &ignored);
		if (r == 0 && is_of(v, status))
			return fd;
		close(fd);
		if (r == -ECONNRESET)
			nanosleep(&moment, NULL);
	}
	return -ENOENT;
}

enum hold volume_hold(const struct cli_volume *v)
{
	struct store *s = v->store;
	int fd = store_open(s, v->dot, "lock", O_RDONLY, 0);
	enum hold hold = NOT_HELD;

	/* Without the file, or the right to open it, nobody is known to hold it. */
	if (fd >= 0 && s->ops->lock(s, fd, LOCK_EX | LOCK_NB) == -EWOULDBLOCK)
		hold = s->ops->lock(s, fd, LOCK_SH | LOCK_NB) == -EWOULDBLOCK ? HELD_ALONE : HELD_TOGETHER;
	store_close(s, fd);
	return hold;
}

int volume_of(const char *word, char **dir, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};

	int r = path_absolute(word, dir, why);
	if (r == 0)
		r = mounts_read(&mounts, why);
	if (r < 0)
		return r;
	const struct mount_entry *m = mounts_at(&mounts, *dir);
	if (!m)
		return 0;
	free(*dir);
	*dir = strdup(m->source);
	return *dir ? 0 : fault_errno(why, EXIT_FAILED, -ENOMEM, "%s", word);
}

static int not_reached(const struct cli_volume *v, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};

	int r = mounts_read(&mounts, why);
	if (r < 0)
		return r;
	if (volume_hold(v) == HELD_ALONE)
		return fault_set(why, EXIT_FAILED, ENOENT,
				 "%s: its mount is not reached: it is another user's, or had no XDG_RUNTIME_DIR",
				 v->dir);
	if (mounts_of(&mounts, v->dir, NULL))
		return fault_set(why, EXIT_MOUNT_POINT, ENOENT,
				 "%s is mounted as an older copy, which holds still anyway", v->dir);
	return fault_set(why, EXIT_MOUNT_POINT, ENOENT, "%s is not mounted; it holds still anyway", v->dir);
}

int reach(const char *word, struct cli_volume *v, struct control_answer *status, struct fault *why)
{
	_cleanup_free_ char *dir = NULL;

	int r = volume_of(word, &dir, why);
	if (r == 0)
		r = cli_volume_open(v, dir, why);
	if (r < 0)
		return r;
	r = reach_volume(v, status);
	return r == -ENOENT ? not_reached(v, why) : r;
}

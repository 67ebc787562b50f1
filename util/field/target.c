#include "util/field/target.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "util/base/crypto.h"
#include "util/base/log.h"
#include "util/base/whole_write.h"

enum { NAME_ROOM = 200, XATTRS_MAX = 64 << 10 };

static int failed(const struct target *t, int error, const char *what, struct fault *why)
{
	char shown[NAME_ROOM];

	return fault_errno(why, EXIT_STORE, error, "%s %s", what, log_escape(t->shown, shown, sizeof(shown)));
}

/* ------------------------------------------------------------------ signals */

/* What a signal has to remove: a temporary file with a name. */
static volatile sig_atomic_t pending_dir = -1;
static char pending_name[64];
static const int fatal[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
enum { FATAL = sizeof(fatal) / sizeof(fatal[0]) };

static void remove_pending(int number)
{
	if (pending_dir >= 0)
		unlinkat((int)pending_dir, pending_name, 0);
	signal(number, SIG_DFL);
	raise(number);
}

static void guard(int dir, const char *name)
{
	struct sigaction action = {.sa_handler = remove_pending}, old;

	snprintf(pending_name, sizeof(pending_name), "%s", name);
	pending_dir = dir;
	for (size_t i = 0; i < FATAL; i++)
		if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(fatal[i], &action, NULL);
}

static void unguard(void)
{
	pending_dir = -1;
}

/* ------------------------------------------------------------------ opening */

static int split(struct target *t, const char *path, struct fault *why)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return failed(t, -ENOMEM, "cannot open", why);
	t->name = strdup(basename(copy));
	free(copy);
	copy = strdup(path);
	t->directory = copy ? strdup(dirname(copy)) : NULL;
	if (!t->name || !t->directory)
		return failed(t, -ENOMEM, "cannot open", why);
	t->dir = open(t->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return t->dir < 0 ? failed(t, -errno, "cannot open the directory of", why) : 0;
}

int target_open(struct target *t, const char *path, struct fault *why)
{
	char shown[NAME_ROOM];
	_cleanup_free_ char *real = NULL;
	int ret;

	*t = TARGET_NONE;
	t->shown = path;
	real = realpath(path, NULL);
	if (!real)
		return failed(t, -errno, "cannot open", why);
	ret = split(t, real, why);
	if (ret < 0)
		return ret;
	t->in = openat(t->dir, t->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	if (t->in < 0 || fstat(t->in, &t->before) < 0)
		return failed(t, -errno, "cannot open", why);
	if (!S_ISREG(t->before.st_mode))
		return fault_set(why, EXIT_FAILED, EINVAL, "%s is no regular file",
				 log_escape(path, shown, sizeof(shown)));
	t->exists = true;
	return 0;
}

int target_create(struct target *t, const char *path, struct fault *why)
{
	if (access(path, F_OK) == 0)
		return target_open(t, path, why);
	*t = TARGET_NONE;
	t->shown = path;
	return split(t, path, why);
}

/* ------------------------------------------------------------------ writing */

static int named_temporary(struct target *t)
{
	uint64_t r;
	int ret = crypto_random(&r, sizeof(r));

	if (ret == 0 && asprintf(&t->temporary, ".coffer-tmp-%016llx", (unsigned long long)r) < 0) {
		t->temporary = NULL;
		ret = -ENOMEM;
	}
	if (ret < 0)
		return ret;
	guard(t->dir, t->temporary);
	t->out = openat(t->dir, t->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t->out >= 0)
		return 0;
	ret = -errno;
	unguard();
	free(t->temporary);
	t->temporary = NULL;
	return ret;
}

int target_begin(struct target *t, struct fault *why)
{
	char shown[NAME_ROOM];
	int ret;

	if (t->exists && t->before.st_nlink > 1)
		return fault_set(why, EXIT_REFUSED, EMLINK,
				 "%s has %lu names; replacing it would part them. Write to another file with -o",
				 log_escape(t->shown, shown, sizeof(shown)), (unsigned long)t->before.st_nlink);
	/* Who may not write the file must not replace it either. */
	if (t->exists && faccessat(t->dir, t->name, W_OK, AT_EACCESS) < 0)
		return failed(t, -errno, "cannot write", why);
	t->out = open(t->directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (t->out >= 0)
		return 0;
	ret = named_temporary(t);
	return ret < 0 ? failed(t, ret, "cannot make a file beside", why) : 0;
}

int descriptor_write(void *context, const char *bytes, size_t n, struct fault *why)
{
	int ret = whole_write(*(int *)context, bytes, n);

	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot write to standard output") : 0;
}

int target_write(void *context, const char *bytes, size_t n, struct fault *why)
{
	struct target *t = context;
	int ret = whole_write(t->out, bytes, n);

	return ret < 0 ? failed(t, ret, "cannot write", why) : 0;
}

/* Access control lists are attributes too.  What may not be copied (security.capability as another user) is refused,
 * what the file system does not know is left. */
static int copy_attributes(const struct target *t)
{
	_cleanup_free_ char *names = malloc(XATTRS_MAX), *value = malloc(XATTRS_MAX);
	ssize_t n, size;

	if (!names || !value)
		return -ENOMEM;
	n = flistxattr(t->in, names, XATTRS_MAX);
	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		size = fgetxattr(t->in, name, value, XATTRS_MAX);
		if (size < 0)
			continue; /* seen, but not for us */
		if (fsetxattr(t->out, name, value, (size_t)size, 0) < 0 && errno != ENOTSUP &&
		    strncmp(name, "security.", 9) != 0)
			return -errno;
	}
	return 0;
}

static int copy_owner(const struct target *t)
{
	if (!t->exists)
		return 0;
	if ((t->before.st_uid != geteuid() || t->before.st_gid != getegid()) &&
	    fchown(t->out, t->before.st_uid, t->before.st_gid) < 0) {
		/* Another group of ours may be given away by the owner only. */
		return -errno;
	}
	if (fchmod(t->out, t->before.st_mode & 07777) < 0)
		return -errno;
	return copy_attributes(t);
}

static int check_unchanged(const struct target *t, struct fault *why)
{
	char shown[NAME_ROOM];
	struct stat now;
	int ret = fstatat(t->dir, t->name, &now, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;

	if (!t->exists && ret == -ENOENT)
		return 0;
	if (t->exists && ret == 0 && now.st_dev == t->before.st_dev && now.st_ino == t->before.st_ino &&
	    now.st_size == t->before.st_size && now.st_mtim.tv_sec == t->before.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == t->before.st_mtim.tv_nsec && now.st_ctim.tv_sec == t->before.st_ctim.tv_sec &&
	    now.st_ctim.tv_nsec == t->before.st_ctim.tv_nsec)
		return 0;
	return fault_set(why, EXIT_REFUSED, EBUSY, "%s was changed meanwhile; nothing was written, try again",
			 log_escape(t->shown, shown, sizeof(shown)));
}

/* A nameless file gets one that rename() can take. */
static int give_name(struct target *t)
{
	char self[64];
	uint64_t r;
	int ret;

	if (t->temporary)
		return 0;
	ret = crypto_random(&r, sizeof(r));
	if (ret < 0)
		return ret;
	if (asprintf(&t->temporary, ".coffer-tmp-%016llx", (unsigned long long)r) < 0) {
		t->temporary = NULL;
		return -ENOMEM;
	}
	snprintf(self, sizeof(self), "/proc/self/fd/%d", t->out);
	guard(t->dir, t->temporary);
	return linkat(AT_FDCWD, self, t->dir, t->temporary, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int target_commit(struct target *t, struct fault *why)
{
	mode_t mask;
	int ret = copy_owner(t);

	if (ret < 0)
		return failed(t, ret, "cannot keep owner, mode and attributes of", why);
	if (!t->exists) {
		mask = umask(0);
		umask(mask);
		if (fchmod(t->out, 0666 & ~mask) < 0)
			return failed(t, -errno, "cannot write", why);
	}
	if (fsync(t->out) < 0)
		return failed(t, -errno, "cannot write", why);
	ret = check_unchanged(t, why);
	if (ret == 0)
		ret = give_name(t);
	if (ret == 0 && renameat(t->dir, t->temporary, t->dir, t->name) < 0)
		ret = -errno;
	if (ret < 0)
		return failed(t, ret, "cannot replace", why);
	unguard();
	free(t->temporary);
	t->temporary = NULL;
	return fsync(t->dir) < 0 ? failed(t, -errno, "cannot sync the directory of", why) : 0;
}

void target_close(struct target *t)
{
	if (t->temporary)
		unlinkat(t->dir, t->temporary, 0);
	unguard();
	free(t->temporary);
	free(t->directory);
	free(t->name);
	if (t->in >= 0)
		close(t->in);
	if (t->out >= 0)
		close(t->out);
	if (t->dir >= 0)
		close(t->dir);
	*t = TARGET_NONE;
}

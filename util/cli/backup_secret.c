#include "util/cli/backup_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "keymgr/backup.h"

static int read_file(const char *file, char **text, size_t *n, struct fault *why)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	size_t used = 0;
	ssize_t got = 1;

	*text = NULL;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot read %s", file);
	if (!S_ISREG(st.st_mode) || st.st_size > KEYRING_MAX)
		return fault_set(why, EXIT_DAMAGED, EBADMSG, "%s is no backup of a keyring", file);
	*text = malloc((size_t)st.st_size + 1);
	while (*text && got > 0 && used < (size_t)st.st_size) {
		got = read(fd, *text + used, (size_t)st.st_size - used);
		used += got > 0 ? (size_t)got : 0;
	}
	if (!*text || got < 0)
		return fault_errno(why, EXIT_FAILED, *text ? -errno : -ENOMEM, "cannot read %s", file);
	*n = used;
	return 0;
}

int backup_open(const struct backup_source *b, const char *file, struct unlock_secret *secret, struct keyring **out,
		struct fault *why)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;

	int r = read_file(file, &text, &n, why);
	if (r == 0)
		r = secrets_start(why);
	if (r == 0)
		r = backup_read(text, n, out, why);
	if (r == 0)
		r = backup_secret_obtain(b, file, backup_type(*out), secret, why);
	return r < 0 ? r : backup_unlock(*out, secret, why);
}

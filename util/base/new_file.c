#include "util/base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

#include "util/base/cleanup.h"
#include "util/base/whole_write.h"

static int sync_directory_of(const char *file)
{
	_cleanup_free_ char *copy = strdup(file);

	if (!copy)
		return -ENOMEM;
	_cleanup_close_ int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int new_file_write(const char *file, const struct iovec *parts, unsigned count, struct fault *why)
{
	_cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = 0;

	if (fd < 0 && errno == EEXIST)
		return fault_set(why, EXIT_REFUSED, EEXIST, "%s exists; name a new file", file);
	if (fd < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot make %s", file);
	for (unsigned i = 0; i < count && r == 0; i++)
		r = whole_write(fd, parts[i].iov_base, parts[i].iov_len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = sync_directory_of(file);
	if (r < 0) {
		unlink(file);
		return fault_errno(why, EXIT_FAILED, r, "cannot write %s", file);
	}
	return 0;
}

#include "util/base/whole_write.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int whole_write(int fd, const void *bytes, size_t n)
{
	for (const char *at = bytes; n > 0;) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int memory_file(const char *name, unsigned flags, const void *bytes, size_t n)
{
	int fd = memfd_create(name, flags);
	int r;

	if (fd < 0)
		return -errno;
	r = whole_write(fd, bytes, n);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* Small files that are replaced whole (atomic_file.h). */
#include "util/base/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "util/base/crypto.h"
#include "util/base/encode.h"

enum { TEMPORARY_RANDOM = 8 };

/* A random name: two writers cannot meet in one temporary file, not even without a lock. */
static int temporary_name(char out[sizeof(ATOMIC_FILE_PREFIX) + 2 * TEMPORARY_RANDOM])
{
	uint8_t random[TEMPORARY_RANDOM];
	int r = crypto_random(random, sizeof(random));

	if (r < 0)
		return r;
	memcpy(out, ATOMIC_FILE_PREFIX, sizeof(ATOMIC_FILE_PREFIX));
	hex_encode(random, sizeof(random), out + strlen(ATOMIC_FILE_PREFIX));
	return 0;
}

static int write_synced(struct store *s, int dir, const char *name, const void *bytes, size_t n)
{
	int fd = store_open(s, dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ssize_t done;
	int r;

	if (fd < 0)
		return fd;
	done = store_pwrite(s, fd, bytes, n, 0);
	r = done < 0 ? (int)done : s->ops->fsync(s, fd);
	store_close(s, fd);
	if (r < 0)
		s->ops->unlink(s, dir, name);
	return r;
}

int atomic_file_write(struct store *s, int dir, const char *name, const void *bytes, size_t n)
{
	char temporary[sizeof(ATOMIC_FILE_PREFIX) + 2 * TEMPORARY_RANDOM];
	int r = temporary_name(temporary);

	if (r == 0)
		r = write_synced(s, dir, temporary, bytes, n);
	if (r < 0)
		return r;
	r = s->ops->rename(s, dir, temporary, dir, name, 0);
	if (r < 0) {
		s->ops->unlink(s, dir, temporary);
		return r;
	}
	return s->ops->fsync(s, dir);
}

/* Opens without waiting (a FIFO), and says of everything that is not an acceptable file why. */
static int open_small(struct store *s, int dir, const char *name, size_t max, size_t *size)
{
	int fd = store_open(s, dir, name, O_RDONLY | O_NONBLOCK, 0);
	struct store_stat st;
	int r;

	if (fd < 0)
		return fd == -ENXIO ? -ELOOP : fd; /* a socket */
	r = store_stat(s, fd, &st);
	if (r == 0 && !S_ISREG(st.mode))
		r = -ELOOP;
	if (r == 0 && st.nlink > 1)
		r = -EMLINK;
	if (r == 0 && st.size > max)
		r = -EFBIG;
	if (r < 0) {
		store_close(s, fd);
		return r;
	}
	*size = (size_t)st.size;
	return fd;
}

int atomic_file_read(struct store *s, int dir, const char *name, size_t max, char **out, size_t *n)
{
	_cleanup_free_ char *buf = NULL;
	size_t size = 0;
	ssize_t got;
	int fd;

	*out = NULL;
	*n = 0;
	fd = open_small(s, dir, name, max, &size);
	if (fd < 0)
		return fd;
	buf = malloc(size + 1);
	got = buf ? store_pread(s, fd, buf, size, 0) : -ENOMEM;
	store_close(s, fd);
	if (got < 0)
		return (int)got;
	buf[got] = 0;
	*n = (size_t)got;
	*out = buf;
	buf = NULL;
	return 0;
}

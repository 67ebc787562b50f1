/* Reading a secret straight into locked memory. */
#include "keymgr/secret_input.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { FIRST_ROOM = 512 };

static int grow(struct secret **s, size_t used, size_t room)
{
	struct secret *larger = secret_new(room);

	if (!larger)
		return -ENOMEM;
	memcpy(larger->bytes, (*s)->bytes, used);
	secret_free(s);
	*s = larger;
	return 0;
}

/* One byte more than a regular file has, so that its end is seen without growing. */
static size_t first_room(int fd, size_t max)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size < max)
		return (size_t)st.st_size + 1;
	return max + 1 < FIRST_ROOM ? max + 1 : FIRST_ROOM;
}

int secret_read(int fd, size_t max, struct secret **out)
{
	_cleanup_secret_ struct secret *s = secret_new(first_room(fd, max));
	size_t used = 0;
	ssize_t n;
	int ret;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	for (;;) {
		n = read(fd, s->bytes + used, s->size - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		used += (size_t)n;
		if (used > max)
			return -EFBIG;
		if (n == 0)
			break;
		if (used == s->size) {
			ret = grow(&s, used, s->size * 2 > max + 1 ? max + 1 : s->size * 2);
			if (ret < 0)
				return ret;
		}
	}
	secret_shrink(s, used);
	*out = secret_move(&s);
	return 0;
}

#include "keymgr/helper/frames.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "util/base/bytes.h"

const char *frames_prepare(size_t arena)
{
	struct rlimit lock;

	if (secret_start(arena) < 0)
		return "cannot lock memory for secrets; raise \"ulimit -l\" to 1024 KiB";
	if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur == RLIM_INFINITY)
		(void)mlockall(MCL_CURRENT | MCL_FUTURE); /* more than is asked for: no error if it is not to be had */
	return NULL;
}

const char *frames_read(size_t max, struct secret **out)
{
	_cleanup_secret_ struct secret *s = secret_new(max + 1);
	size_t used = 0;
	ssize_t n = 1;

	if (!s)
		return "no memory";
	while (n != 0 && used < s->size) {
		n = read(STDIN_FILENO, s->bytes + used, s->size - used);
		if (n < 0 && errno != EINTR)
			return "cannot read";
		used += n > 0 ? (size_t)n : 0;
	}
	if (used > max)
		return "what is to be read is too long";
	secret_shrink(s, used);
	*out = secret_move(&s);
	return NULL;
}

const char *frames_take(const uint8_t *bytes, size_t size, struct span *frames, unsigned count)
{
	struct span left = {bytes, size};

	for (unsigned i = 0; i < count; i++) {
		uint32_t n = left.size < 4 ? 0 : get_le32(left.at);

		if (left.size < 4 || n > left.size - 4)
			return "a frame is cut short";
		frames[i] = (struct span){left.at + 4, n};
		left = (struct span){left.at + 4 + n, left.size - 4 - n};
	}
	return left.size == 0 ? NULL : "there are more frames than expected";
}

const char *frames_split(const struct secret *s, struct span *frames, unsigned count)
{
	return frames_take(s->bytes, s->size, frames, count);
}

const char *frames_write(const struct secret *s)
{
	size_t done = 0;

	while (done < s->size) {
		ssize_t n = write(STDOUT_FILENO, s->bytes + done, s->size - done);

		if (n < 0 && errno != EINTR)
			return "cannot write";
		done += n > 0 ? (size_t)n : 0;
	}
	return NULL;
}

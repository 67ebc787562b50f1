#include "util/field/agent_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "util/base/bytes.h"
#include "util/base/encode.h"

/* ------------------------------------------------------------------ frames */

int frame_begin(struct buffer *b, int32_t code)
{
	uint8_t head[AGENT_HEAD] = {0};

	buffer_reset(b);
	put_le32(head + 4, (uint32_t)code);
	return buffer_add(b, head, sizeof(head));
}

int frame_add(struct buffer *b, const void *bytes, size_t n)
{
	uint8_t size[4];
	int ret;

	put_le32(size, (uint32_t)n);
	ret = buffer_add(b, size, sizeof(size));
	return ret < 0 ? ret : buffer_add(b, bytes, n);
}

int frame_add_number(struct buffer *b, uint32_t v)
{
	uint8_t bytes[4];

	put_le32(bytes, v);
	return frame_add(b, bytes, sizeof(bytes));
}

void frame_end(struct buffer *b)
{
	put_le32((uint8_t *)b->bytes, (uint32_t)(b->size - 4));
}

int frame_read(const char *bytes, size_t n, struct frame *out, size_t *total)
{
	uint32_t size;

	if (n < AGENT_HEAD)
		return -EAGAIN;
	size = get_le32((const uint8_t *)bytes);
	if (size < AGENT_HEAD - 4 || size > AGENT_FRAME_MAX)
		return -EBADMSG;
	if (n - 4 < size)
		return -EAGAIN;
	*total = (size_t)size + 4;
	*out = (struct frame){(int32_t)get_le32((const uint8_t *)bytes + 4), bytes + AGENT_HEAD, *total - AGENT_HEAD};
	return 0;
}

int frame_take(struct frame *f, const char **bytes, size_t *n)
{
	uint32_t size;

	if (f->size < 4)
		return -EBADMSG;
	size = get_le32((const uint8_t *)f->bytes);
	if (size > f->size - 4)
		return -EBADMSG;
	*bytes = f->bytes + 4;
	*n = size;
	f->bytes += 4 + (size_t)size;
	f->size -= 4 + (size_t)size;
	return 0;
}

int frame_take_number(struct frame *f, uint32_t *out)
{
	const char *bytes;
	size_t n;
	int ret = frame_take(f, &bytes, &n);

	if (ret < 0 || n != 4)
		return -EBADMSG;
	*out = get_le32((const uint8_t *)bytes);
	return 0;
}

int frame_take_text(struct frame *f, char *out, size_t room)
{
	const char *bytes;
	size_t n;
	int ret = frame_take(f, &bytes, &n);

	if (ret < 0 || n >= room || memchr(bytes, '\0', n))
		return -EBADMSG;
	memcpy(out, bytes, n);
	out[n] = '\0';
	return 0;
}

int frame_send(int fd, const struct buffer *b)
{
	for (size_t at = 0; at < b->size;) {
		ssize_t n = send(fd, b->bytes + at, b->size - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* ------------------------------------------------------------------ where */

static int check_directory(const char *path, bool make)
{
	struct stat st;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

int agent_address(const uint8_t keyring_id[VOLUME_ID_SIZE], bool make, struct sockaddr_un *out)
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	char hex[2 * VOLUME_ID_SIZE + 1], directory[sizeof(out->sun_path)];
	int n, ret;

	if (runtime && *runtime == '/')
		n = snprintf(directory, sizeof(directory), "%s/coffer", runtime);
	else if (geteuid() == 0)
		n = snprintf(directory, sizeof(directory), "/run/coffer");
	else
		n = snprintf(directory, sizeof(directory), "/run/user/%u/coffer", (unsigned)geteuid());
	if (n < 0 || (size_t)n >= sizeof(directory))
		return -ENAMETOOLONG;
	ret = check_directory(directory, make);
	if (ret < 0)
		return ret;
	hex_encode(keyring_id, VOLUME_ID_SIZE, hex);
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(out->sun_path, sizeof(out->sun_path), "%s/%s.agent", directory, hex);
	return n < 0 || (size_t)n >= sizeof(out->sun_path) ? -ENAMETOOLONG : 0;
}

bool agent_peer_is_ours(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

/* Asking the agent. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "util/base/bytes.h"
#include "util/field/agent_wire.h"
#include "util/field/token_internal.h"

enum { PATIENCE_SECONDS = 60, BLOCK = 64 << 10 };

static int connect_to(const uint8_t keyring_id[VOLUME_ID_SIZE])
{
	const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
	struct sockaddr_un address;
	int fd, ret = agent_address(keyring_id, false, &address);

	if (ret < 0)
		return -ENOENT;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && agent_peer_is_ours(fd))
		return fd;
	close(fd);
	return -ENOENT;
}

/* Sends the request and waits for the answer, which lies in `in` then.  What the agent could not do comes back as its error. */
static int call(int fd, struct buffer *request, struct buffer *in, struct frame *answer)
{
	size_t total;
	int ret;

	frame_end(request);
	if (request->size - 4 > AGENT_FRAME_MAX)
		return -E2BIG;
	if (frame_send(fd, request) < 0)
		return -ECONNRESET;
	buffer_reset(in);
	while ((ret = frame_read(in->bytes, in->size, answer, &total)) == -EAGAIN) {
		ssize_t n;

		ret = buffer_reserve(in, BLOCK);
		if (ret < 0)
			return ret;
		n = recv(fd, in->bytes + in->size, BLOCK, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ECONNRESET;
		in->size += (size_t)n;
	}
	if (ret < 0)
		return -ECONNRESET;
	return answer->code < 0 ? answer->code : 0;
}

/* ------------------------------------------------------------------ hello */

static int take_domains(struct frame *f, struct token_box *b)
{
	while (f->size) {
		struct field_domain *bigger = reallocarray(b->domains, b->domain_count + 1, sizeof(*bigger)), *d;

		if (!bigger)
			return -ENOMEM;
		b->domains = bigger;
		d = &bigger[b->domain_count];
		*d = (struct field_domain){0};
		if (frame_take_text(f, d->name, sizeof(d->name)) < 0 || frame_take_number(f, &d->generation) < 0)
			return -ECONNRESET;
		b->domain_count++;
	}
	return 0;
}

static int hello(int fd, const struct keyring_stamp *file, struct token_box *b)
{
	uint8_t which[16];
	_cleanup_buffer_ struct buffer request = {0}, in = {0};
	struct frame answer;
	const char *id;
	size_t n;
	int ret = frame_begin(&request, AGENT_HELLO);

	if (ret == 0)
		ret = frame_add_number(&request, AGENT_VERSION);
	put_le64(which, file->dev);
	put_le64(which + 8, file->ino);
	if (ret == 0)
		ret = frame_add(&request, which, sizeof(which));
	if (ret == 0)
		ret = call(fd, &request, &in, &answer);
	if (ret < 0)
		return ret;
	if (frame_take(&answer, &id, &n) < 0 || n != VOLUME_ID_SIZE ||
	    frame_take_number(&answer, &b->remote_active) < 0)
		return -ECONNRESET;
	memcpy(b->keyring_id, id, VOLUME_ID_SIZE);
	return take_domains(&answer, b);
}

int agent_box(const uint8_t keyring_id[VOLUME_ID_SIZE], const struct keyring_stamp *file, struct token_box **out)
{
	_cleanup_(token_box_free) struct token_box *b = calloc(1, sizeof(*b));
	int ret;

	*out = NULL;
	if (!b)
		return -ENOMEM;
	ret = connect_to(keyring_id);
	if (ret < 0)
		return ret;
	b->remote = ret + 1;
	ret = hello(b->remote - 1, file, b);
	/* One that ends just now, speaks otherwise, or holds another copy, is none. */
	if (ret == 0 && memcmp(b->keyring_id, keyring_id, VOLUME_ID_SIZE) != 0)
		ret = -ECONNRESET;
	if (ret < 0)
		return ret == -ENOMEM ? ret : -ENOENT;
	*out = b;
	b = NULL;
	return 0;
}

/* ------------------------------------------------------------------ tokens */

static int add_binding(struct buffer *b, const struct token_binding *to)
{
	const uint8_t bind = (uint8_t)to->bind;
	const char *context = to->context ? to->context : "";
	int ret = frame_add(b, &bind, 1);

	if (ret == 0)
		ret = frame_add(b, context, strlen(context));
	return ret < 0 ? ret : frame_add(b, to->place, to->place_size);
}

/* The one part of the answer, appended. */
static int call_for_bytes(struct token_box *b, struct buffer *request, struct buffer *out)
{
	_cleanup_buffer_ struct buffer in = {0};
	struct frame answer;
	const char *bytes;
	size_t n;
	int ret = call(b->remote - 1, request, &in, &answer);

	if (ret < 0)
		return ret;
	return frame_take(&answer, &bytes, &n) < 0 ? -ECONNRESET : buffer_add(out, bytes, n);
}

int remote_seal(struct token_box *b, const struct token_how *how, const struct token_binding *to, const char *source,
		size_t n, const char *value, size_t value_size, struct buffer *out)
{
	_cleanup_buffer_ struct buffer request = {0};
	const uint8_t mode = (uint8_t)how->mode;
	const char *domain = how->domain ? how->domain : "";
	int ret = frame_begin(&request, AGENT_SEAL);

	if (ret == 0)
		ret = frame_add(&request, &mode, 1);
	if (ret == 0)
		ret = frame_add_number(&request, how->pad);
	if (ret == 0)
		ret = frame_add(&request, domain, strlen(domain));
	if (ret == 0)
		ret = add_binding(&request, to);
	if (ret == 0)
		ret = frame_add(&request, source, n);
	if (ret == 0)
		ret = frame_add(&request, value, value_size);
	return ret < 0 ? ret : call_for_bytes(b, &request, out);
}

int remote_open(struct token_box *b, const struct token_binding *to, const char *text, size_t n, struct buffer *out)
{
	_cleanup_buffer_ struct buffer request = {0};
	int ret = frame_begin(&request, AGENT_OPEN);

	if (ret == 0)
		ret = add_binding(&request, to);
	if (ret == 0)
		ret = frame_add(&request, text, n);
	return ret < 0 ? ret : call_for_bytes(b, &request, out);
}

int remote_public_key(struct token_box *b, struct buffer *out)
{
	_cleanup_buffer_ struct buffer request = {0};
	int ret = frame_begin(&request, AGENT_PUBLIC_KEY);

	return ret < 0 ? ret : call_for_bytes(b, &request, out);
}

/* ------------------------------------------------------------------ the agent itself */

static int ask(const uint8_t keyring_id[VOLUME_ID_SIZE], enum agent_verb verb, struct buffer *in, struct frame *answer)
{
	_cleanup_buffer_ struct buffer request = {0};
	_cleanup_close_ int fd = connect_to(keyring_id);
	int ret = fd < 0 ? fd : frame_begin(&request, verb);

	return ret < 0 ? ret : call(fd, &request, in, answer);
}

int agent_ask_state(const uint8_t keyring_id[VOLUME_ID_SIZE], struct agent_state *out)
{
	_cleanup_buffer_ struct buffer in = {0};
	struct frame answer;
	int ret = ask(keyring_id, AGENT_STATE, &in, &answer);

	*out = (struct agent_state){0};
	if (ret == 0)
		ret = frame_take_number(&answer, &out->pid);
	if (ret == 0)
		ret = frame_take_number(&answer, &out->left);
	return ret < 0 ? ret : frame_take_number(&answer, &out->idle_left);
}

int agent_stop(const uint8_t keyring_id[VOLUME_ID_SIZE])
{
	_cleanup_buffer_ struct buffer in = {0};
	struct frame answer;

	return ask(keyring_id, AGENT_STOP, &in, &answer);
}

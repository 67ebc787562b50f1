/* The agent's side: its socket, and what it answers. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "util/base/bytes.h"
#include "util/field/agent_wire.h"
#include "util/field/token_internal.h"

enum { CLIENTS_MAX = 64, BACKLOG = 16, SEND_SECONDS = 5, LOOK_SECONDS = 10, BLOCK = 64 << 10 };

struct server {
	const struct agent *agent;
	struct agent_socket *socket;
	uint64_t end, idle_end; /* seconds of CLOCK_BOOTTIME */
	bool stop;
	struct {
		int fd;
		struct buffer in;
	} clients[CLIENTS_MAX];
	size_t count;
	struct buffer out;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec;
}

/* ------------------------------------------------------------------ the socket */

static bool somebody_listens(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* EAGAIN: so many wait for it that there is no room for us. */
	return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);
}

/* One at a time: two that begin at once would each take the other's socket for a dead one. */
static int take_turn(const struct sockaddr_un *address)
{
	char directory[sizeof(address->sun_path)];
	int fd;

	memcpy(directory, address->sun_path, sizeof(directory));
	*strrchr(directory, '/') = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX) == 0)
		return fd;
	int ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

static int make_socket(struct agent_socket *s)
{
	struct stat st;

	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	unlink(s->address.sun_path);
	/* The directory lets nobody else in meanwhile. */
	if (bind(s->fd, (const struct sockaddr *)&s->address, sizeof(s->address)) < 0 ||
	    chmod(s->address.sun_path, 0600) < 0 || listen(s->fd, BACKLOG) < 0 || lstat(s->address.sun_path, &st) < 0)
		return -errno;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

int agent_listen(const uint8_t keyring_id[VOLUME_ID_SIZE], struct agent_socket *out, struct fault *why)
{
	_cleanup_close_ int turn = -1;
	int ret = agent_address(keyring_id, true, &out->address);

	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret,
				   "no place for the agent's socket; set XDG_RUNTIME_DIR to a directory of yours");
	turn = take_turn(&out->address);
	if (turn >= 0 && somebody_listens(&out->address))
		return fault_set(why, EXIT_IN_USE, EBUSY, "an agent for this keyring is there already; --stop ends it");
	ret = turn < 0 ? turn : make_socket(out);
	if (ret < 0)
		agent_socket_close(out);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot make %s", out->address.sun_path) : 0;
}

static bool socket_is_there(const struct agent_socket *s)
{
	struct stat st;

	return lstat(s->address.sun_path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

void agent_socket_close(struct agent_socket *s)
{
	if (s->fd < 0)
		return;
	if (s->ino && socket_is_there(s))
		unlink(s->address.sun_path);
	close(s->fd);
	s->fd = -1;
}

/* ------------------------------------------------------------------ answers */

struct bound {
	struct token_binding to;
	char context[CONTEXT_MAX + 1];
};

static int take_byte(struct frame *f, uint8_t *out)
{
	const char *bytes;
	size_t n;
	int ret = frame_take(f, &bytes, &n);

	if (ret < 0 || n != 1)
		return -EBADMSG;
	*out = (uint8_t)*bytes;
	return 0;
}

static int take_binding(struct frame *f, struct bound *out)
{
	uint8_t bind = 0;
	int ret = take_byte(f, &bind);

	out->to = (struct token_binding){.bind = (enum token_bind)bind, .context = out->context};
	if (ret == 0)
		ret = frame_take_text(f, out->context, sizeof(out->context));
	return ret < 0 ? ret : frame_take(f, &out->to.place, &out->to.place_size);
}

static int say_hello(struct server *s, struct frame *f)
{
	const struct token_box *b = s->agent->box;
	const struct keyring_stamp *mine = &s->agent->stamp;
	const char *which;
	uint32_t version;
	size_t n;
	int ret = frame_take_number(f, &version);

	if (ret < 0 || version != AGENT_VERSION || frame_take(f, &which, &n) < 0 || n != 16)
		return -EPROTO;
	if (get_le64((const uint8_t *)which) != mine->dev || get_le64((const uint8_t *)which + 8) != mine->ino)
		return -ESTALE;
	ret = frame_add(&s->out, b->keyring_id, sizeof(b->keyring_id));
	if (ret == 0)
		ret = frame_add_number(&s->out, b->keys->active[SCOPE_FIELDS]);
	for (size_t i = 0; ret == 0 && i < b->domain_count; i++) {
		ret = frame_add(&s->out, b->domains[i].name, strlen(b->domains[i].name));
		if (ret == 0)
			ret = frame_add_number(&s->out, b->domains[i].generation);
	}
	return ret;
}

static int seal(struct server *s, struct frame *f, struct buffer *token)
{
	char domain[DOMAIN_NAME_MAX + 1];
	const char *source = "", *value = "";
	size_t n = 0, value_size = 0;
	struct token_how how = {.domain = domain};
	struct bound bound = {0};
	uint8_t mode = 0;
	int ret = take_byte(f, &mode);

	how.mode = (enum token_mode)mode;
	if (ret == 0)
		ret = frame_take_number(f, &how.pad);
	if (ret == 0)
		ret = frame_take_text(f, domain, sizeof(domain));
	if (ret == 0)
		ret = take_binding(f, &bound);
	if (ret == 0)
		ret = frame_take(f, &source, &n);
	if (ret == 0)
		ret = frame_take(f, &value, &value_size);
	return ret < 0 ? ret : token_seal(s->agent->box, &how, &bound.to, source, n, value, value_size, token);
}

static int open_token(struct server *s, struct frame *f, struct buffer *source)
{
	const char *token = "";
	struct bound bound = {0};
	size_t n = 0;
	int ret = take_binding(f, &bound);

	if (ret == 0)
		ret = frame_take(f, &token, &n);
	return ret < 0 ? ret : token_open(s->agent->box, &bound.to, token, n, source);
}

static int say_state(struct server *s)
{
	uint64_t t = now();
	int ret = frame_add_number(&s->out, (uint32_t)getpid());

	if (ret == 0)
		ret = frame_add_number(&s->out, s->end > t ? (uint32_t)(s->end - t) : 0);
	return ret < 0 ? ret : frame_add_number(&s->out, s->idle_end > t ? (uint32_t)(s->idle_end - t) : 0);
}

/* Fills s->out. */
static int answer(struct server *s, struct frame *f)
{
	_cleanup_buffer_ struct buffer made = {0};
	bool bytes = true;
	int ret = frame_begin(&s->out, 0), result = 0;

	if (ret < 0)
		return ret;
	switch (f->code) {
	case AGENT_SEAL:
		result = seal(s, f, &made);
		break;
	case AGENT_OPEN:
		result = open_token(s, f, &made);
		break;
	case AGENT_PUBLIC_KEY:
		result = token_public_key(s->agent->box, &made);
		break;
	default:
		bytes = false;
		result = f->code == AGENT_HELLO   ? say_hello(s, f)
			 : f->code == AGENT_STATE ? say_state(s)
			 : f->code == AGENT_STOP  ? 0
						  : -EPROTO;
		s->stop = s->stop || f->code == AGENT_STOP;
	}
	if (result < 0)
		ret = frame_begin(&s->out, result);
	else if (bytes)
		ret = frame_add(&s->out, made.bytes ? made.bytes : "", made.size);
	frame_end(&s->out);
	return ret;
}

/* ------------------------------------------------------------------ clients */

static void admit(struct server *s)
{
	const struct timeval patience = {.tv_sec = SEND_SECONDS};
	int fd = accept4(s->socket->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (!agent_peer_is_ours(fd)) {
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	s->clients[s->count].fd = fd;
	s->clients[s->count].in = (struct buffer){0};
	s->count++;
}

static void dismiss(struct server *s, size_t i)
{
	close(s->clients[i].fd);
	buffer_free(&s->clients[i].in);
	s->clients[i] = s->clients[--s->count];
}

/* Every whole request that has come.  False: it is over with this client. */
static bool answer_all(struct server *s, size_t i)
{
	struct buffer *in = &s->clients[i].in;
	struct frame request;
	size_t total;
	int ret;

	while (!s->stop && (ret = frame_read(in->bytes, in->size, &request, &total)) != -EAGAIN) {
		/* Keys that the keyring does not have any more are not used once more. */
		s->stop = !s->agent->keyring_same(s->agent->context);
		if (ret < 0 || s->stop || answer(s, &request) < 0 || frame_send(s->clients[i].fd, &s->out) < 0)
			return false;
		buffer_drop(in, total);
		buffer_reset(&s->out);
		if (request.code != AGENT_STATE)
			s->idle_end = now() + s->agent->idle_seconds;
	}
	return true;
}

static bool hear(struct server *s, size_t i)
{
	struct buffer *in = &s->clients[i].in;
	ssize_t n;

	if (buffer_reserve(in, BLOCK) < 0)
		return false;
	n = recv(s->clients[i].fd, in->bytes + in->size, BLOCK, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	in->size += (size_t)n;
	return answer_all(s, i);
}

/* ------------------------------------------------------------------ its life */

static bool time_is_up(const struct server *s)
{
	uint64_t t = now();

	return t >= s->end || t >= s->idle_end || !socket_is_there(s->socket) ||
	       !s->agent->keyring_same(s->agent->context);
}

/* One round: waits for something to do, and does it. */
static int turn(struct server *s, int signals)
{
	struct pollfd p[CLIENTS_MAX + 2];
	size_t count = s->count;
	uint64_t t = now(), until = s->end < s->idle_end ? s->end : s->idle_end;
	int wait = until <= t ? 0 : until - t < LOOK_SECONDS ? (int)(until - t) * 1000 : LOOK_SECONDS * 1000;

	p[0] = (struct pollfd){.fd = signals, .events = POLLIN};
	p[1] = (struct pollfd){.fd = count < CLIENTS_MAX ? s->socket->fd : -1, .events = POLLIN};
	for (size_t i = 0; i < count; i++)
		p[i + 2] = (struct pollfd){.fd = s->clients[i].fd, .events = POLLIN};
	if (poll(p, count + 2, wait) < 0 && errno != EINTR)
		return -errno;
	if (p[0].revents)
		s->stop = true;
	/* From the end, as a client that goes is replaced by the last one. */
	for (size_t i = count; i-- > 0 && !s->stop;)
		if (p[i + 2].revents && !hear(s, i))
			dismiss(s, i);
	if (p[1].revents && !s->stop)
		admit(s);
	return 0;
}

static int signal_descriptor(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int agent_serve(const struct agent *a, struct agent_socket *socket, struct fault *why)
{
	_cleanup_free_ struct server *s = calloc(1, sizeof(*s));
	_cleanup_close_ int signals = signal_descriptor();
	int ret = signals < 0 ? signals : s ? 0 : -ENOMEM;

	if (ret == 0) {
		*s = (struct server){.agent = a, .socket = socket};
		s->end = now() + a->seconds;
		s->idle_end = now() + a->idle_seconds;
		while (ret == 0 && !s->stop && !time_is_up(s))
			ret = turn(s, signals);
		while (s->count)
			dismiss(s, s->count - 1);
		buffer_free(&s->out);
	}
	agent_socket_close(socket);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "the agent cannot go on") : 0;
}

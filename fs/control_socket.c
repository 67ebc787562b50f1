#include "fs/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>

#include "keymgr/control_path.h"
#include "util/base/log.h"

enum { BACKLOG = 64, TURN_TRIES = 250, TURN_STEP_NS = 20 * 1000 * 1000 };

/* A directory that is this user's and nobody else's to write, made if it is missing. */
static int open_directory(const char *path, bool to_all)
{
	struct stat st;
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022)) {
		/* To pass, not to look around. */
		if (to_all && fchmod(fd, (st.st_mode & 07777) | 0111) < 0)
			log_warning("%s: other users cannot pass to the control socket: %s", path, strerror(errno));
		return fd;
	}
	close(fd);
	log_warning("%s is not used for control sockets: others may write there", path);
	return -EPERM;
}

/* Two mounts that begin at once take turns; who only looks is never kept. */
static int take_turn(int directory)
{
	const struct timespec step = {0, TURN_STEP_NS};

	for (int i = 0; i < TURN_TRIES; i++) {
		if (flock(directory, LOCK_EX | LOCK_NB) == 0)
			return 0;
		nanosleep(&step, NULL);
	}
	return -EBUSY;
}

/* The process that listens at the address; 0 if nobody does. */
static int listener(const struct sockaddr_un *address)
{
	struct ucred peer = {.pid = 1};
	socklen_t n = sizeof peer;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* EAGAIN: so many wait for it that there is no room for us.  Somebody lives there. */
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno != EAGAIN)
		return 0;
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n);
	return peer.pid > 0 ? peer.pid : 1;
}

static int make(const struct sockaddr_un *address, bool to_all)
{
	int r, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	unlink(address->sun_path);
	if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
	    chmod(address->sun_path, to_all ? 0666 : 0600) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static int open_in(const char *path, const char *volume, const uint8_t instance[INSTANCE_ID_SIZE], bool to_all,
		   struct control_socket *out, struct fault *why)
{
	_cleanup_close_ int directory = -1;
	int r = control_address(path, instance, &out->address);

	if (r < 0)
		return r;
	directory = open_directory(path, to_all);
	r = directory < 0 ? directory : take_turn(directory);
	if (r < 0)
		return r;
	r = listener(&out->address);
	if (r > 0)
		return fault_set(why, EXIT_IN_USE, EBUSY,
				 "process %d has a volume with the instance id of %s mounted, from another directory; "
				 "to open a copy beside it, read-only: -o oldcopy",
				 r, volume);
	if (r == 0)
		r = make(&out->address, to_all);
	out->fd = r;
	return r < 0 ? r : 0;
}

int control_socket_open(const char *volume, const uint8_t instance[INSTANCE_ID_SIZE], bool to_all,
			struct control_socket *out, struct fault *why)
{
	char path[108];
	int r = -ENOENT;

	out->fd = -1;
	for (unsigned i = 0; control_directory(i, path); i++) {
		r = open_in(path, volume, instance, to_all, out, why);
		if (r == 0 || why->status != EXIT_OK)
			return r;
	}
	out->fd = -1;
	log_warning(
		"no control socket (%s): `coffer freeze` and the like will not reach this mount; set XDG_RUNTIME_DIR",
		strerror(-r));
	return 0;
}

void control_socket_close(struct control_socket *s)
{
	if (s->fd < 0)
		return;
	/* First the name: who comes from now on finds no socket, not a dead one. */
	unlink(s->address.sun_path);
	close(s->fd);
	s->fd = -1;
}

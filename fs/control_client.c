#include "fs/control_client.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fs/control_path.h"

enum { CONNECT_SECONDS = 5 };

static int connect_in(const char *directory, const uint8_t instance[INSTANCE_ID_SIZE])
{
	const struct timeval patience = {.tv_sec = CONNECT_SECONDS};
	struct sockaddr_un address;
	int fd, r = control_address(directory, instance, &address);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* The mounts of plain users, for root. */
static int connect_to_users(const uint8_t instance[INSTANCE_ID_SIZE])
{
	glob_t found;
	int r = -ENOENT;

	if (geteuid() != 0 || glob("/run/user/*/coffer", GLOB_ONLYDIR, NULL, &found) != 0)
		return r;
	for (size_t i = 0; i < found.gl_pathc && r < 0; i++)
		r = connect_in(found.gl_pathv[i], instance);
	globfree(&found);
	return r;
}

int control_connect(const uint8_t instance[INSTANCE_ID_SIZE])
{
	char directory[108];
	int r = -ENOENT;

	for (unsigned i = 0; r < 0 && control_directory(i, directory); i++)
		r = connect_in(directory, instance);
	if (r < 0)
		r = connect_to_users(instance);
	return r < 0 ? -ENOENT : r;
}

/* "error STATUS TEXT" */
static int refusal(const char *text, struct fault *why)
{
	unsigned status;
	int at = 0;

	if (sscanf(text, "error %3u %n", &status, &at) != 1 || !at || status < EXIT_FAILED || status > EXIT_REFUSED)
		return fault_set(why, EXIT_FAILED, EPROTO, "the mount gives an answer that makes no sense");
	return fault_set(why, (enum exit_status)status, ECANCELED, "%.*s", (int)strcspn(text + at, "\n"), text + at);
}

int control_ask(int fd, const char *request, unsigned seconds, struct control_answer *out, struct fault *why)
{
	const struct timeval patience = {.tv_sec = seconds};
	ssize_t n = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 ||
	    (n = recv(fd, out->text, sizeof out->text - 1, 0)) < 0)
		return fault_errno(why, EXIT_FAILED, errno == EAGAIN ? -ETIMEDOUT : -errno,
				   "the mount does not answer on its control socket");
	if (n == 0)
		return fault_set(why, EXIT_FAILED, ECONNRESET,
				 "the mount closed the connection: it is ending, or too many others ask it");
	out->text[n] = '\0';
	return strncmp(out->text, "ok\n", 3) == 0 ? 0 : refusal(out->text, why);
}

static const char *find_line(const struct control_answer *a, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = strchr(a->text, '\n'); p; p = strchr(p + 1, '\n'))
		if (strncmp(p + 1, name, n) == 0 && p[1 + n] == ' ')
			return p + 2 + n;
	return NULL;
}

bool control_text(const struct control_answer *a, const char *name, char *out, size_t room)
{
	const char *line = find_line(a, name);

	if (line)
		snprintf(out, room, "%.*s", (int)strcspn(line, "\n"), line);
	return line;
}

bool control_number(const struct control_answer *a, const char *name, uint64_t *out)
{
	const char *line = find_line(a, name);
	char *end;

	if (!line)
		return false;
	*out = strtoull(line, &end, 10);
	return end != line && *end == '\n';
}

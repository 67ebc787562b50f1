/* Starting a helper.
 *
 * It reads everything before it writes anything (helper/protocol.h), so that neither waits for the other.  What it says on standard error
 * goes into a file in memory, which never makes it wait. */
#include "keymgr/helper_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "config.h"
#include "keymgr/helper/pkcs11_protocol.h"
#include "keymgr/helper/tpm2_protocol.h"
#include "keymgr/secret_input.h"
#include "util/base/bytes.h"
#include "util/base/whole_write.h"

void helper_answer_free(struct helper_answer *a)
{
	secret_free(&a->out);
}

/* An end for us and one for the helper; a socket where we write, so that a helper that is gone does not cost us a SIGPIPE. */
struct ends {
	int ours, its;
};
#define ENDS_NONE ((struct ends){-1, -1})

static void ends_close(struct ends *e)
{
	if (e->ours >= 0)
		close(e->ours);
	if (e->its >= 0)
		close(e->its);
	*e = ENDS_NONE;
}
#define _cleanup_ends_ _cleanup_(ends_close)

static int make_input(struct ends *e)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	*e = (struct ends){fds[0], fds[1]};
	return 0;
}

static int make_output(struct ends *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*e = (struct ends){fds[0], fds[1]};
	return 0;
}

/* Signals as if nobody had changed them: this process may hold some back, or ignore them. */
static int set_attributes(posix_spawnattr_t *a)
{
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	error = posix_spawnattr_setsigmask(a, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(a, &all);
	if (!error)
		error = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return error;
}

static int set_descriptors(posix_spawn_file_actions_t *a, int in, int out, int err)
{
	int error = posix_spawn_file_actions_adddup2(a, in, STDIN_FILENO);

	if (!error)
		error = posix_spawn_file_actions_adddup2(a, out, STDOUT_FILENO);
	if (!error)
		error = posix_spawn_file_actions_adddup2(a, err, STDERR_FILENO);
	if (!error)
		error = posix_spawn_file_actions_addclosefrom_np(a, STDERR_FILENO + 1);
	return error;
}

static int spawn(const char *path, const char *verb, int in, int out, int err, pid_t *pid)
{
	char *const argv[] = {(char *)path, (char *)verb, NULL}, *const envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error;

	*pid = 0;
	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	error = posix_spawnattr_init(&attributes);
	if (!error) {
		error = set_attributes(&attributes);
		if (!error)
			error = set_descriptors(&actions, in, out, err);
		if (!error)
			error = posix_spawn(pid, path, &actions, &attributes, argv, envp);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

static int send_all(int fd, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	while (n > 0) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return -errno;
		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

/* A helper that does not read has something to say instead. */
static void send_frames(int fd, const struct helper_frame *frames, size_t count)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < count; i++) {
		uint8_t size[4];

		put_le32(size, (uint32_t)frames[i].size);
		ret = send_all(fd, size, sizeof(size));
		if (ret == 0)
			ret = send_all(fd, frames[i].bytes, frames[i].size);
	}
	shutdown(fd, SHUT_WR);
}

static void first_line(int fd, char *out, size_t room)
{
	ssize_t n = pread(fd, out, room - 1, 0);

	out[n < 0 ? 0 : n] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Both of our ends are closed before the helper is waited for: one that writes on for ever gets SIGPIPE. */
static int talk(struct ends *in, struct ends *out, const struct helper_frame *frames, size_t count, size_t max,
		struct secret **answer)
{
	int ret;

	close(in->its);
	close(out->its); /* or there would be no end to what we read */
	in->its = out->its = -1;
	send_frames(in->ours, frames, count);
	ret = secret_read(out->ours, max, answer);
	ends_close(in);
	ends_close(out);
	return ret;
}

static int start(const char *path, const char *verb, const struct helper_frame *frames, size_t count, size_t max,
		 struct helper_answer *answer)
{
	_cleanup_close_ int err = memory_file("said", MFD_CLOEXEC, "", 0);
	_cleanup_ends_ struct ends in = ENDS_NONE, out = ENDS_NONE;
	pid_t pid = -1;
	int ret = err < 0 ? err : make_input(&in);

	if (ret == 0)
		ret = make_output(&out);
	if (ret == 0)
		ret = spawn(path, verb, in.its, out.its, err, &pid);
	if (ret < 0)
		return ret;
	ret = talk(&in, &out, frames, count, max, &answer->out);
	answer->status = wait_for(pid);
	first_line(err, answer->said, sizeof(answer->said));
	return answer->status < 0 ? answer->status : ret;
}

static int path_of(const char *program, char **path, struct fault *why)
{
	const char *directory = secure_getenv("COFFER_LIBEXEC_DIR");

	if (asprintf(path, "%s/%s", directory ? directory : COFFER_LIBEXEC_DIR, program) >= 0)
		return 0;
	*path = NULL;
	return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot run %s", program);
}

static int not_run(const char *path, int error, struct fault *why)
{
	static const struct {
		const char *program, *library, *option;
	} needs[] = {
		{PKCS11_HELPER, "p11-kit", "pkcs11"},
		{TPM2_HELPER, "tpm2-tss", "tpm2"},
		{"", "OpenSSL", "openssl"}, /* the others */
	};
	size_t i = 0;

	while (*needs[i].program && strcmp(strrchr(path, '/') + 1, needs[i].program) != 0)
		i++;
	if (error == -ENOENT || error == -EACCES)
		return fault_set(why, EXIT_UNSUPPORTED, ENOENT,
				 "this needs the program %s, which is not installed: install coffer built with %s "
				 "(meson option %s)",
				 path, needs[i].library, needs[i].option);
	return fault_errno(why, EXIT_FAILED, error, "cannot run %s", path);
}

int helper_run(const char *program, const char *verb, const struct helper_frame *frames, size_t count, size_t max,
	       struct helper_answer *out, struct fault *why)
{
	_cleanup_free_ char *path = NULL;
	int ret = path_of(program, &path, why);

	*out = (struct helper_answer){0};
	if (ret < 0)
		return ret;
	ret = start(path, verb, frames, count, max, out);
	if (ret < 0)
		helper_answer_free(out);
	return ret < 0 ? not_run(path, ret, why) : 0;
}

int helper_start(const char *program, const char *verb, struct helper *out, struct fault *why)
{
	_cleanup_ends_ struct ends ends = ENDS_NONE;
	_cleanup_free_ char *path = NULL;
	int ret = path_of(program, &path, why);

	*out = HELPER_NONE;
	if (ret < 0)
		return ret;
	ret = make_input(&ends);
	if (ret == 0)
		ret = out->err = memory_file("said", MFD_CLOEXEC, "", 0);
	if (ret >= 0)
		ret = spawn(path, verb, ends.its, ends.its, out->err, &out->pid);
	if (ret == 0 && fcntl(ends.ours, F_SETFL, O_NONBLOCK) < 0)
		ret = -errno;
	if (ret < 0) {
		helper_end(out);
		return not_run(path, ret, why);
	}
	out->fd = ends.ours;
	ends.ours = -1;
	return 0;
}

void helper_said(const struct helper *h, char *out, size_t room)
{
	first_line(h->err, out, room);
}

/* It keeps nothing that an end at once would spoil: files are replaced whole. */
void helper_end(struct helper *h)
{
	if (h->fd >= 0)
		close(h->fd);
	if (h->pid > 0) {
		kill(h->pid, SIGKILL);
		(void)wait_for(h->pid);
	}
	if (h->err >= 0)
		close(h->err);
	*h = HELPER_NONE;
}

/* Asking for a secret on the terminal.
 *
 * Signals that would end or stop the process are held back while echo is off, except inside ppoll(), and a handler only notes
 * them; so there is no moment at which one leaves the terminal mute. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#include "keymgr/secret_input.h"

static const int held[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGALRM};
enum { HELD = sizeof(held) / sizeof(held[0]) };

static volatile sig_atomic_t caught;

static void note(int sig)
{
	caught = sig;
}

struct quiet {
	int fd;
	struct termios before;
	sigset_t mask_before;
	struct sigaction action_before[HELD];
};

static int go_quiet(struct quiet *q, int fd)
{
	struct sigaction sa = {.sa_handler = note};
	struct termios silent;
	sigset_t block;

	q->fd = fd;
	if (tcgetattr(fd, &q->before) < 0)
		return -ENOTTY;
	sigemptyset(&sa.sa_mask);
	sigemptyset(&block);
	for (int i = 0; i < HELD; i++)
		sigaddset(&block, held[i]);
	sigprocmask(SIG_BLOCK, &block, &q->mask_before);
	caught = 0;
	for (int i = 0; i < HELD; i++) {
		sigaction(held[i], NULL, &q->action_before[i]);
		if (q->action_before[i].sa_handler != SIG_IGN) /* ignored stays ignored (nohup) */
			sigaction(held[i], &sa, NULL);
	}
	silent = q->before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	silent.c_lflag |= ICANON | ISIG;
	while (tcsetattr(fd, TCSAFLUSH, &silent) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void end_quiet(struct quiet *q)
{
	while (tcsetattr(q->fd, TCSAFLUSH, &q->before) < 0 && errno == EINTR)
		;
	for (int i = 0; i < HELD; i++)
		sigaction(held[i], &q->action_before[i], NULL);
	sigprocmask(SIG_SETMASK, &q->mask_before, NULL);
}

static void say(int fd, const char *text)
{
	size_t n = strlen(text);

	while (n > 0) {
		ssize_t w = write(fd, text, n);

		if (w <= 0)
			return;
		text += w;
		n -= (size_t)w;
	}
}

/* One line into s.  -EINTR after a signal, which is in `caught`; -EFBIG. */
static int read_line(struct quiet *q, struct secret *s)
{
	struct pollfd p = {.fd = q->fd, .events = POLLIN};
	size_t used = 0;
	ssize_t n;

	for (;;) {
		if (ppoll(&p, 1, NULL, &q->mask_before) < 0 && errno != EINTR)
			return -errno;
		if (caught)
			return -EINTR;
		if (!p.revents)
			continue;
		n = read(q->fd, s->bytes + used, s->size - used);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			continue;
		used += (size_t)n;
		if (n == 0 || s->bytes[used - 1] == '\n')
			break;
		if (used == s->size)
			return -EFBIG;
	}
	secret_shrink(s, n == 0 ? used : used - 1);
	return 0;
}

static int ask_once(int fd, const char *prompt, size_t max, struct secret **out)
{
	_cleanup_secret_ struct secret *s = secret_new(max + 1);
	struct quiet q;
	int ret;

	if (!s)
		return -ENOMEM;
	ret = go_quiet(&q, fd);
	if (ret == -ENOTTY)
		return ret;
	if (ret == 0) {
		say(fd, prompt);
		ret = read_line(&q, s);
		say(fd, "\n");
	}
	end_quiet(&q);
	if (caught)
		raise(caught); /* now with its own effect; for a stop, this returns when the process goes on */
	if (ret == 0)
		*out = secret_move(&s);
	return ret;
}

int secret_ask(const char *prompt, size_t max, struct secret **out)
{
	_cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int ret;

	*out = NULL;
	/* From the background, reading would stop the process: somebody who waits for it would wait for ever. */
	if (fd < 0 || tcgetpgrp(fd) != getpgrp())
		return -ENOTTY;
	do
		ret = ask_once(fd, prompt, max, out);
	while (ret == -EINTR && caught == SIGTSTP);
	return ret;
}

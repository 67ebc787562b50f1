#include "keymgr/terminal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util/base/whole_write.h"

int terminal_open(void)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -ENOTTY;
	/* From the background, reading would stop the process: who waits for it would wait for ever. */
	if (tcgetpgrp(fd) != getpgrp()) {
		close(fd);
		return -ENOTTY;
	}
	return fd;
}

bool terminal_present(void)
{
	_cleanup_close_ int fd = terminal_open();

	return fd >= 0;
}

/* One line into `line`; what does not fit is read and dropped. */
static int read_line(int tty, char *line, size_t n)
{
	size_t used = 0;
	char c;

	for (;;) {
		ssize_t r = read(tty, &c, 1);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0 && !used)
			return -ENODATA;
		if (r == 0 || c == '\n')
			break;
		if (used < n - 1)
			line[used++] = c;
	}
	line[used] = '\0';
	return 0;
}

int terminal_ask(int tty, const char *prompt, char *line, size_t n)
{
	int r = whole_write(tty, prompt, strlen(prompt));

	if (r == 0)
		r = read_line(tty, line, n);
	if (r < 0)
		return r;
	size_t skip = strspn(line, " \t\r");
	memmove(line, line + skip, strlen(line + skip) + 1);
	for (size_t end = strlen(line); end && strchr(" \t\r", line[end - 1]); end--)
		line[end - 1] = '\0';
	return 0;
}

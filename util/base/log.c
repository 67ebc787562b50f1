/* Log lines (log.h).
 *
 * 1. One call is one line and one write: a message cannot forge a second line, and lines of several threads do not mix. */
#include "util/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

enum { LINE_SIZE = 1024 };

static atomic_bool to_syslog;

void log_to_syslog(const char *ident)
{
	openlog(ident, LOG_PID, LOG_DAEMON);
	atomic_store(&to_syslog, true);
}

static void write_line(const char *line, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, line, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* nobody is left to tell */
		line += done;
		n -= (size_t)done;
	}
}

PRINTF_LIKE(3, 0) static void log_line(int priority, const char *prefix, const char *format, va_list args)
{
	char line[LINE_SIZE];
	size_t start = (size_t)snprintf(line, sizeof(line), "coffer: %s", prefix);
	int saved = errno;
	size_t end;

	if (vsnprintf(line + start, sizeof(line) - start - 1, format, args) < 0)
		line[start] = 0;
	end = strlen(line);
	for (size_t i = start; i < end; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	if (atomic_load(&to_syslog)) {
		syslog(priority, "%s", line + strlen("coffer: "));
	} else {
		line[end++] = '\n';
		write_line(line, end);
	}
	errno = saved;
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(LOG_ERR, "error: ", format, args);
	va_end(args);
}

void log_warning(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(LOG_WARNING, "warning: ", format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(LOG_INFO, "", format, args);
	va_end(args);
}

/* Bytes of the printable UTF-8 character at s, or 0: malformed, overlong, a surrogate, or a control character. */
static size_t printable_size(const unsigned char *s)
{
	uint32_t c, least;
	size_t n;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f && s[0] != '\\';
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, c = s[0] & 0x1f, least = 0xa0; /* U+0080 to U+009F are control characters */
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3, c = s[0] & 0x0f, least = 0x800;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, c = s[0] & 0x07, least = 0x10000;
	else
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

const char *log_escape(const char *name, char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *s = (const unsigned char *)name;
	size_t used = 0;

	if (n == 0)
		return out;
	while (*s) {
		size_t size = printable_size(s);
		size_t need = size ? size : 4;

		if (need >= n - used)
			break;
		if (size) {
			memcpy(out + used, s, size);
		} else {
			const char escaped[4] = {'\\', 'x', digits[*s >> 4], digits[*s & 15]};

			memcpy(out + used, escaped, sizeof(escaped));
			size = 1;
		}
		used += need;
		s += size;
	}
	out[used] = 0;
	return out;
}
